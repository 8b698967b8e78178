//! Providers whose own page shows the code, for a browser on another machine.

use crate::login::demo::{Demo, LIMIT, Waiting, param};
use crate::support::browser;

const CLAUDE: [&str; 2] = ["claude", "--accept-terms"];
const GEMINI: [&str; 2] = ["gemini", "--accept-terms"];

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [base, more].concat()
}

#[test]
fn claudes_page_is_used_and_its_code_and_state_finish_the_login() {
    let demo = Demo::built_in("claude");
    let output = demo.login(&with(&CLAUDE, &["--print-auth-url", "--json"])).run();
    let object = output.ok().json();
    let url = object["auth_url"].as_str().unwrap();
    assert_eq!(object["redirect_uri"], demo.idp.url("/oauth/code/callback"));
    let shown = browser::shown_code(url);
    assert!(shown.contains('#'), "{shown}");
    assert_eq!(object["complete_with"], "keyfob login --callback-url -");
    let done = demo.login(&["--callback-url", "-"]).stdin(format!("{shown}\n")).run();
    done.ok().stdout_is("").stderr_has("me@example.com").stderr_has("Demo Organization");
    demo.idp.assert_content();
}

#[test]
fn claudes_code_is_taken_by_auth_code_too() {
    let demo = Demo::built_in("claude");
    let print = || demo.login(&with(&CLAUDE, &["--print-auth-url"])).run().ok().line().to_string();
    let shown = browser::shown_code(&print());
    demo.login(&["claude", "--auth-code", &shown]).run().ok();
    let shown = browser::shown_code(&print());
    let alone = shown.split('#').next().unwrap();
    demo.login(&["claude", "--auth-code", alone]).run().ok();
    let shown = browser::shown_code(&print());
    let (code, state) = shown.split_once('#').unwrap();
    // Some people paste the page's text into an address.
    demo.finish(&format!("code={code}%23{state}&state={state}")).ok();
    demo.idp.assert_content();
}

#[test]
fn geminis_page_shows_a_bare_code_that_its_own_command_takes() {
    let demo = Demo::built_in("gemini");
    let object = demo.login(&with(&GEMINI, &["--print-auth-url", "--json"])).run().ok().json();
    let shown = browser::shown_code(object["auth_url"].as_str().unwrap());
    assert!(shown.starts_with("4/") && !shown.contains('#'), "{shown}");
    let words = object["complete_with"].as_str().unwrap().split(' ').skip(1);
    let words: Vec<_> = words.collect();
    let done = demo.sandbox.cmd(&words).stdin(format!("{shown}\n")).run();
    done.ok().stdout_is("").stderr_has("me@example.com");
    demo.idp.assert_content();
}

#[test]
fn a_waiting_terminal_takes_what_claudes_page_shows() {
    let demo = Demo::built_in("claude");
    let mut waiting = Waiting::start(demo.login(&with(&CLAUDE, &["--no-browser"])));
    let shown = browser::shown_code(&waiting.url);
    let (code, state) = shown.split_once('#').unwrap();
    waiting.paste(code);
    waiting.process.stderr_line_containing("not taken", LIMIT);
    waiting.paste(&format!("{code}#{}", state.replace(&state[..4], "____")));
    waiting.process.stderr_line_containing("another sign-in attempt", LIMIT);
    waiting.paste(&format!(" {shown}  "));
    waiting.process.wait(LIMIT).ok().stdout_is("").stderr_lacks("ssh -N");
    demo.idp.assert_content();
}

#[test]
fn a_waiting_terminal_takes_what_geminis_page_shows() {
    let demo = Demo::built_in("gemini");
    let mut waiting = Waiting::start(demo.login(&with(&GEMINI, &["--no-browser"])));
    let shown = browser::shown_code(&waiting.url);
    waiting.paste(&shown);
    waiting.process.wait(LIMIT).ok().stdout_is("").stderr_has("me@example.com");
    demo.idp.assert_content();
}

#[test]
fn a_login_on_such_a_page_is_finished_by_another_process_too() {
    for base in [CLAUDE, GEMINI] {
        let demo = Demo::built_in(base[0]);
        let waiting = Waiting::start(demo.login(&with(&base, &["--no-browser"])));
        let shown = browser::shown_code(&waiting.url);
        let other = demo.login(&[base[0], "--auth-code", "-"]).stdin(shown).run();
        other.ok().stdout_is("");
        waiting.process.wait(LIMIT).ok().stderr_has("from another terminal");
        demo.idp.assert_content();
    }
}

#[test]
fn a_browser_on_this_machine_uses_the_port_instead_of_the_page() {
    for (base, host) in [(CLAUDE, "localhost"), (GEMINI, "127.0.0.1")] {
        let demo = Demo::built_in(base[0]);
        let waiting = Waiting::start(demo.login(&base).env("BROWSER", "/bin/true"));
        let uri = param(&waiting.url, "redirect_uri").unwrap();
        assert!(uri.starts_with(&format!("http://{host}:")), "{uri}");
        waiting.sign_in().ok();
        demo.idp.assert_content();
    }
}

#[test]
fn a_port_asked_for_is_used_instead_of_the_page() {
    for base in [CLAUDE, GEMINI] {
        let demo = Demo::built_in(base[0]);
        let port = crate::login::demo::free_port();
        let more = ["--no-browser", "--callback-port", &port.to_string()];
        let waiting = Waiting::start(demo.login(&with(&base, &more)));
        assert_eq!(waiting.port(), port);
        waiting.sign_in().ok();
        demo.idp.assert_content();
    }
}
