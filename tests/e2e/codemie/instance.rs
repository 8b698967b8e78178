//! Which instance: one address however it is typed, remembered, or asked for.

use serde_json::json;

use super::{Lab, port_of};
use crate::login::demo::{LIMIT, Waiting};
use crate::support::codemie::{Instance, Person};

#[test]
fn every_spelling_of_the_address_is_the_same_account() {
    let lab = Lab::new();
    let (origin, name) = (lab.instance.origin(), lab.instance.name());
    for typed in [
        origin.clone(),
        format!("{origin}/"),
        format!("{origin}//"),
        origin.replace("http://", "HTTP://"),
        format!("{origin}/code-assistant-api"),
        format!("{origin}/code-assistant-api/"),
        format!("{origin}/Code-Assistant-API/v1/user?x=1#top"),
        format!("  {origin}/code-assistant-api/v1/auth/login/1234  "),
    ] {
        let words = ["login", "codemie", "--print-auth-url", "--url", &typed];
        let url = lab.sandbox.cmd(&words).run().ok().line().to_owned();
        let login_path = format!("/code-assistant-api/v1/auth/login/{}", port_of(&url));
        assert_eq!(url, format!("{origin}{login_path}"), "{typed}");
        lab.finish(&lab.person(&url).location).ok();
        assert_eq!(lab.account_files(), [lab.file()], "{typed}");
        assert_eq!(lab.account()["extra"]["instance"], origin, "{typed}");
        assert_eq!(lab.account()["account"], name, "{typed}");
    }
}

#[test]
fn the_case_of_a_host_name_makes_no_other_account() {
    let lab = Lab::new();
    let port = lab.instance.port();
    for typed in ["localhost", "LocalHost", "LOCALHOST"] {
        let address = format!("http://{typed}:{port}");
        let words = ["login", "codemie", "--print-auth-url", "--url", &address];
        let url = lab.sandbox.cmd(&words).run().ok().line().to_owned();
        assert!(url.starts_with(&format!("http://localhost:{port}/")), "{url}");
        lab.finish(&lab.person(&url).location).ok();
    }
    let account = lab.sandbox.read_account("codemie", &format!("localhost:{port}"));
    assert_eq!(account["extra"]["instance"], format!("http://localhost:{port}"));
    assert_eq!(lab.account_files().len(), 1);
}

#[test]
fn an_instance_below_a_path_keeps_it() {
    let lab = Lab::new();
    let url = format!("{}/tenant/code-assistant-api/v1", lab.instance.origin());
    let words = ["login", "codemie", "--print-auth-url", "--url", &url];
    let shown = lab.sandbox.cmd(&words).run().ok().line().to_owned();
    let start = format!("{}/tenant/code-assistant-api/v1/auth/login/", lab.instance.origin());
    assert!(shown.starts_with(&start), "{shown}");
}

#[test]
fn an_address_that_no_cookie_may_go_to_is_refused() {
    let lab = Lab::new();
    for typed in [
        "http://codemie.example",
        "ftp://codemie.example",
        "https://me:secret-word@codemie.example",
        "https://",
        "",
        "https://codemie.example\r\nX: y",
    ] {
        let words = ["login", "codemie", "--print-auth-url", "--url", typed];
        let output = lab.sandbox.cmd(&words).run();
        output.check(matches!(output.status, Some(1 | 2)), typed).stdout_is("");
        output.stderr_lacks("secret-word");
    }
    assert_eq!(lab.pending_files().len(), 0);
}

#[test]
fn without_an_address_nothing_is_guessed() {
    let lab = Lab::new();
    let output = lab.sandbox.cmd(&["login", "codemie", "--no-browser"]).run();
    output.code(2).stdout_is("").stderr_has("keyfob login codemie --url URL");
    let output = lab.sandbox.cmd(&["login", "codemie", "--print-auth-url"]).run();
    output.code(2).stdout_is("").stderr_has("--url URL");
    let mut process = lab.sandbox.cmd(&["login", "codemie", "--no-browser"]).pty().spawn();
    process.write_stdin(format!("{}\n", lab.instance.origin()));
    let url = process.stdout_line_containing("/v1/auth/login/", LIMIT);
    lab.person(&url).follow();
    process.wait(LIMIT).ok();
    assert!(lab.file().exists());
}

#[test]
fn the_variable_names_the_instance_and_a_flag_goes_before_it() {
    let lab = Lab::new();
    let url = |command: crate::support::command::Cmd| command.run().ok().line().to_owned();
    let words = ["login", "codemie", "--print-auth-url"];
    let there = url(lab.sandbox.cmd(&words).env("CODEMIE_URL", &lab.instance.origin()));
    assert!(there.starts_with(&lab.instance.origin()), "{there}");
    let flagged = lab.print_url(&[]);
    assert!(flagged.starts_with(&lab.instance.origin()));
    let command = lab.login(&["--print-auth-url"]).env("CODEMIE_URL", "https://other.example");
    assert!(url(command).starts_with(&lab.instance.origin()));
}

#[test]
fn the_next_login_knows_where_the_account_is() {
    let lab = Lab::signed_in();
    for account in ["codemie".to_owned(), lab.id()] {
        let words = ["login", &account, "--no-browser"];
        let waiting = Waiting::start(lab.sandbox.cmd(&words));
        assert!(waiting.url.starts_with(&lab.instance.origin()), "{}", waiting.url);
        lab.person(&waiting.url).follow();
        waiting.process.wait(LIMIT).ok();
        assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
    }
}

#[test]
fn an_account_may_have_a_name_of_its_own() {
    let lab = Lab::new();
    let url = format!("{}/code-assistant-api", lab.instance.origin());
    let words = ["login", "codemie/work", "--print-auth-url", "--url", &url];
    let shown = lab.sandbox.cmd(&words).run().ok().line().to_owned();
    lab.finish(&lab.person(&shown).location).ok();
    let account = lab.sandbox.read_account("codemie", "work");
    assert_eq!(account["extra"]["instance"], lab.instance.origin());
    let again = ["login", "codemie/work", "--print-auth-url"];
    let shown = lab.sandbox.cmd(&again).run().ok().line().to_owned();
    assert!(shown.starts_with(&lab.instance.origin()), "{shown}");
}

#[test]
fn two_instances_are_two_accounts_and_their_cookies_stay_apart() {
    let lab = Lab::signed_in();
    let other = Instance::new();
    lab.sign_in_to(&other);
    assert_eq!(lab.account_files().len(), 2);
    let there = format!("codemie/{}", other.name());
    for instance in [&lab.instance, &other] {
        instance.world().rotate = Some("Max-Age=60".to_owned());
        instance.forget_requests();
    }
    let (mine, theirs) = (lab.instance.newest_session(), other.newest_session());
    lab.sandbox.cmd(&["refresh", &there]).run().ok();
    assert_eq!(lab.instance.asked(), []);
    assert_eq!(other.asked().len(), 1);
    assert_eq!(other.asked()[0].cookie.as_ref(), Some(&theirs));
    lab.sandbox.cmd(&["refresh", &lab.id()]).run().ok();
    assert_eq!(lab.instance.asked()[0].cookie.as_ref(), Some(&mine));
    assert_ne!(mine, theirs);
    let token = lab.sandbox.cmd(&["token", &there]).run();
    token.ok().stdout_is(&format!("{}\n", other.newest_session()));
}

#[test]
fn another_person_at_the_same_instance_needs_a_word_first() {
    let lab = Lab::signed_in();
    let mut you = crate::support::codemie::user(&["beta"], &[]);
    (you["user_id"], you["email"]) = (json!("user-2"), json!("you@example.com"));
    you["username"] = json!("you@example.com");
    lab.instance.world().user = you;
    let before = lab.account();
    let back = Person::default().sign_in(&lab.print_url(&[]), &lab.instance.origin()).location;
    lab.finish(&back).code(1).stderr_has("you@example.com").stderr_has("--replace");
    assert_eq!(lab.account(), before);
    let back = lab.person(&lab.print_url(&["--replace"])).location;
    lab.finish(&back).ok();
    assert_eq!(lab.account()["identity"]["email"], "you@example.com");
}

/// Nobody ever signed in there, so the address has to be part of the command.
#[test]
fn a_login_nobody_finished_names_a_command_that_works() {
    let lab = Lab::new();
    let output = lab.login(&["--no-browser", "--wait", "1"]).run();
    output.code(6).stdout_is("");
    let mut next = super::next_command(&output);
    next.push("--print-auth-url".to_owned());
    let next: Vec<_> = next.iter().map(String::as_str).collect();
    let again = lab.sandbox.cmd(&next).run();
    again.ok();
    assert!(again.line().starts_with(&lab.instance.origin()));
}
