//! `git-credential`: git itself asks, for a server that wants Basic authentication.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tiny_http::{Response, Server};

use crate::support::agent::{Agents, Verdict};
use crate::support::command::Output;
use crate::support::idp::encoding::now_s;
use crate::support::sandbox::in_seconds;
use crate::support::tool;
use crate::token::place::{FRESH_S, ME, MY_IDP, Place, row_of, text};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A repository over git's plain HTTP protocol, for whoever has the password.
struct Forge {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    password: Arc<Mutex<String>>,
    seen: Arc<Mutex<Vec<String>>>,
    _verdict: Verdict,
}

impl Forge {
    fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
        let (password, seen) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(vec![])));
        let agents = Agents::default();
        let verdict = agents.verdict();
        let (at_work, wanted, notes) = (server.clone(), password.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            for request in at_work.incoming_requests() {
                let header = |name: &'static str| {
                    let found = request.headers().iter().find(|header| header.field.equiv(name));
                    found.map(|header| header.value.to_string()).unwrap_or_default()
                };
                // git asks; keyfob only tells it the password.
                if !header("User-Agent").starts_with("git/") {
                    agents.check_request(&request);
                }
                let found = header("Authorization");
                let encoded = found.strip_prefix("Basic ").unwrap_or_default();
                let decoded = STANDARD.decode(encoded).unwrap_or_default();
                let given = String::from_utf8(decoded).unwrap_or_default();
                notes.lock().unwrap().push(given.clone());
                let is_right =
                    given.split_once(':').map(|(_, p)| p) == Some(&wanted.lock().unwrap());
                let header = |text: &str| text.parse::<tiny_http::Header>().expect("a header");
                let _ = if is_right {
                    let text = format!("{COMMIT}\trefs/heads/main\n");
                    request.respond(
                        Response::from_string(text).with_header(header("Content-Type: text/plain")),
                    )
                } else {
                    let no = Response::from_string("no").with_status_code(401);
                    request
                        .respond(no.with_header(header("WWW-Authenticate: Basic realm=\"forge\"")))
                };
            }
        });
        Forge { server, thread: Some(thread), password, seen, _verdict: verdict }
    }

    /// `127.0.0.1:PORT`
    fn host(&self) -> String {
        self.server.server_addr().to_string()
    }

    fn wants(&self, password: &str) {
        password.clone_into(&mut self.password.lock().unwrap());
    }

    /// The user names and passwords that came, `""` for none.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Desk {
    place: Place,
    forge: Forge,
}

impl Desk {
    /// The provider's token is for the forge.
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let desk = Desk { place: Place::new(), forge: Forge::start() };
        let mut row = row_of(&desk.place.idp);
        row["git_hosts"] = json!([desk.forge.host()]);
        change(&mut row);
        desk.place.home.write_config(&json!({"providers": {MY_IDP: row}}));
        desk
    }

    /// `git -c credential.helper=… WORDS`; it must not ask anybody.
    #[track_caller]
    fn git(&self, words: &[&str], stdin: &str) -> Output {
        let helper = "credential.helper=!keyfob git-credential my-idp";
        let all = [&["git", "-c", "credential.helper=", "-c", helper], words].concat();
        let quiet = [("GIT_TERMINAL_PROMPT", "0"), ("GIT_CONFIG_NOSYSTEM", "1")];
        tool::run_with(&self.place.home, &all, stdin, &quiet)
    }

    /// keyfob alone, as git calls it.
    fn helper(&self, operation: &str, stdin: &str) -> Output {
        self.place.home.cmd(&["git-credential", "my-idp", operation]).stdin(stdin).run()
    }

    fn question(&self) -> String {
        format!("protocol=http\nhost={}\n\n", self.forge.host())
    }
}

fn has_git() -> bool {
    tool::is_installed("git")
}

#[test]
fn git_fills_in_the_token() {
    if !has_git() {
        return;
    }
    let desk = Desk::new(|_| ());
    let grant = desk.place.signed_in(FRESH_S);
    let output = desk.git(&["credential", "fill"], &desk.question());
    let has = |line: &str| output.ok().stdout.lines().any(|known| known == line);
    assert!(has("username=oauth2") && has(&format!("password={}", grant.access_token)));
    let expiry = output.stdout.lines().find_map(|line| line.strip_prefix("password_expiry_utc="));
    let expiry: u64 = expiry.expect("git 2.40 and later hand it on").parse().unwrap();
    assert!(expiry.abs_diff(now_s() + 3000) < 30, "{expiry}");
}

#[test]
fn git_lists_a_private_repository() {
    if !has_git() {
        return;
    }
    let desk = Desk::new(|row| row["git_username"] = json!("x-access-token"));
    let grant = desk.place.signed_in(FRESH_S);
    desk.forge.wants(&grant.access_token);
    let url = format!("http://{}/repo.git", desk.forge.host());
    let output = desk.git(&["ls-remote", &url], "");
    output.ok().stdout_is(&format!("{COMMIT}\trefs/heads/main\n"));
    let seen = desk.forge.seen();
    assert_eq!(seen[..2], [String::new(), format!("x-access-token:{}", grant.access_token)]);
}

/// git hands a password back that did not work; the next call has a new one.
#[test]
fn a_token_turned_away_is_renewed() {
    if !has_git() {
        return;
    }
    let desk = Desk::new(|_| ());
    desk.place.signed_in(FRESH_S);
    desk.forge.wants("something else");
    let url = format!("http://{}/repo.git", desk.forge.host());
    let output = desk.git(&["ls-remote", &url], "");
    output.check(output.status != Some(0), "turned away");
    assert_eq!(desk.place.refreshes(), 1);
    let renewed = text(&desk.place.stored(), "access_token").to_owned();
    desk.forge.wants(&renewed);
    desk.git(&["ls-remote", &url], "").ok();
    assert_eq!(desk.place.refreshes(), 1);
    desk.place.idp.assert_content();
}

#[test]
fn other_hosts_get_nothing_and_other_helpers_are_asked() {
    let desk = Desk::new(|row| row["git_hosts"] = json!(["git.example.com"]));
    desk.place.signed_in(FRESH_S);
    for question in [
        desk.question(),
        "protocol=https\nhost=git.example.com.evil.example\n\n".into(),
        "protocol=https\nhost=evil-git.example.com\n\n".into(),
        "protocol=https\nhost=git.example.com:8443\n\n".into(),
        // In the clear, over a network.
        "protocol=http\nhost=git.example.com\n\n".into(),
        "protocol=ssh\nhost=git.example.com\n\n".into(),
        "protocol=https\n\n".into(),
        String::new(),
        "host=git.example.com\nprotocol=\n\n".into(),
        "\u{0}\u{1}garbage without end".into(),
    ] {
        let output = desk.helper("get", &question);
        output.ok().stdout_is("");
        output.check(output.stderr.is_empty(), "nothing said");
    }
    for question in [
        "protocol=https\nhost=git.example.com\n",
        "host=GIT.EXAMPLE.COM\nprotocol=https\npath=a/b\n\n",
    ] {
        let output = desk.helper("get", question);
        output.ok().check(output.stdout.starts_with("username=oauth2\npassword="), "the token");
    }
    if has_git() {
        let second = "credential.helper=!printf 'username=u\\npassword=of-another\\n' #";
        let output = desk.git(&["-c", second, "credential", "fill"], &desk.question());
        output.ok().check(output.stdout.contains("password=of-another\n"), "the next helper");
    }
}

#[test]
fn a_provider_without_hosts_says_how_to_name_them() {
    let desk = Desk::new(|row| row["git_hosts"] = json!([]));
    desk.place.signed_in(FRESH_S);
    let output = desk.helper("get", &desk.question());
    output.code(2).stdout_is("").stderr_has("names no git hosts");
    output.stderr_has("try: keyfob config set providers.my-idp.git_hosts '[\"HOST\"]'");
    // The line works as it stands, but for the host.
    let hosts = json!([desk.forge.host()]).to_string();
    let words = ["config", "set", "providers.my-idp.git_hosts", &hosts];
    desk.place.home.cmd(&words).run().ok();
    let output = desk.helper("get", &desk.question());
    output.ok().check(output.stdout.contains("password="), "the token");
}

#[test]
fn erase_renews_our_own_token_and_nothing_else() {
    let desk = Desk::new(|_| ());
    let grant = desk.place.signed_in(FRESH_S);
    let with = |password: &str| {
        format!(
            "{}password={password}\n\n",
            desk.question().trim_end_matches('\n').to_owned() + "\n"
        )
    };
    desk.helper("erase", &with("of-another-helper")).ok().stdout_is("");
    desk.helper("erase", &desk.question()).ok().stdout_is("");
    assert_eq!(desk.place.refreshes(), 0);
    let trail = desk.place.home.home().join("audit.jsonl");
    assert!(!trail.exists(), "nothing was handed out");
    let elsewhere = format!("protocol=https\nhost=x.example\npassword={}\n", grant.access_token);
    desk.helper("erase", &elsewhere).ok();
    assert_eq!(desk.place.refreshes(), 0);
    desk.helper("erase", &with(&grant.access_token)).ok().stdout_is("");
    assert_eq!(desk.place.refreshes(), 1);
    // It is no longer ours.
    desk.helper("erase", &with(&grant.access_token)).ok();
    assert_eq!(desk.place.refreshes(), 1);
}

#[test]
fn nobody_signed_in_is_told_on_get_alone() {
    let desk = Desk::new(|_| ());
    let output = desk.helper("get", &desk.question());
    output.code(4).stdout_is("").stderr_has("try: keyfob login my-idp");
    desk.helper("erase", &format!("{}password=x\n", desk.question())).ok().stdout_is("");
    desk.helper("store", &format!("{}password=x\n", desk.question())).ok().stdout_is("");
    assert!(!desk.place.file().exists());
    desk.helper("fill", "").code(2).stdout_is("").stderr_has("get, store or erase");
}

/// `store` keeps nothing: the password came from us, or is somebody else's.
#[test]
fn store_changes_nothing() {
    let desk = Desk::new(|_| ());
    desk.place.signed_in(FRESH_S);
    let before = desk.place.bytes();
    let stored = format!("{}username=x\npassword=y\n", desk.question().trim_end());
    desk.helper("store", &stored).ok().stdout_is("");
    assert_eq!(desk.place.bytes(), before);
}

#[test]
fn a_token_without_an_end_names_none() {
    let desk = Desk::new(|_| ());
    desk.place
        .signed_in_with(FRESH_S, &json!({"expires_at": null, "refreshed_at": in_seconds(-5)}));
    let output = desk.helper("get", &desk.question());
    output.ok().check(!output.stdout.contains("password_expiry_utc"), "no end");
    assert_eq!(desk.place.stored()["account"], ME);
}

/// One helper for all hosts: the provider is found by the host it names.
#[test]
fn without_a_provider_the_host_decides() {
    let desk = Desk::new(|_| ());
    let ask = |operation: &str, question: &str| {
        desk.place.home.cmd(&["git-credential", operation]).stdin(question).run()
    };
    ask("get", &desk.question()).ok().stdout_is("");
    let grant = desk.place.signed_in(FRESH_S);
    let output = ask("get", &desk.question());
    let password = format!("password={}", grant.access_token);
    assert!(output.ok().stdout.lines().any(|line| line == password), "{}", output.report());
    ask("get", "protocol=https\nhost=elsewhere.example\n\n").ok().stdout_is("");
    let refused = format!("{}\n{password}\n\n", desk.question().trim_end());
    ask("erase", &refused).ok().stdout_is("");
    assert_eq!(desk.place.refreshes(), 1);
    ask("store", &desk.question()).ok().stdout_is("");
    ask("fill", &desk.question()).code(2).stdout_is("");
}
