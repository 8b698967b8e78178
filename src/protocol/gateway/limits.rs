//! What an answer means for the account that was asked with: may it be asked again, when, and would
//! another one do better.

use serde_json::Value;

use crate::protocol::chat::fault::{self, Cure, Fault};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is the caller's, whether it is good or the caller's own fault.
    Pass,
    /// No more for now. `wait_ms`: as long as the provider says; None: it does not say.
    CoolDown { wait_ms: Option<u64>, is_whole_account: bool },
    /// The account is not to blame, and another may do better.
    Elsewhere,
    /// The credential is turned away.
    SignIn,
}

/// An answer that is not good, as far as it matters here.
pub struct Seen<'a> {
    pub status: u16,
    pub content_type: &'a str,
    pub retry_after_s: Option<u64>,
    /// By their names in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub body: &'a str,
}

/// Sources: facts on CLIProxyAPI, sections 6.1 to 6.3; docs.claude.com/en/api/rate-limits; Google's
/// google.rpc.RetryInfo.
pub fn verdict(seen: &Seen, now: Timestamp) -> Verdict {
    if seen.content_type == "text/html" || (300..400).contains(&seen.status) {
        return if seen.status == 401 { Verdict::SignIn } else { Verdict::Elsewhere };
    }
    let (code, words) = match fault::of_body(seen.body) {
        Fault::Told { code, words } => (code, words),
        Fault::Cut | Fault::Unreadable(_) => Default::default(),
    };
    let cure = fault::cure(Some(seen.status), &code, &words);
    match (seen.status, cure) {
        (200..300, _) => Verdict::Pass,
        (401, _) | (400 | 403, Cure::SignIn) => Verdict::SignIn,
        (402 | 429, _) | (400 | 403, Cure::Quota) => cool_down(seen, now),
        (403 | 408 | 500.., _) => Verdict::Elsewhere,
        _ => Verdict::Pass,
    }
}

fn cool_down(seen: &Seen, now: Timestamp) -> Verdict {
    let answer: Value = serde_json::from_str(seen.body).unwrap_or_default();
    let answer = answer.get(0).cloned().unwrap_or(answer);
    let error = &answer["error"];
    let unified = unified_reset(seen, now);
    let is_usage = ["usage_limit_reached", "usage_not_included"]
        .iter()
        .any(|kind| error["type"] == *kind || error["code"] == *kind);
    // The largest: until then at least one of the limits holds. A wait that is over already is none:
    // the limit was met all the same.
    let named = [by_header(seen), unified, by_body(error, now)].into_iter().flatten().max();
    let named = named.filter(|ms| *ms > 0);
    let wait_ms = named.or_else(|| by_words(error["message"].as_str().unwrap_or_default()));
    Verdict::CoolDown {
        wait_ms,
        is_whole_account: unified.is_some() || is_usage || seen.status == 402,
    }
}

fn by_header(seen: &Seen) -> Option<u64> {
    let ms = (seen.header)("retry-after-ms").and_then(|value| value.trim().parse::<f64>().ok());
    let ms = ms.and_then(|ms| milliseconds(ms / 1000.0));
    ms.or(seen.retry_after_s.map(|seconds| seconds.saturating_mul(1000)))
}

/// Anthropic's limits of a subscription, which hold for all models alike.
fn unified_reset(seen: &Seen, now: Timestamp) -> Option<u64> {
    let of = |name: &str| (seen.header)(&format!("anthropic-ratelimit-unified-{name}"));
    let rejected = ["5h", "7d", "7d_oi"].iter().filter_map(|window| {
        let status = of(&format!("{window}-status"))?;
        (status == "rejected").then(|| of(&format!("{window}-reset")))?
    });
    let general = (of("status").as_deref() == Some("rejected")).then(|| of("reset")).flatten();
    let times = rejected.chain(general).filter_map(|reset| reset.trim().parse::<i64>().ok());
    times.max().map(|at| until(at, now))
}

fn until(unix_s: i64, now: Timestamp) -> u64 {
    u64::try_from(Timestamp(unix_s).since(now)).unwrap_or(0).saturating_mul(1000)
}

fn by_body(error: &Value, now: Timestamp) -> Option<u64> {
    let at = error["resets_at"].as_i64().map(|at| until(at, now));
    let after = error["resets_in_seconds"].as_f64().and_then(milliseconds);
    let details = error["details"].as_array().into_iter().flatten();
    let delays = details.filter_map(|detail| {
        let texts = [&detail["retryDelay"], &detail["metadata"]["quotaResetDelay"]];
        texts.into_iter().find_map(|text| duration_ms(text.as_str()?))
    });
    at.into_iter().chain(after).chain(delays).max()
}

/// "Please try again in 1.5s", "reset after 2h3m".
fn by_words(message: &str) -> Option<u64> {
    let message = message.to_lowercase();
    let mut ends = ["try again in ", "retry in ", "reset after ", "retry after "]
        .iter()
        .filter_map(|words| Some(&message[message.find(words)? + words.len()..]));
    ends.find_map(|rest| {
        let is_part = |c: char| c.is_ascii_digit() || ".hms".contains(c);
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        duration_ms(rest[..end].trim_end_matches('.'))
    })
}

/// `1h2m3.5s`, `350ms`, `12s`.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (seconds, length) = match rest {
            _ if rest.starts_with("ms") => (0.001, 2),
            _ if rest.starts_with('h') => (3600.0, 1),
            _ if rest.starts_with('m') => (60.0, 1),
            _ if rest.starts_with('s') => (1.0, 1),
            _ => return None,
        };
        total += number * seconds;
        rest = &rest[length..];
    }
    (!text.trim().is_empty()).then(|| milliseconds(total)).flatten()
}

/// What makes no sense is not said.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
fn milliseconds(seconds: f64) -> Option<u64> {
    (0.0..=1e9).contains(&seconds).then(|| (seconds * 1000.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn judged(status: u16, headers: &[(&str, &str)], body: &str) -> Verdict {
        let find = |name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let retry_after_s = find("retry-after").and_then(|value| value.parse().ok());
        let seen =
            Seen { status, content_type: "application/json", retry_after_s, header: &find, body };
        verdict(&seen, NOW)
    }

    fn wait(headers: &[(&str, &str)], body: &str) -> Option<u64> {
        match judged(429, headers, body) {
            Verdict::CoolDown { wait_ms, .. } => wait_ms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_wait_is_what_the_provider_says() {
        assert_eq!(wait(&[("retry-after", "2")], ""), Some(2_000));
        assert_eq!(wait(&[("retry-after-ms", "350"), ("retry-after", "9")], ""), Some(350));
        assert_eq!(wait(&[], "{}"), None);
        assert_eq!(
            wait(&[], r#"{"error":{"type":"usage_limit_reached","resets_at":1060}}"#),
            Some(60_000)
        );
        assert_eq!(wait(&[], r#"{"error":{"resets_in_seconds":7}}"#), Some(7_000));
        let google = r#"[{"error":{"details":[{"reason":"x"},{"retryDelay":"12.5s"}]}}]"#;
        assert_eq!(wait(&[], google), Some(12_500));
        let reset = r#"{"error":{"details":[{"metadata":{"quotaResetDelay":"1h2m3s"}}]}}"#;
        assert_eq!(wait(&[], reset), Some(3_723_000));
        let words =
            r#"{"error":{"message":"Rate limit reached. Please try again in 1.5s. Visit x"}}"#;
        assert_eq!(wait(&[], words), Some(1_500));
        assert_eq!(wait(&[], r#"{"error":{"resets_in_seconds":-7}}"#), None);
        assert_eq!(wait(&[], r#"{"error":{"resets_at":1}}"#), None);
        assert_eq!(wait(&[("retry-after", "0")], ""), None);
    }

    #[test]
    fn a_subscription_cools_down_as_a_whole() {
        let headers = [
            ("anthropic-ratelimit-unified-5h-status", "rejected"),
            ("anthropic-ratelimit-unified-5h-reset", "1100"),
            ("anthropic-ratelimit-unified-7d-status", "allowed"),
            ("anthropic-ratelimit-unified-7d-reset", "9999"),
            ("retry-after", "3"),
        ];
        let whole = Verdict::CoolDown { wait_ms: Some(100_000), is_whole_account: true };
        assert_eq!(judged(429, &headers, ""), whole);
        let paid = Verdict::CoolDown { wait_ms: None, is_whole_account: true };
        assert_eq!(judged(402, &[], ""), paid);
    }

    #[test]
    fn the_callers_faults_are_the_callers() {
        for (status, body, wanted) in [
            (200, "", Verdict::Pass),
            (400, r#"{"error":{"message":"max_tokens is too large"}}"#, Verdict::Pass),
            (404, r#"{"error":{"message":"no such model"}}"#, Verdict::Pass),
            (413, "", Verdict::Pass),
            (422, "", Verdict::Pass),
            (400, r#"{"error":{"message":"API key not valid"}}"#, Verdict::SignIn),
            (401, "", Verdict::SignIn),
            (
                403,
                r#"{"error":{"message":"your credit balance is too low"}}"#,
                Verdict::CoolDown { wait_ms: None, is_whole_account: false },
            ),
            (403, "", Verdict::Elsewhere),
            (302, "", Verdict::Elsewhere),
            (408, "", Verdict::Elsewhere),
            (500, "", Verdict::Elsewhere),
            (503, "", Verdict::Elsewhere),
            (529, "", Verdict::Elsewhere),
        ] {
            assert_eq!(judged(status, &[], body), wanted, "{status} {body}");
        }
    }
}
