//! A login under way: listed, cancelled, finished once, at a port of one's own.

use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use super::{Lab, port_of};
use crate::login::demo::{LIMIT, Waiting, free_port};
use crate::support::sandbox::in_seconds;

#[test]
fn it_is_listed_without_a_secret_and_can_be_cancelled() {
    let lab = Lab::new();
    let waiting = lab.wait(&[]);
    let listed = lab.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
    let row = &listed["pending"][0];
    assert_eq!((&row["provider"], &row["account"]), (&json!("codemie"), &Value::Null));
    assert_eq!((&row["kind"], &row["auth_url"]), (&json!("browser"), &json!(waiting.url)));
    let back = lab.person(&waiting.url);
    lab.sandbox.cmd(&["pending", "cancel", "--all"]).run().ok();
    waiting.process.wait(LIMIT).code(1).stderr_has("cancelled");
    lab.finish(&back.location).code(6);
    assert_eq!((lab.instance.asked(), lab.account_files().len()), (vec![], 0));
}

#[test]
fn one_of_many_finishes_it() {
    let lab = Lab::new();
    let back = lab.person(&lab.print_url(&[])).location;
    let mut codes = thread::scope(|scope| {
        let all: Vec<_> = (0..5).map(|_| scope.spawn(|| lab.finish(&back))).collect();
        all.into_iter().map(|one| one.join().unwrap().status).collect::<Vec<_>>()
    });
    codes.sort();
    assert_eq!(codes, [0, 6, 6, 6, 6].map(Some));
    assert_eq!(lab.instance.seen("/v1/user").len(), 1);
    assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
}

#[test]
fn it_expires() {
    let lab = Lab::new();
    let back = lab.person(&lab.print_url(&[])).location;
    let file = &lab.pending_files()[0];
    let mut pending = lab.sandbox.read_json(file);
    pending["expires_at"] = json!(in_seconds(-5));
    crate::support::sandbox::write_private(file, &pending.to_string());
    lab.finish(&back).code(6).stdout_is("").stderr_has("expired");
    assert_eq!(lab.instance.asked(), []);
}

#[test]
fn the_port_may_be_chosen() {
    let lab = Lab::new();
    let port = free_port();
    let flag = ["--callback-port", &port.to_string()];
    assert_eq!(port_of(&lab.print_url(&flag)), port);
    let waiting = lab.wait(&flag);
    assert_eq!(port_of(&waiting.url), port);
    assert_eq!(lab.person(&waiting.url).follow().status, 200);
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn a_busy_port_leaves_the_paste() {
    let lab = Lab::new();
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut waiting = lab.wait(&["--callback-port", &port.to_string()]);
    waiting.process.stderr_line_containing(&format!("port {port}"), LIMIT);
    let back = lab.person(&waiting.url).location;
    waiting.paste(&back);
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn the_row_it_began_with_is_the_one_it_ends_with() {
    let lab = Lab::new();
    let other = crate::support::codemie::Instance::new();
    let back = lab.person(&lab.print_url(&[])).location;
    let elsewhere = format!("{}/code-assistant-api/v1/user", other.origin());
    let row = json!({"userinfo_url": elsewhere, "instance": {"row": {"userinfo_url": elsewhere}}});
    lab.sandbox.write_config(&json!({"providers": {"codemie": row}}));
    lab.finish(&back).ok();
    assert_eq!(other.connections(), 0);
    lab.run("refresh", &[]);
    assert_eq!(other.connections(), 0, "cookies go to no other host");
}

#[test]
fn the_browser_is_opened_where_there_is_one() {
    let lab = Lab::new();
    let opened = lab.sandbox.work().join("opened");
    let script = lab.sandbox.work().join("browser");
    let text = format!("#!/bin/sh\nprintf '%s' \"$1\" > {}\n", opened.display());
    std::fs::write(&script, text).unwrap();
    crate::support::sandbox::set_mode(&script, 0o700);
    let command = lab.login(&[]).env("BROWSER", &script.display().to_string());
    let waiting = Waiting::start(command);
    crate::login::demo::eventually("the browser", || opened.exists());
    lab.person(&waiting.url).follow();
    waiting.process.wait(LIMIT).ok();
    assert_eq!(lab.sandbox.read(&opened), waiting.url);
}
