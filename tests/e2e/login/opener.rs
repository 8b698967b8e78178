//! Which browser is opened, with what, and what is said when there is none.

use std::path::PathBuf;

use serde_json::json;

use super::demo::{Demo, LIMIT, Waiting, eventually};
use crate::support::browser;
use crate::support::idp::Dialect;

/// A noisy BROWSER that notes how many arguments it got, and the first.
struct Recorder {
    variable: String,
    note: PathBuf,
}

impl Recorder {
    fn new(demo: &Demo) -> Self {
        let script = demo.sandbox.work().join("browser.sh");
        let text = "echo NOISE; echo NOISE >&2\n\
                    printf '%s\\n%s\\n' \"$#\" \"$1\" > \"$0.part\" && mv \"$0.part\" \"$0.note\"\n";
        std::fs::write(&script, text).unwrap();
        let variable = format!("sh {}", script.display());
        Recorder { variable, note: script.with_extension("sh.note") }
    }

    /// How many arguments, and the first.
    fn opened(&self) -> (String, String) {
        eventually("the browser is opened", || self.note.exists());
        let note = std::fs::read_to_string(&self.note).unwrap();
        let (count, first) = note.split_once('\n').unwrap();
        (count.into(), first.trim_end().into())
    }
}

#[test]
fn the_browser_gets_the_url_as_its_only_argument_and_its_noise_is_not_heard() {
    let demo = Demo::new();
    let browser = Recorder::new(&demo);
    let process = demo.login(&["demo"]).env("BROWSER", &browser.variable).spawn();
    let (count, url) = browser.opened();
    assert_eq!(count, "1");
    assert_eq!(url, process.auth_url(), "the URL is shown although a browser opened");
    assert_eq!(browser::follow(&url).status, 200);
    let output = process.wait(LIMIT);
    output.ok().stdout_is("").stderr_lacks("NOISE").stderr_lacks("no browser is opened");
    output.stderr_has("me@example.com");
    assert_eq!(demo.account_files().len(), 1);
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn a_browser_chosen_by_variable_is_opened_over_ssh_too() {
    let demo = Demo::new();
    let browser = Recorder::new(&demo);
    let command = demo.login(&["demo"]).env("SSH_CONNECTION", "10.0.0.5 50000 192.0.2.7 22");
    let process = command.env("BROWSER", &browser.variable).spawn();
    browser::follow(&browser.opened().1);
    process.wait(LIMIT).ok();
}

#[test]
fn the_first_browser_that_exists_is_taken() {
    let demo = Demo::new();
    let browser = Recorder::new(&demo);
    let list = format!("/nonexistent/browser:{} %s", browser.variable);
    let process = demo.login(&["demo"]).env("BROWSER", &list).spawn();
    let (count, url) = browser.opened();
    assert_eq!(count, "1");
    browser::follow(&url);
    process.wait(LIMIT).ok();
}

#[test]
fn no_browser_flag_opens_none() {
    let demo = Demo::new();
    let browser = Recorder::new(&demo);
    let command = demo.login(&["demo", "--no-browser"]).env("BROWSER", &browser.variable);
    Waiting::start(command).sign_in().ok().stdout_is("");
    assert!(!browser.note.exists());
}

#[test]
fn where_no_browser_can_be_opened_one_line_says_so_and_the_login_goes_on() {
    let demo = Demo::new();
    let plain = || demo.login(&["demo"]);
    let cases = [
        ("BROWSER=", plain().env("BROWSER", "")),
        ("BROWSER of nothing", plain().env("BROWSER", "/nonexistent/browser")),
        ("BROWSER in the terminal", plain().env("BROWSER", "lynx")),
        ("NO_BROWSER", plain().env("NO_BROWSER", "1").env("BROWSER", "/bin/true")),
        ("SSH", plain().env("SSH_CONNECTION", "10.0.0.5 50000 192.0.2.7 22")),
        ("container", plain().env("container", "podman")),
        ("nothing at all", plain().env("PATH", "")),
    ];
    let waiting = cases.map(|(case, command)| (case, Waiting::start(command)));
    for (case, waiting) in waiting {
        let output = waiting.sign_in();
        output.ok().stdout_is("");
        let said = output.stderr.matches("no browser is opened here: ").count();
        output.check(said == 1, &format!("the reason in one line ({case})"));
    }
    demo.idp.assert_content();
}

#[test]
fn a_browser_that_does_nothing_or_cannot_start_does_not_end_the_login() {
    let demo = Demo::new();
    let broken = demo.sandbox.work().join("no-program");
    std::fs::write(&broken, "text").unwrap();
    let idle = Waiting::start(demo.login(&["demo"]).env("BROWSER", "/bin/true"));
    let failing = Waiting::start(demo.login(&["demo"]).env("BROWSER", "/bin/false"));
    let broken = broken.display().to_string();
    let broken = Waiting::start(demo.login(&["demo"]).env("BROWSER", &broken));
    idle.sign_in().ok().stdout_is("");
    failing.sign_in().ok().stdout_is("");
    broken.sign_in().ok().stdout_is("").stderr_has("open the address yourself");
}

#[test]
fn a_hostile_sign_in_page_never_reaches_the_browser() {
    let hostile = [
        "file:///etc/passwd".to_string(),
        "javascript:alert(1)".into(),
        "http://example.com/authorize".into(),
        "https://user@example.com/".into(),
        "-flag".into(),
        "a:b".into(),
        "https://example.com/\nx".into(),
        "https://example.com/a b".into(),
        "https://example.com/`touch x`".into(),
        format!("https://example.com/{}", "x".repeat(1_000_000)),
    ];
    for url in hostile {
        let demo = Demo::with(Dialect::oidc(), |_| json!({"authorize_url": url}));
        let browser = Recorder::new(&demo);
        let output = demo.login(&["demo"]).env("BROWSER", &browser.variable).run();
        output.code(1).stdout_is("");
        assert!(!browser.note.exists(), "{url:.40}");
        assert_eq!(demo.pending_files().len(), 0, "{url:.40}");
    }
}

#[test]
fn hostile_metadata_never_reaches_the_browser() {
    for url in ["file:///etc/passwd", "javascript:alert(1)", "--help", "http://example.com/"] {
        let demo = Demo::with(Dialect::oidc(), |idp| {
            idp.patch_metadata(json!({"authorization_endpoint": url}));
            json!({"issuer": idp.origin(), "authorize_url": null, "token_url": null})
        });
        let browser = Recorder::new(&demo);
        let output = demo.login(&["demo"]).env("BROWSER", &browser.variable).run();
        output.code(1).stdout_is("");
        assert!(!browser.note.exists(), "{url}");
    }
}

#[test]
fn shell_signs_in_the_sign_in_page_are_handed_over_as_they_are() {
    let demo =
        Demo::with(Dialect::oidc(), |idp| json!({"authorize_url": idp.url("/$(touch${IFS}x);y")}));
    let browser = Recorder::new(&demo);
    let process = demo.login(&["demo"]).env("BROWSER", &browser.variable).spawn();
    let (count, url) = browser.opened();
    assert_eq!(count, "1");
    assert_eq!(url, process.auth_url());
    assert!(url.contains("/$(touch${IFS}x);y?"), "{url}");
    assert!(!demo.sandbox.work().join("x").exists(), "no shell saw it");
}
