//! Servers that say secrets back: what we sent must not reach the terminal, whatever the server
//! wraps it in.

use serde_json::{Value, json};

use super::{ME, Watch};
use crate::support::command::Output;
use crate::support::idp::encoding::encode;
use crate::support::idp::{Fault, Times};

/// Ways to say something back, each with a status.
fn echoes(text: &str) -> Vec<Fault> {
    let quoted = json!(text);
    let mut all = Vec::new();
    for status in [400, 401, 403, 500, 200] {
        all.extend([
            Fault::json(status, &json!({"error": "invalid_request", "error_description": quoted})),
            Fault::json(status, &json!({"error": {"code": "bad_thing", "message": quoted}})),
            Fault::json(status, &json!({"error": quoted})),
            Fault::body(status, "text/html", format!("<html>{text}</html>")),
            Fault::body(status, "text/plain", text),
        ]);
    }
    all.push(Fault::json(400, &json!({"error": "invalid_grant", "error_description": quoted})));
    all.push(Fault::json(400, &json!({"code": "bad", "message": quoted})));
    let form = encode(text);
    let form = format!("error=invalid_request&error_description={form}");
    all.push(Fault::body(400, "application/x-www-form-urlencoded", form));
    all.push(Fault::body(200, "application/json", format!("{{\"access_token\":\"{text}")));
    let escaped = text.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>();
    let escaped = format!("{{\"error\":\"invalid_request\",\"error_description\":\"{escaped}\"}}");
    all.push(Fault::body(400, "application/json", escaped));
    all.push(Fault::Redirect(format!("http://127.0.0.1:1/?{}", text.replace(' ', "&"))));
    all.push(Fault::RetryAfter(429, text.replace(' ', "")));
    all
}

/// Runs the command against every echo and searches what it said.
fn against(watch: &Watch, role: &str, secrets: &str, run: impl Fn() -> Output) {
    for fault in echoes(secrets) {
        println!("{role}: {:.120}", format!("{fault:?}"));
        watch.desk.idp.fault(role, fault, Times::Always);
        run().stderr_lacks("panicked");
        watch.desk.idp.clear_faults();
        watch.nothing_leaked();
    }
}

fn text<'a>(account: &'a Value, key: &str) -> &'a str {
    account[key].as_str().expect("a token")
}

#[test]
fn an_exchange_that_is_echoed() {
    let watch = Watch::new();
    for at in 0..echoes("").len() {
        // Alone it is so short that no limit on a text's length hides it.
        for is_alone in [false, true] {
            let url = watch.begin();
            let pending = watch.files_in("pending");
            let verifier = watch.desk.sandbox.read_json(&pending[0]);
            let verifier = text(&verifier, "verifier");
            let callback = watch.approve(&url);
            let (code, state) = (callback.code(), callback.state());
            let all = format!("{code} {verifier} {} {state}", super::CLIENT_SECRET);
            let fault = echoes(if is_alone { &code } else { &all }).swap_remove(at);
            println!("{:.120}", format!("{fault:?}"));
            watch.desk.idp.fault("token_exchange", fault, Times::Once);
            let finish = watch.desk.cmd("login --json --callback-url -");
            let output = watch.run(finish.stdin(callback.location.as_str()));
            output.check(output.status != Some(0), "a failure");
            watch.cmd("pending list");
            watch.cmd("pending cancel --all");
            watch.desk.idp.clear_faults();
            watch.nothing_leaked();
        }
    }
}

#[test]
fn a_refresh_that_is_echoed() {
    let watch = Watch::new();
    watch.sign_in();
    watch.desk.expire();
    let path = watch.desk.sandbox.account_file("mine", ME);
    let bytes = watch.desk.sandbox.read(&path);
    let account = watch.learn_account();
    let token = text(&account, "refresh_token");
    let basic = super::basic();
    let escaped = encode(super::CLIENT_SECRET);
    for said in [
        format!("{token} {}", super::CLIENT_SECRET),
        token.to_owned(),
        format!("token={token}&client_secret={escaped}; Authorization: Basic {basic}."),
    ] {
        against(&watch, "token_refresh", &said, || {
            crate::support::sandbox::write_private(&path, &bytes);
            watch.cmd("refresh mine --json");
            // What a refusal left in the file is shown by these.
            watch.cmd("status --json");
            watch.cmd("status");
            watch.token("token mine")
        });
    }
}

/// The text is cut to a length for people; what is left of a secret is none.
#[test]
fn a_secret_that_is_cut_in_the_middle() {
    let watch = Watch::new();
    watch.sign_in();
    watch.desk.expire();
    let account = watch.learn_account();
    let token = text(&account, "refresh_token");
    for pad in (40..84).step_by(4).chain((240..304).step_by(4)) {
        let said = format!("{}{token}", "x".repeat(pad));
        let spaced = format!("{}{token}", "x ".repeat(pad / 2));
        for fault in [
            json!({"error": "invalid_request", "error_description": said}),
            json!({"error": "invalid_request", "error_description": spaced}),
            json!({"error": said}),
        ] {
            watch.desk.idp.fault("token_refresh", Fault::json(400, &fault), Times::Once);
            watch.token("token mine").code(4);
        }
    }
    watch.nothing_leaked();
}

/// The token still lives: the trouble is told in a warning beside it.
#[test]
fn a_warning_about_a_refresh_repeats_nothing() {
    let watch = Watch::new();
    watch.sign_in();
    let path = watch.desk.sandbox.account_file("mine", ME);
    let mut account = watch.learn_account();
    account["expires_at"] = json!(crate::support::sandbox::in_seconds(30));
    let said = text(&account, "refresh_token").to_owned();
    against(&watch, "token_refresh", &said, || {
        crate::support::sandbox::write_private(&path, &account.to_string());
        watch.token("token mine")
    });
}

#[test]
fn a_question_who_signed_in_that_is_echoed() {
    let watch = Watch::new();
    let account = watch.sign_in();
    let said = text(&account, "access_token").to_owned();
    against(&watch, "userinfo", &said, || watch.cmd("status --check"));
}

#[test]
fn a_revocation_that_is_echoed() {
    let watch = Watch::new();
    watch.sign_in();
    let path = watch.desk.sandbox.account_file("mine", ME);
    let bytes = watch.desk.sandbox.read(&path);
    let account = watch.learn_account();
    let said = format!("{} {}", text(&account, "refresh_token"), super::CLIENT_SECRET);
    against(&watch, "revoke", &said, || {
        crate::support::sandbox::write_private(&path, &bytes);
        watch.cmd("logout mine --json")
    });
}

/// Google's service explains itself in words of its own.
#[test]
fn a_project_lookup_that_is_echoed() {
    use crate::support::browser;
    use crate::support::idp::{Dialect, Idp};
    use crate::support::sandbox::Sandbox;

    let sandbox = Sandbox::new();
    let row = sandbox.cmd(&["provider", "show", "gemini", "--json"]).run().ok().json();
    let row = row["provider"].clone();
    let idp = Idp::start(Dialect::from_row(&row, None));
    sandbox.write_config(&idp.overlay(&json!([row])));
    let marker = "ya29.marker-access-token-0123456789";
    // The service is told a token that is known beforehand.
    let patch = Fault::Patch(json!({"access_token": marker}));
    let reason = json!({"reasonCode": marker, "reasonMessage": format!("no, {marker}"),
        "validationUrl": format!("https://x.example/?token={marker}")});
    for answer in [
        Fault::json(200, &json!({"ineligibleTiers": [reason]})),
        Fault::json(200, &json!({"currentTier": {"id": "x"}, "ineligibleTiers": [reason]})),
        Fault::json(403, &json!({"error": {"message": marker}})),
    ] {
        let begin = ["login", "gemini", "--print-auth-url", "--accept-terms"];
        let url = sandbox.cmd(&begin).run().ok().line().to_owned();
        idp.fault("token_exchange", patch.clone(), Times::Once);
        idp.fault("code_assist_load", answer, Times::Always);
        let code = browser::shown_code(&url);
        let finish = sandbox.cmd(&["login", "gemini", "--auth-code", "-"]).stdin(code);
        let output = finish.env("KEYFOB_LOG", "trace").run();
        output.ok().stderr_has("warning").stderr_lacks("marker");
        idp.clear_faults();
    }
}
