//! What else arrives while a login waits, and ends nothing.

use serde_json::{Value, json};

use super::{Lab, callback, port_of, session};
use crate::login::demo::{LIMIT, Waiting, eventually};
use crate::support::browser;

/// Callbacks that hold no session: none may be taken, all leave the login as it is.
fn rubbish(port: u16) -> Vec<(&'static str, String)> {
    let with = |cookies: Value| callback(port, &session(&cookies));
    let query = |query: &str| format!("http://localhost:{port}/auth{query}");
    vec![
        ("no query", query("")),
        ("empty", query("?token=")),
        ("no base64", query("?token=!!!")),
        ("base64 of no JSON", query("?token=aGVsbG8=")),
        ("a code of OAuth", query("?code=abc&state=def")),
        ("an error of OAuth", query("?error=access_denied")),
        ("local sign-in", callback(port, &json!({"provider": "local"}))),
        ("no cookies", with(json!({}))),
        ("a list", with(json!(["a"]))),
        ("a number", with(json!({"_oauth2_proxy": 7}))),
        ("a null", callback(port, &json!({"cookies": null}))),
        ("CR LF", with(json!({"_oauth2_proxy": "a\r\nX-Evil: 1"}))),
        ("LF", with(json!({"_oauth2_proxy": "a\nX-Evil: 1"}))),
        ("another cookie", with(json!({"_oauth2_proxy": "a; admin=1"}))),
        ("NUL", with(json!({"_oauth2_proxy": "a\0b"}))),
        ("no ASCII", with(json!({"_oauth2_proxy": "ключ"}))),
        ("a name with CR LF", with(json!({"a\r\nX-Evil: 1": "b"}))),
        ("a name with =", with(json!({"a=b; c": "d"}))),
        ("one good, one bad", with(json!({"_oauth2_proxy": "good", "x": "a\r\nb"}))),
        ("huge", query(&format!("?token={}", "QUFB".repeat(50_000)))),
    ]
}

#[track_caller]
fn get(address: &str, headers: &[(&str, &str)]) -> u16 {
    browser::request("GET", address, headers, "").unwrap().status
}

#[test]
fn rubbish_at_the_port_is_refused_and_the_wait_goes_on() {
    let lab = Lab::new();
    let mut waiting = lab.wait(&[]);
    for (name, address) in rubbish(port_of(&waiting.url)) {
        let status = get(&address, &[]);
        assert!((400..500).contains(&status), "{name}: {status}");
        assert!(!waiting.process.has_ended(), "{name}");
    }
    assert_eq!(lab.instance.asked(), []);
    sign_in(&lab, waiting);
}

#[test]
fn rubbish_that_is_pasted_is_refused_and_the_wait_goes_on() {
    let lab = Lab::new();
    let mut waiting = lab.wait(&[]);
    let refusals = |waiting: &Waiting| waiting.process.stderr().matches("not taken").count();
    let port = port_of(&waiting.url);
    let some = ["empty", "a code of OAuth", "local sign-in", "CR LF", "no JSON"];
    let pasted: Vec<_> = rubbish(port).into_iter().filter(|(n, _)| some.contains(n)).collect();
    for (at, (name, text)) in pasted.iter().enumerate() {
        waiting.paste(text);
        eventually(name, || refusals(&waiting) == at + 1);
    }
    assert!(!waiting.process.has_ended());
    assert_eq!(lab.instance.asked(), []);
    let back = lab.person(&waiting.url).location;
    waiting.paste(&back);
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn rubbish_in_another_process_costs_the_login_nothing() {
    let lab = Lab::new();
    let url = lab.print_url(&[]);
    for (name, address) in rubbish(port_of(&url)) {
        let output = lab.finish(&address);
        output.check(matches!(output.status, Some(2 | 6)), name).stdout_is("");
        output.stderr_lacks("X-Evil").stderr_lacks("panicked");
        assert_eq!(lab.pending_files().len(), 1, "{name}");
    }
    assert_eq!(lab.instance.asked(), []);
    lab.finish(&lab.person(&url).location).ok();
}

#[test]
fn an_instance_with_sign_ins_of_its_own_is_told_to_use_a_token() {
    let lab = Lab::new();
    lab.instance.world().is_local = true;
    let url = lab.print_url(&[]);
    let output = lab.finish(&lab.person(&url).location);
    output.code(2).stdout_is("").stderr_has("--jwt-token");
}

#[test]
fn probes_and_frames_never_end_the_wait() {
    let lab = Lab::new();
    let mut waiting = lab.wait(&[]);
    let port = port_of(&waiting.url);
    let back = lab.person(&waiting.url).location;
    let at = |path: &str| format!("http://localhost:{port}{path}");
    assert_eq!(get(&at("/favicon.ico"), &[]), 404);
    assert_eq!(get(&at("/"), &[]), 404);
    assert_eq!(get(&back.replace("/auth?", "/other?"), &[]), 404);
    for method in ["HEAD", "POST", "OPTIONS", "PUT"] {
        let page = browser::request(method, &back, &[], "");
        let refused = page.map_or(method == "HEAD", |page| page.status == 405);
        assert!(refused, "{method}");
    }
    for (name, value) in [
        ("Sec-Fetch-Dest", "iframe"),
        ("Sec-Fetch-Dest", "image"),
        ("Sec-Fetch-Dest", "script"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Mode", "cors"),
    ] {
        assert_eq!(get(&back, &[(name, value)]), 403, "{name}: {value}");
    }
    assert!(!waiting.process.has_ended());
    assert_eq!(lab.instance.asked(), [], "no session was taken");
    let document = [("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Mode", "navigate")];
    assert_eq!(get(&back, &document), 200);
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn nobody_outside_this_machine_reaches_the_port() {
    let lab = Lab::new();
    let waiting = lab.wait(&[]);
    let port = port_of(&waiting.url);
    // 127.0.0.2 is this machine too; a listener on all addresses would answer.
    assert!(std::net::TcpStream::connect(("127.0.0.2", port)).is_err());
    sign_in(&lab, waiting);
}

#[track_caller]
fn sign_in(lab: &Lab, waiting: Waiting) {
    assert_eq!(lab.person(&waiting.url).follow().status, 200);
    waiting.process.wait(LIMIT).ok().stderr_has("me@example.com");
    assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
}
