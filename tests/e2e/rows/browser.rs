//! The standard set of the rows with a sign-in in the browser.

use super::{EMAIL, LIMIT, fixed_ports, names, over_every_browser_row, sorted};
use crate::support::browser;
use crate::support::idp::encoding::params;
use crate::support::idp::{Fault, Times};

#[test]
fn a_login_in_two_steps() {
    over_every_browser_row(|seat| {
        let began = seat.cmd("login {} --print-auth-url --accept-terms").run();
        let url = began.ok().line();
        assert_eq!(seat.idp.count("authorize"), 0, "nobody opened it yet");
        assert!(url.starts_with(&seat.idp.url(&seat.idp.dialect().authorize_path)), "{url}");
        let wanted = ["response_type", "client_id", "redirect_uri", "state"];
        let wanted = wanted.iter().chain(&["code_challenge", "code_challenge_method"]);
        let has_scopes = seat.row["scopes"].as_array().is_some_and(|all| !all.is_empty());
        let wanted = wanted.chain(has_scopes.then_some(&"scope"));
        let wanted = wanted.chain(seat.idp.dialect().redirect_param.then_some(&"redirect"));
        let own = seat.row["authorize_params"].as_object().cloned().unwrap_or_default();
        let wanted = sorted(wanted.map(|name| (*name).to_owned()).chain(own.keys().cloned()));
        let query = params(url.split_once('?').expect("a query").1).expect("well escaped");
        assert_eq!(sorted(query.0.into_iter().map(|(name, _)| name)), wanted, "{url}");

        let finished = seat.finishing(url).run();
        finished.ok().stdout_is("").stderr_has(EMAIL).stderr_lacks("warning");
        let mut wanted = vec!["grant_type", "code", "redirect_uri", "code_verifier"];
        if seat.idp.dialect().state_in_token_request {
            wanted.push("state");
        }
        let exchange = seat.only("token_exchange");
        assert_eq!(names(&exchange), seat.with_client(&wanted));
        assert_eq!(exchange.header("accept"), Some("application/json"));
        let auth = seat.row["client_auth"].as_str().unwrap_or_default();
        let has_basic = ["basic", "post_and_basic"].contains(&auth);
        assert_eq!(exchange.header("authorization").is_some(), has_basic);
        let second = usize::from(seat.has_second_token());
        let is_one = seat.row["api_token"]["url"] == seat.row["userinfo_url"];
        let asked_who = usize::from(seat.has("userinfo_url"));
        let at_one_address = if is_one { asked_who } else { 0 };
        assert_eq!(seat.idp.count("userinfo"), asked_who - at_one_address);
        assert_eq!(seat.idp.count("api_token"), second + at_one_address);
        let has_projects = seat.row["code_assist"].is_object();
        assert_eq!(seat.idp.count("code_assist_load"), usize::from(has_projects));

        let account = seat.account();
        assert_eq!(account["identity"]["email"], EMAIL);
        assert_eq!(account["kind"], "oauth");
        assert_eq!(account["extra"].get("project_id").is_some(), has_projects);
        let token = seat.cmd("token {}").run();
        assert_eq!(*seat.handed_out(&account), token.ok().line());
        assert!(seat.takes(token.line()));
        let first = seat.cmd("token {} --base").run();
        assert_eq!(account["access_token"], first.ok().line());
        assert!(seat.idp.accepts_access(first.line()));
    });
}

#[test]
fn a_login_that_waits_for_the_loopback_callback() {
    over_every_browser_row(|seat| {
        let ports = seat.row["redirect"]["ports"].as_array().cloned().unwrap_or_default();
        let _one_at_a_time = (!ports.is_empty()).then(fixed_ports);
        let mut login = seat.cmd("login {} --accept-terms").env("BROWSER", "true").spawn();
        let url = login.auth_url();
        let callback = browser::approve(&url);
        let path = seat.row["redirect"]["path"].as_str().unwrap_or_default();
        let host = seat.row["redirect"]["host"].as_str().unwrap_or_default();
        assert!(callback.location.starts_with(&format!("http://{host}:")), "{callback:?}");
        assert!(callback.location.contains(&format!("{path}?")) || path.is_empty());
        // A program of somebody else may sit on a registered port.
        if login.stderr().contains("no port is free") {
            login.write_stdin(format!("{}\n", callback.location));
        } else {
            let page = callback.follow();
            assert_eq!(page.status, 200, "{page:#?}\n{}", login.stderr());
        }
        login.wait(LIMIT).ok().stdout_is("").stderr_has(EMAIL);
        assert_eq!(seat.account()["identity"]["email"], EMAIL);
        assert_eq!(seat.idp.count("token_exchange"), 1);
    });
}

#[test]
fn a_login_that_waits_for_the_code_of_the_providers_own_page() {
    over_every_browser_row(|seat| {
        if seat.shows().is_none() {
            return;
        }
        let mut login = seat.cmd("login {} --accept-terms --no-browser").spawn();
        let code = browser::shown_code(&login.auth_url());
        login.write_stdin(format!("{code}\n"));
        login.wait(LIMIT).ok().stdout_is("").stderr_has(EMAIL);
        assert_eq!(seat.only("token_exchange").param("code").as_deref(), code.split('#').next());
    });
}

#[test]
fn a_refused_code_ends_the_login() {
    over_every_browser_row(|seat| {
        seat.idp.fault("token_exchange", Fault::oauth_error("invalid_grant", 400), Times::Once);
        let url = seat.begin();
        seat.finishing(&url).run().code(1).stdout_is("").stderr_has("invalid_grant");
        assert!(!seat.sandbox.account_file(seat.id(), EMAIL).exists());
        let pending = seat.sandbox.files(&seat.sandbox.home().join("pending"));
        assert!(pending.is_empty(), "{pending:?}");
    });
}

#[test]
fn a_login_put_off_by_the_server_is_finished_later() {
    over_every_browser_row(|seat| {
        let url = seat.begin();
        seat.idp.fault("token_exchange", Fault::Status(503), Times::Once);
        let finishing = seat.finishing(&url);
        finishing.clone().run().code(3).stdout_is("");
        assert!(!seat.sandbox.account_file(seat.id(), EMAIL).exists());
        finishing.run().ok();
        assert_eq!(seat.account()["identity"]["email"], EMAIL);
    });
}

#[test]
fn the_terms_note_needs_a_yes_once() {
    over_every_browser_row(|seat| {
        if seat.row["terms"].is_null() {
            seat.cmd("login {} --print-auth-url").run().ok();
            return;
        }
        let asked = seat.cmd("login {} --print-auth-url --json").run();
        asked.code(2).stdout_is("");
        for text in ["note", "url"] {
            asked.stderr_has(seat.row["terms"][text].as_str().expect("a text"));
        }
        asked.stderr_has(seat.row["terms"]["permitted"][0].as_str().expect("a way in"));
        assert_eq!(asked.error_json()["code"], "prompt_needed");
        let wanted = format!("keyfob login {} --accept-terms", seat.id());
        assert_eq!(asked.error_json()["try"], wanted);
        assert!(!seat.sandbox.home().join("pending").exists(), "nothing was begun");

        seat.cmd("login {} --print-auth-url --accept-terms").run().ok();
        let again = seat.cmd("login {} --print-auth-url").run();
        again.ok().stderr_lacks(seat.row["terms"]["note"].as_str().expect("a note"));
    });
}
