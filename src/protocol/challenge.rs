//! The `WWW-Authenticate` header (RFC 9110 section 11.6.1): what a refused request has to bring.

use crate::text;

/// A Bearer challenge: RFC 6750 section 3, and RFC 9728 section 5.1 for `resource_metadata`. The
/// words are harmless; `resource_metadata` is as it was sent, and still to be checked.
#[derive(Debug, Default, PartialEq)]
pub struct Challenge {
    pub resource_metadata: Option<String>,
    pub scope: Option<String>,
    pub error: Option<String>,
    pub error_description: Option<String>,
}

/// The Bearer challenge among the values of all `WWW-Authenticate` headers of an answer; of several
/// the first that names its resource metadata, else the first. None: no Bearer challenge.
pub fn bearer<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut found: Vec<_> = values.into_iter().flat_map(parse).collect();
    let best = found.iter().position(|challenge| challenge.resource_metadata.is_some());
    (!found.is_empty()).then(|| found.swap_remove(best.unwrap_or_default()))
}

/// Every Bearer challenge of one header value. What breaks the grammar is skipped: the rest of the
/// value may still hold what is needed.
fn parse(value: &str) -> Vec<Challenge> {
    let mut rest = Cursor { rest: value };
    let mut found = Vec::new();
    let mut is_bearer = false;
    while !rest.rest.is_empty() {
        rest.skip(|c| c == ',' || is_blank(c));
        let name = rest.take(is_token);
        if name.is_empty() {
            rest.skip_one();
            continue;
        }
        if let Some(value) = rest.value() {
            if let Some(challenge) = found.last_mut().filter(|_| is_bearer) {
                keep(challenge, name, value);
            }
            continue;
        }
        is_bearer = name.eq_ignore_ascii_case("bearer");
        if is_bearer {
            found.push(Challenge::default());
        }
        rest.skip_token68();
    }
    found
}

/// The first of two parameters with one name counts.
fn keep(challenge: &mut Challenge, name: &str, value: String) {
    let (slot, value) = match name.to_ascii_lowercase().as_str() {
        "resource_metadata" => (&mut challenge.resource_metadata, value),
        "scope" => (&mut challenge.scope, text::harmless(&value, 4000)),
        "error" => (&mut challenge.error, text::harmless(&value, 80)),
        "error_description" => (&mut challenge.error_description, text::harmless(&value, 300)),
        _ => return,
    };
    slot.get_or_insert(value);
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, is_part: impl Fn(char) -> bool) {
        self.take(is_part);
    }

    fn skip_one(&mut self) {
        let mut chars = self.rest.chars();
        // A quoted string in a wrong place is skipped whole: words in it are no parameters.
        match chars.next() {
            Some('"') => {
                self.rest = chars.as_str();
                self.quoted();
            }
            _ => self.rest = chars.as_str(),
        }
    }

    /// `= value` behind a name, blanks allowed. None, and nothing taken: the name was a scheme.
    fn value(&mut self) -> Option<String> {
        let after = self.rest.trim_start_matches(is_blank).strip_prefix('=')?;
        self.rest = after.trim_start_matches(is_blank);
        if let Some(after) = self.rest.strip_prefix('"') {
            self.rest = after;
            return Some(self.quoted());
        }
        // More than a token may hold: some servers leave a URL unquoted.
        Some(self.take(|c| c != ',' && !is_blank(c)).to_owned())
    }

    /// The rest of a quoted string, its escapes undone; a missing end is the end of the value.
    fn quoted(&mut self) -> String {
        let mut out = String::new();
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => out.extend(chars.next()),
                _ => out.push(c),
            }
        }
        self.rest = chars.as_str();
        out
    }

    /// `scheme token68`: only directly behind a scheme, and up to a comma or the end. Its `=` would
    /// otherwise pass for a parameter's.
    fn skip_token68(&mut self) {
        let item = self.rest.split(',').next().unwrap_or_default();
        let word = item.trim_matches(is_blank).trim_end_matches('=');
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        if item.starts_with(is_blank) && !word.is_empty() && word.chars().all(is_part) {
            self.rest = self.rest.get(item.len()..).unwrap_or_default();
        }
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(values: &[&str]) -> Option<Option<String>> {
        bearer(values.iter().copied()).map(|challenge| challenge.resource_metadata)
    }

    #[test]
    fn the_metadata_is_found_in_every_spelling() {
        for values in [
            &[r#"Bearer resource_metadata="https://x/m""#][..],
            &[r#"bEARER Resource_Metadata = "https://x/m""#],
            &["Bearer\tresource_metadata=https://x/m"],
            &["Bearer realm=x , resource_metadata=https://x/m , scope=a"],
            &[
                r#"Bearer realm="a, Bearer resource_metadata=\"https://evil\"", resource_metadata="https://x/m""#,
            ],
            &[r#"Bearer realm="\\", resource_metadata="https:\/\/x/m""#],
            &[r#"Negotiate, Bearer resource_metadata="https://x/m""#],
            &[r#"Negotiate YII+/w==, Bearer resource_metadata="https://x/m""#],
            &[r#"Negotiate a=, Bearer resource_metadata="https://x/m", Basic realm="y""#],
            &[
                r#"Basic realm="x", charset="UTF-8",,, Bearer error="e",, resource_metadata="https://x/m""#,
            ],
            &["Negotiate", r#"Basic realm="x""#, r#"Bearer resource_metadata="https://x/m""#],
            &["Bearer", r#"Bearer resource_metadata="https://x/m""#],
            &[r#"Bearer resource_metadata="https://x/m", resource_metadata="https://y/m""#],
            &[r#"Bearer resource_metadata="https://x/m"#],
            &[r#"Bearer "stray error=1"; resource_metadata="https://x/m""#],
        ] {
            assert_eq!(metadata(values), Some(Some("https://x/m".to_owned())), "{values:?}");
        }
    }

    #[test]
    fn parameters_of_other_schemes_are_not_the_bearers() {
        for values in [
            &["Bearer"][..],
            &["Bearer abc=="],
            &[r#"Bearer, DPoP resource_metadata="https://x/m""#],
            &[r#"Bearer error="x", DPoP algs="ES256", resource_metadata="https://x/m""#],
            &[r#"Bearer realm="resource_metadata=https://x/m""#],
        ] {
            assert_eq!(metadata(values), Some(None), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &["Basic realm=\"Bearer\""],
            &["Bearer2 resource_metadata=x", "NotBearer resource_metadata=x"],
            &["DPoP resource_metadata=\"https://x/m\"", "Basic QmVhcmVyIA=="],
            &["Basic Bearer"],
            &["resource_metadata=\"https://x/m\""],
        ] {
            assert_eq!(metadata(values), None, "{values:?}");
        }
    }

    #[test]
    fn words_are_harmless_and_escapes_undone() {
        let value = "Bearer error=insufficient_scope, scope=\"a  b\tc\", \
                     error_description=\"not \\\"you\\\"\u{1b}[2J\"";
        let expected = Challenge {
            resource_metadata: None,
            scope: Some("a b c".to_owned()),
            error: Some("insufficient_scope".to_owned()),
            error_description: Some("not \"you\" [2J".to_owned()),
        };
        assert_eq!(bearer([value]), Some(expected));
    }

    #[test]
    fn no_value_makes_the_parser_panic_or_stay() {
        let mut seed = 1_u64;
        let alphabet = ['B', '=', ',', '"', '\\', ' ', 'é', '\t', '/', ';', '\u{202e}'];
        for _ in 0..20_000 {
            let mut text = String::from("Bearer");
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(alphabet[(seed >> 33) as usize % alphabet.len()]);
            }
            assert!(bearer([text.as_str()]).is_none_or(|found| found.scope.is_none()), "{text}");
        }
    }
}
