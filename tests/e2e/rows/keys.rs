//! The standard set of the rows that take keys: stored, handed out, kept by a refresh, removed. None
//! of it asks anybody.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Seat, built_in_rows, has_way};
use crate::support::command::Cmd;

const KEY: &str = "sk-marker-0123456789abcdef";
/// Of rows that customers run themselves.
const INSTANCE: &str = "https://lab.example.com";

/// Runs a test over every row that takes keys, and says which one it was at.
fn over_every_key_row(test: impl Fn(&Seat)) {
    let rows: Vec<_> = built_in_rows().iter().filter(|row| has_way(row, "api_key")).collect();
    assert!(rows.len() >= 41, "{}", rows.len());
    for row in rows {
        println!("row {}", row["id"]);
        let seat = Seat::of(row.clone());
        test(&seat);
        assert!(seat.idp.requests().is_empty(), "a key needs no request: {}", seat.idp.counters());
    }
}

/// Stores the key under the name that a key has there.
#[track_caller]
fn store(seat: &Seat) -> Value {
    seat.cmd(&login(seat)).stdin(KEY).run().ok().stdout_is("");
    stored(seat)
}

fn stored(seat: &Seat) -> Value {
    seat.sandbox.read_account(seat.id(), name(seat))
}

fn has_instance(seat: &Seat) -> bool {
    seat.row["instance"]["required"] == true
}

fn login(seat: &Seat) -> String {
    let url = if has_instance(seat) { format!(" --url {INSTANCE}/") } else { String::new() };
    format!("login {{}} --api-key-stdin{url}")
}

fn name(seat: &Seat) -> &'static str {
    if has_instance(seat) { "lab.example.com" } else { "default" }
}

fn facts(seat: &Seat) -> Value {
    if has_instance(seat) { json!({"instance": INSTANCE}) } else { json!({}) }
}

/// The variable, and where the installation is if one has to be named.
fn with_variable(seat: &Seat, cmd: Cmd) -> Cmd {
    let cmd = cmd.env(variable(seat), KEY);
    match seat.row["instance"]["env"][0].as_str() {
        Some(name) => cmd.env(name, INSTANCE),
        None => cmd,
    }
}

fn variable(seat: &Seat) -> &str {
    seat.row["env"][0].as_str().expect("a variable")
}

/// What an API request with the key needs.
fn headers(seat: &Seat) -> Value {
    let api = &seat.row["api"];
    let mut headers = api["headers"].as_object().cloned().unwrap_or_default();
    let (name, value) = match api["key_header"].as_str() {
        Some(name) => (name, KEY.to_owned()),
        None if api["key_as_user"] == true => {
            ("Authorization", format!("Basic {}", STANDARD.encode(format!("{KEY}:"))))
        }
        None => ("Authorization", format!("Bearer {KEY}")),
    };
    headers.insert(name.to_owned(), json!(value));
    Value::Object(headers)
}

/// Where the row's API is for this seat.
fn base(seat: &Seat) -> Value {
    if has_instance(seat) {
        let template = seat.row["instance"]["row"]["api"]["base"].as_str().expect("a template");
        return json!(template.replace("{instance}", INSTANCE));
    }
    seat.sandbox.read_config()["providers"][seat.id()]["api"]["base"].clone()
}

#[track_caller]
fn environment_of_child(seat: &Seat, cmd: Cmd) -> Map<String, Value> {
    let output = cmd.run();
    let lines = output.ok().stderr_lacks("marker").stdout.lines();
    let pairs = lines.filter_map(|line| line.split_once('='));
    let all: Map<_, _> = pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    assert!(all.contains_key("KEYFOB_HOME"), "{}: {all:?}", seat.id());
    all
}

#[test]
fn a_key_is_stored() {
    over_every_key_row(|seat| {
        let pasted = format!("export {}=\"{KEY}\"\n", variable(seat));
        let login = seat.cmd(&login(seat)).arg("--json").stdin(pasted).run();
        let file = seat.sandbox.account_file(seat.id(), name(seat));
        let wanted = json!({"version": 1, "status": "ok", "provider": seat.id(),
            "account": name(seat), "kind": "api_key", "email": null, "expires_at": null,
            "scopes": [], "path": file.display().to_string()});
        // What an owner has closed is the sign-in; a key is another matter.
        login.ok().stderr_lacks("marker").stderr_lacks("closed");
        assert_eq!(login.json(), wanted);
        assert_eq!(seat.sandbox.mode(&file), 0o600);
        let account = stored(seat);
        let wanted = json!({"version": 1, "provider": seat.id(), "account": name(seat),
            "kind": "api_key", "access_token": KEY, "refresh_token": null, "id_token": null,
            "expires_at": null, "scopes": [], "attributes": {}, "extra": facts(seat)});
        for (name, value) in wanted.as_object().expect("an object") {
            assert_eq!(&account[name], value, "{name}: {account}");
        }
    });
}

#[test]
fn a_key_is_handed_out() {
    over_every_key_row(|seat| {
        store(seat);
        assert_eq!(seat.cmd("token {}").run().ok().line(), KEY);
        let token = seat.cmd("token {} --json").run();
        let wanted = json!({"version": 1, "provider": seat.id(), "account": name(seat),
            "kind": "api_key", "token_type": null, "token": KEY, "expires_at": null,
            "api_base": base(seat), "headers": headers(seat)});
        assert_eq!(token.ok().json(), wanted);

        let child = environment_of_child(seat, seat.cmd("exec {} -- env"));
        let exports = seat.row["exports"].as_object().expect("variables");
        assert!(!exports.is_empty(), "its own tools read some");
        for (name, template) in exports {
            let wanted = match template.as_str().expect("a text") {
                "=token" | "=api_key" => Some(json!(KEY)),
                "=api_base" => Some(base(seat)),
                "=instance" => has_instance(seat).then(|| json!(INSTANCE)),
                // Facts that a key does not have.
                "=deployment" | "=entra" => None,
                text => Some(json!(text)),
            };
            assert_eq!(child.get(name), wanted.as_ref(), "{name}");
        }

        let status = seat.cmd("status --json").run();
        let account = &status.ok().json()["accounts"][0];
        let wanted = json!({"provider": seat.id(), "account": name(seat), "default": true,
            "kind": "api_key", "state": "valid", "expires_at": null, "can_refresh": false,
            "source": "keyfob"});
        for (name, value) in wanted.as_object().expect("an object") {
            assert_eq!(&account[name], value, "{name}");
        }
    });
}

#[test]
fn a_key_outlives_a_refresh_and_ends_with_a_logout() {
    over_every_key_row(|seat| {
        let before = store(seat);
        seat.cmd("refresh {}").run().ok().stdout_is("");
        assert_eq!(stored(seat), before);
        let logout = seat.cmd("logout {} --json").run();
        let removed = json!([{"provider": seat.id(), "account": name(seat), "revoked": null,
            "warning": null}]);
        assert_eq!(logout.ok().json()["removed"], removed);
        assert!(!seat.sandbox.account_file(seat.id(), name(seat)).exists());
        seat.cmd("token {}").run().code(4).stdout_is("");
    });
}

/// The variable that the provider's own tools read is enough.
#[test]
fn a_key_of_the_environment_is_handed_out() {
    over_every_key_row(|seat| {
        let cmd = |words: &str| with_variable(seat, seat.cmd(words));
        assert_eq!(cmd("token {}").run().ok().line(), KEY);
        let token = cmd("token {} --json").run();
        let wanted = json!({"version": 1, "provider": seat.id(), "account": null,
            "kind": "api_key", "token_type": null, "token": KEY, "expires_at": null,
            "api_base": base(seat), "headers": headers(seat)});
        assert_eq!(token.ok().json(), wanted);
        let child = environment_of_child(seat, cmd("exec {} -- env"));
        assert_eq!(child[variable(seat)], KEY);
        let status = cmd("status --json").run();
        let all = status.ok().stderr_lacks("marker").json()["accounts"].clone();
        assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
        assert_eq!(all[0]["provider"], seat.id());
        assert_eq!(all[0]["account"], Value::Null);
        assert_eq!(all[0]["source"], format!("env:{}", variable(seat)));
    });
}

/// MiniMax: a plan's keys are good at another server only.
#[test]
fn a_key_may_belong_to_another_base() {
    let mut seen = 0;
    for row in built_in_rows().iter().filter(|row| row["api"]["key_bases"].is_object()) {
        println!("row {}", row["id"]);
        let seat = Seat::of(row.clone());
        let api = seat.sandbox.read_config()["providers"][seat.id()]["api"].clone();
        for (start, other) in api["key_bases"].as_object().expect("bases") {
            assert_ne!(*other, api["base"]);
            let special = format!("{start}0123456789abcdef");
            for (key, base) in [(special.as_str(), other), (KEY, &api["base"])] {
                seat.cmd("login {} --api-key-stdin").stdin(key).run().ok();
                let token = seat.cmd("token {} --json").run().ok().json();
                assert_eq!((&token["token"], &token["api_base"]), (&json!(key), base));
            }
            seen += 1;
        }
    }
    assert!(seen > 0);
}
