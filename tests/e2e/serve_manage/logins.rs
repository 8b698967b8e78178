//! Signing in from the page: by a browser and what is pasted, or by a code; the same logins as those of
//! the command line.

use serde_json::{Value, json};

use super::{account, delete, get, of_home, post, prompt, with_issuer};
use crate::login::demo::{Demo, eventually};
use crate::serve::kit::Gateway;
use crate::serve::upstream::Upstream;
use crate::support::browser;
use crate::support::idp::{Fault, Times};

/// A login begun by the page.
struct Begun {
    url: String,
    path: String,
    whole: Value,
}

fn begin(gateway: &Gateway, body: &Value) -> Begun {
    let whole = post(gateway, "logins", body, 201);
    let text = |name: &str| whole[name].as_str().unwrap_or_default().to_owned();
    Begun { url: text("auth_url"), path: format!("logins/{}", text("login_id")), whole }
}

fn paste(gateway: &Gateway, begun: &Begun, text: &str, status: u16) -> Value {
    post(gateway, &begun.path, &json!({"callback": text}), status)
}

fn under_way(gateway: &Gateway) -> Vec<Value> {
    get(gateway, "logins")["logins"].as_array().cloned().expect("a list")
}

#[test]
fn a_second_account_is_signed_in_and_answers_prompts_at_once() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    gateway.ask(&gateway.prompt()).is(400);
    for (email, subject) in [("me@example.com", "user-1"), ("jane@example.com", "user-2")] {
        idp.set_identity(email, subject);
        let begun = begin(&gateway, &json!({"provider": "demo"}));
        let (kind, code) = (&begun.whole["kind"], &begun.whole["user_code"]);
        assert_eq!((kind, code), (&json!("browser"), &Value::Null), "{}", begun.whole);
        let back = browser::approve(&begun.url);
        let redirect = begun.whole["redirect_uri"].as_str().expect("a redirect");
        assert!(back.location.starts_with(redirect), "{} {redirect}", back.location);
        let told = paste(&gateway, &begun, &back.location, 200);
        assert_eq!((&told["account"], &told["email"]), (&json!(email), &json!(email)), "{told}");
        assert_eq!((&told["status"], &told["provider"]), (&json!("ok"), &json!("demo")));
        assert!(told["expires_at"].is_string(), "{told}");
        assert_eq!(account(&gateway, &format!("demo/{email}"))["state"], "ready");
        let only = json!({"name": subject, "providers": [format!("demo/{email}")]});
        let key = post(&gateway, "keys", &only, 201);
        prompt(&gateway, key["key"].as_str().expect("a key")).is(200);
    }
    let tokens: Vec<_> = upstream.prompts().iter().map(bearer_of).collect();
    assert_eq!(tokens.len(), 2);
    assert!(tokens[0] != tokens[1] && tokens.iter().all(|token| idp.accepts_access(token)));
    assert_eq!(under_way(&gateway), [] as [Value; 0]);
    idp.assert_content();
}

fn bearer_of(request: &crate::support::idp::Request) -> String {
    let value = request.header("authorization").unwrap_or_default();
    value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

#[test]
fn a_sign_in_under_a_name_that_was_chosen() {
    let upstream = Upstream::good();
    let (_idp, gateway) = with_issuer(&upstream);
    let begun = begin(&gateway, &json!({"provider": "demo", "account": "work", "way": "browser"}));
    assert_eq!(begun.whole["account"], "work");
    let told = paste(&gateway, &begun, &browser::approve(&begun.url).location, 200);
    assert_eq!((&told["account"], &told["email"]), (&json!("work"), &json!("me@example.com")));
    assert_eq!(account(&gateway, "demo/work")["state"], "ready");
    // An empty name is none.
    let begun = begin(&gateway, &json!({"provider": "demo", "account": "", "way": null}));
    assert_eq!(begun.whole["account"], Value::Null);
}

#[test]
fn a_code_typed_elsewhere_signs_in() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let begun = begin(&gateway, &json!({"provider": "demo", "way": "device"}));
    assert_eq!(begun.whole["kind"], "device");
    let code = begun.whole["user_code"].as_str().expect("a code").to_owned();
    let shown = &under_way(&gateway)[0];
    assert_eq!((&shown["user_code"], &shown["kind"]), (&json!(code), &json!("device")));
    for _ in 0..2 {
        assert_eq!(post(&gateway, &begun.path, &json!({}), 202)["status"], "pending");
    }
    idp.approve_device(&code);
    let told = post(&gateway, &begun.path, &json!({}), 200);
    assert_eq!((&told["status"], &told["account"]), (&json!("ok"), &json!("me@example.com")));
    assert_eq!(under_way(&gateway).len(), 0);
    gateway.is_well();
    post(&gateway, &begun.path, &json!({}), 404);
    idp.assert_content();
}

#[test]
fn a_code_that_is_denied_or_runs_out_ends_its_sign_in() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    for deed in ["deny", "expire"] {
        let begun = begin(&gateway, &json!({"provider": "demo", "way": "device"}));
        let code = begun.whole["user_code"].as_str().expect("a code");
        if deed == "deny" {
            idp.deny_device(code)
        } else {
            idp.expire_device(code)
        }
        let answer = gateway.ask(&super::sending(&gateway, &begun.path, "{}"));
        assert!([400, 404].contains(&answer.status()), "{deed}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text());
        assert_eq!(under_way(&gateway).len(), 0, "{deed}");
    }
    assert_eq!(get(&gateway, "accounts")["accounts"], json!([]));
}

#[test]
fn an_issuer_in_trouble_does_not_end_a_device_sign_in() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let begun = begin(&gateway, &json!({"provider": "demo", "way": "device"}));
    idp.fault("device_poll", Fault::Status(500), Times::Once);
    post(&gateway, &begun.path, &json!({}), 503);
    idp.approve_device(begun.whole["user_code"].as_str().expect("a code"));
    post(&gateway, &begun.path, &json!({}), 200);
}

#[test]
fn a_wrong_paste_says_what_is_wrong_and_the_right_one_still_counts() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let begun = begin(&gateway, &json!({"provider": "demo"}));
    let other = begin(&gateway, &json!({"provider": "demo"}));
    let back = browser::approve(&begun.url);
    let elsewhere = browser::approve(&other.url);
    for wrong in [
        "",
        "   ",
        "hello, it says I am done",
        "https://id.example/",
        "http://127.0.0.1:1/callback?code=x&state=y",
        &elsewhere.location,
        &begun.url,
        &"x".repeat(20_000),
    ] {
        let told = paste(&gateway, &begun, wrong, 400);
        assert!(told["error"]["message"].as_str().is_some_and(|why| why.len() > 10), "{told}");
        assert_eq!(under_way(&gateway).len(), 2, "{wrong}");
    }
    for body in [json!({}), json!({"callback": null}), json!({"callback": 7}), json!({"code": "x"})]
    {
        post(&gateway, &begun.path, &body, 400);
    }
    assert_eq!(idp.count("token_exchange"), 0);
    paste(&gateway, &begun, &format!("  <{}>\n", back.location), 200);
    assert_eq!(under_way(&gateway).len(), 1);
    // Used once.
    let again = paste(&gateway, &begun, &back.location, 404);
    assert!(again["error"]["message"].as_str().is_some_and(|why| why.contains("already used")));
    assert_eq!(idp.count("token_exchange"), 1);
    idp.assert_content();
}

#[test]
fn a_token_endpoint_in_trouble_keeps_the_sign_in_and_a_refusal_ends_it() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let begun = begin(&gateway, &json!({"provider": "demo"}));
    let back = browser::approve(&begun.url);
    idp.fault("token_exchange", Fault::Status(500), Times::Once);
    paste(&gateway, &begun, &back.location, 503);
    assert_eq!(under_way(&gateway).len(), 1);
    paste(&gateway, &begun, &back.location, 200);
    let begun = begin(&gateway, &json!({"provider": "demo", "account": "second"}));
    let back = browser::approve(&begun.url);
    idp.fault("token_exchange", Fault::oauth_error("invalid_grant", 400), Times::Once);
    let told = paste(&gateway, &begun, &back.location, 400);
    assert_eq!(told["error"]["code"], "refused", "{told}");
    assert_eq!(under_way(&gateway).len(), 0);
    let begun = begin(&gateway, &json!({"provider": "demo", "account": "third"}));
    let state = browser::approve(&begun.url).state();
    let denied = format!("http://127.0.0.1/?error=access_denied&state={state}");
    paste(&gateway, &begun, &denied, 400);
    assert_eq!(under_way(&gateway).len(), 0);
}

#[test]
fn terms_are_shown_and_have_to_be_accepted_once() {
    let demo = Demo::built_in("claude");
    let idp = demo.idp;
    let gateway = of_home(demo.sandbox);
    let terms = |gateway: &Gateway| {
        let all = get(gateway, "providers")["providers"].clone();
        let claude =
            all.as_array().into_iter().flatten().find(|row| row["id"] == "claude").cloned();
        claude.unwrap_or_else(|| panic!("no claude in {all}"))["terms"].clone()
    };
    assert!(terms(&gateway)["note"].is_string() && terms(&gateway)["url"].is_string());
    for body in [
        json!({"provider": "claude"}),
        json!({"provider": "claude", "accept_terms": false}),
        json!({"provider": "claude", "accept_terms": "true"}),
        json!({"provider": "claude", "account": "work", "accept_terms": 1}),
    ] {
        let told = post(&gateway, "logins", &body, 409);
        assert_eq!(told["error"]["code"], "terms", "{told}");
        assert_eq!(told["error"]["message"], terms(&gateway)["note"]);
        assert!(told["error"]["url"].as_str().is_some_and(|url| url.starts_with("https://")));
    }
    assert_eq!(under_way(&gateway).len(), 0);
    let begun = begin(&gateway, &json!({"provider": "claude", "accept_terms": true}));
    paste(&gateway, &begun, &browser::shown_code(&begun.url), 200);
    assert_eq!(account(&gateway, "claude/me@example.com")["state"], "ready");
    assert_eq!(terms(&gateway), Value::Null);
    begin(&gateway, &json!({"provider": "claude", "account": "second"}));
    idp.assert_content();
}

#[test]
fn what_nobody_can_sign_in_to_is_told() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    for body in [
        json!({}),
        json!({"provider": null}),
        json!({"provider": ""}),
        json!({"provider": 1}),
        json!({"provider": "no-such-provider"}),
        json!({"provider": "groq"}),
        json!({"provider": "demo", "way": "telepathy"}),
        json!({"provider": "demo", "way": 1}),
        json!({"provider": "demo", "account": {}}),
        json!({"provider": "demo", "account": "a\nb"}),
        json!({"provider": "demo", "account": "x".repeat(129)}),
        json!({"provider": "https://mcp.example.com/mcp"}),
        json!({"provider": "demo/account"}),
    ] {
        post(&gateway, "logins", &body, 400);
    }
    assert_eq!(under_way(&gateway).len(), 0);
    assert_eq!(idp.requests().len(), 0);
    for provider in get(&gateway, "providers")["providers"].as_array().expect("a list") {
        let ways = provider["ways"].as_array().expect("a list");
        assert!(!ways.is_empty() && !ways.contains(&json!("api_key")), "{provider}");
    }
}

#[test]
fn a_sign_in_is_listed_and_cancelled() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let begun = begin(&gateway, &json!({"provider": "demo", "account": "a"}));
    let shown = under_way(&gateway);
    for name in
        ["login_id", "provider", "account", "kind", "auth_url", "redirect_uri", "expires_at"]
    {
        assert!(
            shown[0][name].is_string() && shown[0][name] == begun.whole[name],
            "{name} {shown:?}"
        );
    }
    let text = json!(shown).to_string();
    assert!(!text.contains("verifier") && !text.contains("\"state\""), "{text}");
    delete(&gateway, &begun.path, 200);
    assert_eq!(under_way(&gateway).len(), 0);
    delete(&gateway, &begun.path, 404);
    paste(&gateway, &begun, &browser::approve(&begun.url).location, 404);
    assert_eq!(idp.count("token_exchange"), 0);
    post(&gateway, "logins/0123456789abcdef", &json!({"callback": "x"}), 404);
    post(&gateway, "logins/none", &json!({}), 404);
}

#[test]
fn the_command_line_and_the_page_finish_each_others_sign_ins() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let url = gateway.cmd("login demo --print-auth-url").run().ok().line().to_owned();
    let id = under_way(&gateway)[0]["login_id"].as_str().expect("an id").to_owned();
    let back = browser::approve(&url).location;
    post(&gateway, &format!("logins/{id}"), &json!({"callback": back}), 200);
    idp.set_identity("jane@example.com", "user-2");
    let begun = begin(&gateway, &json!({"provider": "demo"}));
    let back = browser::approve(&begun.url).location;
    gateway.cmd("login --callback-url -").stdin(back).run().ok();
    assert_eq!(under_way(&gateway).len(), 0);
    let count = || get(&gateway, "accounts")["accounts"].as_array().map(Vec::len);
    eventually("both accounts", || count() == Some(2));
    idp.assert_content();
}

#[test]
fn one_callback_pasted_ten_times_at_once_is_spent_once() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let begun = begin(&gateway, &json!({"provider": "demo"}));
    let back = browser::approve(&begun.url).location;
    let body = json!({"callback": back}).to_string();
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let ask = || gateway.ask(&super::sending(&gateway, &begun.path, &body)).status();
        let asked: Vec<_> = (0..10).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    all.sort_unstable();
    assert_eq!(all[0], 200, "{all:?}");
    assert!(all[1..].iter().all(|status| [400, 404].contains(status)), "{all:?}");
    assert_eq!(idp.count("token_exchange"), 1);
    idp.assert_content();
}

/// Where the provider's page shows a code and nothing else, that is what people paste.
#[test]
fn a_page_that_shows_a_code_alone_is_finished_with_it() {
    let demo = Demo::built_in("gemini");
    let gateway = of_home(demo.sandbox);
    let begun = begin(&gateway, &json!({"provider": "gemini", "accept_terms": true}));
    let code = browser::shown_code(&begun.url);
    assert!(!code.contains("state") && !code.contains('#'), "{code}");
    paste(&gateway, &begun, "", 400);
    assert_eq!(paste(&gateway, &begun, &code, 200)["account"], "me@example.com");
    demo.idp.assert_content();
}
