//! Tokens that ran out, over every row with a sign-in: renewed, refused for good, put off. Copilot's
//! first token has no end and no successor; what becomes of the second one stands in `second_token`.

use serde_json::{Value, json};

use super::{Seat, names, over_every_sign_in_row};
use crate::support::idp::{Fault, Times};

fn over_every_renewing_row(test: impl Fn(&Seat)) {
    let seen = std::cell::Cell::new(0);
    over_every_sign_in_row(|seat| {
        if seat.idp.dialect().refresh_tokens {
            test(seat);
            seen.set(seen.get() + 1);
        } else {
            assert_eq!(seat.id(), "copilot", "the only one without refresh tokens");
        }
    });
    assert!(seen.get() >= 9, "{}", seen.get());
}

/// The facts without the second token, which is another one each time.
fn lasting(account: &Value) -> Value {
    let mut extra = account["extra"].clone();
    let facts = extra.as_object_mut().expect("an object");
    facts.retain(|name, _| !name.starts_with("api_token"));
    extra
}

#[test]
fn an_expired_token_is_renewed() {
    over_every_renewing_row(|seat| {
        seat.sign_in();
        let before = seat.account();
        seat.expire();
        let token = seat.cmd("token {}").run();
        let token = token.ok().stderr_lacks("warning").line();
        let after = seat.account();
        assert_eq!(*seat.handed_out(&after), token);
        assert_ne!(*seat.handed_out(&before), token);
        assert_ne!(before["access_token"], after["access_token"]);
        assert!(seat.takes(token));
        let first = after["access_token"].as_str().expect("a token");
        assert!(seat.idp.accepts_access(first));
        let refresh = seat.only("token_refresh");
        assert_eq!(names(&refresh), seat.with_client(&["grant_type", "refresh_token"]));
        assert_eq!(refresh.param("refresh_token").as_deref(), before["refresh_token"].as_str());
        let has_rotated = before["refresh_token"] != after["refresh_token"];
        assert_eq!(has_rotated, seat.idp.dialect().rotates);
        for kept in ["identity", "scopes", "created_at", "client_id", "issued_by"] {
            assert_eq!(before[kept], after[kept], "{kept}");
        }
        assert_eq!(lasting(&before), lasting(&after));
        assert_eq!(seat.cmd("token {}").run().ok().line(), token);
        assert_eq!(seat.idp.count("token_refresh"), 1, "a fresh token costs no request");
    });
}

#[test]
fn a_refused_refresh_asks_for_a_sign_in_and_is_not_repeated() {
    over_every_renewing_row(|seat| {
        let mut faults = vec![Fault::oauth_error("invalid_grant", 400)];
        for code in seat.row["refusals"].as_array().cloned().unwrap_or_default() {
            let message = "no longer good";
            let named = json!({"error": {"code": code, "message": message, "type": "invalid"}});
            let typed = json!({"type": "error", "error": {"type": code, "message": message}});
            faults.extend([Fault::json(400, &named), Fault::json(404, &typed)]);
        }
        if seat.row["refresh_401_is_final"] == true {
            faults.extend([Fault::Html(401), Fault::body(401, "text/plain", "")]);
            faults.push(Fault::json(401, &json!({"error": {"code": "something_new"}})));
        }
        for fault in faults {
            println!("  {fault:?}");
            seat.sit_down(-10);
            let before = seat.account();
            seat.idp.reset_records();
            seat.idp.fault("token_refresh", fault, Times::Always);
            for _ in 0..2 {
                let token = seat.cmd("token {} --json").run();
                token.code(4).stdout_is("");
                assert_eq!(token.error_json()["code"], "sign_in_needed");
                let wanted = format!("keyfob login {}/me@example.com", seat.id());
                assert_eq!(token.error_json()["try"], wanted);
            }
            assert_eq!(seat.idp.count("token_refresh"), 1, "a definite no is asked for once");
            for kept in ["access_token", "refresh_token", "expires_at"] {
                assert_eq!(seat.account()[kept], before[kept], "{kept}");
            }
            seat.idp.clear_faults();
        }
    });
}

#[test]
fn a_refresh_put_off_by_the_server_is_tried_again() {
    over_every_renewing_row(|seat| {
        seat.sit_down(-10);
        let bytes = seat.sandbox.read(&seat.sandbox.account_file(seat.id(), "me@example.com"));
        for fault in
            [Fault::Status(503), Fault::RetryAfter(429, "7".into()), Fault::Html(502), Fault::Drop]
        {
            println!("  {fault:?}");
            seat.idp.fault("token_refresh", fault, Times::Once);
            seat.cmd("token {}").run().code(3).stdout_is("");
            let path = seat.sandbox.account_file(seat.id(), "me@example.com");
            assert_eq!(seat.sandbox.read(&path), bytes, "the file stays as it is");
        }
        seat.cmd("token {}").run().ok();
    });
}

/// A login after a refusal makes the account whole again.
#[test]
fn a_new_login_follows_a_refusal() {
    let seat = Seat::named("openai");
    seat.sit_down(-10);
    seat.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Once);
    seat.cmd("token {}").run().code(4);
    seat.sign_in();
    assert!(seat.account().get("refused").is_none_or(serde_json::Value::is_null));
    seat.expire();
    seat.cmd("token {}").run().ok();
    seat.idp.assert_content();
}
