//! Which project: named, chosen, the only one, or none yet.

use serde_json::{Value, json};

use super::{Lab, next_command};
use crate::login::demo::LIMIT;
use crate::support::codemie::user;

const MANY: [&str; 4] = ["Alpha", "beta", "gamma", "zeta"];

fn with_projects(projects: &[&str], administered: &[&str]) -> Lab {
    let lab = Lab::new();
    lab.instance.world().user = user(projects, administered);
    lab
}

/// Regular and administered ones, some of them both.
fn with_many() -> Lab {
    with_projects(&["zeta", "Alpha"], &["beta", "zeta", "gamma"])
}

fn project(lab: &Lab) -> Value {
    lab.account()["extra"]["project"].clone()
}

#[test]
fn the_projects_are_the_sorted_union_and_off_a_terminal_none_is_chosen() {
    let lab = with_many();
    let output = lab.finish(&lab.person(&lab.print_url(&[])).location);
    output.ok().stdout_is("").stderr_has("warning").stderr_has("Alpha, beta, gamma and zeta");
    output.stderr_has(&format!("keyfob login {} --project NAME", lab.id()));
    assert_eq!(lab.account()["extra"]["projects"], json!(MANY));
    assert_eq!(project(&lab), Value::Null);
}

#[test]
fn the_older_name_of_the_administered_projects_counts_too() {
    let lab = Lab::new();
    let mut answer = user(&["b"], &[]);
    answer.as_object_mut().unwrap().remove("applications_admin");
    answer["applicationsAdmin"] = json!(["a"]);
    lab.instance.world().user = answer;
    lab.finish(&lab.person(&lab.print_url(&[])).location).ok();
    assert_eq!(lab.account()["extra"]["projects"], json!(["a", "b"]));
}

#[test]
fn a_project_is_named_with_a_flag() {
    let lab = with_many();
    let waiting = lab.wait(&["--project", "gamma"]);
    lab.person(&waiting.url).follow();
    waiting.process.wait(LIMIT).ok().stderr_lacks("warning");
    assert_eq!(project(&lab), "gamma");

    let back = lab.person(&lab.print_url(&[])).location;
    let words = ["login", "--project", "beta", "--callback-url", "-"];
    lab.sandbox.cmd(&words).stdin(back).run().ok();
    assert_eq!(project(&lab), "beta", "also by the command that finishes");
}

#[test]
fn a_project_named_at_the_beginning_is_still_meant_at_the_end() {
    let lab = with_many();
    let url = lab.print_url(&["--project", "gamma"]);
    lab.finish(&lab.person(&url).location).ok();
    assert_eq!(project(&lab), "gamma");
}

#[test]
fn a_project_that_is_unknown_is_an_error_and_the_login_stays() {
    let lab = with_many();
    let waiting = lab.wait(&["--project", "delta"]);
    lab.person(&waiting.url).follow();
    let output = waiting.process.wait(LIMIT);
    output.code(1).stderr_has("Alpha, beta, gamma and zeta");
    assert_eq!(project(&lab), Value::Null);
    assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
    lab.run("token", &[]).ok();

    let mut next = next_command(&output);
    assert!(next.contains(&"--project".to_owned()), "{next:?}");
    next.push("--no-browser".to_owned());
    let next: Vec<_> = next.iter().map(String::as_str).collect();
    let waiting = crate::login::demo::Waiting::start(lab.sandbox.cmd(&next));
    lab.person(&waiting.url).follow();
    waiting.process.wait(LIMIT).ok();
    assert_eq!(project(&lab), "Alpha");
}

#[test]
fn the_only_project_is_taken_and_no_project_is_said_aloud() {
    let lab = with_projects(&[], &["solo"]);
    lab.finish(&lab.person(&lab.print_url(&[])).location).ok().stderr_lacks("warning");
    assert_eq!(project(&lab), "solo");

    let lab = with_projects(&[], &[]);
    let output = lab.finish(&lab.person(&lab.print_url(&[])).location);
    output.ok().stderr_has("warning: no project").stderr_has("administrator");
    assert_eq!(project(&lab), Value::Null);
    lab.run("token", &[]).ok();
}

#[test]
fn at_a_terminal_there_is_a_numbered_choice() {
    for (answers, wanted) in [("3\n", "gamma"), ("zeta\n", "zeta"), ("9\nbeta\n", "beta")] {
        let lab = with_many();
        let mut process = lab.login(&["--no-browser"]).pty().spawn();
        let url = process.stdout_line_containing("/v1/auth/login/", LIMIT);
        lab.person(&url).follow();
        process.stdout_line_containing("  3  gamma", LIMIT);
        process.write_stdin(answers);
        process.wait(LIMIT).ok();
        assert_eq!(project(&lab), wanted, "{answers:?}");
    }
}

#[test]
fn at_a_terminal_the_choice_follows_a_paste_too() {
    let lab = with_many();
    let mut process = lab.login(&["--no-browser"]).pty().spawn();
    let url = process.stdout_line_containing("/v1/auth/login/", LIMIT);
    process.write_stdin(format!("{}\n", lab.person(&url).location));
    process.stdout_line_containing("  2  beta", LIMIT);
    process.write_stdin("2\n");
    process.wait(LIMIT).ok();
    assert_eq!(project(&lab), "beta");
}

#[test]
fn a_choice_that_is_not_made_costs_no_login() {
    let lab = with_many();
    let mut process = lab.login(&["--no-browser"]).pty().spawn();
    let url = process.stdout_line_containing("/v1/auth/login/", LIMIT);
    lab.person(&url).follow();
    process.stdout_line_containing("  1  Alpha", LIMIT);
    process.write_stdin("\n");
    process.wait(LIMIT).code(2);
    assert_eq!(project(&lab), Value::Null);
    lab.run("token", &[]).ok();
}

#[test]
fn a_choice_once_made_outlives_the_next_login_while_the_project_is_there() {
    let lab = with_many();
    let sign_in = || lab.finish(&lab.person(&lab.print_url(&[])).location);
    let words = ["login", "--project", "beta", "--callback-url", "-"];
    let back = lab.person(&lab.print_url(&[])).location;
    lab.sandbox.cmd(&words).stdin(back).run().ok();
    sign_in().ok().stderr_lacks("several projects");
    assert_eq!(project(&lab), "beta");
    lab.instance.world().user = user(&["one", "two"], &[]);
    sign_in().ok().stderr_has("several projects");
    assert_eq!(project(&lab), Value::Null, "it is no longer theirs");
}

#[test]
fn names_from_the_instance_do_no_harm() {
    let lab = with_projects(&["evil\u{1b}]0;x\u{7}\r\nname", "good"], &["\u{202e}gnp"]);
    let output = lab.finish(&lab.person(&lab.print_url(&[])).location);
    output.ok().stderr_lacks("\u{1b}").stderr_lacks("\u{202e}").stderr_lacks("\r");
    let projects = lab.account()["extra"]["projects"].to_string();
    assert!(!projects.contains("\\u") && projects.contains("good"), "{projects}");
}
