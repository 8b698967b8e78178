//! Google Code Assist: which project a sign-in works in (`loadCodeAssist`, `onboardUser`).
//! Source: google-gemini/gemini-cli, packages/core/src/code_assist/setup.ts, checked 2026-11-21.

use serde_json::{Value, json};
use ureq::http::Request;

use crate::endpoint;
use crate::error::Result;
use crate::protocol::request;
use crate::provider::CodeAssist;
use crate::secret::Secret;
use crate::text;

/// What the load answer means for the project.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The account works in this project.
    Project(String),
    /// Signed up, but the person must name a project of their own.
    NeedsProject(String),
    /// Not signed up yet: this tier would be chosen.
    Onboard(String),
    /// The provider turns the account away, in its words.
    Ineligible(String),
}

/// The sign-up, while it runs and when it is done.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    Done(Option<String>),
    /// The name to ask for again.
    Running(String),
}

fn metadata(row: &CodeAssist, project: Option<&str>) -> Value {
    let mut metadata = json!({
        "ideType": row.ide_type,
        "platform": "PLATFORM_UNSPECIFIED",
        "pluginType": "GEMINI",
    });
    if let Some(project) = project {
        metadata["duetProject"] = Value::from(project);
    }
    metadata
}

/// Asks which project the account has; `project` is the one the person named, if any.
pub fn load(
    row: &CodeAssist,
    base: &str,
    token: &Secret,
    project: Option<&str>,
) -> Result<Request<Secret>> {
    endpoint::check("the Code Assist endpoint", base)?;
    let mut body = json!({"metadata": metadata(row, project)});
    if let Some(project) = project {
        body["cloudaicompanionProject"] = Value::from(project);
    }
    request::post_json(&format!("{base}:loadCodeAssist"), Some(token), &body)
}

/// Signs the account up for a tier. The free tier brings a project of its own.
pub fn onboard(
    row: &CodeAssist,
    base: &str,
    token: &Secret,
    tier: &str,
    project: Option<&str>,
) -> Result<Request<Secret>> {
    let project = project.filter(|_| tier != "free-tier");
    let mut body = json!({"tierId": tier, "metadata": metadata(row, project)});
    if let Some(project) = project {
        body["cloudaicompanionProject"] = Value::from(project);
    }
    request::post_json(&format!("{base}:onboardUser"), Some(token), &body)
}

/// Asks how far a sign-up is.
pub fn operation(base: &str, token: &Secret, name: &str) -> Result<Request<Secret>> {
    let url = format!("{base}/{name}");
    endpoint::check("the Code Assist operation", &url)?;
    request::get(&url, Some(token))
}

/// Reads the load answer; None when it is not the JSON it should be. The token that was sent must
/// not come back in its words.
pub fn parse_load(body: &Secret, named: Option<&str>, token: &Secret) -> Option<Loaded> {
    let body = text::scrub(body.expose(), &[token.expose()]);
    let answer: Value = serde_json::from_str(&body).ok().filter(Value::is_object)?;
    let given = project_of(&answer["cloudaicompanionProject"]);
    let ineligible = reasons(&answer["ineligibleTiers"]);
    if let Some(project) = given {
        return Some(Loaded::Project(project));
    }
    let has_tier = answer["currentTier"].is_object();
    if let (true, Some(named)) = (has_tier, named) {
        return Some(Loaded::Project(named.to_owned()));
    }
    if has_tier {
        return Some(Loaded::NeedsProject(ineligible));
    }
    let tiers = answer["allowedTiers"].as_array().map_or(&[][..], Vec::as_slice);
    if tiers.is_empty() && !ineligible.is_empty() {
        return Some(Loaded::Ineligible(ineligible));
    }
    let default = tiers.iter().find(|tier| tier["isDefault"] == true);
    let id = default.and_then(|tier| tier["id"].as_str()).unwrap_or("legacy-tier");
    Some(Loaded::Onboard(text::harmless(id, 60)))
}

/// Reads the long-running operation of a sign-up.
pub fn parse_operation(body: &Secret) -> Option<Operation> {
    let answer: Value = serde_json::from_str(body.expose()).ok().filter(Value::is_object)?;
    if answer["done"] == true {
        return Some(Operation::Done(project_of(&answer["response"]["cloudaicompanionProject"])));
    }
    let name = answer["name"].as_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let safe = !name.is_empty() && name.len() < 300 && name.chars().all(plain);
    (safe && !name.contains("..")).then(|| Operation::Running(name.to_owned()))
}

/// A project is written as a string, or as an object with an `id`.
fn project_of(value: &Value) -> Option<String> {
    let id = value.as_str().or_else(|| value["id"].as_str())?;
    Some(text::harmless(id, 128)).filter(|id| !id.is_empty())
}

fn reasons(tiers: &Value) -> String {
    let tiers = tiers.as_array().map_or(&[][..], Vec::as_slice);
    let reason = |tier: &Value| {
        let code = tier["reasonCode"].as_str()?;
        let message = tier["reasonMessage"].as_str().unwrap_or_default();
        let url = tier["validationUrl"].as_str().unwrap_or_default();
        Some(text::harmless(&format!("{code} {message} {url}"), 300))
    };
    tiers.iter().filter_map(reason).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(answer: Value, named: Option<&str>) -> Option<Loaded> {
        parse_load(&Secret::new(answer.to_string()), named, &Secret::new("at_12345678"))
    }

    #[test]
    fn load_answers_are_understood() {
        let tier = json!({"id": "standard-tier"});
        let project = |id: &str| Some(Loaded::Project(id.to_owned()));
        assert_eq!(
            load(json!({"currentTier": tier, "cloudaicompanionProject": "p"}), None),
            project("p")
        );
        assert_eq!(load(json!({"cloudaicompanionProject": {"id": "p"}}), None), project("p"));
        assert_eq!(load(json!({"currentTier": tier}), Some("mine")), project("mine"));
        assert_eq!(
            load(json!({"currentTier": tier}), None),
            Some(Loaded::NeedsProject(String::new()))
        );
        let tiers = json!([{"id": "a"}, {"id": "free-tier", "isDefault": true}]);
        let onboard = |id: &str| Some(Loaded::Onboard(id.to_owned()));
        assert_eq!(load(json!({"allowedTiers": tiers}), None), onboard("free-tier"));
        assert_eq!(load(json!({}), None), onboard("legacy-tier"));
        let refused = json!({"ineligibleTiers": [{"reasonCode": "UNSUPPORTED_CLIENT"}]});
        assert_eq!(load(refused, None), Some(Loaded::Ineligible("UNSUPPORTED_CLIENT".to_owned())));
        assert_eq!(parse_load(&Secret::new("<html>"), None, &Secret::new("")), None);
    }

    #[test]
    fn operations_are_understood() {
        let read = |answer: Value| parse_operation(&Secret::new(answer.to_string()));
        let done = json!({"done": true, "response": {"cloudaicompanionProject": {"id": "p"}}});
        assert_eq!(read(done), Some(Operation::Done(Some("p".to_owned()))));
        let running = Some(Operation::Running("operations/1".to_owned()));
        assert_eq!(read(json!({"name": "operations/1"})), running);
        assert_eq!(read(json!({"name": "../../evil"})), None);
        assert_eq!(read(json!({"name": "a?b"})), None);
    }
}
