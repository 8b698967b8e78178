//! Microsoft Entra ID for programs: a token for what the machine is, not for who sits at it. Each way
//! is one request, or the output of one of Azure's own tools.
//! Facts: learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow and
//! learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token,
//! learn.microsoft.com/azure/app-service/overview-managed-identity (2026-11-22).

use serde_json::{Map, Value};
use ureq::http::Request;
use ureq::http::header::{HeaderName, HeaderValue};

use crate::account::{Identity, OauthClient};
use crate::credential::Minted;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::oauth_error::OauthError;
use crate::protocol::{form, jwt, request, token};
use crate::provider::{Body, ClientAuth};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// Where a token of unknown life is asked for again.
const UNKNOWN_LIFETIME_S: i64 = 300;

/// Which application asks: the address of its tenant's token endpoint (`token_url`), and its id.
pub struct Application<'a> {
    pub token_url: &'a str,
    pub client_id: &'a str,
}

/// The token endpoint of a tenant. `authority` is an address, or a bare host. Err: the address is none
/// that a secret may be sent to, or the tenant is neither a GUID nor a domain.
pub fn token_url(authority: &str, tenant: &str) -> Result<String> {
    let scheme = if authority.contains("://") { "" } else { "https://" };
    let authority = format!("{scheme}{}", authority.trim_end_matches('/'));
    endpoint::check("AZURE_AUTHORITY_HOST", &authority)?;
    if !is_tenant(tenant) {
        return Err(Error::failed("AZURE_TENANT_ID is neither a GUID nor a domain")
            .or_try("export AZURE_TENANT_ID=… with the tenant's id"));
    }
    Ok(format!("{authority}/{tenant}/oauth2/v2.0/token"))
}

/// What can stand in a path and on a command line.
fn is_tenant(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
}

/// The client credentials grant with a secret (RFC 6749 section 4.4).
pub fn with_secret(app: &Application, secret: &Secret, scope: &str) -> Result<Request<Secret>> {
    let client = OauthClient { id: app.client_id.to_owned(), secret: Some(secret.clone()) };
    let pairs = vec![("grant_type", "client_credentials"), ("scope", scope)];
    request::post_as_client(app.token_url, Body::Form, ClientAuth::Post, &client, pairs)
}

/// The same with a token of somebody whom the application trusts (RFC 7523 section 2.2).
pub fn with_assertion(app: &Application, jwt: &Secret, scope: &str) -> Result<Request<Secret>> {
    let client = OauthClient { id: app.client_id.to_owned(), secret: None };
    let pairs = vec![
        ("grant_type", "client_credentials"),
        ("scope", scope),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", jwt.expose()),
    ];
    request::post_as_client(app.token_url, Body::Form, ClientAuth::None, &client, pairs)
}

/// The identity of an App Service, Function or Container App: `IDENTITY_ENDPOINT`, and the value of
/// `IDENTITY_HEADER`.
pub fn of_app_service(
    url: &str,
    header: &Secret,
    scope: &str,
    client_id: Option<&str>,
) -> Result<Request<Secret>> {
    endpoint::check_link_local("IDENTITY_ENDPOINT", url)?;
    let mut request = ask_for_resource(url, "2019-08-01", scope, client_id)?;
    let name = HeaderName::from_static("x-identity-header");
    request.headers_mut().insert(name, request::sensitive(header.expose())?);
    Ok(request)
}

/// The identity of a virtual machine, from its metadata service.
pub fn of_machine(host: &str, scope: &str, client_id: Option<&str>) -> Result<Request<Secret>> {
    endpoint::check_link_local("AZURE_POD_IDENTITY_AUTHORITY_HOST", host)?;
    let url = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
    let mut request = ask_for_resource(&url, "2018-02-01", scope, client_id)?;
    let name = HeaderName::from_static("metadata");
    request.headers_mut().insert(name, HeaderValue::from_static("true"));
    Ok(request)
}

/// Both services want the resource, which is the scope without its end.
fn ask_for_resource(
    url: &str,
    version: &str,
    scope: &str,
    client_id: Option<&str>,
) -> Result<Request<Secret>> {
    let resource = scope.strip_suffix("/.default").unwrap_or(scope);
    let mut pairs = vec![("api-version", version), ("resource", resource)];
    pairs.extend(client_id.map(|id| ("client_id", id)));
    let separator = if url.contains('?') { '&' } else { '?' };
    request::get(&format!("{url}{separator}{}", form::encode_pairs(&pairs)), None)
}

/// What one of them answered.
#[derive(Debug)]
pub enum Answer {
    Granted(Minted),
    Refused(OauthError),
    TryLater(String),
    Unreadable(String),
}

/// Reads an answer of Entra or of a metadata service. `sent` must not come back in its words.
pub fn parse(
    status: u16,
    content_type: &str,
    body: &Secret,
    sent: &[&Secret],
    now: Timestamp,
) -> Answer {
    match token::parse(status, content_type, body, sent, now) {
        token::Answer::Granted(granted) => {
            let token = granted.tokens.access_token;
            let said = granted.tokens.expires_at;
            let expires_at = expiry(said, granted.rest.get("expires_on"), &token, now);
            Answer::Granted(Minted { token, expires_at: Some(expires_at) })
        }
        token::Answer::Refused(error) => Answer::Refused(error),
        token::Answer::TryLater(why) => Answer::TryLater(why),
        token::Answer::Unreadable(what) => match message(status, body) {
            Some(message) => Answer::Refused(
                OauthError::new(&format!("status {status}"), &message).without(sent),
            ),
            None => Answer::Unreadable(what),
        },
    }
}

/// App Service says no in words of its own: `{"statusCode":400,"message":…}`.
fn message(status: u16, body: &Secret) -> Option<String> {
    let answer: Value = serde_json::from_str(body.expose()).ok()?;
    let message = answer.get("message")?.as_str()?;
    (400..500).contains(&status).then(|| message.to_owned())
}

/// The life an answer told of, else its `expires_on`, else the token's own claim.
fn expiry(
    said: Option<Timestamp>,
    on: Option<&Value>,
    token: &Secret,
    now: Timestamp,
) -> Timestamp {
    let on = || match on? {
        Value::Number(seconds) => seconds.as_i64().map(Timestamp),
        Value::String(text) => {
            text.trim().parse().ok().map(Timestamp).or_else(|| Timestamp::parse(text.trim()))
        }
        _ => None,
    };
    let known = said.or_else(on).or_else(|| jwt::expires_at(token));
    known.unwrap_or_else(|| now.plus(UNKNOWN_LIFETIME_S))
}

/// The arguments of `az`. The tenant is named only where the person did.
pub fn az_arguments<'a>(scope: &'a str, tenant: Option<&'a str>) -> Vec<&'a str> {
    let mut arguments = vec!["account", "get-access-token", "-o", "json", "--scope", scope];
    arguments.extend(tenant.into_iter().flat_map(|tenant| ["--tenant", tenant]));
    arguments
}

/// The arguments of `azd`.
pub fn azd_arguments<'a>(scope: &'a str, tenant: Option<&'a str>) -> Vec<&'a str> {
    let mut arguments = vec!["auth", "token", "-o", "json", "--no-prompt", "--scope", scope];
    arguments.extend(tenant.into_iter().flat_map(|tenant| ["--tenant-id", tenant]));
    arguments
}

/// The token in what `az` or `azd` printed; None when there is none. `expiresOn` of `az` is the local
/// time of a machine whose zone we do not know, so that only one with a zone counts.
pub fn parse_output(stdout: &Secret, now: Timestamp) -> Option<Minted> {
    let output: Value = serde_json::from_str(stdout.expose()).ok()?;
    let token = output.get("accessToken").or(output.get("token"))?.as_str()?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let token = Secret::new(token);
    let on = output.get("expires_on").or(output.get("expiresOn"));
    let expires_at = expiry(None, on, &token, now);
    Some(Minted { token, expires_at: Some(expires_at) })
}

/// What a tool complained of, short and without anything that may be a token. `azd` writes JSON lines.
pub fn complaint(stderr: &Secret) -> String {
    let lines = stderr.expose().lines().map(|line| {
        let object: Option<Value> = serde_json::from_str(line).ok();
        let said = object.as_ref().and_then(|object| object.pointer("/data/message")?.as_str());
        said.unwrap_or(line).to_owned()
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    let words = text.split_whitespace().filter(|word| *word != "ERROR:");
    // Each JWT begins so; nothing a person could read is as long as any other token.
    let is_token = |word: &str| word.contains("eyJ") || word.len() > 100;
    let words = words.map(|word| if is_token(word) { "…" } else { word });
    text::harmless(&words.collect::<Vec<_>>().join(" "), 200)
}

/// Whose token it is, as far as it tells: a person by name, an application by its id.
/// learn.microsoft.com/entra/identity-platform/access-token-claims-reference (2026-11-22).
pub fn identity(token: &Secret) -> Identity {
    let claims = jwt::claims(token).unwrap_or(Value::Null);
    let first = |names: &[&str]| {
        let mut found = names.iter().filter_map(|name| claims.get(name)?.as_str());
        found.find(|text| !text.is_empty()).map(|text| text::harmless(text, 128))
    };
    let email = first(&["upn", "unique_name", "preferred_username", "email"]);
    // A person's token has the id of the tool it was got with.
    let subject = match &email {
        Some(_) => first(&["oid", "sub"]),
        None => first(&["appid", "azp", "oid", "sub"]),
    };
    Identity { email, subject, organization: None, unknown: Map::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    const NOW: Timestamp = Timestamp(1_795_000_000);
    const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJub25lIn0.{}.x", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_token_endpoint_is_the_tenants() {
        let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
        for authority in [
            "https://login.microsoftonline.us",
            "https://login.microsoftonline.us/",
            "login.microsoftonline.us",
        ] {
            let wanted = format!("https://login.microsoftonline.us/{tenant}/oauth2/v2.0/token");
            assert_eq!(token_url(authority, tenant).unwrap(), wanted, "{authority}");
        }
        assert!(token_url("https://x.example", "contoso.onmicrosoft.com").is_ok());
        assert!(token_url("http://x.example", tenant).is_err(), "no secret in the clear");
        for bad in ["", "..", "-x", "a/b", "a?b", "a b", "a#"] {
            assert!(token_url("https://x.example", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn services_are_asked_for_a_resource() {
        let of_machine = of_machine("http://169.254.169.254", SCOPE, Some("a&b")).unwrap();
        assert_eq!(
            of_machine.uri().to_string(),
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
             &resource=https%3A%2F%2Fcognitiveservices.azure.com&client_id=a%26b"
        );
        let header = Secret::new("proof-of-being-here");
        let url = "http://127.0.0.1:41741/msi/token?slot=2";
        let app = of_app_service(url, &header, SCOPE, None).unwrap();
        assert!(app.uri().to_string().contains("?slot=2&api-version=2019-08-01&resource="));
        assert!(!format!("{app:?}").contains("proof"), "the header is a secret");
        for far in ["http://x.example/msi", "http://10.0.0.4/msi", "http://169.254.1.1.x.example/"]
        {
            assert!(of_app_service(far, &header, SCOPE, None).is_err(), "{far}");
            assert!(super::of_machine(far, SCOPE, None).is_err(), "{far}");
        }
    }

    fn granted(body: &str) -> Option<i64> {
        match parse(200, "application/json", &Secret::new(body), &[], NOW) {
            Answer::Granted(minted) => minted.expires_at.map(|at| at.since(NOW)),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn every_way_to_tell_the_expiry_is_read() {
        let later = jwt("{\"exp\":1795000700}");
        for (fields, seconds) in [
            (r#""expires_in":3599"#.to_owned(), 3599),
            (r#""expires_in":"3599","expires_on":"1""#.to_owned(), 3599),
            (r#""expires_on":"1795000600""#.to_owned(), 600),
            (r#""expires_on":1795000600"#.to_owned(), 600),
            (format!(r#""expires_on":"{}""#, NOW.plus(60)), 60),
            (r#""expires_on":"soon""#.to_owned(), UNKNOWN_LIFETIME_S),
            (r#""x":1"#.to_owned(), UNKNOWN_LIFETIME_S),
        ] {
            let body = format!(r#"{{"access_token":"opaque",{fields}}}"#);
            assert_eq!(granted(&body), Some(seconds), "{body}");
        }
        assert_eq!(granted(&format!(r#"{{"access_token":"{later}"}}"#)), Some(700));
    }

    #[test]
    fn both_shapes_of_a_refusal_are_read() {
        let sent = Secret::new("client-secret-0123");
        let read = |status, body: &str| match parse(
            status,
            "application/json",
            &Secret::new(body),
            &[&sent],
            NOW,
        ) {
            Answer::Refused(error) => format!("{}: {}", error.code, error.description),
            other => format!("{other:?}"),
        };
        assert_eq!(
            read(401, r#"{"error":"invalid_client","error_description":"no client-secret-0123"}"#),
            "invalid_client: no …"
        );
        assert_eq!(read(400, r#"{"statusCode":400,"message":"No MSI"}"#), "status 400: No MSI");
        assert!(read(404, "<html>").starts_with("Unreadable"));
        assert!(read(503, "{}").starts_with("TryLater"));
    }

    #[test]
    fn what_the_tools_print_is_read() {
        let token = jwt("{\"exp\":1795000700}");
        let read = |json: String| parse_output(&Secret::new(json), NOW);
        let life = |json: String| read(json).unwrap().expires_at.unwrap().since(NOW);
        let az = format!(
            r#"{{"accessToken":"{token}","expires_on":1795000500,"expiresOn":"2026-11-18 12:14:20.0"}}"#
        );
        assert_eq!(life(az), 500);
        // Before 2.54 there was a local time alone.
        assert_eq!(
            life(format!(r#"{{"accessToken":"{token}","expiresOn":"2026-11-18 1:2:3"}}"#)),
            700
        );
        let azd = format!(r#"{{"token":"opaque","expiresOn":"{}"}}"#, NOW.plus(90));
        assert_eq!(life(azd), 90);
        for none in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":"a b"}"#, r#"{"token":7}"#] {
            assert!(read(none.to_owned()).is_none(), "{none}");
        }
    }

    #[test]
    fn a_complaint_is_short_and_without_tokens() {
        let say = |text: &str| complaint(&Secret::new(text));
        assert_eq!(
            say("ERROR: Please run 'az login' to setup account.\n"),
            "Please run 'az login' to setup account."
        );
        let azd = r#"{"type":"consoleMessage","data":{"message":"\nERROR: not logged in\n"}}"#;
        assert_eq!(say(azd), "not logged in");
        let token = jwt("{}");
        assert_eq!(
            say(&format!("sent Bearer {token}: {}\u{1b}[2J", "k".repeat(101))),
            "sent Bearer … …"
        );
        assert!(say(&"word ".repeat(1000)).chars().count() <= 201);
    }

    #[test]
    fn people_have_names_and_applications_ids() {
        let who = |claims: &str| {
            let who = identity(&Secret::new(jwt(claims)));
            (who.email.unwrap_or_default(), who.subject.unwrap_or_default())
        };
        let person = r#"{"upn":"me@example.com","oid":"o1","appid":"of-the-tool"}"#;
        assert_eq!(who(person), ("me@example.com".to_owned(), "o1".to_owned()));
        assert_eq!(who(r#"{"oid":"o2","appid":"a2"}"#), (String::new(), "a2".to_owned()));
        assert_eq!(identity(&Secret::new("opaque")), Identity::default());
    }
}
