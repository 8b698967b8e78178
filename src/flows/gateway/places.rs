//! Where one account can be asked for a model: in its projects, and by the previews that stand in for it.

use serde_json::Value;

use crate::account::Account;
use crate::flows::gateway::ledger::Place;
use crate::flows::gateway::member::{Face, Member};
use crate::flows::gateway::roster::Target;
use crate::flows::gateway::settings::Settings;
use crate::protocol::attach;
use crate::provider::Dialect;

/// Where an account may be asked for the model, the usual place first: with each of its projects, and
/// for each preview that stands in.
pub fn of(target: &Target, dialect: Dialect, settings: &Settings) -> Vec<Place> {
    let mut projects = vec![None];
    if settings.switch_project
        && let Some(fact) = target.member.face(dialect).and_then(project_fact)
    {
        let account = target.member.account();
        let own = account.as_ref().and_then(|account| account.fact(fact));
        let further = target.member.projects().into_iter();
        projects.extend(further.filter(|project| Some(project.as_str()) != own).map(Some));
    }
    let mut models = vec![target.model.clone()];
    if settings.switch_preview_model {
        models.extend(previews(&target.member, &target.model, settings));
    }
    let id = &target.member.id;
    let mut places = Vec::new();
    for model in models {
        for project in &projects {
            let (id, model) = (id.clone(), Some(model.clone()));
            places.push(Place { id, model, project: project.clone() });
        }
    }
    places
}

/// The fact of an account that names its project, where the API has one.
fn project_fact(face: &Face) -> Option<&'static str> {
    match face.dialect {
        Dialect::CodeAssist => Some("project_id"),
        Dialect::AnthropicMessages
        | Dialect::GeminiGenerateContent
        | Dialect::OpenaiChat
        | Dialect::OpenaiResponses => {
            let base = face.row.api.as_ref().map_or("", |api| api.base.as_str());
            base.contains("{project}").then_some("project")
        }
    }
}

/// The account, and its API's address, in another of its projects.
pub fn in_project(
    account: &Account,
    face: &Face,
    project: Option<&str>,
) -> Option<(Account, String)> {
    let (fact, project) = (project_fact(face)?, project?);
    let mut account = account.clone();
    account.extra.insert(fact.to_owned(), Value::from(project));
    let base = attach::api_base(&account, &face.row)?;
    Some((account, base))
}

/// Models that stand in for another: those of the settings, then the newest previews of its list.
fn previews(member: &Member, model: &str, settings: &Settings) -> Vec<String> {
    let named = settings.preview_models.get(model).cloned().unwrap_or_default();
    let begin = format!("{model}-preview");
    let models = member.models();
    let listed = models.iter().flat_map(|all| all.iter()).map(|model| &model.id);
    let mut listed: Vec<_> =
        listed.filter(|id| id.starts_with(&begin) && !named.contains(id)).cloned().collect();
    listed.sort_by(|a, b| b.cmp(a));
    named.into_iter().chain(listed).collect()
}
