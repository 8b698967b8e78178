//! The house rules that no compiler knows (DESIGN 3.1, STYLE part A). Reads `src/` line by line;
//! test modules stand last in a file and are not judged.

use std::fs;
use std::path::Path;

/// A file of `src/`: its name there, all its lines, and its program: the lines before the test
/// module, comments blanked.
struct Source {
    name: String,
    lines: Vec<String>,
    program: Vec<String>,
}

impl Source {
    /// `protocol` for protocol/form.rs, `account` for account.rs.
    fn folder(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// `file:line: text` of every line of the program that is wrong.
    fn find(&self, is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.program.iter().enumerate().filter(|(_, line)| is_wrong(line));
        lines.map(|(at, line)| format!("src/{}:{}: {}", self.name, at + 1, line.trim())).collect()
    }

    fn find_any(&self, needles: &[&str]) -> Vec<String> {
        self.find(|line| needles.iter().any(|needle| line.contains(needle)))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let tests = lines.windows(2).position(|pair| {
                    let is_mark = ["#[cfg(test)]", "#[cfg(all(test, unix))]"].contains(&&*pair[0]);
                    is_mark && pair[1] == "mod tests {"
                });
                let program = lines[..tests.unwrap_or(lines.len())].iter();
                let program = program.map(|line| without_comment(line).to_owned()).collect();
                found.push(Source { name, lines, program });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 40, "src/ was read");
    found
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split(" // ").next().unwrap_or_default()
}

/// Fails with what the rule finds in the files that are not exempt.
#[track_caller]
fn check(rule: &str, is_exempt: impl Fn(&Source) -> bool, find: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    let judged = sources.iter().filter(|source| !is_exempt(source));
    let found: Vec<_> = judged.flat_map(find).collect();
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// DESIGN 3.1; the same rank in another folder is sideways.
fn rank(folder: &str) -> usize {
    match folder {
        "endpoint" | "error" | "log" | "qr" | "secret" | "text" | "time" => 0,
        "credential" => 1,
        "account" | "provider" | "source" => 2,
        "pending" => 3,
        "net" | "protocol" | "store" | "term" => 4,
        "flows" => 5,
        "commands" => 6,
        "main" => 7,
        other => panic!("src/{other} has no rank yet: give it one here and in DESIGN 3.1"),
    }
}

fn may_import(here: &str, there: &str) -> bool {
    here == there || rank(there) < rank(here) || (rank(here) == 0 && rank(there) == 0)
}

#[test]
fn imports_point_down() {
    check(
        "imports that point up or sideways",
        |_| false,
        |source| {
            source.find(|line| {
                let points_up = line.split("crate::").skip(1).any(|rest| {
                    // `crate::{a::b, c}` stands on one line, or it hides what it imports.
                    let names = match rest.strip_prefix('{') {
                        Some(rest) if !rest.contains('}') => return true,
                        Some(rest) => rest.split(", ").collect(),
                        None => vec![rest],
                    };
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let first = |name: &str| name.split(|c| !is_name(c)).next().map(str::to_owned);
                    names
                        .into_iter()
                        .filter_map(first)
                        .any(|there| !may_import(source.folder(), &there))
                });
                let is_top = !source.name.contains('/') || source.name.ends_with("mod.rs");
                points_up || line.contains("super::super") || (is_top && line.contains("super::"))
            })
        },
    );
}

#[test]
fn protocol_does_no_io() {
    const IO: &str = "std::env std::fs std::io std::net std::os std::process std::thread std::time \
        std::{ SystemTime Instant Timestamp::now getrandom tiny_http ureq::Agent dirs:: crate::log \
        println! print! eprintln! eprint! dbg! include_str!";
    let io: Vec<_> = IO.split_whitespace().collect();
    check(
        "I/O, a clock or randomness in protocol",
        |source| source.folder() != "protocol",
        |source| source.find_any(&io),
    );
}

#[test]
fn no_provider_is_named_in_the_program() {
    let rows = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/providers.json"));
    let rows: Vec<serde_json::Value> = serde_json::from_str(&rows.unwrap()).unwrap();
    let aliases = rows.iter().filter_map(|row| row["aliases"].as_array()).flatten();
    // As the JSON has them, in quotes. Help texts may name one among other words.
    let names: Vec<_> = rows.iter().map(|row| &row["id"]).chain(aliases).collect();
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let needles: Vec<_> = names.iter().map(String::as_str).collect();
    assert!(needles.contains(&"\"claude\"") && needles.contains(&"\"gmail\""), "{needles:?}");
    check(
        "a row's id or alias; what is special about it belongs in its row",
        |_| false,
        |source| source.find_any(&needles),
    );
}

#[test]
fn the_program_knows_nothing_of_tests() {
    check(
        "a test hook; a user-facing setting is missing instead",
        |_| false,
        |source| {
            source.find(|line| {
                let is_cfg = line.contains("cfg") && line.contains("test");
                let mut words = line.split('"').skip(1).step_by(2);
                let is_variable = |c: char| c.is_ascii_uppercase() || c == '_';
                // What a model has to answer to auth-test is of the contract.
                let is_hook = |word: &str| {
                    word.contains("TEST") && word.chars().all(is_variable) && word != "AUTH_TEST_OK"
                };
                is_cfg || words.any(is_hook) || line.contains("debug_assertions")
            })
        },
    );
}

#[test]
fn only_flows_and_commands_ask_for_the_time() {
    check(
        "the clock is read outside flows and commands",
        |source| ["commands", "flows", "time"].contains(&source.folder()),
        |source| source.find_any(&["Timestamp::now"]),
    );
}

#[test]
fn secrets_are_exposed_in_few_places() {
    let may_expose = |source: &Source| {
        ["commands", "flows", "protocol", "store"].contains(&source.folder())
            || source.name == "net/client.rs"
    };
    check("a secret exposed where it has no business", may_expose, |source| {
        source.find_any(&[".expose()", "Secret::expose"])
    });
}

#[test]
fn nothing_unwraps() {
    const PANICS: [&str; 6] =
        [".unwrap()", "::unwrap", ".expect(", "panic!(", "unreachable!(", "todo!("];
    check("a panic outside a test module", |_| false, |source| source.find_any(&PANICS));
}

#[test]
fn no_file_passes_400_lines() {
    check(
        "files longer than 400 lines (STYLE 5)",
        |source| source.lines.len() <= 400,
        |source| vec![format!("src/{}: {} lines", source.name, source.lines.len())],
    );
}

/// What the other rules take for granted.
#[test]
fn test_modules_stand_last() {
    check(
        "something follows the test module",
        |source| source.program.len() == source.lines.len(),
        |source| {
            let tests = &source.lines[source.program.len()..];
            let ends = tests.iter().position(|line| line == "}").unwrap_or_default() + 1;
            tests[ends..].iter().map(|line| format!("src/{}: {line}", source.name)).collect()
        },
    );
}
