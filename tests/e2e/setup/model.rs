//! The model, where the provider has several.

use super::*;
use crate::support::api::ModelApi;

const MODEL: &str = "model (number or name; empty ";

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("model-{n:02}")).collect()
}

/// What the person or a login put there; the list of models is only remembered.
fn settled(sandbox: &Sandbox) -> Vec<(String, Vec<u8>)> {
    let cache = list(sandbox).display().to_string();
    contents(sandbox).into_iter().filter(|(file, _)| *file != cache).collect()
}

/// Where it is remembered.
fn list(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.home().join("cache/groq/default.json")
}

/// A home whose `groq` is this API, with a key stored already.
fn home(api: &ModelApi) -> Sandbox {
    let sandbox = Sandbox::new();
    let row = json!({"api": {"base": api.base()}, "model": "model-02"});
    let default = json!({"provider": "groq"});
    sandbox.write_config(&json!({"providers": {"groq": row}, "default": default, "mine": 1}));
    sandbox.cmd(&["login", "groq", "--api-key-stdin"]).stdin(KEY).run().ok();
    sandbox
}

/// At the question, with the models that were shown.
#[track_caller]
fn asked(sandbox: &Sandbox, keeps: &str) -> (Wizard, String) {
    let mut wizard = Wizard::start(setup(sandbox, &["groq"]));
    wizard.answers("store one again? [y/N] ", "");
    wizard.hears("groq: ok\r\n");
    let shown = wizard.hears(&format!("{MODEL}{keeps}): "));
    (wizard, shown)
}

#[track_caller]
fn model_is(sandbox: &Sandbox, before: &Value, model: &str) {
    let mut wanted = before.clone();
    wanted["providers"]["groq"]["model"] = json!(model);
    assert_eq!(sandbox.read_config(), wanted);
    let shown = sandbox.cmd(&["provider", "show", "groq", "--json"]).run();
    assert_eq!(shown.ok().json()["provider"]["model"], model);
    is_private(sandbox);
}

#[test]
fn a_key_typed_in_an_empty_home_leads_to_a_model_and_a_default() {
    let api = ModelApi::start(&names(3));
    let sandbox = Sandbox::new();
    let add = ["provider", "add", "my.api", "--base-url", &api.base()];
    sandbox.cmd(&add).run().ok();
    let mut wizard = Wizard::start(setup(&sandbox, &[]));
    wizard.answers(WHICH, "my.api");
    wizard.answers(HIDDEN, KEY);
    let shown = wizard.answers(&format!("{MODEL}leaves it open): "), "3");
    assert!(shown.contains("  1  model-01\r\n  2  model-02\r\n  3  model-03\r\n"), "{shown}");
    wizard.hears("my.api becomes the default provider");
    wizard.ends(0);
    default_is(&sandbox, "my.api");
    let get = sandbox.cmd(&["config", "get", "providers.my.api.model"]).run();
    get.ok().stdout_is("model-03\n");
    let asked = api.asked();
    assert!(!asked.is_empty());
    for one in asked {
        assert_eq!(one.what, "GET /v1/models");
        assert_eq!(one.authorization, format!("Bearer {KEY}"));
    }
    is_private(&sandbox);
}

#[test]
fn a_model_is_chosen_by_number_or_by_name() {
    let api = ModelApi::start(&names(3));
    for answer in ["3", "model-03"] {
        let sandbox = home(&api);
        let before = sandbox.read_config();
        let (mut wizard, _) = asked(&sandbox, "keeps model-02");
        wizard.process.write_stdin("nosuch\n");
        wizard.hears("not one of the 3");
        wizard.answers(MODEL, answer);
        wizard.ends(0);
        model_is(&sandbox, &before, "model-03");
    }
}

#[test]
fn only_thirty_are_shown_and_all_can_be_named() {
    let api = ModelApi::start(&names(42));
    let sandbox = home(&api);
    let before = sandbox.read_config();
    let (mut wizard, shown) = asked(&sandbox, "keeps model-02");
    assert!(shown.contains(" 30  model-30\r\n     and 12 more\r\n"), "{shown}");
    assert!(!shown.contains("model-31"), "{shown}");
    wizard.process.write_stdin("model-42\n");
    wizard.ends(0);
    model_is(&sandbox, &before, "model-42");
}

#[test]
fn an_empty_answer_or_the_same_model_changes_no_byte() {
    let api = ModelApi::start(&names(3));
    let sandbox = home(&api);
    let before = settled(&sandbox);
    for answer in ["", "2"] {
        let (mut wizard, _) = asked(&sandbox, "keeps model-02");
        wizard.process.write_stdin(format!("{answer}\n"));
        wizard.ends(0);
        assert_eq!(settled(&sandbox), before, "{answer:?}");
        is_private(&sandbox);
    }
}

#[test]
fn nothing_is_asked_where_there_is_no_choice() {
    let some =
        |ids: &[&str]| json!({"data": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()});
    for (status, body) in [
        (200, some(&["one"])),
        (200, some(&[])),
        // A name that would play with the terminal is none.
        (200, some(&["one", "two\u{1b}[2J"])),
        (404, json!({})),
        (401, json!({"error": "no"})),
        (500, json!({})),
        (200, json!("nonsense")),
    ] {
        let api = ModelApi::answering(status, &body);
        let sandbox = home(&api);
        let before = settled(&sandbox);
        let mut wizard = Wizard::start(setup(&sandbox, &["groq"]));
        wizard.answers("store one again? [y/N] ", "");
        let output = wizard.ends(0);
        output.check(!output.stdout.contains(MODEL), &format!("no question: {body}"));
        output.check(output.stdout.contains("groq: ready"), "it goes on");
        assert_eq!(settled(&sandbox), before);
        let is_list = body["data"].is_array();
        assert_eq!(list(&sandbox).exists(), is_list, "only a list is remembered: {body}");
        assert!(!api.asked().is_empty(), "it was asked");
    }
}
