//! The table of providers: listed, shown, overridden, extended by hand in config.json, cut.

use serde_json::{Value, json};

use super::{Desk, EMAIL};

#[test]
fn the_list_has_what_the_contract_names() {
    let desk = Desk::new();
    desk.discover("--client-id demo-client").run().ok();
    let listed = desk.cmd("provider list --json").run();
    let rows = listed.ok().json()["providers"].as_array().expect("a list").clone();
    for row in &rows {
        for key in ["id", "title", "aliases", "ways", "origin", "terms"] {
            assert!(row.get(key).is_some(), "{key} of {row}");
        }
    }
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap_or_default()).collect();
    assert!(ids.is_sorted() && ids.contains(&"mine") && ids.contains(&"claude"), "{ids:?}");
    let origin = |id: &str| rows.iter().find(|row| row["id"] == id).map(|row| &row["origin"]);
    assert_eq!(origin("mine"), Some(&json!("config")));
    assert_eq!(origin("claude"), Some(&json!("built-in")));
    let table = desk.cmd("provider list").run();
    assert_eq!(table.ok().stdout.lines().count(), rows.len());
    let line = table.stdout.lines().find(|line| line.starts_with("mine")).expect("a line");
    assert!(line.contains("browser") && line.contains("yours"), "{line}");
}

#[test]
fn one_row_is_shown() {
    let desk = Desk::new();
    let shown = desk.cmd("provider show openai").run();
    let pretty: Value = serde_json::from_str(&shown.ok().stdout).expect("JSON for people");
    let line = desk.cmd("provider show openai --json").run();
    assert_eq!(line.ok().json()["provider"], pretty);
    let nobody = desk.cmd("provider show nobody --json").run();
    assert_eq!(nobody.code(2).error_json()["try"], "keyfob provider list");
}

#[test]
fn a_row_of_ones_own_is_removed() {
    let desk = Desk::new();
    desk.discover("--client-id demo-client --client-secret-stdin").stdin("marker").run().ok();
    desk.sandbox.write_oauth("mine", EMAIL, &desk.idp.grant(), 3600);
    let removed = desk.cmd("provider remove mine").run();
    removed.ok().stdout_is("");
    assert!(!desk.sandbox.read_config().to_string().contains("mine"));
    desk.cmd("provider show mine").run().code(2);
    desk.cmd("provider remove mine").run().code(2).stderr_has("provider list");
    // The account stays until it is signed out.
    desk.cmd("status mine/me@example.com").run().ok();
    desk.cmd("logout mine").run().ok();
    assert!(!desk.sandbox.account_file("mine", EMAIL).exists());
}

#[test]
fn a_built_in_row_cannot_be_removed() {
    let desk = Desk::new();
    for name in ["claude", "anthropic", "nobody"] {
        desk.cmd(&format!("provider remove {name}")).run().code(2).stdout_is("");
    }
    desk.cmd("provider show claude").run().ok();
}

#[test]
fn a_built_in_row_is_overridden_key_by_key() {
    let desk = Desk::new();
    let row = |desk: &Desk| {
        let shown = desk.cmd("provider show openai --json").run();
        shown.ok().stderr_lacks("warning");
        shown.json()["provider"].clone()
    };
    let before = row(&desk);
    let changes = json!({
        "client_id": "mine",
        "scopes": ["openid"],
        "redirect": {"path": "/mine"},
        "api": {"headers": {"x-mine": "1"}},
        "authorize_params": {"prompt": "login"},
    });
    desk.sandbox.write_config(&json!({"providers": {"openai": changes}, "people": "keep"}));
    let after = row(&desk);
    let mut wanted = before.clone();
    wanted["client_id"] = json!("mine");
    wanted["scopes"] = json!(["openid"]);
    wanted["redirect"]["path"] = json!("/mine");
    wanted["api"]["headers"]["x-mine"] = json!("1");
    wanted["authorize_params"]["prompt"] = json!("login");
    assert_eq!(after, wanted);
    let login = desk.cmd("login openai --print-auth-url").run();
    let url = login.ok().line();
    assert!(url.contains("client_id=mine") && url.contains("%2Fmine"), "{url}");

    desk.cmd("provider remove openai").run().ok();
    assert_eq!(row(&desk), before);
    assert_eq!(desk.sandbox.read_config()["people"], "keep", "what is not ours stays");
}

/// A listed row can be pasted back as it is.
#[test]
fn a_listed_row_is_a_row() {
    let desk = Desk::new();
    let listed = desk.cmd("provider list --json").run().ok().json()["providers"].clone();
    let rows = listed.as_array().expect("a list").iter();
    let rows: serde_json::Map<String, Value> =
        rows.map(|row| (row["id"].as_str().unwrap_or_default().to_owned(), row.clone())).collect();
    desk.sandbox.write_config(&json!({"providers": rows}));
    let again = desk.cmd("provider list --json").run();
    again.ok().stderr_lacks("warning");
    assert_eq!(again.json()["providers"], listed);
}

#[test]
fn an_unknown_key_is_named_in_a_warning() {
    let desk = Desk::new();
    let row = json!({"issuer": desk.idp.issuer(), "tokenurl": "x"});
    let config = json!({"providers": {"mine": row, "openai": {"colour": "red"}}});
    desk.sandbox.write_config(&config);
    for words in ["provider list", "provider list --json", "login mine --print-auth-url"] {
        let output = desk.cmd(words).run();
        output.stderr_has("warning").stderr_has("tokenurl").stderr_has("mine");
        output.stderr_has("colour").stderr_has("openai");
    }
    desk.cmd("provider list --json").run().ok().json();
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    for (key, value) in [
        ("token_url", json!(7)),
        ("scopes", json!("openid email")),
        ("ways", json!(["telepathy"])),
        ("redirect", json!("http://127.0.0.1/")),
        ("client_auth", json!("handshake")),
    ] {
        let desk = Desk::new();
        desk.sandbox.write_config(&json!({"providers": {"mine": {key: value}}}));
        for words in ["provider list --json", "login mine --print-auth-url", "provider show mine"] {
            let output = desk.cmd(words).run();
            let failed = output.status.is_some_and(|code| code == 1 || code == 5);
            output.check(failed, "exit 1 or 5").stdout_is("").stderr_has("mine");
            output.stderr_has(key);
        }
        // And there is a way out.
        desk.cmd("provider remove mine").run().ok();
        desk.cmd("provider list").run().ok();
    }
}

#[test]
fn a_wrong_row_locks_no_other_provider() {
    let desk = Desk::new();
    desk.discover("--client-id demo-client").run().ok();
    let mut config = desk.sandbox.read_config();
    config["providers"]["other"] = json!({"ways": ["telepathy"]});
    desk.sandbox.write_config(&config);
    desk.sandbox.write_oauth("mine", "me@example.com", &desk.idp.grant(), -5);
    desk.cmd("token mine").run().ok();
    assert_eq!(desk.idp.count("token_refresh"), 1);
    desk.cmd("status").run().ok();
    desk.cmd("provider show claude").run().ok();
    desk.cmd("token other").run().code(1).stderr_has("providers.other.ways");
}

/// A secret put where it does not belong is not repeated on the terminal.
#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    for row in [
        json!({"client_secret": "marker"}),
        json!({"client_secret": {"marker": 1}}),
        json!("marker"),
        json!({"client_auth": "marker"}),
    ] {
        let desk = Desk::new();
        desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
        for words in ["provider list --json", "provider show mine", "login mine --print-auth-url"] {
            let output = desk.cmd(words).run();
            output.stderr_lacks("marker").check(!output.stdout.contains("marker"), "no secret");
        }
    }
}

/// config.json that is no JSON is the store's trouble (5), and is left as it is.
#[test]
fn a_damaged_config_is_left_alone() {
    let desk = Desk::new();
    desk.sandbox.write_config(&json!({}));
    let path = desk.sandbox.home().join("config.json");
    for text in ["", "{", "[]", "{\"providers\":{}", "\u{0}"] {
        crate::support::sandbox::write_private(&path, text);
        for words in ["provider list", "provider remove mine", "login mine --print-auth-url"] {
            desk.cmd(words).run().code(5).stdout_is("").stderr_has("config.json");
        }
        desk.discover("--client-id demo-client").run().code(5);
        assert_eq!(desk.sandbox.read(&path), text);
    }
}

/// The endpoints of a row that names only its issuer are found out whenever they are needed.
#[test]
fn a_row_with_only_an_issuer_works() {
    let desk = Desk::new();
    let row = json!({"issuer": desk.idp.issuer(), "client_id": "demo-client",
        "ways": ["browser"], "scopes": ["openid", "email", "offline_access"]});
    desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
    desk.works();
}

/// Nothing but the issuer and the client: the way in and the scopes go without saying.
#[test]
fn a_row_needs_no_more_than_issuer_and_client() {
    let desk = Desk::new();
    let row = json!({"issuer": desk.idp.issuer(), "client_id": "demo-client"});
    desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
    desk.sign_in().stderr_has(EMAIL);
}

/// The issuer cannot be asked for its endpoints: put off, nothing lost.
#[test]
fn a_row_whose_issuer_is_away_is_put_off() {
    let desk = Desk::new();
    let row = json!({"issuer": "http://127.0.0.1:1", "client_id": "demo-client",
        "ways": ["browser"], "scopes": ["openid"]});
    desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
    desk.sandbox.write_oauth("mine", EMAIL, &desk.idp.grant(), -10);
    let before = desk.sandbox.read(&desk.sandbox.account_file("mine", EMAIL));
    desk.cmd("login mine --print-auth-url").run().code(3).stdout_is("");
    desk.cmd("token mine").run().code(3).stdout_is("");
    assert_eq!(desk.sandbox.read(&desk.sandbox.account_file("mine", EMAIL)), before);
}
