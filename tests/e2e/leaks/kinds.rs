//! Every kind of credential, with a known secret in every slot; every command, failing and
//! succeeding. Only stdout of the commands that exist to print a secret is left out.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{ME, Watch};
use crate::support::command::Output;
use crate::support::rsa_key::RsaKey;
use crate::support::sandbox::{in_seconds, make_private_dir, write_private};

/// Provider and account of each kind.
pub const ALL: [&str; 9] = [
    "groq/default",
    "codemie/jwt",
    "codemie/session",
    "azure/entra",
    "azure/key",
    "claude/me@example.com",
    "copilot/user-1",
    "vertex/robot",
    "cursor/default",
];

pub fn secret(what: &str) -> String {
    format!("0{what}.marker.begin-and.marker.end.{what}0")
}

pub fn jwt(what: &str, ttl_s: i64) -> String {
    let now = crate::support::idp::encoding::now_s();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"jti": secret(what), "exp": now.saturating_add_signed(ttl_s)});
    format!("{}.{}.{}", part(json!({"alg": "none", "kid": what})), part(claims), secret(what))
}

/// A home with all of them, their tokens good for so many seconds.
pub struct Tour {
    pub watch: Watch,
    ran: BTreeSet<String>,
    ttl_s: i64,
}

impl Tour {
    pub fn new(ttl_s: i64) -> Self {
        let watch = Watch::new();
        let rows = watch.desk.cmd("provider list --json").run().ok().json();
        let mut config = watch.desk.sandbox.read_config();
        let overlay = watch.desk.idp.overlay(&rows);
        for (id, row) in overlay["providers"].as_object().expect("rows") {
            for (key, value) in row.as_object().expect("a row") {
                config["providers"][id][key] = value.clone();
            }
        }
        for name in ALL {
            let (provider, _) = name.split_once('/').expect("PROVIDER/ACCOUNT");
            config["providers"][provider]["git_hosts"] = json!(["127.0.0.1"]);
        }
        watch.desk.sandbox.write_config(&config);
        let mut tour = Tour { watch, ran: BTreeSet::new(), ttl_s };
        tour.furnish();
        tour.learn();
        tour
    }

    /// Writes each account as it was in the beginning.
    fn furnish(&mut self) {
        let sandbox = &self.watch.desk.sandbox;
        let origin = self.watch.desk.idp.origin();
        let elsewhere = self.elsewhere();
        make_private_dir(&elsewhere);
        let borrowed = elsewhere.join("auth.json");
        let held =
            json!({"accessToken": jwt("tool", self.ttl_s), "refreshToken": secret("tool-refresh")});
        write_private(&borrowed, &held.to_string());
        let later = in_seconds(self.ttl_s);
        let write = |name: &str, kind: &str, change: Value| {
            let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
            let mut value = json!({"version": 1, "provider": provider, "account": account,
                "kind": kind, "expires_at": later, "refreshed_at": in_seconds(self.ttl_s - 3600),
                "client_id": "demo-client", "client_secret": secret("client"),
                "of_tomorrow": secret("unknown")});
            for (key, part) in change.as_object().expect("an object") {
                value[key] = part.clone();
            }
            sandbox.write_account(provider, account, &value);
        };
        let key = |what: &str| json!({"access_token": secret(what), "expires_at": null});
        write("groq/default", "api_key", key("api-key"));
        write("azure/key", "api_key", key("azure-key"));
        let instance = json!({"instance": origin, "project": "alpha"});
        let bearer = jwt("bearer", self.ttl_s);
        write("codemie/jwt", "bearer", json!({"access_token": bearer, "extra": instance}));
        let cookies = format!("session={}; other={}", secret("cookie"), secret("cookie-2"));
        write("codemie/session", "cookie", json!({"access_token": cookies, "extra": instance}));
        let facts =
            json!({"instance": origin, "deployment": "gpt-4o", "entra_link": "environment"});
        write(
            "azure/entra",
            "entra",
            json!({"access_token": jwt("entra", self.ttl_s), "extra": facts}),
        );
        let identity = json!({"email": ME, "subject": "user-1"});
        let oauth = json!({"access_token": secret("access"), "refresh_token": secret("refresh"),
            "id_token": jwt("id", self.ttl_s), "identity": identity});
        write("claude/me@example.com", "oauth", oauth);
        let second = json!({"api_token": secret("second"), "api_token_expires_at": later});
        let first = json!({"access_token": secret("first"), "expires_at": null, "extra": second});
        write("copilot/user-1", "oauth", first);
        let robot = json!({"type": "service_account", "client_email": "robot@x.example",
            "private_key_id": "k1", "private_key": RsaKey::one().pem(), "token_uri": format!("{origin}/token")});
        let place = json!({"project": "p", "location": "us-east1"});
        let minted =
            json!({"access_token": secret("minted"), "service_account": robot, "extra": place});
        write("vertex/robot", "service_account", minted);
        let tool = json!({"borrowed_from": borrowed.display().to_string(), "access_token": null});
        write("cursor/default", "bearer", tool);
    }

    /// Where other tools keep their files: what stands there is theirs to show.
    fn elsewhere(&self) -> std::path::PathBuf {
        self.watch.desk.sandbox.work().parent().expect("a folder").join("elsewhere")
    }

    /// Another tool's sign-in, seen, trusted, handed out and forgotten.
    fn source(&mut self) {
        let tokens = json!({"access_token": jwt("codex", self.ttl_s), "id_token": jwt("codex-id", self.ttl_s),
            "refresh_token": secret("codex-refresh"), "account_id": "acct-1"});
        let file = self.elsewhere().join("auth.json");
        let old = self.watch.desk.sandbox.read(&file);
        let held =
            json!({"OPENAI_API_KEY": null, "tokens": tokens, "last_refresh": in_seconds(-60)});
        write_private(&file, &held.to_string());
        self.watch.learn("another tool's refresh token", &secret("codex-refresh"));
        for what in ["codex", "codex-id"] {
            self.watch.learn("another tool's token", &secret(what));
        }
        self.quiet(&["source", "list", "--json"], "").ok();
        self.quiet(&["source", "trust", "codex"], "");
        self.quiet(&["source", "trust", "codex", "--yes"], "").ok();
        self.quiet(&["source", "list"], "").ok();
        let token = self.prints(&["token", "openai"], "");
        token.check(
            self.ttl_s < 0 || token.stdout.contains(&secret("codex")),
            "theirs is handed out",
        );
        self.quiet(&["status", "--json"], "");
        self.quiet(&["refresh", "openai"], "");
        write_private(&file, &held.to_string()[..60]);
        self.quiet(&["token", "openai"], "");
        self.quiet(&["source", "list"], "");
        self.quiet(&["source", "forget", "codex"], "");
        write_private(&file, &old);
    }

    /// What lies in the accounts now.
    fn learn(&self) {
        let watch = &self.watch;
        for what in ["tool-refresh", "client", "unknown", "cookie", "cookie-2"] {
            watch.learn("secret of a slot", &secret(what));
        }
        for piece in RsaKey::one().pieces() {
            watch.learn("private key", &piece);
        }
        watch.learn("token of a tool", &jwt("tool", self.ttl_s)[30..]);
        for file in watch.files_in("accounts") {
            let is_json = file.extension().is_some_and(|extension| extension == "json");
            let Some(text) = is_json.then(|| std::fs::read_to_string(&file).ok()).flatten() else {
                continue;
            };
            let Ok(account) = serde_json::from_str::<Value>(&text) else { continue };
            for slot in ["/access_token", "/refresh_token", "/id_token", "/extra/api_token"] {
                let held = account.pointer(slot).and_then(Value::as_str).unwrap_or_default();
                if held.len() >= 16 {
                    // The head of a JWT is no secret, and the same in many.
                    let secret = if held.starts_with("ey") {
                        &held[30.min(held.len() - 16)..]
                    } else {
                        held
                    };
                    watch.learn("secret in a slot", secret);
                }
            }
        }
    }

    fn start(&mut self, words: &[&str], stdin: &str) -> Output {
        self.ran.insert(words[0].to_owned());
        let cmd = self.watch.desk.sandbox.cmd(words).stdin(stdin);
        // The metadata service of the machine is left alone.
        let cmd = cmd.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9");
        let cmd = cmd.env("CODEX_HOME", &self.elsewhere().display().to_string());
        let output =
            self.watch.at_full_volume(cmd.env("MISTRAL_API_KEY", &secret("variable"))).run();
        output.check(!output.stderr.contains("panicked"), "no panic");
        self.learn();
        output
    }

    /// Nothing of it may show a secret.
    pub fn quiet(&mut self, words: &[&str], stdin: &str) -> Output {
        let output = self.start(words, stdin);
        self.watch.keep(&output);
        output
    }

    /// It is there to print one.
    pub fn prints(&mut self, words: &[&str], stdin: &str) -> Output {
        let output = self.start(words, stdin);
        self.watch.saw(&format!("stderr of {}", output.command), &output.stderr);
        if output.status != Some(0) {
            output.stdout_is("");
        }
        output
    }

    fn hand_outs(&mut self, name: &str) {
        let first = self.prints(&["token", name], "");
        let wanted = self.ttl_s > 0;
        first.check(!wanted || first.status == Some(0), "a live token is handed out");
        for words in [
            &["token", name, "--json"][..],
            &["token", name, "--header"],
            &["token", name, "--format", "kubectl"],
            &["token", name, "--base"],
            &["token", name, "--min-ttl", "999999"],
            &["env", name],
            &["env", name, "--shell", "fish"],
            &["env", name, "--shell", "powershell"],
            &["env", name, "--shell", "dotenv"],
            &["env", name, "--shell", "json"],
            &["export", name],
            &["export", name, "--access-only"],
        ] {
            self.prints(words, "");
        }
        let question = "protocol=http\nhost=127.0.0.1\n\n";
        self.prints(&["git-credential", name, "get"], question);
        let erased = format!("protocol=http\nhost=127.0.0.1\npassword={}\n", secret("access"));
        self.quiet(&["git-credential", name, "erase"], &erased);
        self.quiet(&["git-credential", name, "store"], &erased);
        let show = "tr '\\0' '\\n' </proc/$$/cmdline; ls -l /proc/$$/fd";
        self.quiet(&["exec", name, "--", "sh", "-c", show], "");
        self.quiet(&["exec", name, "--", "/no/such/program"], "");
        self.quiet(&["token", name, "--json", "--header"], "");
    }

    fn looks(&mut self, name: &str) {
        let (provider, _) = name.split_once('/').expect("PROVIDER/ACCOUNT");
        for words in [
            &["status"][..],
            &["status", provider, "--json"],
            &["status", provider, "--check"],
            &["refresh", name],
            &["refresh", name, "--json"],
            &["account", "set", name, "note=hello", "--json"],
            &["models", name],
            &["models", name, "--json"],
            &["run", name, "hello"],
            &["run", name, "hello", "--json", "--silent"],
            &["auth-test", name],
            &["auth-test", name, "--json"],
            &["use", name],
            &["provider", "show", provider],
            &["completions", "words", "--", "token", name],
        ] {
            self.quiet(words, "");
        }
    }

    fn machine(&mut self) {
        for words in [
            "audit",
            "audit --json",
            "audit --since yesterday",
            "completions bash",
            "completions man token",
            "config list",
            "config list --json",
            "config get providers",
            "config path",
            "doctor",
            "doctor --json",
            "help",
            "pending list --json",
            "pending cancel --all",
            "provider list --json",
            "refresh --all",
            "refresh --all --json",
            "serve --listen 198.51.100.1:1",
            "serve key list",
            "serve key list --json",
            "serve key remove nobody",
            "setup --no-input",
            "status --json",
            "status --check --json",
            "version",
            "login claude --print-auth-url --no-input",
            "login --callback-url code=x&state=y",
            "env nobody",
        ] {
            let words: Vec<_> = words.split(' ').collect();
            self.quiet(&words, "");
        }
        self.source();
        let nowhere = "http://127.0.0.1:9/mcp";
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        self.quiet(&["mcp-proxy", nowhere, "--header", "X-Key: ${MISTRAL_API_KEY}"], ping).ok();
        self.quiet(&["login", nowhere, "--json"], "").code(3);
        self.prints(&["token", "mistral"], "");
        self.prints(&["env", "mistral"], "");
    }
}

fn tour(ttl_s: i64) {
    let mut tour = Tour::new(ttl_s);
    for name in ALL {
        tour.hand_outs(name);
        tour.looks(name);
        tour.furnish();
    }
    tour.machine();
    tour.furnish();
    for name in ALL {
        tour.quiet(&["logout", name, "--json"], "");
    }
    tour.watch.learn("variable", &secret("variable"));
    tour.watch.nothing_leaked();
}

#[test]
fn every_kind_while_its_token_lives() {
    tour(3000);
}

#[test]
fn every_kind_when_its_token_has_ended() {
    tour(-60);
}

/// A command that is new has to be added to the tours.
#[test]
fn no_command_is_left_out() {
    let mut tour = Tour::new(3000);
    tour.machine();
    tour.hand_outs("groq/default");
    tour.looks("groq/default");
    let also = ["import", "logout"].map(str::to_owned);
    let known: BTreeSet<String> = tour.ran.iter().cloned().chain(also).collect();
    let all = tour.watch.desk.sandbox.cmd(&["completions", "words", "--", ""]).run();
    let missing: Vec<_> = all.ok().stdout.lines().filter(|name| !known.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
