//! Known secrets go in, every command runs at the highest verbosity, and everything that came out
//! is searched: streams, files, process lists, environments, pages (NEEDS 23).

mod echo;
mod gateway;
mod kinds;
mod server;
mod slips;
mod tour;
mod way_in;

use std::cell::RefCell;
use std::path::Path;

use serde_json::Value;

use crate::provider::Desk;
use crate::support::browser;
use crate::support::command::{Cmd, Output};
use crate::support::idp::dialect::ClientAuth;
use crate::support::idp::encoding::encode;
use crate::support::sandbox::make_private_dir;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const ME: &str = "me@example.com";
const CLIENT_SECRET: &str = "marker+client/secret=0123456789";

/// A person at a confidential client, and somebody who reads along.
struct Watch {
    desk: Desk,
    /// What it is, and how it may look.
    secrets: RefCell<Vec<(&'static str, String)>>,
    /// Sign-in addresses carry the state by design, wherever they are shown.
    addresses: RefCell<Vec<String>>,
    /// Where it was seen, and the text.
    seen: RefCell<Vec<(String, String)>>,
}

impl Watch {
    /// `mine` is added with its secret on stdin.
    fn new() -> Self {
        let desk = Desk::with(|dialect| {
            dialect.client_auth = ClientAuth::Basic;
            dialect.client_secret = Some(CLIENT_SECRET.into());
            // A query to be kept out of the log.
            dialect.userinfo_query = "alt=json".into();
        });
        let watch = Watch {
            desk,
            secrets: RefCell::default(),
            addresses: RefCell::default(),
            seen: RefCell::default(),
        };
        make_private_dir(&watch.temp());
        watch.learn("client secret", CLIENT_SECRET);
        watch.learn("Basic header", &basic());
        let idp = &watch.desk.idp;
        let words = format!(
            "provider add mine --issuer {} --userinfo-url {} --client-id demo-client \
             --client-secret-stdin",
            idp.issuer(),
            idp.url("/userinfo?alt=json"),
        );
        watch.run(watch.desk.cmd(&words).stdin(CLIENT_SECRET)).ok();
        watch
    }

    /// TMPDIR of the commands.
    fn temp(&self) -> std::path::PathBuf {
        self.desk.sandbox.user_home().join("tmp")
    }

    fn at_full_volume(&self, cmd: Cmd) -> Cmd {
        cmd.env("KEYFOB_LOG", "trace").env("TMPDIR", &self.temp().display().to_string())
    }

    /// Runs and keeps what was said.
    fn run(&self, cmd: Cmd) -> Output {
        let output = self.at_full_volume(cmd).run();
        self.keep(&output);
        output
    }

    fn cmd(&self, words: &str) -> Output {
        self.run(self.desk.cmd(words))
    }

    fn keep(&self, output: &Output) {
        self.saw(&format!("stdout of {}", output.command), &output.stdout);
        self.saw(&format!("stderr of {}", output.command), &output.stderr);
    }

    fn saw(&self, place: &str, text: &str) {
        self.seen.borrow_mut().push((place.to_owned(), text.to_owned()));
    }

    /// The command whose stdout is a secret; its stderr is not.
    fn token(&self, words: &str) -> Output {
        let output = self.at_full_volume(self.desk.cmd(words)).run();
        self.saw(&format!("stderr of {}", output.command), &output.stderr);
        output
    }

    /// The secret itself, escaped as in a form, and either end, in case the rest was cut.
    fn learn(&self, what: &'static str, secret: &str) {
        assert!(secret.len() >= 16, "{what} {secret:?} is no good marker");
        let (begin, end) = (&secret[..16], &secret[secret.len() - 14..]);
        let mut secrets = self.secrets.borrow_mut();
        for form in [secret.to_owned(), encode(secret), begin.to_owned(), end.to_owned()] {
            if !secrets.iter().any(|(_, known)| *known == form) {
                secrets.push((what, form));
            }
        }
    }

    /// Begins a login and learns its secrets; the address comes back.
    fn begin(&self) -> String {
        let url = self.cmd("login mine --print-auth-url").ok().line().to_owned();
        self.learn_pending(&url);
        url
    }

    fn learn_pending(&self, url: &str) {
        self.addresses.borrow_mut().push(url.to_owned());
        for file in self.files_in("pending") {
            let pending = self.desk.sandbox.read_json(&file);
            let text = |key: &str| pending[key].as_str().unwrap_or_default().to_owned();
            self.learn("verifier", &text("verifier"));
            self.learn("state", &text("state"));
        }
    }

    fn learn_account(&self) -> Value {
        let account = self.desk.sandbox.read_account("mine", ME);
        for (what, key) in [
            ("access token", "access_token"),
            ("refresh token", "refresh_token"),
            ("id token", "id_token"),
        ] {
            if let Some(secret) = account[key].as_str() {
                self.learn(what, secret);
            }
        }
        account
    }

    /// Opens the address and learns the code.
    fn approve(&self, url: &str) -> browser::Redirect {
        let redirect = browser::approve(url);
        self.learn("code", &redirect.code());
        redirect
    }

    fn sign_in(&self) -> Value {
        let callback = self.approve(&self.begin()).location;
        self.run(self.desk.cmd("login --callback-url -").stdin(callback)).ok();
        self.learn_account()
    }

    fn files_in(&self, folder: &str) -> Vec<std::path::PathBuf> {
        self.desk.sandbox.files(&self.desk.sandbox.home().join(folder))
    }

    /// Fails when a secret was seen anywhere, or lies in a file that is not there for secrets.
    #[track_caller]
    fn nothing_leaked(&self) {
        let sandbox = &self.desk.sandbox;
        let is_private = |path: &Path| {
            let name = path.strip_prefix(sandbox.home()).unwrap_or(Path::new("elsewhere"));
            let is_data = path.extension().is_some_and(|extension| extension == "json");
            is_data
                && ["accounts", "config.json", "pending", "servers"]
                    .iter()
                    .any(|p| name.starts_with(p))
        };
        for root in [sandbox.user_home(), sandbox.work()] {
            for file in sandbox.files(&root).iter().filter(|path| !is_private(path)) {
                let bytes = std::fs::read(file).unwrap_or_default();
                self.saw(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
            }
        }
        assert_eq!(sandbox.files(&self.temp()), Vec::<std::path::PathBuf>::new());
        let addresses = self.addresses.borrow();
        for (place, text) in self.seen.borrow().iter() {
            let logged = text.lines().filter(|line| line.starts_with("debug: "));
            logged
                .for_each(|line| assert!(!line.contains(['?', '&']), "a query is logged: {line}"));
            let text = addresses.iter().fold(text.clone(), |text, url| text.replace(url, "URL"));
            for (what, secret) in self.secrets.borrow().iter() {
                assert!(!text.contains(secret), "the {what} {secret} in {place}:\n{text}");
            }
        }
        self.speaks_for_itself();
    }

    /// Every request but the browser's says who asks.
    #[track_caller]
    fn speaks_for_itself(&self) {
        let wanted = concat!("keyfob/", env!("CARGO_PKG_VERSION"));
        for request in self.desk.idp.requests() {
            let agent = request.header("user-agent");
            let is_browser = ["authorize", "hosted"].contains(&request.role.as_str());
            assert!(is_browser || agent == Some(wanted), "{}: {agent:?}", request.path);
        }
    }
}

/// The Basic credentials of the client.
fn basic() -> String {
    STANDARD.encode(format!("demo-client:{}", encode(CLIENT_SECRET)))
}

/// The search finds what it should, or the other tests prove nothing.
#[test]
fn the_watch_is_awake() {
    let watch = Watch::new();
    let account = watch.sign_in();
    watch.nothing_leaked();
    for text in [
        account["refresh_token"].as_str().unwrap_or_default().to_owned(),
        format!("…{CLIENT_SECRET}…"),
        encode(CLIENT_SECRET),
    ] {
        watch.saw("a trap", &text);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            watch.nothing_leaked();
        }));
        assert!(caught.is_err(), "{text} went by");
        watch.seen.borrow_mut().pop();
        watch.seen.borrow_mut().retain(|(place, _)| place != "a trap");
    }
    let kinds = [
        "client secret",
        "Basic header",
        "verifier",
        "state",
        "code",
        "access token",
        "refresh token",
        "id token",
    ];
    for kind in kinds {
        assert!(watch.secrets.borrow().iter().any(|(what, _)| *what == kind), "{kind}");
    }
}
