//! What a browser or a person gives back, in every pasted shape (CLI.md section 3).

use crate::protocol::form;
use crate::protocol::oauth_error::OauthError;
use crate::secret::Secret;

/// An authorization response, RFC 6749 sections 4.1.2 and 4.1.2.1.
#[derive(Debug, PartialEq, Eq)]
pub struct Callback {
    pub state: Option<Secret>,
    /// The issuer that answered, RFC 9207.
    pub iss: Option<String>,
    pub outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Code(Secret),
    Refused(OauthError),
}

/// Reads a whole URL, a bare host and path, `?code=…&state=…`, `code=…&state=…` or `code#state`,
/// with stray spaces, quotes, angle brackets, line breaks and `&amp;`. None: no callback.
pub fn parse(pasted: &str) -> Option<Callback> {
    let text = cleaned(pasted);
    if let Some(callback) = from_query(&text) {
        return Some(callback);
    }
    // An address or query without a code is not `code#state`.
    if text.contains("://") || text.contains('?') || text.contains('=') {
        return None;
    }
    let (code, state) = text.split_once('#')?;
    if !is_opaque(code) || !is_opaque(state) {
        return None;
    }
    Some(Callback {
        state: Some(Secret::new(form::decode(state))),
        iss: None,
        outcome: Outcome::Code(Secret::new(code)),
    })
}

/// Like `parse`, and a code alone is enough.
pub fn parse_code(pasted: &str) -> Option<Callback> {
    if let Some(callback) = parse(pasted) {
        return Some(callback);
    }
    let code = cleaned(pasted);
    let is_code = is_opaque(&code) && !code.contains(['?', '&', '#']) && !code.contains("://");
    is_code.then(|| Callback { state: None, iss: None, outcome: Outcome::Code(Secret::new(code)) })
}

/// Removes what terminals, mail programs and chat windows put around a pasted line.
fn cleaned(pasted: &str) -> String {
    let joined: String = pasted.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let bare = joined.trim_matches(|c: char| "\"'<>`“”‘’«»".contains(c));
    bare.replace("&amp;", "&")
}

fn is_opaque(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"<>\"'".contains(c))
}

/// The pairs after `?` or `#` of an address, or of the whole text when it is a bare query.
fn from_query(text: &str) -> Option<Callback> {
    let query = match text.split_once('?') {
        Some((_, query)) => query,
        None => {
            text.split_once('#').filter(|(_, after)| after.contains('=')).map_or(text, |(_, q)| q)
        }
    };
    // Some providers add a fragment after the query (`#_=_`); it carries no parameter.
    let query = query.split_once('#').map_or(query, |(before, _)| before);
    let pairs = form::decode_pairs(query);
    let value = |key: &str| {
        pairs.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, value)| value.clone())
    };
    let refused = value("error")
        .map(|code| OauthError::new(&code, &value("error_description").unwrap_or_default()));
    let outcome = match (refused, value("code")) {
        (Some(error), _) => Outcome::Refused(error),
        // Claude's page shows `code#state`, and some people paste `code=code#state`.
        (None, Some(code)) => Outcome::Code(Secret::new(code)),
        (None, None) => return None,
    };
    Some(Callback { state: value("state").map(Secret::new), iss: value("iss"), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_and_state(text: &str) -> Option<(String, Option<String>)> {
        let callback = parse(text)?;
        let Outcome::Code(code) = callback.outcome else { return None };
        Some((code.expose().to_owned(), callback.state.map(|s| s.expose().to_owned())))
    }

    #[test]
    fn every_pasted_shape_is_read() {
        for text in [
            "http://localhost:1455/auth/callback?code=a-b_c&state=XYZ",
            "http://localhost:1455/auth/callback?state=XYZ&code=a-b_c&scope=openid%20email",
            "localhost:1455/auth/callback?code=a-b_c&state=XYZ",
            "127.0.0.1:51121/oauth-callback?code=a-b_c&state=XYZ",
            "?code=a-b_c&state=XYZ",
            "code=a-b_c&state=XYZ",
            "code=a-b_c&amp;state=XYZ",
            "a-b_c#XYZ",
            "  a-b_c#XYZ \n",
            "\"http://x/cb?code=a-b_c&state=XYZ\"",
            "<http://x/cb?code=a-b_c&state=XYZ>",
            "http://x/cb?code=a-b\n_c&sta\r\nte=XYZ",
            "'code=a-b_c&state=XYZ'\r\n",
            "http://x/cb?code=a-b_c&state=XYZ#_=_",
            "http://x/cb#code=a-b_c&state=XYZ",
        ] {
            let expected = Some(("a-b_c".to_owned(), Some("XYZ".to_owned())));
            assert_eq!(code_and_state(text), expected, "{text:?}");
        }
    }

    #[test]
    fn codes_are_percent_decoded_once() {
        let (code, _) = code_and_state("http://x/?code=4%2F0A%2Bb%25&state=s").unwrap();
        assert_eq!(code, "4/0A+b%");
    }

    #[test]
    fn rubbish_is_no_callback() {
        for text in [
            "",
            "hello",
            "y",
            "http://x/cb",
            "http://x/cb?state=XYZ",
            "?",
            "#",
            "a#",
            "#b",
            "http://x/cb?code=&state=XYZ",
            "http://x/#top",
            "code",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_refusal_carries_its_words() {
        let text = "http://x/cb?error=access_denied&error_description=not+today%1b[2J&state=S";
        let callback = parse(text).unwrap();
        let expected = OauthError::new("access_denied", "not today [2J");
        assert_eq!(callback.outcome, Outcome::Refused(expected));
        assert_eq!(callback.state, Some(Secret::new("S")));
    }

    #[test]
    fn a_code_alone_counts_only_when_asked_for() {
        assert_eq!(parse("4/0Axyz"), None);
        let callback = parse_code(" 4/0Axyz\n").unwrap();
        assert_eq!(callback.outcome, Outcome::Code(Secret::new("4/0Axyz")));
        assert_eq!(callback.state, None);
        assert!(parse_code("c#s").unwrap().state.is_some());
        assert_eq!(parse_code("http://x/cb"), None);
        assert_eq!(parse_code(""), None);
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        let mut seed = 1_u64;
        let alphabet = ['c', '=', '&', '?', '#', '%', 'é', '\u{202e}', '/', ':', '4', ' ', '\n'];
        for _ in 0..20_000 {
            let mut text = String::from("code=");
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(alphabet[(seed >> 33) as usize % alphabet.len()]);
            }
            let _ = (parse(&text), parse_code(&text));
        }
    }
}
