//! Standard sets over the built-in rows, one for each way in. For the browser and for a code typed
//! elsewhere: sign in (in two steps, waiting), renew, be refused, be put off, sign out; for keys:
//! store, hand out, remove; for service accounts: trade, hand out, remove. A new row passes here
//! without a line of test code, or is wrong.
//!
//! The issuer reads the same row and is strict: what it did not like is a complaint.

mod browser;
mod closed;
mod code_assist;
mod device;
mod enterprise;
mod google;
mod keys;
mod logout;
mod refresh;
mod second_token;
mod second_trouble;
mod service_account;
mod vendors;

use std::fs::File;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser as person;
use crate::support::command::{Cmd, Output};
use crate::support::idp::encoding::params;
use crate::support::idp::{Dialect, Idp, Request};
use crate::support::sandbox::{Sandbox, in_seconds, oauth_account};

const LIMIT: Duration = Duration::from_secs(30);
const EMAIL: &str = "me@example.com";
/// The ways that have a set of their own.
const SETS: [&str; 4] = ["api_key", "browser", "device", "service_account"];
/// The other ways are one row's each, and so are their tests: the module of `tests/e2e`.
const ELSEWHERE: [(&str, &str); 4] =
    [("bearer", "codemie, bearer"), ("cookie", "codemie"), ("entra", "azure"), ("tool", "cursor")];

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
    assert!(rows.len() >= 6, "{rows:?}");
    over(&rows, test);
}

/// The same over every row with a sign-in of its own, in the browser or with a code.
fn over_every_sign_in_row(test: impl Fn(&Seat)) {
    let is_in = |row: &&Value| has_way(row, "browser") || has_way(row, "device");
    let rows: Vec<_> = built_in_rows().iter().filter(is_in).collect();
    assert!(rows.len() >= 10, "{rows:?}");
    over(&rows, test);
}

fn over(rows: &[&Value], test: impl Fn(&Seat)) {
    for row in rows {
        println!("row {}", row["id"]);
        let seat = Seat::of((*row).clone());
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
            Some("code") => self.cmd("login {} --auth-code -").stdin(person::shown_code(url)),
            Some(_) => self.cmd("login --callback-url -").stdin(person::shown_code(url)),
            None => self.cmd("login --callback-url -").stdin(person::approve(url).location),
        }
    }

    /// Signed in by the row's own way.
    #[track_caller]
    fn sign_in(&self) -> Output {
        let output = if has_way(&self.row, "browser") {
            self.finishing(&self.begin()).run()
        } else {
            self.cmd("login {} --device --print-auth-url").run().ok();
            self.idp.approve_device(&self.user_code());
            self.cmd("login {} --complete").run()
        };
        output.ok();
        output
    }

    /// The code of the newest device login.
    #[track_caller]
    fn user_code(&self) -> String {
        self.idp.devices().last().expect("a device login").user_code.clone()
    }

    /// Signed in without a login, the token good for so many seconds.
    fn sit_down(&self, ttl_s: i64) {
        let mut account = oauth_account(self.id(), EMAIL, &self.idp.grant(), ttl_s);
        account["issued_by"] = json!(self.idp.origin());
        if self.has_second_token() {
            account["extra"] = json!({"api_token": "sk-had-before-0123456789",
                "api_token_expires_at": null});
        }
        self.sandbox.write_account(self.id(), EMAIL, &account);
    }

    /// The account's name: the person's where the provider tells, else the one there is.
    #[track_caller]
    fn name(&self) -> String {
        if self.sandbox.account_file(self.id(), EMAIL).exists() {
            return EMAIL.to_owned();
        }
        let folder = self.sandbox.home().join("accounts").join(self.id());
        let mut files = self.sandbox.files(&folder);
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        assert_eq!(files.len(), 1, "{files:?}");
        let account = self.sandbox.read_json(&files[0]);
        account["account"].as_str().expect("a name").to_owned()
    }

    fn account(&self) -> Value {
        self.sandbox.read_account(self.id(), &self.name())
    }

    /// Replaces keys of the account file; objects key by key.
    fn amend(&self, changes: Value) {
        let name = self.name();
        let mut account = self.account();
        for (key, value) in changes.as_object().cloned().unwrap_or_default() {
            match (&mut account[&key], value) {
                (Value::Object(old), Value::Object(new)) => old.extend(new),
                (old, new) => *old = new,
            }
        }
        self.sandbox.write_account(self.id(), &name, &account);
    }

    fn expire(&self) {
        let times = [in_seconds(-3700), in_seconds(-100)];
        self.amend(json!({"refreshed_at": times[0], "expires_at": times[1]}));
    }

    fn has_second_token(&self) -> bool {
        self.row["api_token"].is_object()
    }

    /// What `token` prints of this account.
    fn handed_out<'a>(&self, account: &'a Value) -> &'a Value {
        if self.has_second_token() {
            &account["extra"]["api_token"]
        } else {
            &account["access_token"]
        }
    }

    /// Whether the API would take it now.
    fn takes(&self, token: &str) -> bool {
        if self.has_second_token() {
            self.idp.accepts_api_token(token)
        } else {
            self.idp.accepts_access(token)
        }
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
            Some("post" | "post_and_basic") => &["client_id", "client_secret"],
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

/// Nothing is skipped in silence.
#[test]
fn every_way_of_every_row_is_covered() {
    let mut left_out = Vec::new();
    let mut seen = Vec::new();
    for row in built_in_rows() {
        let ways = row["ways"].as_array().expect("ways").iter().filter_map(Value::as_str);
        let ways: Vec<_> = ways.collect();
        assert!(!ways.is_empty(), "{}: no way in", row["id"]);
        let is_known = |way: &&str| {
            SETS.contains(way) || ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == way)
        };
        left_out.extend(ways.iter().filter(|way| !is_known(way)).map(|way| (&row["id"], *way)));
        seen.extend(ways);
    }
    assert!(left_out.is_empty(), "no test is run over {left_out:?}");
    for (way, module) in ELSEWHERE {
        assert!(seen.contains(&way), "{module}: no row has {way} any more");
    }
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
