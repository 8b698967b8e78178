//! What else arrives at the callback port, and must not end the wait.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::demo::{Demo, LIMIT, Waiting};
use crate::support::browser;
use crate::support::idp::{Fault, Times};

/// The status of the answer to these bytes.
#[track_caller]
fn status(waiting: &Waiting, bytes: &[u8]) -> String {
    let mut stream = open(waiting, bytes);
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line).trim_start_matches("HTTP/1.1 ").to_string()
}

/// A connection that sent this and stays open.
fn open(waiting: &Waiting, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = browser::connect(&waiting.authority()).unwrap();
    stream.write_all(bytes.as_ref()).unwrap();
    stream
}

#[test]
fn requests_that_are_no_callback_are_answered_and_the_wait_goes_on() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let query = waiting.approve().query().to_string();
    let ask = |head: &str| {
        status(&waiting, format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    };
    assert_eq!(ask("GET /favicon.ico HTTP/1.1"), "404");
    assert_eq!(ask(&format!("GET /?{query} HTTP/1.1")), "404");
    assert_eq!(ask(&format!("GET /other?{query} HTTP/1.1")), "404");
    assert_eq!(ask(&format!("HEAD /callback?{query} HTTP/1.1")), "405");
    assert_eq!(ask("HEAD /favicon.ico HTTP/1.1"), "404");
    assert_eq!(ask(&format!("POST /callback?{query} HTTP/1.1\r\nContent-Length: 0")), "405");
    assert_eq!(ask(&format!("OPTIONS /callback?{query} HTTP/1.1")), "405");
    let long = "x".repeat(100 * 1024);
    assert_eq!(ask(&format!("GET /callback?{query}&x={long} HTTP/1.1")), "414");
    let small = "POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd";
    assert_eq!(status(&waiting, small.as_bytes()), "405");
    assert_eq!(demo.idp.count("token_exchange"), 0, "none of these was the callback");
    waiting.sign_in().ok();
    demo.idp.assert_content();
}

#[test]
fn garbage_on_the_port_does_not_end_the_wait() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let no_target = format!("GET {} HTTP/1.1\r\n\r\n", "/".repeat(9));
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"\r\n\r\n", b"GET\r\n\r\n", b"\0\0\0\0\n\n"]
    {
        drop(open(&waiting, bytes));
    }
    assert_eq!(status(&waiting, no_target.as_bytes()), "404");
    waiting.sign_in().ok();
}

#[test]
fn a_body_announced_too_large_for_memory_is_refused_and_survived() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    for method in ["POST", "GET", "PUT"] {
        let head = format!("{method} /callback HTTP/1.1\r\nContent-Length: 100000000000\r\n\r\nx");
        assert_eq!(status(&waiting, head.as_bytes()), "413", "{method}");
    }
    waiting.sign_in().ok();
}

#[test]
fn a_huge_body_announced_during_the_exchange_does_not_lose_the_login() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let callback = waiting.approve();
    demo.idp.fault("token_exchange", Fault::Delay(600), Times::Once);
    let browser = std::thread::spawn(move || callback.follow());
    demo.idp.wait_for("token_exchange", 1);
    let head = "POST /callback HTTP/1.1\r\nContent-Length: 100000000000\r\n\r\nx";
    let streams: Vec<_> = (0..3).map(|_| open(&waiting, head)).collect();
    assert_eq!(browser.join().unwrap().status, 200);
    waiting.process.wait(LIMIT).ok();
    drop(streams);
    assert_eq!(demo.account_files().len(), 1);
}

#[test]
fn silent_slow_and_half_open_connections_do_not_block_the_callback() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let silent: Vec<_> = (0..50).map(|_| open(&waiting, "")).collect();
    let slow: Vec<_> =
        (0..10).map(|_| open(&waiting, "GET /callback?code=x HTTP/1.1\r\nHo")).collect();
    let bodies: Vec<_> = (0..10)
        .map(|_| open(&waiting, "POST /callback HTTP/1.1\r\nContent-Length: 500\r\n\r\nabc"))
        .collect();
    let deaf = open(&waiting, "GET /favicon.ico HTTP/1.1\r\nConnection: keep-alive\r\n\r\n");
    let start = Instant::now();
    waiting.sign_in().ok();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop((silent, slow, bodies, deaf));
    demo.idp.assert_content();
}

#[test]
fn a_body_that_is_announced_and_never_sent_does_not_block_the_wait() {
    let demo = Demo::new();
    let heads = [
        "POST /callback HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        "POST /callback HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "GET /callback HTTP/1.1\r\nConnection: upgrade\r\nContent-Length: 10\r\n\r\n",
        "GET /favicon.ico HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ];
    for head in heads {
        let waiting = demo.wait(&["--wait", "3"]);
        let callback = waiting.approve();
        let stream = open(&waiting, head);
        // Sent and not read: a process that hangs would keep this test for long.
        let browser =
            open(&waiting, format!("GET /callback?{} HTTP/1.1\r\n\r\n", callback.query()));
        let output = waiting.process.wait(Duration::from_secs(10));
        output.check(output.status == Some(0), head);
        drop((stream, browser));
    }
}

#[test]
fn a_second_visit_to_the_callback_spends_nothing() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let callback = waiting.approve();
    demo.idp.fault("token_exchange", Fault::Delay(300), Times::Once);
    let (first, reload) = (callback.clone(), callback);
    let first = std::thread::spawn(move || first.follow());
    demo.idp.wait_for("token_exchange", 1);
    // What a reload shows is of no interest, nor that it may come too late.
    let _ = browser::request("GET", &reload.location, &[], "");
    assert_eq!(first.join().unwrap().status, 200);
    waiting.process.wait(LIMIT).ok();
    assert_eq!(demo.idp.count("token_exchange"), 1);
    demo.idp.assert_content();
}
