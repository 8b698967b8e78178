//! Google's Code Assist: which project a person may use, and signing up for one.
//! Shapes: github.com/google-gemini/gemini-cli packages/core/src/code_assist/setup.ts (2026-11-21).

use serde_json::{Value, json};

use super::Shared;
use super::http::{Answer, Request};
use super::identity::bearer;
use super::refusal::{Refusal, require};

/// What `:loadCodeAssist` finds about the person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CodeAssist {
    /// Ineligible, with a reason and nothing to do about it.
    Ineligible,
    /// No tier yet: `:onboardUser` has to be called, for the free tier.
    NeedsOnboarding,
    /// A tier whose project the caller has to name.
    NeedsProject,
    /// A tier and a project.
    Ready,
    /// The same, the project as an object with an id.
    ReadyObject,
    /// Ineligible until the person follows a link.
    Validation,
}

const PROJECT: &str = "demo-project";
const OPERATION: &str = "operations/onboard-1";

/// `rest` is the path after the base.
pub fn role(rest: &str) -> &'static str {
    match rest.trim_start_matches('/') {
        ":loadCodeAssist" => "code_assist_load",
        ":onboardUser" => "code_assist_onboard",
        OPERATION => "code_assist_poll",
        _ => "other",
    }
}

pub fn answer(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    bearer(shared, request)?;
    if request.role == "code_assist_poll" {
        require(request.method == "GET", || format!("method is {}", request.method))?;
        return Ok(Answer::json(200, &operation(shared, true)));
    }
    require(request.method == "POST", || format!("method is {}", request.method))?;
    let found = request.media_type();
    require(found == "application/json", || format!("content type is {found:?}"))?;
    let body: Value = serde_json::from_str(&request.body)
        .map_err(|e| Refusal::violation("invalid_request", e.to_string()))?;
    let wanted = [
        ("ideType", shared.dialect.ide_type.as_str()),
        ("platform", "PLATFORM_UNSPECIFIED"),
        ("pluginType", "GEMINI"),
    ];
    for (key, wanted) in wanted {
        let found = &body["metadata"][key];
        require(found == wanted, || format!("metadata.{key} is {found}, expected {wanted:?}"))?;
    }
    if request.role == "code_assist_load" {
        return Ok(Answer::json(200, &load(shared, &body)));
    }
    let tier = body["tierId"].as_str().unwrap_or_default();
    require(!tier.is_empty(), || "tierId is missing".into())?;
    require(tier != "free-tier" || body.get("cloudaicompanionProject").is_none(), || {
        "the free tier takes no project".into()
    })?;
    shared.world().polls_seen = 0;
    Ok(Answer::json(200, &operation(shared, false)))
}

fn load(shared: &Shared, asked: &Value) -> Value {
    let tier = json!({"id": "standard-tier", "name": "Code Assist Standard"});
    let reason = |code: &str| {
        json!({
            "reasonCode": code,
            "reasonMessage": "this account has no licence",
            "tierId": "standard-tier",
        })
    };
    match shared.world().code_assist {
        CodeAssist::Ineligible => json!({"ineligibleTiers": [reason("UNSUPPORTED_CLIENT")]}),
        CodeAssist::NeedsOnboarding => json!({"allowedTiers": [
            {"id": "standard-tier", "userDefinedCloudaicompanionProject": true},
            {"id": "free-tier", "isDefault": true},
        ]}),
        CodeAssist::NeedsProject => match asked.get("cloudaicompanionProject") {
            Some(project) => json!({"currentTier": tier, "cloudaicompanionProject": project}),
            None => json!({"currentTier": tier}),
        },
        CodeAssist::Ready => json!({"currentTier": tier, "cloudaicompanionProject": PROJECT}),
        CodeAssist::ReadyObject => {
            json!({"currentTier": tier, "cloudaicompanionProject": {"id": PROJECT}})
        }
        CodeAssist::Validation => {
            let mut reason = reason("VALIDATION_REQUIRED");
            reason["validationUrl"] = json!("https://accounts.google.com/validate");
            json!({"ineligibleTiers": [reason]})
        }
    }
}

fn operation(shared: &Shared, is_poll: bool) -> Value {
    let mut world = shared.world();
    world.polls_seen += usize::from(is_poll);
    if world.polls_seen < world.onboard_polls {
        return json!({"name": OPERATION, "done": false});
    }
    world.code_assist = CodeAssist::Ready;
    let response = json!({"cloudaicompanionProject": {"id": PROJECT, "name": PROJECT}});
    json!({"name": OPERATION, "done": true, "response": response})
}
