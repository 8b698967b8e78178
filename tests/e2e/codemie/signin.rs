//! The whole sign-in against an instance behind its ingress.

use serde_json::{Value, json};

use super::{Lab, callback, port_of, session};
use crate::login::demo::{LIMIT, Waiting, eventually};
use crate::support::codemie::{Instance, Person, jar, user};

#[test]
fn a_person_signs_in_through_the_ingress_and_the_browser_comes_back() {
    let lab = Lab::new();
    lab.instance.world().pieces = 2;
    let waiting = lab.wait(&[]);
    let login_path = format!("/code-assistant-api/v1/auth/login/{}", port_of(&waiting.url));
    assert_eq!(waiting.url, format!("{}{login_path}", lab.instance.origin()));
    let mut person = Person::default();
    let redirect = person.sign_in(&waiting.url, &lab.instance.origin());
    assert_eq!(person.visited.first(), Some(&login_path), "{:?}", person.visited);
    assert!(person.visited[1].starts_with("/oauth2/start?rd="), "{:?}", person.visited);
    assert!(person.visited.iter().any(|step| step.starts_with("/idp/login")));
    assert_eq!(person.visited.last(), Some(&login_path), "back with a session");
    let page = redirect.follow();
    assert_eq!(page.status, 200);
    assert!(page.body.contains("me@example.com"), "{}", page.body);
    let output = waiting.process.wait(LIMIT);
    output.ok().stdout_is("").stderr_has("codemie").stderr_has("me@example.com");
    output.stderr_has("no expiry known").stderr_lacks("session-");

    let account = lab.account();
    assert_eq!(account["kind"], "cookie");
    assert_eq!(account["account"], lab.instance.name());
    assert_eq!(account["access_token"], lab.instance.newest_session());
    assert_eq!(jar(account["access_token"].as_str().unwrap()).len(), 2);
    assert_eq!(account["expires_at"], Value::Null, "nobody said when it ends");
    assert_eq!(account["identity"]["email"], "me@example.com");
    assert_eq!(account["identity"]["subject"], "user-1");
    assert_eq!(account["extra"]["instance"], lab.instance.origin());
    assert_eq!(account["extra"]["projects"], json!(["alpha"]));
    assert_eq!(account["extra"]["project"], "alpha", "the only one");
    assert_eq!(lab.sandbox.mode(&lab.file()), 0o600);
    assert_eq!((lab.account_files().len(), lab.pending_files().len()), (1, 0));
}

#[test]
fn the_instance_hears_two_questions_with_the_session_and_from_keyfob() {
    let lab = Lab::signed_in();
    lab.sign_in_to(&lab.instance);
    let asked = lab.instance.asked();
    let paths: Vec<_> = asked.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/code-assistant-api/config.js", "/code-assistant-api/v1/user"]);
    for request in &asked {
        assert_eq!(request.cookie.as_ref(), Some(&lab.instance.newest_session()));
        assert_eq!((request.method.as_str(), &request.bearer), ("GET", &None));
    }
}

#[test]
fn headless_the_address_the_browser_ended_on_is_pasted() {
    let lab = Lab::new();
    let mut waiting = lab.wait(&[]);
    let at_sign_in = waiting.url.clone();
    waiting.process.stderr_line_containing("paste the address", LIMIT);
    waiting.paste(&lab.person(&at_sign_in).location);
    waiting.process.wait(LIMIT).ok().stdout_is("").stderr_has("me@example.com");
    assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
}

#[test]
fn every_shape_of_a_pasted_session_is_taken() {
    type Shape = fn(&str) -> String;
    let shapes: [(&str, Shape); 7] = [
        ("quotes", |back| format!("  \"{back}\"  ")),
        ("brackets", |back| format!("<{back}>")),
        ("no scheme", |back| back.trim_start_matches("http://").to_owned()),
        ("query", |back| back.split_once('?').unwrap().1.to_owned()),
        ("older name", |back| back.replace("?token=", "?auth=")),
        ("oldest name", |back| back.replace("?token=", "?data=")),
        ("wrapped", |back| format!("{}\r\n   {}", &back[..60], &back[60..])),
    ];
    let lab = Lab::new();
    for (name, shape) in shapes {
        let text = shape(&lab.person(&lab.print_url(&[])).location);
        let output = lab.finish(&text);
        output.check(output.status == Some(0), name).stdout_is("").stderr_lacks("session-");
        assert_eq!(lab.account()["access_token"], lab.instance.newest_session(), "{name}");
    }
    assert_eq!(lab.pending_files().len(), 0);
}

#[test]
fn base64_survives_what_browsers_do_to_it() {
    let lab = Lab::new();
    for (sign, escaped) in [("+", "%2B"), ("+", "%20"), ("/", "%2F"), ("=", "%3D")] {
        let url = lab.print_url(&[]);
        let mut made = None;
        for length in 24..60 {
            lab.instance.world().piece_bytes = length;
            // Bytes that base64 writes with its two signs.
            lab.instance.world().forwarded = jar("x=~~~???>>>~~?");
            let back = lab.person(&url).location;
            let token = back.split_once("token=").unwrap().1;
            if token.contains(sign) {
                made = Some(back.replace(token, &token.replace(sign, escaped)));
                break;
            }
        }
        let output = lab.finish(&made.unwrap_or_else(|| panic!("no {sign} came up")));
        output.check(output.status == Some(0), escaped);
        assert!(lab.account()["access_token"].as_str().unwrap().ends_with("; x=~~~???>>>~~?"));
    }
}

#[test]
fn a_login_is_begun_in_one_process_and_finished_in_another() {
    let lab = Lab::new();
    let begun = lab.login(&["--print-auth-url", "--json"]).run().ok().json();
    let url = begun["auth_url"].as_str().unwrap();
    let redirect_uri = format!("http://localhost:{}/auth", port_of(url));
    assert_eq!(begun["status"], "pending");
    assert_eq!(begun["redirect_uri"], redirect_uri);
    assert_eq!(begun["complete_with"], "keyfob login codemie --callback-url -");
    let back = lab.person(url).location;
    assert!(back.starts_with(&redirect_uri), "{back}");
    let words = ["login", "codemie", "--callback-url", "-", "--json"];
    let done = lab.sandbox.cmd(&words).stdin(back.as_str()).run().ok().json();
    assert_eq!((&done["status"], &done["kind"]), (&json!("ok"), &json!("cookie")));
    assert_eq!((&done["email"], &done["expires_at"]), (&json!("me@example.com"), &Value::Null));
    assert_eq!(done["path"], lab.file().display().to_string());

    let back = lab.person(&lab.print_url(&[])).location;
    lab.sandbox.cmd(&["login", "--callback-url", &back]).run().ok().stdout_is("");
    lab.finish(&back).code(6).stdout_is("").stderr_has("keyfob pending list");
}

#[test]
fn a_waiting_login_ends_when_another_process_finishes_it() {
    let lab = Lab::new();
    let waiting = lab.wait(&[]);
    lab.finish(&lab.person(&waiting.url).location).ok();
    waiting.process.wait(LIMIT).ok().stderr_has("from another terminal").stderr_has("me@example");
}

#[test]
fn two_logins_under_way_are_told_apart_by_their_ports() {
    let lab = Lab::new();
    let other = Instance::new();
    other.world().user = user(&["theirs"], &[]);
    let words = ["login", "codemie", "--print-auth-url", "--url", &other.origin()];
    let there = lab.sandbox.cmd(&words).run().ok().line().to_owned();
    let here = lab.print_url(&[]);
    let back_there = Person::default().sign_in(&there, &other.origin()).location;
    let back_here = lab.person(&here).location;
    let bare = back_here.split_once('?').unwrap().1;
    lab.finish(bare).code(2).stderr_has("several").stderr_has("--login-id");
    assert_eq!(lab.account_files().len(), 0);
    lab.finish(&back_there).ok();
    assert_eq!(lab.sandbox.read_account("codemie", &other.name())["extra"]["project"], "theirs");
    lab.finish(&back_here).ok();
    assert_eq!(lab.account()["extra"]["project"], "alpha");
    for (instance, session) in [(&lab.instance, &back_here), (&other, &back_there)] {
        let own = instance.newest_session();
        assert!(instance.asked().iter().all(|request| request.cookie.as_ref() == Some(&own)));
        assert!(session.contains("/auth?token="));
    }
}

/// A session says nothing of its instance but the port it was sent to: an address of one login in
/// the terminal of another would send the cookies of one host to another.
#[test]
fn a_session_meant_for_another_login_goes_to_no_other_instance() {
    let lab = Lab::new();
    let other = Instance::new();
    let words = ["login", "codemie", "--no-browser", "--url", &other.origin()];
    let mut theirs = Waiting::start(lab.sandbox.cmd(&words));
    let mine = lab.person(&lab.print_url(&[])).location;
    theirs.paste(&mine);
    eventually("a word about it", || theirs.process.stderr().contains("not taken"));
    assert_eq!(other.asked(), [], "nothing was sent there");
    let back = Person::default().sign_in(&theirs.url, &other.origin()).location;
    theirs.paste(&back);
    theirs.process.wait(LIMIT).ok();
    assert!(lab.sandbox.account_file("codemie", &other.name()).exists());

    // The same, finished by another command after the first login is gone.
    lab.sandbox.cmd(&["pending", "cancel", "--all"]).run().ok();
    other.forget_requests();
    lab.sandbox.cmd(&["login", "codemie", "--print-auth-url", "--url", &other.origin()]).run().ok();
    let output = lab.finish(&mine);
    output.check(output.status != Some(0), "a refusal: it was sent to another port");
    assert_eq!(other.asked(), []);
}

#[test]
fn a_session_as_large_as_real_ones_fits() {
    // oauth2-proxy cuts at 4 KB; the tokens of Keycloak fill several such cookies.
    for pieces in [2, 4] {
        let lab = Lab::new();
        lab.instance.world().pieces = pieces;
        lab.instance.world().piece_bytes = 4_000;
        let waiting = lab.wait(&[]);
        let back = lab.person(&waiting.url);
        assert!(back.location.len() > pieces * 5_000);
        assert_eq!(back.follow().status, 200, "{pieces} cookies");
        waiting.process.wait(LIMIT).ok();
        assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
        lab.finish(&lab.person(&lab.print_url(&[])).location).ok();
        let mut waiting = lab.wait(&[]);
        let back = lab.person(&waiting.url).location;
        waiting.paste(&back);
        waiting.process.wait(LIMIT).ok();
        lab.run("refresh", &[]).ok();
        assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
    }
}

/// A terminal hands a line over in its own time, and cuts it at 4095 bytes.
#[test]
fn a_large_session_can_be_pasted_at_a_terminal() {
    let lab = Lab::new();
    {
        let mut world = lab.instance.world();
        (world.pieces, world.piece_bytes) = (2, 3_000);
    }
    let mut process = lab.login(&["--no-browser"]).pty().spawn();
    let url = process.stdout_line_containing("/v1/auth/login/", LIMIT);
    eventually("the prompt", || process.stdout().contains("paste here"));
    let back = lab.person(&url).location;
    assert!(back.len() > 4_096);
    process.write_stdin(format!("{back}\n"));
    eventually("an answer", || {
        lab.file().exists() || process.stdout().contains("not taken") || process.has_ended()
    });
    assert!(lab.file().exists(), "{}", process.stdout());
}

#[test]
fn a_login_that_is_not_verified_asks_nobody_who_it_is() {
    let lab = Lab::new();
    let back = lab.person(&lab.print_url(&["--no-verify"])).location;
    lab.finish(&back).ok();
    assert_eq!(lab.instance.seen("/v1/user"), []);
    assert_eq!(lab.account()["identity"]["email"], Value::Null);
    let any = callback(1, &session(&json!({"a": "b"})));
    lab.finish(&any).code(6);
}

#[test]
fn only_the_person_who_is_expected_is_stored() {
    let lab = Lab::new();
    let back = lab.person(&lab.print_url(&["--expect", "you@example.com"])).location;
    lab.finish(&back).code(1).stderr_has("you@example.com").stderr_lacks("session-");
    assert_eq!(lab.account_files().len(), 0);
    let back = lab.person(&lab.print_url(&["--expect", "ME@example.com"])).location;
    lab.finish(&back).ok();
}
