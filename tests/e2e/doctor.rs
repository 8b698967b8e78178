//! `doctor`: each code is seeded once and found, and a healthy machine has no fault.

mod accounts;
mod files;
mod healthy;
mod network;
mod secrets;
mod settings;

use serde_json::Value;

use super::support::command::{Cmd, Output};
use super::token::place::Place;

const DOCS: &str = include_str!("../../docs/doctor.md");

/// `doctor --json`.
fn doctor(place: &Place) -> Cmd {
    place.home.cmd(&["doctor", "--json"])
}

/// The same, contacting nobody.
fn offline(place: &Place) -> Cmd {
    doctor(place).arg("--offline")
}

/// What `doctor --json` found; the shape is right, and the exit code goes with it.
#[track_caller]
fn findings(output: &Output) -> Vec<Value> {
    let object = output.json();
    output.check(output.stdout.starts_with("{\"version\":1,\"findings\":["), "the object's head");
    let findings = object["findings"].as_array().expect("a list").clone();
    for finding in &findings {
        let keys: Vec<_> = finding.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["cause", "code", "fix", "severity", "what"], "{finding}");
        let is_text = |key: &str| finding[key].as_str().is_some_and(|text| !text.is_empty());
        let is_whole = match finding["severity"].as_str() {
            Some("ok") => is_text("what"),
            Some("error" | "warning") => ["what", "cause", "fix"].into_iter().all(is_text),
            _ => false,
        };
        output.check(is_whole, &format!("a whole finding, not {finding}"));
        let code = finding["code"].as_str().unwrap_or_default();
        let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        output.check(!code.is_empty() && code.chars().all(is_code), "a code in snake_case");
        output.check(DOCS.contains(&format!("`{code}`")), &format!("{code} in docs/doctor.md"));
    }
    let is_broken = findings.iter().any(|finding| finding["severity"] == "error");
    output.code(i32::from(is_broken));
    if is_broken {
        let error = output.error_json();
        assert_eq!((&error["code"], &error["exit"]), (&"failed".into(), &1.into()));
        output.check(error["try"].is_string(), "a next step");
    } else {
        output.check(output.stderr.is_empty(), "nothing on stderr");
    }
    findings
}

/// The table lists no code that the program does not know, and each once.
#[test]
fn the_documented_codes_exist() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/flows/doctor");
    let files = std::fs::read_dir(folder).expect("the source is there").flatten();
    let source: String =
        files.map(|file| std::fs::read_to_string(file.path()).expect("it is text")).collect();
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut codes: Vec<_> = rows.map(|(code, _)| code).collect();
    assert!(codes.len() > 40, "the table was read");
    for code in &codes {
        assert!(source.contains(&format!("\"{code}\"")), "{code}");
    }
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count, "each once");
}

/// The findings that are no `ok`.
#[track_caller]
fn faults(output: &Output) -> Vec<Value> {
    let mut faults = findings(output);
    faults.retain(|finding| finding["severity"] != "ok");
    faults
}

/// Code and severity of each fault, in order.
#[track_caller]
fn codes(output: &Output) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let faults = faults(output);
    faults.iter().map(|fault| (text(&fault["code"]), text(&fault["severity"]))).collect()
}

/// Exactly these faults were found.
#[track_caller]
fn only(output: &Output, wanted: &[(&str, &str)]) {
    let codes = codes(output);
    let found: Vec<_> = codes.iter().map(|(code, severity)| (&**code, &**severity)).collect();
    output.check(found == wanted, &format!("{wanted:?}, not {found:?}"));
}

/// The one fault with this code.
#[track_caller]
fn fault(output: &Output, code: &str) -> Value {
    let mut faults = faults(output);
    faults.retain(|fault| fault["code"] == code);
    output.check(faults.len() == 1, &format!("one {code}, not {faults:?}"));
    faults.remove(0)
}

/// A text of a finding.
fn text<'a>(finding: &'a Value, key: &str) -> &'a str {
    finding[key].as_str().unwrap_or_else(|| panic!("no {key} in {finding}"))
}
