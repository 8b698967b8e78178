//! Signing out, over every row with a sign-in.

use serde_json::{Value, json};

use super::{EMAIL, names, over_every_sign_in_row};

#[test]
fn a_logout_revokes_where_it_can_and_says_where_it_cannot() {
    over_every_sign_in_row(|seat| {
        seat.sit_down(3600);
        let refresh_token = seat.account()["refresh_token"].clone();
        let refresh_token = refresh_token.as_str().expect("a token");
        let logout = seat.cmd("logout {} --json").run();
        let removed = logout.ok().json()["removed"][0].clone();
        assert!(!seat.sandbox.account_file(seat.id(), EMAIL).exists());
        if seat.has("revoke_url") {
            assert_eq!((&removed["revoked"], &removed["warning"]), (&json!(true), &Value::Null));
            let revoke = seat.only("revoke");
            assert_eq!(names(&revoke), seat.with_client(&["token", "token_type_hint"]));
            assert_eq!(revoke.param("token").as_deref(), Some(refresh_token));
            assert!(!seat.idp.accepts_refresh(refresh_token));
        } else {
            assert_eq!(removed["revoked"], Value::Null);
            let page = seat.row["revoke_page"].as_str().unwrap_or("no revocation endpoint");
            logout.stderr_has("warning").stderr_has(page);
            assert!(removed["warning"].as_str().is_some_and(|text| text.contains(page)));
            assert!(seat.idp.accepts_refresh(refresh_token));
        }
    });
}
