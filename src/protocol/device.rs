//! Device authorization grant, RFC 8628: the person types a short code on any other machine.

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Request;

use crate::account::OauthClient;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::token::{self, Answer, Granted};
use crate::protocol::{pkce, request};
use crate::provider::{Provider, Quirk};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 8628 section 3.2: the interval where the server names none; section 3.5: what slow_down adds.
const INTERVAL_S: u64 = 5;
/// A server that asks for longer waits than this is not obeyed to the letter.
const LONGEST_INTERVAL_S: u64 = 120;
const LONGEST_BACK_OFF_S: u64 = 30;
/// OpenAI names no expiry; its page says fifteen minutes.
const UNNAMED_LIFETIME_S: i64 = 900;

/// What the person is shown, and what polls.
#[derive(Debug)]
pub struct Started {
    pub device_code: Secret,
    pub user_code: String,
    /// Where the code is typed; with the code in it where the server gives such an address.
    pub page: String,
    pub interval_s: u64,
    pub expires_in_s: i64,
}

/// One answer to a poll.
#[derive(Debug)]
pub enum Poll {
    /// The person has not decided yet.
    Pending,
    /// Not yet, and asked too often: the interval from now on, if the server names one.
    SlowDown(Option<u64>),
    Granted(Box<Granted>),
    /// Approved; a code is exchanged as after a browser login (OpenAI).
    Code {
        code: Secret,
        verifier: Secret,
    },
    /// The device code ran out.
    Expired,
    /// Everything else is as at any token request.
    Other(Answer),
}

/// Asks for a device code. `verifier` is for servers that want PKCE here too.
pub fn start(
    row: &Provider,
    client: &OauthClient,
    verifier: Option<&Secret>,
) -> Result<Request<Secret>> {
    let url = row.need(&row.device_url, "device_url")?;
    endpoint::check("the device authorization endpoint", url)?;
    if row.has_quirk(Quirk::OpenaiDevice) {
        return request::post_json(url, None, &json!({"client_id": client.id}));
    }
    let scope = row.scopes.join(" ");
    let challenge = verifier.map(pkce::challenge);
    let mut pairs = Vec::new();
    if !scope.is_empty() {
        pairs.push(("scope", scope.as_str()));
    }
    if let Some(challenge) = &challenge {
        pairs.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
    }
    // RFC 8707 has it in every request for authorization.
    if let Some(resource) = row.token_params.get("resource") {
        pairs.push(("resource", resource));
    }
    request::post_as_client(url, row.token_body, row.client_auth, client, pairs)
}

/// Reads the answer to `start`, section 3.2. Err says what is wrong with it.
pub fn parse_start(row: &Provider, body: &Secret) -> Result<Started> {
    #[derive(Deserialize)]
    struct Answer {
        device_code: Option<Secret>,
        // OpenAI's names for the two codes.
        device_auth_id: Option<Secret>,
        user_code: Option<String>,
        usercode: Option<String>,
        verification_uri: Option<String>,
        verification_uri_complete: Option<String>,
        // The draft's names, which Google and others kept; some servers send both.
        verification_url: Option<String>,
        verification_url_complete: Option<String>,
        interval: Option<Value>,
        expires_in: Option<Value>,
    }
    let from = row.device_url.as_deref().and_then(endpoint::origin).unwrap_or_default();
    let unreadable = |what: &str| Error::unreadable(from.clone(), what);
    let answer: Answer =
        serde_json::from_str(body.expose()).map_err(|_| unreadable("no device code"))?;
    let pages = [
        answer.verification_uri_complete,
        answer.verification_url_complete,
        answer.verification_uri,
        answer.verification_url,
        row.device_page_url.clone(),
    ];
    let page = pages.into_iter().flatten().find(|page| !page.is_empty());
    let page = page.ok_or_else(|| unreadable("a device code without an address"))?;
    endpoint::check("the address to open", &page)?;
    let user_code = answer.user_code.or(answer.usercode).unwrap_or_default();
    let user_code = text::harmless(&user_code, 40);
    let device_code = answer.device_code.or(answer.device_auth_id).filter(|code| !code.is_empty());
    let Some(device_code) = device_code.filter(|_| !user_code.is_empty()) else {
        return Err(unreadable("no device code"));
    };
    Ok(Started {
        device_code,
        user_code,
        page,
        interval_s: interval(answer.interval.as_ref()).unwrap_or(INTERVAL_S),
        expires_in_s: token::lifetime_s(answer.expires_in.as_ref()).unwrap_or(UNNAMED_LIFETIME_S),
    })
}

/// What a poll needs to know of the login.
pub struct Asked<'a> {
    pub device_code: &'a Secret,
    pub user_code: &'a str,
    pub verifier: Option<&'a Secret>,
}

/// Asks whether the person has decided, section 3.4.
pub fn poll(row: &Provider, client: &OauthClient, asked: &Asked) -> Result<Request<Secret>> {
    if row.has_quirk(Quirk::OpenaiDevice) {
        let url = row.need(&row.device_poll_url, "device_poll_url")?;
        endpoint::check("the device poll endpoint", url)?;
        let body = json!({
            "device_auth_id": asked.device_code.expose(),
            "user_code": asked.user_code,
        });
        return request::post_json(url, None, &body);
    }
    let mut pairs = vec![("grant_type", GRANT_TYPE), ("device_code", asked.device_code.expose())];
    if let Some(verifier) = asked.verifier {
        pairs.push(("code_verifier", verifier.expose()));
    }
    token::post(row, client, pairs)
}

/// Reads the answer to a poll, section 3.5.
pub fn parse_poll(
    row: &Provider,
    status: u16,
    content_type: &str,
    body: &Secret,
    sent: &[&Secret],
    now: Timestamp,
) -> Poll {
    let json: Value = serde_json::from_str(body.expose()).unwrap_or(Value::Null);
    if row.has_quirk(Quirk::OpenaiDevice) {
        if matches!(status, 403 | 404) {
            return Poll::Pending;
        }
        let word = |key: &str| json[key].as_str().filter(|word| !word.is_empty()).map(Secret::new);
        if let (Some(code), Some(verifier)) = (word("authorization_code"), word("code_verifier")) {
            return Poll::Code { code, verifier };
        }
    }
    // Some servers say it with 429, which elsewhere is trouble of their own.
    if json["error"] == "slow_down" {
        return Poll::SlowDown(interval(json.get("interval")));
    }
    match token::parse(status, content_type, body, sent, now) {
        Answer::Granted(granted) => Poll::Granted(granted),
        Answer::Refused(error) if error.code == "authorization_pending" => Poll::Pending,
        Answer::Refused(error) if error.code == "expired_token" => Poll::Expired,
        answer => Poll::Other(answer),
    }
}

/// The interval after a slow_down, section 3.5.
pub fn slower(current_s: u64, named_s: Option<u64>) -> u64 {
    named_s
        .filter(|named| *named > current_s)
        .unwrap_or(current_s + INTERVAL_S)
        .min(LONGEST_INTERVAL_S)
}

/// The interval after no answer, section 3.5: twice as long, but never past half a minute, as the
/// person is waiting too.
pub fn backed_off(current_s: u64) -> u64 {
    (current_s * 2).min(LONGEST_BACK_OFF_S.max(current_s))
}

/// A number, or a string of one (OpenAI).
fn interval(value: Option<&Value>) -> Option<u64> {
    let seconds = token::lifetime_s(value)?;
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(|s| s.min(LONGEST_INTERVAL_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Provider {
        let mut row = Provider::named("x").unwrap();
        row.device_url = Some("https://x.example/device".to_owned());
        row
    }

    fn start_of(answer: Value) -> Result<Started> {
        parse_start(&row(), &Secret::new(answer.to_string()))
    }

    #[test]
    fn the_rfcs_own_answer_is_read() {
        // RFC 8628 section 3.2.
        let started = start_of(json!({
            "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
            "user_code": "WDJB-MJHT",
            "verification_uri": "https://example.com/device",
            "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
            "expires_in": 1800,
            "interval": 5
        }))
        .unwrap();
        assert_eq!((started.user_code.as_str(), started.interval_s), ("WDJB-MJHT", 5));
        assert_eq!(started.page, "https://example.com/device?user_code=WDJB-MJHT");
        assert_eq!(started.expires_in_s, 1800);
    }

    #[test]
    fn other_spellings_and_gaps_are_understood() {
        let page = "https://x.example/d";
        let started = start_of(json!({
            "device_auth_id": "d", "usercode": "AB\u{1b}[2J1", "verification_url": page, "interval": "7"
        }))
        .unwrap();
        assert_eq!((started.page.as_str(), started.interval_s), (page, 7));
        assert_eq!((started.user_code.as_str(), started.expires_in_s), ("AB [2J1", 900));
    }

    #[test]
    fn hostile_answers_are_refused() {
        let with =
            |page: &str| json!({"device_code": "d", "user_code": "u", "verification_uri": page});
        for page in ["javascript:alert(1)", "http://x.example/", "file:///etc/passwd", "-x", ""] {
            assert!(start_of(with(page)).is_err(), "{page}");
        }
        assert!(start_of(json!({"device_code": "d", "user_code": "u"})).is_err());
        assert!(start_of(json!({"device_code": "", "user_code": "u"})).is_err());
        assert!(start_of(json!([])).is_err());
    }

    #[test]
    fn polls_are_understood() {
        let poll = |status, body: Value| {
            let body = Secret::new(body.to_string());
            parse_poll(&row(), status, "application/json", &body, &[], Timestamp(0))
        };
        assert!(matches!(poll(400, json!({"error": "authorization_pending"})), Poll::Pending));
        assert!(matches!(poll(400, json!({"error": "slow_down"})), Poll::SlowDown(None)));
        let named = poll(400, json!({"error": "slow_down", "interval": 9}));
        assert!(matches!(named, Poll::SlowDown(Some(9))));
        assert!(matches!(poll(400, json!({"error": "expired_token"})), Poll::Expired));
        assert!(matches!(poll(200, json!({"access_token": "a"})), Poll::Granted(_)));
        // GitHub says no with 200.
        assert!(matches!(poll(200, json!({"error": "authorization_pending"})), Poll::Pending));
        let denied = poll(400, json!({"error": "access_denied"}));
        assert!(matches!(denied, Poll::Other(Answer::Refused(_))));
        assert!(matches!(poll(500, json!({})), Poll::Other(Answer::TryLater(_))));
    }

    #[test]
    fn slowing_down_follows_the_rfc() {
        assert_eq!(slower(5, None), 10);
        assert_eq!(slower(5, Some(12)), 12);
        assert_eq!(slower(5, Some(1)), 10, "a smaller value is no slowing down");
        assert_eq!(slower(119, None), 120);
    }
}
