//! Sign-ins that their owners have ended: said first, with the date, and then tried.

use serde_json::Value;

use super::{Seat, built_in_rows};
use crate::support::idp::{Fault, Times};

fn closed_rows() -> Vec<&'static Value> {
    let rows: Vec<_> = built_in_rows().iter().filter(|row| row["closed"].is_object()).collect();
    let ids: Vec<_> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids, ["iflow", "qwen"]);
    rows
}

#[test]
fn a_closed_sign_in_is_said_first_and_then_tried() {
    for row in closed_rows() {
        let seat = Seat::of(row.clone());
        let closed = &seat.row["closed"];
        let since = closed["since"].as_str().expect("a date");
        let note = closed["note"].as_str().expect("a note");
        let begun = seat.cmd("login {} --print-auth-url").run();
        assert!(begun.ok().line().starts_with(seat.idp.origin()), "{}", begun.report());
        let first = begun.stderr.lines().next().unwrap_or_default();
        let is_said = first.starts_with("keyfob: warning: ") && first.contains(since);
        begun.check(is_said && first.contains(note), "the date and the note on the first line");
        seat.cmd("pending cancel --all").run().ok();
        // It works as long as the server goes on.
        let _ = seat.sign_in();
        assert!(seat.takes(seat.cmd("token {}").run().ok().stderr_lacks("closed").line()));
        seat.idp.assert_content();
    }
}

#[test]
fn what_the_server_then_says_comes_after_it() {
    let seat = Seat::named("qwen");
    seat.idp.fault("device_start", Fault::Status(404), Times::Once);
    let output = seat.cmd("login {}").run();
    output.code(1).stdout_is("").stderr_has("404");
    let (said, refused) = (output.stderr.find("2026-04-15"), output.stderr.find("404"));
    output.check(said < refused, "the date before the refusal");
    let json = seat.cmd("login {} --print-auth-url --json").run();
    assert!(json.ok().stderr_has("2026-04-15").json()["user_code"].is_string());
}

#[test]
fn the_table_says_what_is_closed() {
    for row in closed_rows() {
        let seat = Seat::of(row.clone());
        let shown = seat.cmd("provider show {} --json").run().ok().json();
        assert_eq!(shown["provider"]["closed"], row["closed"]);
        let since = row["closed"]["since"].as_str().expect("a date");
        let numbers: Vec<_> = since.split('-').map(|part| part.parse::<u32>().is_ok()).collect();
        assert_eq!((since.len(), numbers), (10, vec![true; 3]), "{since}");
        let shown = seat.cmd("provider show {}").run();
        shown.ok().check(shown.stdout.contains(since), "the date for people too");
    }
    let open = Seat::named("kimi").cmd("provider show kimi --json").run().ok().json();
    assert!(open["provider"].get("closed").is_none());
}
