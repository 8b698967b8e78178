//! The URL a person opens: RFC 6749 section 4.1.1 with PKCE (RFC 7636 section 4.3).

use crate::endpoint;
use crate::error::Result;
use crate::protocol::{form, pkce};
use crate::provider::{Provider, Quirk};
use crate::secret::Secret;

/// What one login adds to the row's own parameters.
pub struct Asked<'a> {
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    pub state: &'a Secret,
    pub verifier: &'a Secret,
    pub login_hint: Option<&'a str>,
    pub prompt: Option<&'a str>,
}

/// The authorization URL. Fails when the row's endpoint is missing or may not be opened.
pub fn url(row: &Provider, asked: &Asked) -> Result<String> {
    let endpoint = row.need(&row.authorize_url, "authorize_url")?;
    endpoint::check("the authorization endpoint", endpoint)?;
    let challenge = pkce::challenge(asked.verifier);
    let scope = row.scopes.join(" ");
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", asked.client_id),
        ("redirect_uri", asked.redirect_uri),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("state", asked.state.expose()),
    ];
    if row.has_quirk(Quirk::RedirectParam) {
        pairs.push(("redirect", asked.redirect_uri));
    }
    if !scope.is_empty() {
        pairs.push(("scope", &scope));
    }
    for (key, value) in &row.authorize_params {
        if !(key == "prompt" && asked.prompt.is_some()) {
            pairs.push((key, value));
        }
    }
    pairs.extend(asked.login_hint.map(|hint| ("login_hint", hint)));
    pairs.extend(asked.prompt.map(|prompt| ("prompt", prompt)));
    let (base, query) = endpoint.split_once('?').unwrap_or((endpoint, ""));
    // A server may have words of its own in there, and sometimes ours, with another value.
    let is_ours = |name: &str| pairs.iter().any(|(ours, _)| *ours == name);
    let name_of = |pair: &str| form::decode(pair.split('=').next().unwrap_or_default());
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !is_ours(&name_of(pair)));
    let ours = form::encode_pairs(&pairs);
    let all: Vec<_> = kept.chain([ours.as_str()]).collect();
    Ok(format!("{base}?{}", all.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(change: impl Fn(&mut Provider), prompt: Option<&str>) -> Result<String> {
        let mut row = Provider::named("x").unwrap();
        row.authorize_url = Some("https://x.example/auth?tenant=1".to_owned());
        row.scopes = vec!["openid".to_owned(), "email".to_owned()];
        row.authorize_params.insert("prompt".to_owned(), "consent".to_owned());
        change(&mut row);
        let (state, verifier) = (Secret::new("st"), Secret::new("ve"));
        let redirect_uri = "http://127.0.0.1:1/callback";
        let asked = Asked {
            client_id: "id",
            redirect_uri,
            state: &state,
            verifier: &verifier,
            login_hint: Some("me@x"),
            prompt,
        };
        url(&row, &asked)
    }

    #[test]
    fn the_url_carries_every_parameter_encoded() {
        let url = url_of(|_| (), Some("select_account")).unwrap();
        assert!(url.starts_with("https://x.example/auth?tenant=1&response_type=code&"), "{url}");
        for part in [
            "redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback",
            "scope=openid%20email",
            "code_challenge_method=S256",
            "login_hint=me%40x",
            "prompt=select_account",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
        assert!(!url.contains("consent"), "the flag replaces the row's prompt");
        assert!(!url.contains("=ve"), "the verifier stays here");
    }

    #[test]
    fn what_the_endpoint_says_of_ours_is_replaced() {
        let endpoint = "https://x.example/auth?a=1&resource=https%3A%2F%2Fwrong&%73tate=s&b";
        let url = url_of(
            |row| {
                row.authorize_url = Some(endpoint.to_owned());
                row.authorize_params.insert("resource".to_owned(), "https://right".to_owned());
            },
            None,
        );
        let url = url.unwrap();
        assert!(url.starts_with("https://x.example/auth?a=1&b&response_type=code&"), "{url}");
        assert_eq!(url.matches("resource=").count(), 1, "{url}");
        assert!(url.contains("&resource=https%3A%2F%2Fright"), "{url}");
        assert_eq!((url.matches("state=").count(), url.contains("%73tate")), (1, false), "{url}");
    }

    #[test]
    fn a_hostile_endpoint_is_refused() {
        for bad in ["javascript:alert(1)", "file:///etc/passwd", "http://example.com/", "-x"] {
            assert!(url_of(|row| row.authorize_url = Some(bad.to_owned()), None).is_err(), "{bad}");
        }
    }
}
