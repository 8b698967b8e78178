//! Standard sets over the built-in rows, one for each way in. For the browser: sign in (in two steps,
//! waiting), renew, be refused, be put off, sign out; for keys: store, hand out, remove; for service
//! accounts: trade, hand out, remove. A new row passes here without a line of test code, or is wrong.
//!
//! The issuer reads the same row and is strict: what it did not like is a complaint.

mod code_assist;
mod google;
mod keys;
mod refresh;
mod service_account;
mod vendors;

use std::fs::File;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser;
use crate::support::command::{Cmd, Output};
use crate::support::idp::encoding::params;
use crate::support::idp::{Dialect, Fault, Idp, Request, Times};
use crate::support::sandbox::{Sandbox, in_seconds};

const LIMIT: Duration = Duration::from_secs(30);
const EMAIL: &str = "me@example.com";
/// The ways that have a set of their own.
const SETS: [&str; 3] = ["api_key", "browser", "service_account"];

/// A row, an issuer that speaks its dialect, and a home whose config.json leads there.
struct Seat {
    row: Value,
    idp: Idp,
    sandbox: Sandbox,
}

fn built_in_rows() -> &'static [Value] {
    static ROWS: OnceLock<Vec<Value>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let list = Sandbox::new().cmd(&["provider", "list", "--json"]).run();
        list.ok().json()["providers"].as_array().expect("a list of rows").clone()
    })
}

fn has_way(row: &Value, way: &str) -> bool {
    row["ways"].as_array().is_some_and(|ways| ways.iter().any(|one| one == way))
}

/// Runs a test over every row with a browser sign-in, and says which one it was at.
fn over_every_browser_row(test: impl Fn(&Seat)) {
    let rows: Vec<_> = built_in_rows().iter().filter(|row| has_way(row, "browser")).collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        println!("row {}", row["id"]);
        let seat = Seat::of(row.clone());
        test(&seat);
        seat.idp.assert_content();
    }
}

impl Seat {
    fn of(row: Value) -> Self {
        let idp = Idp::start(Dialect::from_row(&row, None));
        Self::at(row, idp)
    }

    /// The row with this id.
    fn named(id: &str) -> Self {
        Self::of(row_named(id))
    }

    fn at(row: Value, idp: Idp) -> Self {
        let sandbox = Sandbox::new();
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        let mut config = idp.overlay(&json!([row]));
        if row["own_client"] == true {
            let dialect = idp.dialect();
            config["providers"][&id]["client_id"] = json!(dialect.client_id);
            config["client_secrets"] = json!({id: dialect.client_secret});
        }
        sandbox.write_config(&config);
        Seat { row, idp, sandbox }
    }

    fn id(&self) -> &str {
        self.row["id"].as_str().unwrap_or_default()
    }

    /// The product with `ID` put where `{}` stands.
    fn cmd(&self, words: &str) -> Cmd {
        let words = words.replace("{}", self.id());
        self.sandbox.cmd(&words.split_whitespace().collect::<Vec<_>>())
    }

    fn shows(&self) -> Option<&str> {
        self.row["redirect"]["hosted"]["shows"].as_str()
    }

    /// The first step of the two.
    #[track_caller]
    fn begin(&self) -> String {
        self.cmd("login {} --print-auth-url --accept-terms").run().ok().line().to_owned()
    }

    /// The second step, the way the row's redirect asks for.
    fn finishing(&self, url: &str) -> Cmd {
        match self.shows() {
            Some("code") => self.cmd("login {} --auth-code -").stdin(browser::shown_code(url)),
            Some(_) => self.cmd("login --callback-url -").stdin(browser::shown_code(url)),
            None => self.cmd("login --callback-url -").stdin(browser::approve(url).location),
        }
    }

    #[track_caller]
    fn sign_in(&self) -> Output {
        let output = self.finishing(&self.begin()).run();
        output.ok();
        output
    }

    /// Signed in without a login, the token good for so many seconds.
    fn sit_down(&self, ttl_s: i64) {
        self.sandbox.write_oauth(self.id(), EMAIL, &self.idp.grant(), ttl_s);
    }

    fn account(&self) -> Value {
        self.sandbox.read_account(self.id(), EMAIL)
    }

    fn expire(&self) {
        let mut account = self.account();
        account["refreshed_at"] = json!(in_seconds(-3700));
        account["expires_at"] = json!(in_seconds(-100));
        self.sandbox.write_account(self.id(), EMAIL, &account);
    }

    /// The one request of that role.
    #[track_caller]
    fn only(&self, role: &str) -> Request {
        let found = self.idp.requests_to(role);
        assert_eq!(found.len(), 1, "requests to {role}: {}", self.idp.counters());
        found[0].clone()
    }

    fn has(&self, key: &str) -> bool {
        self.row[key].is_string()
    }

    /// `names` and what proves the client at this row's token endpoint.
    fn with_client(&self, names: &[&str]) -> Vec<String> {
        let proof: &[&str] = match self.row["client_auth"].as_str() {
            Some("post") => &["client_id", "client_secret"],
            Some("basic") => &[],
            _ => &["client_id"],
        };
        sorted(names.iter().chain(proof).map(|name| (*name).to_owned()))
    }
}

fn row_named(id: &str) -> Value {
    let found = built_in_rows().iter().find(|row| row["id"] == id);
    found.unwrap_or_else(|| panic!("no row {id}")).clone()
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The names of a request's parameters, from a form or a JSON object.
fn names(request: &Request) -> Vec<String> {
    match serde_json::from_str(&request.body) {
        Ok(Value::Object(map)) => sorted(map.keys().cloned()),
        _ => sorted(params(&request.body).expect("a form").0.into_iter().map(|(name, _)| name)),
    }
}

/// Some rows have fixed callback ports: one login at a time listens on them, in all test processes
/// of this machine.
fn fixed_ports() -> File {
    let path = std::env::temp_dir().join("keyfob-e2e-fixed-ports.lock");
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.expect("a lock file in the temp folder");
    file.lock().expect("the temp folder has locks");
    file
}

#[test]
fn every_row_is_covered_by_a_set() {
    let has_set = |row: &&Value| SETS.iter().any(|way| has_way(row, way));
    let left_out: Vec<_> = built_in_rows().iter().filter(|row| !has_set(row)).collect();
    let left_out: Vec<_> = left_out.iter().map(|row| &row["id"]).collect();
    assert!(left_out.is_empty(), "no standard set is run over {left_out:?}");
}

/// Servers on the person's own machine are the exception.
#[test]
fn every_address_of_a_built_in_row_is_https() {
    fn plain(value: &Value) -> Vec<&str> {
        match value {
            Value::String(text) if text.contains("://") && !text.starts_with("https://") => {
                vec![text]
            }
            Value::Array(all) => all.iter().flat_map(plain).collect(),
            Value::Object(map) => map.values().flat_map(plain).collect(),
            _ => Vec::new(),
        }
    }
    for row in built_in_rows() {
        let wanted = match row["id"].as_str() {
            Some("lmstudio") => vec!["http://localhost:1234/v1"],
            Some("ollama") => vec!["http://localhost:11434/v1"],
            _ => Vec::new(),
        };
        assert_eq!(plain(row), wanted, "{}", row["id"]);
        assert_eq!(row["origin"], "built-in");
        assert!(row.get("client_secret").is_none(), "{}", row["id"]);
    }
}

#[test]
fn a_login_in_two_steps() {
    over_every_browser_row(|seat| {
        let began = seat.cmd("login {} --print-auth-url --accept-terms").run();
        let url = began.ok().line();
        assert_eq!(seat.idp.count("authorize"), 0, "nobody opened it yet");
        assert!(url.starts_with(&seat.idp.url(&seat.idp.dialect().authorize_path)), "{url}");
        let wanted = ["response_type", "client_id", "redirect_uri", "scope", "state"];
        let wanted = wanted.iter().chain(&["code_challenge", "code_challenge_method"]);
        let own = seat.row["authorize_params"].as_object().cloned().unwrap_or_default();
        let wanted = sorted(wanted.map(|name| (*name).to_owned()).chain(own.keys().cloned()));
        let query = params(url.split_once('?').expect("a query").1).expect("well escaped");
        assert_eq!(sorted(query.0.into_iter().map(|(name, _)| name)), wanted, "{url}");

        let finished = seat.finishing(url).run();
        finished.ok().stdout_is("").stderr_has(EMAIL).stderr_lacks("warning");
        let mut wanted = vec!["grant_type", "code", "redirect_uri", "code_verifier"];
        if seat.idp.dialect().state_in_token_request {
            wanted.push("state");
        }
        let exchange = seat.only("token_exchange");
        assert_eq!(names(&exchange), seat.with_client(&wanted));
        assert_eq!(exchange.header("accept"), Some("application/json"));
        let is_basic = seat.row["client_auth"] == "basic";
        assert_eq!(exchange.header("authorization").is_some(), is_basic);
        assert_eq!(seat.idp.count("userinfo"), usize::from(seat.has("userinfo_url")));
        let has_projects = seat.row["code_assist"].is_object();
        assert_eq!(seat.idp.count("code_assist_load"), usize::from(has_projects));

        let account = seat.account();
        assert_eq!(account["identity"]["email"], EMAIL);
        assert_eq!(account["kind"], "oauth");
        assert_eq!(account["extra"].get("project_id").is_some(), has_projects);
        let token = seat.cmd("token {}").run();
        assert_eq!(account["access_token"], token.ok().line());
        assert!(seat.idp.accepts_access(token.line()));
    });
}

#[test]
fn a_login_that_waits_for_the_loopback_callback() {
    over_every_browser_row(|seat| {
        let ports = seat.row["redirect"]["ports"].as_array().cloned().unwrap_or_default();
        let _one_at_a_time = (!ports.is_empty()).then(fixed_ports);
        let mut login = seat.cmd("login {} --accept-terms").env("BROWSER", "true").spawn();
        let url = login.auth_url();
        let callback = browser::approve(&url);
        let path = seat.row["redirect"]["path"].as_str().unwrap_or_default();
        let host = seat.row["redirect"]["host"].as_str().unwrap_or_default();
        assert!(callback.location.starts_with(&format!("http://{host}:")), "{callback:?}");
        assert!(callback.location.contains(&format!("{path}?")) || path.is_empty());
        // A program of somebody else may sit on a registered port.
        if login.stderr().contains("no port is free") {
            login.write_stdin(format!("{}\n", callback.location));
        } else {
            let page = callback.follow();
            assert_eq!(page.status, 200, "{page:#?}\n{}", login.stderr());
        }
        login.wait(LIMIT).ok().stdout_is("").stderr_has(EMAIL);
        assert_eq!(seat.account()["identity"]["email"], EMAIL);
        assert_eq!(seat.idp.count("token_exchange"), 1);
    });
}

#[test]
fn a_login_that_waits_for_the_code_of_the_providers_own_page() {
    over_every_browser_row(|seat| {
        if seat.shows().is_none() {
            return;
        }
        let mut login = seat.cmd("login {} --accept-terms --no-browser").spawn();
        let code = browser::shown_code(&login.auth_url());
        login.write_stdin(format!("{code}\n"));
        login.wait(LIMIT).ok().stdout_is("").stderr_has(EMAIL);
        assert_eq!(seat.only("token_exchange").param("code").as_deref(), code.split('#').next());
    });
}

#[test]
fn a_refused_code_ends_the_login() {
    over_every_browser_row(|seat| {
        seat.idp.fault("token_exchange", Fault::oauth_error("invalid_grant", 400), Times::Once);
        let url = seat.begin();
        seat.finishing(&url).run().code(1).stdout_is("").stderr_has("invalid_grant");
        assert!(!seat.sandbox.account_file(seat.id(), EMAIL).exists());
        let pending = seat.sandbox.files(&seat.sandbox.home().join("pending"));
        assert!(pending.is_empty(), "{pending:?}");
    });
}

#[test]
fn a_login_put_off_by_the_server_is_finished_later() {
    over_every_browser_row(|seat| {
        let url = seat.begin();
        seat.idp.fault("token_exchange", Fault::Status(503), Times::Once);
        let finishing = seat.finishing(&url);
        finishing.clone().run().code(3).stdout_is("");
        assert!(!seat.sandbox.account_file(seat.id(), EMAIL).exists());
        finishing.run().ok();
        assert_eq!(seat.account()["identity"]["email"], EMAIL);
    });
}

#[test]
fn the_terms_note_needs_a_yes_once() {
    over_every_browser_row(|seat| {
        if seat.row["terms"].is_null() {
            seat.cmd("login {} --print-auth-url").run().ok();
            return;
        }
        let asked = seat.cmd("login {} --print-auth-url --json").run();
        asked.code(2).stdout_is("");
        for text in ["note", "url"] {
            asked.stderr_has(seat.row["terms"][text].as_str().expect("a text"));
        }
        asked.stderr_has(seat.row["terms"]["permitted"][0].as_str().expect("a way in"));
        assert_eq!(asked.error_json()["code"], "prompt_needed");
        let wanted = format!("keyfob login {} --accept-terms", seat.id());
        assert_eq!(asked.error_json()["try"], wanted);
        assert!(!seat.sandbox.home().join("pending").exists(), "nothing was begun");

        seat.cmd("login {} --print-auth-url --accept-terms").run().ok();
        let again = seat.cmd("login {} --print-auth-url").run();
        again.ok().stderr_lacks(seat.row["terms"]["note"].as_str().expect("a note"));
    });
}

#[test]
fn a_logout_revokes_where_it_can_and_says_where_it_cannot() {
    over_every_browser_row(|seat| {
        seat.sit_down(3600);
        let refresh_token = seat.account()["refresh_token"].clone();
        let refresh_token = refresh_token.as_str().expect("a token");
        let logout = seat.cmd("logout {} --json").run();
        let removed = logout.ok().json()["removed"][0].clone();
        assert!(!seat.sandbox.account_file(seat.id(), EMAIL).exists());
        if seat.has("revoke_url") {
            assert_eq!((&removed["revoked"], &removed["warning"]), (&json!(true), &Value::Null));
            let revoke = seat.only("revoke");
            assert_eq!(names(&revoke), seat.with_client(&["token", "token_type_hint"]));
            assert_eq!(revoke.param("token").as_deref(), Some(refresh_token));
            assert!(!seat.idp.accepts_refresh(refresh_token));
        } else {
            assert_eq!(removed["revoked"], Value::Null);
            let page = seat.row["revoke_page"].as_str().expect("somewhere to revoke by hand");
            logout.stderr_has("warning").stderr_has(page);
            assert!(removed["warning"].as_str().is_some_and(|text| text.contains(page)));
            assert!(seat.idp.accepts_refresh(refresh_token));
        }
    });
}
