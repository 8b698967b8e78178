//! Where the callback is listened for, and what happens when that place is taken.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use serde_json::json;

use super::demo::{Demo, LIMIT, free_port, has_ipv6, param, port_of};

#[test]
fn a_registered_port_is_taken_as_it_is() {
    let port = free_port();
    let demo = Demo::with_redirect(&json!({"host": "localhost", "path": "/cb", "ports": [port]}));
    let waiting = demo.wait(&[]);
    let uri = param(&waiting.url, "redirect_uri").unwrap();
    assert_eq!(uri, format!("http://localhost:{port}/cb"));
    waiting.sign_in().ok().stderr_lacks("cannot listen");
    demo.idp.assert_content();
}

#[test]
fn when_the_first_registered_port_is_taken_the_second_is_used_and_that_is_said() {
    let (first, second) = (free_port(), free_port());
    let demo = Demo::with_redirect(&json!({"host": "localhost", "ports": [first, second]}));
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
    let waiting = demo.wait(&[]);
    assert_eq!(waiting.port(), second);
    waiting.sign_in().ok().stderr_has(&format!("port {first}"));
    demo.idp.assert_content();
}

#[test]
fn a_port_taken_on_the_other_loopback_address_counts_as_taken() {
    if !has_ipv6() {
        return;
    }
    let (first, second) = (free_port(), free_port());
    let demo = Demo::with_redirect(&json!({"host": "localhost", "ports": [first, second]}));
    let _taken = TcpListener::bind((Ipv6Addr::LOCALHOST, first)).unwrap();
    let waiting = demo.wait(&[]);
    assert_eq!(waiting.port(), second, "or another program gets the code");
    waiting.sign_in().ok();
}

#[test]
fn when_every_registered_port_is_taken_the_callback_is_pasted() {
    let (first, second) = (free_port(), free_port());
    let demo = Demo::with_redirect(&json!({"ports": [first, second]}));
    let _taken =
        [first, second].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    let mut waiting = demo.wait(&[]);
    assert_eq!(waiting.port(), first);
    let callback = waiting.approve();
    waiting.paste(&callback.location);
    let output = waiting.process.wait(LIMIT);
    output.ok().stdout_is("").stderr_has(&format!("port {first}"));
    output.stderr_has(&format!("port {second}")).stderr_has("past").stderr_lacks("ssh ");
    demo.idp.assert_content();
}

#[test]
fn with_every_port_taken_another_process_can_still_finish_the_login() {
    let port = free_port();
    let demo = Demo::with_redirect(&json!({"ports": [port]}));
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let waiting = demo.wait(&["--no-input"]);
    demo.finish(&waiting.approve().location).ok();
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn the_port_asked_for_is_the_one_used() {
    let (registered, asked) = (free_port(), free_port());
    let demo = Demo::with_redirect(&json!({"ports": [registered]}));
    let waiting = demo.wait(&["--callback-port", &asked.to_string()]);
    assert_eq!(waiting.port(), asked);
    waiting.sign_in().ok();
    demo.idp.assert_content();
}

#[test]
fn when_the_port_asked_for_is_taken_that_is_said_and_the_callback_is_pasted() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let demo = Demo::new();
    let mut waiting = demo.wait(&["--callback-port", &port.to_string()]);
    assert_eq!(waiting.port(), port);
    let callback = waiting.approve();
    waiting.paste(&callback.location);
    waiting.process.wait(LIMIT).ok().stderr_has(&format!("port {port}")).stderr_has("past");
    demo.idp.assert_content();
}

#[test]
fn listening_for_everyone_is_warned_of_and_keeps_the_loopback_redirect() {
    let port = free_port();
    let demo = Demo::new();
    let arguments = ["--callback-host", "0.0.0.0", "--callback-port", &port.to_string()];
    let waiting = demo.wait(&arguments);
    let uri = param(&waiting.url, "redirect_uri").unwrap();
    assert_eq!(uri, format!("http://127.0.0.1:{port}/callback"));
    // Loopback has more addresses than the one that is bound by default.
    assert!(TcpStream::connect(("127.0.0.2", port)).is_ok());
    waiting.sign_in().ok().stdout_is("").stderr_has("listening on 0.0.0.0");
    demo.idp.assert_content();
}

#[test]
fn a_loopback_callback_host_needs_no_warning() {
    let demo = Demo::new();
    let waiting = demo.wait(&["--callback-host", "127.0.0.1"]);
    waiting.sign_in().ok().stderr_lacks("listening on");
}

#[test]
fn a_host_that_is_not_here_is_said_aloud_and_the_callback_is_pasted() {
    let demo = Demo::new();
    // RFC 5737: documentation only, on no machine.
    let mut waiting = demo.wait(&["--callback-host", "192.0.2.1", "--callback-port", "4711"]);
    assert_eq!(port_of(&waiting.url), 4711);
    let callback = waiting.approve();
    waiting.paste(&callback.location);
    waiting.process.wait(LIMIT).ok().stderr_has("4711");
}

#[test]
fn port_zero_is_never_promised_to_the_issuer() {
    let demo = Demo::new();
    let nowhere = ["demo", "--no-browser", "--callback-host", "192.0.2.1", "--wait", "1"];
    demo.login(&nowhere).run().stdout_is("").stderr_lacks("127.0.0.1%3A0%2F");
    let printed = demo.login(&["demo", "--print-auth-url", "--callback-port", "0"]).run();
    printed.check(!printed.stdout.contains("127.0.0.1%3A0%2F"), "a port, or a usage error");
}

#[test]
fn a_callback_host_that_is_no_address_is_not_claimed_to_be_listened_on() {
    let demo = Demo::new();
    for host in ["no-such-host.invalid", ""] {
        let arguments = ["demo", "--no-browser", "--callback-host", host, "--wait", "0"];
        let output = demo.login(&arguments).run();
        let claims = output.stderr.contains("listening on") && !output.stderr.contains("cannot");
        output.check(!claims, "a usage error, or the failure said aloud").stdout_is("");
    }
}
