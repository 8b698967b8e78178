//! What is shown to the person where stderr is no terminal.

use qrcodegen::{QrCode, QrCodeEcc};

use serde_json::json;

use super::demo::{Demo, Waiting};

#[test]
fn the_url_stands_alone_on_its_line_and_nothing_is_coloured() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let url = waiting.url.clone();
    let output = waiting.sign_in();
    output.ok().stdout_is("").stderr_has(&format!("\n{url}\n")).stderr_lacks("\u{1b}");
    assert_eq!(output.stderr.matches(&url).count(), 1);
}

#[test]
fn over_ssh_the_line_that_forwards_the_port_is_complete() {
    let cases = [
        ("10.0.0.5 50000 192.0.2.7 22", "alice", "ssh -N", "alice@192.0.2.7"),
        ("10.0.0.5 50000 192.0.2.7 2222", "alice", "ssh -p 2222 -N", "alice@192.0.2.7"),
        ("2001:db8::5 50000 2001:db8::7 22", "bob", "ssh -N", "bob@2001:db8::7"),
        ("10.0.0.5 50000 192.0.2.7 22", "a b;c", "ssh -N", "'a b;c@192.0.2.7'"),
    ];
    let demo = Demo::with_redirect(&json!({"host": "localhost"}));
    for (connection, user, ssh, target) in cases {
        let command = demo.login(&["demo"]).env("SSH_CONNECTION", connection).env("USER", user);
        let waiting = Waiting::start(command);
        let port = waiting.port();
        let output = waiting.sign_in();
        output.ok().stderr_has("no browser is opened here: ");
        output.stderr_has(&format!("\n{ssh} -L {port}:localhost:{port} {target}\n"));
    }
    demo.idp.assert_content();
}

#[test]
fn a_login_that_waits_says_how_to_finish_it_from_another_terminal() {
    let demo = Demo::new();
    demo.wait(&[]).sign_in().ok().stderr_has("\n  keyfob login --callback-url -\n");
}

#[test]
fn the_qr_code_says_the_url() {
    let demo = Demo::new();
    let waiting = demo.wait(&["--qr"]);
    let url = waiting.url.clone();
    let output = waiting.sign_in();
    let drawn = modules(&output.ok().stdout_is("").stderr);
    let code = QrCode::encode_text(&url, QrCodeEcc::Low).unwrap();
    let size = code.size() as usize;
    let border = (drawn[0].len() - size) / 2;
    assert!(border >= 2, "scanners need a light border");
    for (y, row) in drawn.iter().enumerate() {
        for (x, is_dark) in row.iter().enumerate() {
            let wanted = code.get_module(x as i32 - border as i32, y as i32 - border as i32);
            assert_eq!(*is_dark, wanted, "module {x}, {y}");
        }
    }
    assert!(drawn.len() >= size + 2 * border);
}

#[test]
fn a_printed_url_can_have_its_qr_code_beside_it() {
    let demo = Demo::new();
    let output = demo.login(&["demo", "--print-auth-url", "--qr"]).run();
    let url = output.ok().line();
    let size = QrCode::encode_text(url, QrCodeEcc::Low).unwrap().size() as usize;
    assert!(modules(&output.stderr).len() > size, "it is drawn on stderr");
}

#[test]
fn a_url_too_long_for_a_code_is_shown_all_the_same() {
    let demo = Demo::new();
    let scope = format!("openid {}", "x".repeat(3000));
    let output = demo.wait(&["--qr", "--scope", &scope]).sign_in();
    output.ok().stdout_is("").stderr_has("too long for a QR code").stderr_lacks("█");
    demo.idp.assert_content();
}

/// The modules of a code drawn in half blocks, light on dark: true is dark.
fn modules(text: &str) -> Vec<Vec<bool>> {
    let is_block = |c: char| " ▀▄█".contains(c);
    let lines: Vec<_> =
        text.lines().filter(|line| line.starts_with('█') && line.chars().all(is_block)).collect();
    assert!(!lines.is_empty(), "no code in:\n{text}");
    let halves = |line: &str, light: [char; 2]| -> Vec<bool> {
        line.chars().map(|c| !light.contains(&c)).collect()
    };
    lines.iter().flat_map(|line| [halves(line, ['█', '▀']), halves(line, ['█', '▄'])]).collect()
}

#[test]
fn the_clipboard_needs_a_terminal_and_the_login_goes_on_without() {
    let demo = Demo::new();
    let output = demo.wait(&["--copy"]).sign_in();
    output.ok().stderr_has("--copy needs a terminal").stderr_lacks("\u{1b}");
}
