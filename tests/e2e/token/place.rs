//! A home, one provider in it and that provider's issuer: where these tests begin.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::browser;
use crate::support::command::{Cmd, Output};
use crate::support::idp::{Dialect, Grant, Idp};
use crate::support::sandbox::{Sandbox, oauth_account};

pub const MY_IDP: &str = "my-idp";
pub const ME: &str = "me@example.com";
/// Seconds an access token has left that is stale by the margin of an hour's token, but alive.
pub const STALE_S: i64 = 40;
pub const EXPIRED_S: i64 = -60;
pub const FRESH_S: i64 = 3000;

pub struct Place {
    pub home: Sandbox,
    pub idp: Idp,
    pub provider: &'static str,
}

impl Place {
    /// The provider `my-idp`, a public client of a plain OIDC issuer.
    pub fn new() -> Self {
        let idp = Idp::start(Dialect::oidc());
        let home = Sandbox::new();
        home.write_config(&json!({"providers": {MY_IDP: row_of(&idp)}}));
        Place { home, idp, provider: MY_IDP }
    }

    /// A built-in row, its origins swapped for those of an issuer in that row's dialect.
    pub fn of_row(id: &'static str) -> Self {
        let home = Sandbox::new();
        let rows = home.cmd(&["provider", "list", "--json"]).run().ok().json();
        let all = rows["providers"].as_array().expect("a list of providers");
        let row = all.iter().find(|row| row["id"] == id).expect("the row is built in");
        let idp = Idp::start(Dialect::from_row(row, None));
        home.write_config(&idp.overlay(&rows));
        Place { home, idp, provider: id }
    }

    /// `token PROVIDER`.
    pub fn token(&self) -> Cmd {
        self.home.cmd(&["token", self.provider])
    }

    pub fn token_of(&self, account: &str) -> Cmd {
        self.home.cmd(&["token", &format!("{}/{account}", self.provider)])
    }

    /// Signs `me@example.com` in, the access token good for so many seconds more.
    pub fn signed_in(&self, ttl_s: i64) -> Grant {
        self.signed_in_as(ME, ttl_s)
    }

    pub fn signed_in_as(&self, account: &str, ttl_s: i64) -> Grant {
        let grant = self.idp.grant();
        self.home.write_oauth(self.provider, account, &grant, ttl_s);
        grant
    }

    /// As `signed_in`, with these keys of the account file replaced; `null` removes one.
    pub fn signed_in_with(&self, ttl_s: i64, changes: &Value) -> Grant {
        let grant = self.idp.grant();
        let mut account = oauth_account(self.provider, ME, &grant, ttl_s);
        for (key, value) in changes.as_object().expect("changes are an object") {
            account[key] = value.clone();
        }
        account.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        self.home.write_account(self.provider, ME, &account);
        grant
    }

    /// The account file of `me@example.com`.
    pub fn file(&self) -> PathBuf {
        self.home.account_file(self.provider, ME)
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap_or_else(|e| panic!("{e}\n{}", self.home.listing()))
    }

    pub fn stored(&self) -> Value {
        self.home.read_account(self.provider, ME)
    }

    pub fn lock_file(&self) -> PathBuf {
        self.file().with_extension("lock")
    }

    pub fn refreshes(&self) -> usize {
        self.idp.count("token_refresh")
    }

    /// Begins a login, lets the issuer approve, and gives the callback.
    #[track_caller]
    pub fn callback(&self, account: &str) -> String {
        let who = format!("{}/{account}", self.provider);
        let begun = self.home.cmd(&["login", &who, "--print-auth-url", "--accept-terms"]).run();
        browser::approve(begun.ok().line()).location
    }

    /// Signs in at the issuer, in two steps.
    #[track_caller]
    pub fn sign_in(&self, account: &str) -> Output {
        let callback = self.callback(account);
        self.home.cmd(&["login", "--callback-url", &callback]).run()
    }

    /// Unfinished writes anywhere in the home: a file's name with something after its end.
    pub fn temp_files(&self) -> Vec<PathBuf> {
        let mut files = self.home.files(&self.home.user_home());
        files.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_whole = [".json", ".lock", ".jsonl"].iter().any(|end| name.ends_with(end));
            name.contains(".json") && !is_whole && !name.contains("damaged")
        });
        files
    }
}

/// The row of a plain OIDC issuer.
pub fn row_of(idp: &Idp) -> Value {
    json!({
        "title": "My issuer",
        "ways": ["browser"],
        "client_id": "demo-client",
        "authorize_url": idp.url("/authorize"),
        "token_url": idp.url("/token"),
        "revoke_url": idp.url("/revoke"),
        "userinfo_url": idp.url("/userinfo"),
        "scopes": ["openid", "email", "offline_access"],
    })
}

/// A string field of an account or an answer.
#[track_caller]
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}
