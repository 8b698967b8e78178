//! Who is let in: with which keys, where they may stand, and that they go no further.

use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{Ask, Gateway, LIMIT, PROMPT, SECRET, Setup, chat};
use super::upstream::Upstream;
use super::{LISTS, PROMPTS};

/// Each place in which a client may put its key.
fn places(gateway: &Gateway, key: &str) -> Vec<(&'static str, Ask)> {
    let post = |target: &str| gateway.post(target, PROMPT).without("Authorization");
    let path = "/v1/chat/completions";
    vec![
        ("bearer", post(path).with("Authorization", &format!("Bearer {key}"))),
        ("bearer in small letters", post(path).with("authorization", &format!("bearer {key}"))),
        ("x-api-key", post(path).with("X-Api-Key", key)),
        ("x-goog-api-key", post(path).with("x-goog-api-key", key)),
        ("query", post(&format!("{path}?key={key}"))),
        ("query among others", post(&format!("{path}?alt=sse&key={key}&beta=true"))),
        ("query with an escape", post(&format!("{path}?k%65y={key}"))),
    ]
}

#[test]
fn without_a_key_every_route_says_so_in_its_own_shape() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let posts = PROMPTS.iter().map(|(path, body)| (*path, gateway.post(path, body)));
    let gets = LISTS.iter().map(|path| (*path, gateway.get(path)));
    for (path, ask) in posts.chain(gets) {
        let answer = gateway.ask(&ask.without("Authorization"));
        let words = answer.is(401).words(path);
        assert!(words.contains("keyfob serve key add"), "{path}: {words}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
    }
    upstream.was_not_asked();
}

#[test]
fn a_wrong_key_is_refused_wherever_it_stands() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let other = Setup::empty().start();
    let key = gateway.key.as_str();
    let longer = format!("{key}x");
    let hash = gateway.sandbox.read_json(&gateway.sandbox.home().join("serve/keys.json"));
    let hash = hash["keys"][0]["sha256"].as_str().expect("a hash").to_owned();
    let small = key.to_ascii_lowercase();
    let wrong = [
        "x",
        "kf-",
        &longer,
        &key[..key.len() - 1],
        &other.key,
        SECRET,
        &hash,
        &small,
        "default",
        "null",
        "*",
    ];
    for wrong in wrong {
        for (place, ask) in places(&gateway, wrong) {
            let answer = gateway.ask(&ask);
            let words = answer.is(401).words("/v1/chat/completions");
            assert!(words.contains("no key of this gateway"), "{place} {wrong}: {words}");
            assert!(!words.contains(wrong) || wrong.len() < 8, "{words}");
        }
    }
    for other in ["Basic", "Token", "Digest"] {
        let ask = gateway.prompt().but("Authorization", &format!("{other} {key}"));
        gateway.ask(&ask).is(401);
    }
    upstream.was_not_asked();
    gateway.is_well();
}

#[test]
fn a_key_is_good_in_each_of_four_places_and_goes_no_further() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let all = places(&gateway, &gateway.key);
    for (place, ask) in &all {
        assert_eq!(gateway.ask(ask).is(200).json()["answer"], "good", "{place}");
    }
    assert_eq!(upstream.prompts().len(), all.len());
    let text = upstream.all_text();
    assert!(!text.contains(&gateway.key), "the caller's key went upstream: {text}");
    for request in upstream.prompts() {
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {SECRET}")));
        assert_eq!(request.query_param("key"), None);
    }
}

/// Tools send what they have: a key of the vendor's own, a cookie of something else on this machine.
#[test]
fn no_credential_of_the_caller_goes_upstream() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let theirs = "sk-callers-own-0123456789";
    let ask = gateway
        .post(&format!("/v1/chat/completions?access_token={theirs}&api_key={theirs}"), PROMPT)
        .with("x-api-key", theirs)
        .with("x-goog-api-key", theirs)
        .with("api-key", theirs)
        .with("Cookie", &format!("session={theirs}"))
        .with("Proxy-Authorization", &format!("Bearer {theirs}"))
        .with("x-amz-security-token", theirs)
        .with("chatgpt-account-id", theirs)
        .with("x-forwarded-for", theirs)
        .with("Origin", theirs)
        .with("Referer", theirs)
        .with("User-Agent", theirs);
    gateway.ask(&ask).is(200);
    let request = upstream.only();
    assert!(!format!("{request:?}").contains(theirs), "{request:?}");
    assert!(!format!("{request:?}").contains(&gateway.key), "{request:?}");
}

/// A person may let further headers through; those that hold keys, or frame the request, stay here.
#[test]
fn no_setting_lets_a_credential_or_the_framing_through() {
    let upstream = Upstream::good();
    let names = [
        "Authorization",
        "x-api-key",
        "X-Goog-Api-Key",
        "Cookie",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "User-Agent",
        "Expect",
        "X-More",
    ];
    let row = json!({"base": format!("{}/v1", upstream.origin()), "dialect": "openai_chat",
        "key_header": "x-own-key"});
    let setup = Setup::empty().provider("fake", row).account("fake/default", SECRET);
    let gateway = setup.set("pass_headers", json!(names)).start();
    let ask = gateway
        .prompt()
        .with("x-api-key", &gateway.key)
        .with("x-goog-api-key", &gateway.key)
        .with("Cookie", "c=1")
        .with("Connection", "x-more")
        .with("Expect", "100-continue")
        .with("X-More", "more");
    let mut client = gateway.connect();
    client.say(ask.bytes());
    let mut answer = client.answer();
    if answer.status() == 100 {
        answer = client.answer();
    }
    answer.is(200);
    let request = upstream.only();
    assert!(!format!("{request:?}").contains(&gateway.key), "{request:?}");
    assert_eq!(request.header("x-own-key"), Some(SECRET));
    assert_eq!(request.header("x-more"), Some("more"));
    assert_eq!(request.body, PROMPT);
    for name in ["authorization", "cookie", "expect"] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("host"), Some(&upstream.origin()[7..]));
}

/// Asks until the status is this one, and says how long that took.
#[track_caller]
fn until(gateway: &Gateway, ask: &Ask, status: u16) -> Duration {
    let begin = Instant::now();
    while gateway.ask(ask).status() != status {
        assert!(begin.elapsed() < LIMIT, "never {status}");
    }
    begin.elapsed()
}

/// A machine that is busy for a moment proves nothing, so the best of three counts.
#[test]
fn keys_that_come_and_go_are_known_within_a_second_without_a_restart() {
    let gateway = Setup::empty().start();
    let mut slowest = Vec::new();
    for name in ["one", "two", "three"] {
        let key = gateway.cmd(&format!("serve key add {name}")).run().ok().line().to_owned();
        let ask = gateway.get("/v1/models").but("Authorization", &format!("Bearer {key}"));
        let came = until(&gateway, &ask, 200);
        gateway.cmd(&format!("serve key remove {name}")).run().ok();
        slowest.push(came.max(until(&gateway, &ask, 401)));
        gateway.ask(&gateway.get("/v1/models")).is(200);
    }
    assert!(slowest.iter().any(|time| *time < Duration::from_secs(1)), "{slowest:?}");
}

/// A connection that was let in once is not let in for good.
#[test]
fn a_removed_key_is_refused_on_a_connection_that_is_open() {
    let gateway = Setup::empty().start();
    let key = gateway.cmd("serve key add gone").run().ok().line().to_owned();
    let ask = gateway.get("/v1/models").but("Authorization", &format!("Bearer {key}"));
    until(&gateway, &ask, 200);
    let mut client = gateway.connect();
    client.say(ask.bytes());
    client.answer().is(200);
    gateway.cmd("serve key remove gone").run().ok();
    until(&gateway, &ask, 401);
    client.say(ask.bytes());
    client.answer().is(401);
}

/// The last key: nobody is let in, and no new one is made behind one's back.
#[test]
fn a_gateway_whose_keys_are_gone_or_damaged_lets_nobody_in() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let file = gateway.sandbox.home().join("serve/keys.json");
    gateway.cmd("serve key remove default").run().ok();
    until(&gateway, &gateway.get("/v1/models"), 401);
    for text in ["", "{", "[]", r#"{"version":1,"keys":[{"name":"x","sha256":""}]}"#] {
        crate::support::sandbox::write_private(&file, text);
        let key = "kf-";
        for (_, ask) in places(&gateway, key) {
            gateway.ask(&ask).is(401);
        }
    }
    upstream.was_not_asked();
}

#[test]
fn a_key_is_good_for_the_accounts_it_is_bound_to() {
    let (first, second) = (Upstream::named("first"), Upstream::named("second"));
    let other = Upstream::named("other");
    let rows = |port: &Upstream| chat(port);
    let setup = Setup::empty().provider("fake", rows(&first)).provider("next", rows(&second));
    let setup = setup.provider("other", rows(&other)).account("fake/default", SECRET);
    let setup = setup.account("next/a", SECRET).account("next/b", "sk-upstream-b");
    let gateway = setup.account("other/default", SECRET).start();
    let add = |words: &str| {
        let key = gateway.cmd(&format!("serve key add {words}")).run().ok().line().to_owned();
        let ask = move |gateway: &Gateway| {
            gateway.prompt().but("Authorization", &format!("Bearer {key}"))
        };
        until(&gateway, &ask(&gateway).but("X", "y"), 200);
        ask
    };
    let to_first = add("one --provider fake");
    let to_b = add("two --provider next/b");
    let to_both = add("three --provider fake --provider other");
    for _ in 0..4 {
        assert_eq!(gateway.ask(&to_first(&gateway)).json()["answer"], "first");
        assert_eq!(gateway.ask(&to_b(&gateway)).json()["answer"], "second");
        let answer = gateway.ask(&to_both(&gateway)).json()["answer"].clone();
        assert!(answer == "first" || answer == "other", "{answer}");
    }
    let keys: Vec<_> = second.prompts().iter().map(|one| one.bearer().map(str::to_owned)).collect();
    assert!(keys.iter().all(|key| key.as_deref() == Some("sk-upstream-b")), "{keys:?}");
    // By its name, too.
    let before = other.prompts().len();
    let key = to_first(&gateway);
    for model in ["other/m", "next/m"] {
        let body = PROMPT.replace("\"m\"", &format!("\"{model}\""));
        let named = gateway.post("/v1/chat/completions", body);
        let bearer = key.head();
        let bearer = bearer.lines().find(|line| line.starts_with("Authorization")).expect("a key");
        let named = named.but("Authorization", bearer.split_once(": ").expect("a header").1);
        let answer = gateway.ask(&named);
        // A name that means nobody here is a model's own.
        assert_ne!(answer.json()["answer"], "other", "{model}");
        assert_ne!(answer.json()["answer"], "second", "{model}");
    }
    assert_eq!(other.prompts().len(), before);
}
