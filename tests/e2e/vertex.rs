//! Google service accounts: a key file in, tokens out. The endpoint verifies each signature and every
//! claim (`support/google_token.rs`); all commands run at the highest verbosity, and whatever they say
//! is searched for the key.

mod file;
mod login;
mod place;
mod renewed;
mod server;
mod used;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::command::{Cmd, Output};
use crate::support::google_token::GoogleToken;
use crate::support::rsa_key::RsaKey;
use crate::support::running::Running;
use crate::support::sandbox::{Sandbox, in_seconds, write_private};

const EMAIL: &str = "robot@my-project.iam.gserviceaccount.com";
const KEY_ID: &str = "0123456789abcdef0123456789abcdef01234567";
const SUBJECT: &str = "112233445566778899000";

/// An endpoint that knows one account, and a home that knows nothing yet.
struct Seat {
    google: GoogleToken,
    sandbox: Sandbox,
}

impl Seat {
    fn new() -> Self {
        let google = GoogleToken::start();
        google.know(EMAIL, Some(KEY_ID), RsaKey::one());
        Seat { google, sandbox: Sandbox::new() }
    }

    /// With the account signed in.
    fn signed_in() -> Self {
        let seat = Self::new();
        seat.run(seat.login()).ok();
        seat
    }

    /// Signed in, and its token ends in so many seconds (negative: is over).
    fn with_left(seconds: i64) -> Self {
        let seat = Self::signed_in();
        seat.change(|account| {
            account["refreshed_at"] = json!(in_seconds(seconds - 3600));
            account["expires_at"] = json!(in_seconds(seconds));
        });
        seat
    }

    /// The file as Google's console gives it.
    fn key_file(&self) -> Value {
        json!({
            "type": "service_account",
            "project_id": "my-project",
            "private_key_id": KEY_ID,
            "private_key": RsaKey::one().pem(),
            "client_email": EMAIL,
            "client_id": SUBJECT,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": self.google.url(),
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "universe_domain": "googleapis.com",
        })
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.sandbox.work().join(name);
        write_private(&path, text);
        path
    }

    /// A login with this key file.
    fn login_with(&self, file: &Value) -> Cmd {
        self.login_as("vertex", file)
    }

    fn login_as(&self, account: &str, file: &Value) -> Cmd {
        let path = self.write("key.json", &format!("{file:#}\n"));
        self.cmd(&format!("login {account} --service-account {}", path.display()))
    }

    fn login(&self) -> Cmd {
        self.login_with(&self.key_file())
    }

    fn cmd(&self, words: &str) -> Cmd {
        let words: Vec<_> = words.split_whitespace().collect();
        self.sandbox.cmd(&words).env("KEYFOB_LOG", "trace")
    }

    /// Runs to the end; what was said tells nothing of the key.
    #[track_caller]
    fn run(&self, cmd: Cmd) -> Output {
        let output = cmd.run();
        self.tells_nothing(&output);
        output
    }

    #[track_caller]
    fn say(&self, words: &str) -> Output {
        self.run(self.cmd(words))
    }

    /// Neither the key nor any signature made with it stands in the streams; a token is on stdout at
    /// most.
    #[track_caller]
    fn tells_nothing(&self, output: &Output) {
        let both = format!("{}{}", output.stdout, output.stderr);
        for piece in self.secrets() {
            output.check(!both.contains(&piece), "nothing of the key or of an assertion");
        }
        output.stderr_lacks("ya29.");
    }

    /// Pieces of the keys and of what they signed.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = RsaKey::one().pieces();
        secrets.extend(RsaKey::other().pieces());
        for request in self.google.requests() {
            let assertion = request.param("assertion").unwrap_or_default();
            secrets.extend(assertion.split('.').skip(1).map(|part| part[..24].to_owned()));
        }
        secrets
    }

    #[track_caller]
    fn token(&self) -> String {
        self.say("token vertex").ok().line().to_owned()
    }

    fn spawn_token(&self) -> Running {
        self.cmd("token vertex").spawn()
    }

    fn file(&self) -> PathBuf {
        self.sandbox.account_file("vertex", EMAIL)
    }

    #[track_caller]
    fn stored(&self) -> Value {
        self.sandbox.read_account("vertex", EMAIL)
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut account = self.stored();
        change(&mut account);
        self.sandbox.write_account("vertex", EMAIL, &account);
    }

    #[track_caller]
    fn nothing_is_stored(&self) {
        let accounts = self.sandbox.home().join("accounts");
        let data = |path: &PathBuf| path.extension().is_some_and(|end| end != "lock");
        let found: Vec<_> = self.sandbox.files(&accounts).into_iter().filter(data).collect();
        assert!(found.is_empty(), "{found:?}");
    }

    /// Files outside the work folder that hold a piece of the key.
    fn holders(&self) -> Vec<PathBuf> {
        let secrets = self.secrets();
        let holds = |path: &Path| {
            let text = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace("\\n", "\n");
            secrets.iter().any(|piece| text.contains(piece))
        };
        let files = self.sandbox.files(&self.sandbox.user_home());
        files.into_iter().filter(|path| holds(path)).collect()
    }
}
