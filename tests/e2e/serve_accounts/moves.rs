//! Another project of the same account, another name of the same model.

use serde_json::{Value, json};

use super::kit::{ASSIST, CHAT, Kit, PLACED, Prompt, listed, retry_after};
use crate::support::many_api::{Does, Says};

const LIMIT_S: &str = "60";

/// An account of each provider with projects, over its limit in `p1`, with three projects.
fn with_projects(serve: Value) -> [(Kit, &'static str); 2] {
    let attributes = json!({"projects": "p2, p3"});
    let placed = Kit::with(serve.clone());
    let more = json!({"attributes": attributes, "extra": {"project": "p1"}});
    placed.key_with(PLACED, "one", more);
    let assist = Kit::with(serve);
    let more = json!({"attributes": attributes, "extra": {"project_id": "p1"}});
    assist.signed_in_with(ASSIST, "one", 3_000, more);
    let both = [(placed, PLACED), (assist, ASSIST)];
    for (kit, _) in &both {
        kit.api.plays("one", |asked| match asked.project.as_deref() {
            Some("p1") => Does::Limit(Says::RetryAfter(LIMIT_S)),
            _ => Does::Answer,
        });
    }
    both
}

fn projects(kit: &Kit) -> Vec<String> {
    kit.api.asked().into_iter().map(|asked| asked.project.unwrap_or_default()).collect()
}

fn models(kit: &Kit) -> Vec<String> {
    kit.api.asked().into_iter().map(|asked| asked.model).collect()
}

#[test]
fn an_account_stays_in_its_project_unless_the_settings_say_otherwise() {
    for (kit, provider) in with_projects(json!({})) {
        let serving = kit.serve();
        assert_eq!(serving.ask(&Prompt::to(provider, "m")).status, 429, "{provider}");
        assert_eq!(projects(&kit), ["p1"], "{provider}");
    }
}

#[test]
fn an_account_over_its_limit_in_one_project_answers_in_the_next() {
    for (kit, provider) in with_projects(json!({"switch_project": true})) {
        let serving = kit.serve();
        for prompt in [Prompt::to(provider, "m"), Prompt::to(provider, "m").streamed()] {
            assert_eq!(serving.ask(&prompt).status, 200, "{provider}");
        }
        assert_eq!(projects(&kit), ["p1", "p2", "p2"], "{provider}");
    }
}

#[test]
fn each_project_cools_down_by_itself_and_the_first_to_come_back_is_named() {
    for (kit, provider) in with_projects(json!({"switch_project": true})) {
        kit.api.plays("one", |asked| match asked.project.as_deref() {
            Some("p2") => Does::Limit(Says::RetryAfter("20")),
            _ => Does::Limit(Says::RetryAfter(LIMIT_S)),
        });
        let serving = kit.serve();
        for _ in 0..2 {
            let page = serving.ask(&Prompt::to(provider, "m"));
            assert_eq!(page.status, 429, "{page:#?}");
            assert!((19..=20).contains(&retry_after(&page)), "{page:#?}");
        }
        assert_eq!(projects(&kit), ["p1", "p2", "p3"], "{provider}");
        // Of another model nobody knows that yet.
        kit.api.does("one", Does::Answer);
        assert_eq!(serving.ask(&Prompt::to(provider, "another")).status, 200);
    }
}

/// What holds for the whole account holds in each of its projects.
#[test]
fn an_account_without_money_is_not_asked_in_its_other_projects() {
    for (kit, provider) in with_projects(json!({"switch_project": true})) {
        kit.api.does("one", Does::Refuse(402, "Insufficient credits"));
        let serving = kit.serve();
        assert_eq!(serving.ask(&Prompt::to(provider, "m")).status, 429);
        assert_eq!(projects(&kit), ["p1"], "{provider}");
    }
}

#[test]
fn an_account_in_two_projects_counts_as_one_that_was_asked() {
    let kit = Kit::with(json!({"switch_project": true, "max_retry_credentials": 3}));
    for (name, priority) in [("a", 1), ("b", 1), ("c", 0)] {
        let attributes = json!({"projects": "p2", "priority": priority});
        let more = json!({"attributes": attributes, "extra": {"project": "p1"}});
        kit.key_with(PLACED, name, more);
    }
    kit.api.does("a", Does::Refuse(500, "oops"));
    kit.api.does("b", Does::Refuse(500, "oops"));
    let serving = kit.serve();
    assert_eq!(serving.answered_by(&Prompt::to(PLACED, "m")), "c", "{:?}", kit.api.order());
}

#[test]
fn a_preview_stands_in_for_its_model_only_where_the_settings_say_so() {
    let previews = json!({"m": ["m-exp", "m-preview-2"]});
    for (is_on, wanted) in [
        (false, vec!["m"]),
        (true, vec!["m", "m-exp", "m-preview-2", "m-preview-07", "m-preview-05"]),
    ] {
        let kit =
            Kit::with(json!({"switch_preview_model": is_on, "preview_models": previews.clone()}));
        kit.keys(CHAT, &["one"]);
        kit.api.lists(&["m", "m-preview-05", "m-preview-07", "m-preview-2", "other-preview"]);
        kit.api.does("one", Does::Limit(Says::RetryAfter(LIMIT_S)));
        let serving = kit.serve();
        listed(&serving, "m-preview-07");
        assert_eq!(serving.ask(&Prompt::to(CHAT, "m")).status, 429);
        assert_eq!(models(&kit), wanted, "{is_on}");
    }
}

#[test]
fn the_preview_answers_while_its_model_cools_down() {
    let kit = Kit::with(json!({"switch_preview_model": true}));
    kit.keys(CHAT, &["one"]);
    kit.api.lists(&["m", "m-preview-05"]);
    kit.api.plays("one", |asked| match asked.model.as_str() {
        "m" => Does::Limit(Says::RetryAfter(LIMIT_S)),
        _ => Does::Answer,
    });
    let serving = kit.serve();
    listed(&serving, "m-preview-05");
    for _ in 0..3 {
        assert_eq!(serving.answered_by(&Prompt::to(CHAT, "m")), "one");
    }
    assert_eq!(models(&kit), ["m", "m-preview-05", "m-preview-05", "m-preview-05"]);
}
