//! From the first 401 to an answer, by the gateway alone.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Gateway, JSON, LIMIT, send};
use crate::support::browser::{self, Page};
use crate::support::idp::encoding::{encode, random_text, s256};
use crate::support::idp::{Dialect, Idp};
use crate::support::mcp_resource::{McpResource, WELL_KNOWN};

const CALLBACK: &str = "http://127.0.0.1:41234/callback";

/// A server, its issuer, and a gateway that may go to both.
struct Scene {
    idp: Arc<Idp>,
    resource: McpResource,
    gateway: Gateway,
}

impl Scene {
    fn new(sign_in: &str, change: impl FnOnce(&mut Dialect)) -> Scene {
        let mut dialect = Dialect::oidc();
        change(&mut dialect);
        let idp = Arc::new(Idp::start(dialect));
        let resource = McpResource::start(&idp);
        let origins = json!([idp.origin(), resource.origin()]);
        let settings = json!({"mcp_private_origins": origins, "mcp_sign_in": sign_in});
        Scene { gateway: Gateway::start(&settings), idp, resource }
    }

    /// Everything that an SDK does, from its server's URL alone; the tokens come back.
    #[track_caller]
    fn sign_in(&self, url: &str) -> Value {
        let first = self.gateway.say(url, "initialize", None);
        assert_eq!(first.status, 401, "{first:#?}");
        let challenge = first.header("www-authenticate").expect("a challenge");
        let place = challenge.split("resource_metadata=\"").nth(1).expect("metadata");
        let resource = self.get(place.split('"').next().expect("a URL")).json();
        assert_eq!(resource["resource"], url);
        let server = resource["authorization_servers"][0].as_str().expect("a server");
        let metadata = self.metadata(server);
        let client = self.register(&metadata);
        let told = resource["resource"].as_str().expect("a resource");
        self.tokens(&metadata, client["client_id"].as_str().expect("an id"), told)
    }

    /// What lies behind a URL of the gateway, without the gateway's key.
    #[track_caller]
    fn get(&self, url: &str) -> Page {
        assert!(url.starts_with(&format!("{}/", self.gateway.base)), "{url}");
        let page = send("GET", url, &[("Accept", "application/json")], "");
        assert_eq!(page.status, 200, "{page:#?}");
        page
    }

    #[track_caller]
    fn metadata(&self, server: &str) -> Value {
        let path = server.strip_prefix(&self.gateway.base).expect("a path of the gateway");
        let place = format!("{}/.well-known/oauth-authorization-server{path}", self.gateway.base);
        let metadata = self.get(&place).json();
        for name in ["token_endpoint", "registration_endpoint", "jwks_uri"] {
            let url = metadata[name].as_str().expect("a URL");
            assert!(url.starts_with(&self.gateway.base), "{name}: {url}");
        }
        metadata
    }

    #[track_caller]
    fn register(&self, metadata: &Value) -> Value {
        let body = json!({"client_name": "Nosy Client", "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none", "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token"]});
        let url = metadata["registration_endpoint"].as_str().expect("a URL");
        let page = send("POST", url, &[JSON], &body.to_string());
        assert_eq!(page.status, 201, "{page:#?}");
        let client = page.json();
        assert_eq!(client["redirect_uris"], json!([CALLBACK]));
        assert_eq!(client["client_name"], "keyfob of tests");
        client
    }

    #[track_caller]
    fn tokens(&self, metadata: &Value, client_id: &str, told: &str) -> Value {
        let (verifier, state) = (random_text() + &random_text(), random_text() + &random_text());
        let mut url = format!(
            "{}?response_type=code&client_id={}&code_challenge={}&code_challenge_method=S256\
             &redirect_uri={}&state={state}&resource={}",
            metadata["authorization_endpoint"].as_str().expect("a URL"),
            encode(client_id),
            s256(&verifier),
            encode(CALLBACK),
            encode(told),
        );
        if url.starts_with(&self.gateway.base) {
            url = browser::approve(&url).location;
        }
        let back = browser::approve(&url);
        assert!(back.location.starts_with(CALLBACK), "{}", back.location);
        let body = format!(
            "grant_type=authorization_code&code={}&redirect_uri={}&code_verifier={verifier}\
             &client_id={}&resource={}",
            encode(&back.code()),
            encode(CALLBACK),
            encode(client_id),
            encode(told),
        );
        self.post_form(metadata, &body)
    }

    #[track_caller]
    fn post_form(&self, metadata: &Value, body: &str) -> Value {
        let url = metadata["token_endpoint"].as_str().expect("a URL");
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let page = send("POST", url, &[form], body);
        assert_eq!(page.status, 200, "{page:#?}");
        page.json()
    }
}

#[test]
fn a_client_signs_in_by_the_gateway_alone() {
    for sign_in in ["direct", "through"] {
        let scene = Scene::new(sign_in, |_| ());
        let url = scene.gateway.url(&scene.resource.url());
        let tokens = scene.sign_in(&url);
        let access = tokens["access_token"].as_str().expect("a token");
        let answer = scene.gateway.say(&url, "tools/list", Some(access));
        assert_eq!(answer.json()["result"]["echo"], "tools/list", "{answer:#?}");
        assert_eq!(scene.resource.tokens(), [access]);

        let exchange = &scene.idp.requests_to("token_exchange")[0];
        assert_eq!(exchange.param("resource"), Some(scene.resource.url()));
        let asked = &scene.idp.requests_to("authorize")[0];
        let wanted = if sign_in == "through" { scene.resource.url() } else { url.clone() };
        assert_eq!(asked.query_param("resource"), Some(wanted), "{sign_in}");
        // Neither the gateway's key nor who is behind it is anybody's affair.
        let mut seen = scene.resource.requests();
        seen.extend(scene.idp.requests());
        for request in seen {
            let shown = format!("{request:?}");
            assert!(!shown.contains(&scene.gateway.key), "{shown}");
            assert!(!shown.contains("Nosy") && !shown.contains("x-api-key"), "{shown}");
        }
        let told = scene.gateway.running.stderr();
        let code = exchange.param("code").expect("a code");
        let verifier = exchange.param("code_verifier").expect("a verifier");
        let refresh = tokens["refresh_token"].as_str().expect("a token").to_string();
        for secret in [access.to_string(), refresh, code, verifier] {
            assert!(!told.contains(&secret), "{secret} in {told}");
        }
        assert!(told.contains("/token -> 200"), "{told}");
    }
}

#[test]
fn an_issuer_has_the_name_that_it_was_found_by_unless_its_callbacks_say_another() {
    for (sign_in, announces, is_ours) in
        [("direct", false, false), ("through", false, true), ("through", true, false)]
    {
        let scene = Scene::new(sign_in, |dialect| dialect.iss_in_callback = announces);
        let url = scene.gateway.url(&scene.resource.url());
        scene.gateway.say(&url, "initialize", None);
        let place = scene.gateway.base.clone() + "/.well-known/oauth-protected-resource/mcp_auth";
        let document = scene.get(&format!("{place}?original={}", scene.resource.url())).json();
        let server = document["authorization_servers"][0].as_str().expect("a server");
        let issuer = scene.metadata(server)["issuer"].clone();
        let wanted = if is_ours { server.to_string() } else { scene.idp.issuer() };
        assert_eq!(issuer, wanted, "{sign_in} {announces}");
    }
}

#[test]
fn metadata_is_also_found_at_the_servers_root() {
    let scene = Scene::new("through", |_| ());
    let document = json!({"resource": scene.resource.origin(),
        "authorization_servers": [scene.idp.issuer()]});
    scene.resource.publish_nothing();
    scene.resource.publish(WELL_KNOWN, &document);
    scene.resource.challenge(&["Bearer error=\"invalid_token\""]);
    let url = scene.gateway.url(&scene.resource.url());
    let challenges = scene.gateway.say(&url, "initialize", None).headers;
    let place = format!("{}{WELL_KNOWN}/mcp_auth", scene.gateway.base);
    let place = format!("{place}?original={}", scene.resource.url());
    let hint = format!("Bearer resource_metadata=\"{place}\"");
    for wanted in ["Bearer error=\"invalid_token\"", &hint] {
        assert!(challenges.iter().any(|(_, value)| value == wanted), "{challenges:?}");
    }
    let found = scene.get(&place).json();
    assert_eq!(found["resource"], scene.gateway.url(scene.resource.origin()));
    scene.metadata(found["authorization_servers"][0].as_str().expect("a server"));
    assert_eq!(scene.resource.documents_asked(), [&format!("{WELL_KNOWN}/mcp"), WELL_KNOWN]);
}

#[test]
fn the_resource_is_spelled_as_the_client_spells_it() {
    let scene = Scene::new("through", |_| ());
    let encoded = scene.gateway.url(&encode(&scene.resource.url()));
    let tokens = scene.sign_in(&encoded);
    let access = tokens["access_token"].as_str().expect("a token");
    assert_eq!(scene.gateway.say(&encoded, "tools/list", Some(access)).status, 200);
    let exchange = &scene.idp.requests_to("token_exchange")[0];
    assert_eq!(exchange.param("resource"), Some(scene.resource.url()));
}

#[test]
fn a_key_may_come_in_any_way_and_goes_nowhere() {
    let scene = Scene::new("through", |_| ());
    let (key, server) = (&scene.gateway.key, scene.resource.url());
    let base = format!("{}/mcp_auth", scene.gateway.base);
    let bearer = format!("Bearer {key}");
    for (url, headers) in [
        (format!("{base}?key={key}&original={server}"), vec![]),
        (format!("{base}?original={server}&key={key}"), vec![]),
        (format!("{base}?original={}&key={key}", encode(&server)), vec![]),
        (scene.gateway.url(&server), vec![("Authorization", bearer.as_str())]),
        (scene.gateway.url(&server), vec![("X-Goog-Api-Key", key.as_str())]),
    ] {
        let headers = [&headers[..], &[JSON]].concat();
        assert_eq!(send("POST", &url, &headers, "{}").status, 401, "{url}");
        let request = scene.resource.requests().pop().expect("the server heard of it");
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/mcp", ""), "{url}");
        assert!(!format!("{request:?}").contains(key.as_str()), "{request:?}");
        // It was the server that answered.
        let token = scene.gateway.say(&url, "tools/list", Some("no-token"));
        assert!(token.header("www-authenticate").is_some(), "{token:#?}");
        assert_eq!(scene.resource.tokens().last().map(String::as_str), Some("no-token"));
    }
}

#[test]
fn a_setting_of_now_counts_now() {
    let idp = Arc::new(Idp::start(Dialect::oidc()));
    let resource = McpResource::start(&idp);
    let gateway = Gateway::start(&json!({}));
    let url = gateway.url(&resource.url());
    super::is_refused(&gateway.say(&url, "initialize", None), 403);
    let origins = json!([resource.origin()]);
    gateway.sandbox.write_config(&json!({"serve": {"mcp_private_origins": origins}}));
    let began = std::time::Instant::now();
    while gateway.say(&url, "initialize", None).status != 401 {
        assert!(began.elapsed() < LIMIT, "{}", gateway.running.stderr());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
