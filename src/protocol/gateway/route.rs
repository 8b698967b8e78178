//! Paths to meanings.

use crate::protocol::form;
use crate::provider::Dialect;

/// What a request for a model wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    ChatCompletions,
    CountTokens,
    Embeddings,
    /// Google's way: model and method stand in the path.
    Generate {
        model: String,
        method: String,
    },
    Messages,
    Model(String),
    Models,
    Responses,
    /// Google's lists.
    GoogleModel(String),
    GoogleModels,
}

/// How an answer of our own is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Anthropic,
    Google,
    Openai,
}

/// Why a path leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// It takes this method only.
    Method(&'static str),
    Path,
}

/// Every path that prompts go to, for those who missed it.
pub const ROUTES: &str = "/v1/messages, /v1/messages/count_tokens, /v1/responses, \
     /v1/chat/completions, /v1/embeddings, /v1/models, /v1beta/models";

pub fn find(method: &str, path: &str) -> Result<Route, Nowhere> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let (route, wanted) = match path {
        "/v1/chat/completions" => (Route::ChatCompletions, "POST"),
        "/v1/embeddings" => (Route::Embeddings, "POST"),
        "/v1/messages" => (Route::Messages, "POST"),
        "/v1/messages/count_tokens" => (Route::CountTokens, "POST"),
        "/v1/models" => (Route::Models, "GET"),
        "/v1/responses" => (Route::Responses, "POST"),
        "/v1beta/models" => (Route::GoogleModels, "GET"),
        _ => under_a_list(path).ok_or(Nowhere::Path)?,
    };
    let is_wanted = method == wanted || (method == "HEAD" && wanted == "GET");
    if is_wanted { Ok(route) } else { Err(Nowhere::Method(wanted)) }
}

fn under_a_list(path: &str) -> Option<(Route, &'static str)> {
    if let Some(id) = path.strip_prefix("/v1/models/") {
        return Some((Route::Model(name(id)?), "GET"));
    }
    let rest = path.strip_prefix("/v1beta/models/")?;
    match rest.rsplit_once(':') {
        Some((model, method)) => {
            let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphanumeric());
            let model = name(model)?;
            is_method.then(|| (Route::Generate { model, method: method.to_owned() }, "POST"))
        }
        None => Some((Route::GoogleModel(name(rest)?), "GET")),
    }
}

/// A model's name out of a path; no name holds what could lead elsewhere.
fn name(text: &str) -> Option<String> {
    let name = form::decode(text);
    let leads_away = name.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    let is_plain = name.bytes().all(|b| b.is_ascii_graphic() && !b"?#%".contains(&b));
    (!leads_away && is_plain).then_some(name)
}

impl Route {
    /// What the caller speaks; None for lists.
    pub fn dialect(&self) -> Option<Dialect> {
        match self {
            Route::ChatCompletions | Route::Embeddings => Some(Dialect::OpenaiChat),
            Route::CountTokens | Route::Messages => Some(Dialect::AnthropicMessages),
            Route::Generate { .. } => Some(Dialect::GeminiGenerateContent),
            Route::Responses => Some(Dialect::OpenaiResponses),
            Route::GoogleModel(_) | Route::GoogleModels | Route::Model(_) | Route::Models => None,
        }
    }

    pub fn shape(&self) -> Shape {
        match self {
            Route::CountTokens | Route::Messages => Shape::Anthropic,
            Route::Generate { .. } | Route::GoogleModel(_) | Route::GoogleModels => Shape::Google,
            Route::ChatCompletions
            | Route::Embeddings
            | Route::Model(_)
            | Route::Models
            | Route::Responses => Shape::Openai,
        }
    }

    /// For counters.
    pub fn name(&self) -> &'static str {
        match self {
            Route::ChatCompletions => "chat_completions",
            Route::CountTokens => "count_tokens",
            Route::Embeddings => "embeddings",
            Route::Generate { .. } => "generate",
            Route::Messages => "messages",
            Route::GoogleModel(_) | Route::GoogleModels | Route::Model(_) | Route::Models => {
                "models"
            }
            Route::Responses => "responses",
        }
    }
}

/// Where an account that speaks a dialect is reached, for people.
pub fn path_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::AnthropicMessages => "/v1/messages",
        Dialect::CodeAssist | Dialect::GeminiGenerateContent => {
            "/v1beta/models/MODEL:generateContent"
        }
        Dialect::OpenaiChat => "/v1/chat/completions",
        Dialect::OpenaiResponses => "/v1/responses",
    }
}

/// The shape of an answer to a path that may lead nowhere, by what its clients speak.
pub fn shape_of(path: &str) -> Shape {
    if path.starts_with("/v1beta") {
        Shape::Google
    } else if path.starts_with("/v1/messages") {
        Shape::Anthropic
    } else {
        Shape::Openai
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_method_and_path() {
        for (method, path, route) in [
            ("POST", "/v1/messages", Route::Messages),
            ("POST", "/v1/messages/count_tokens", Route::CountTokens),
            ("POST", "/v1/responses", Route::Responses),
            ("POST", "/v1/chat/completions/", Route::ChatCompletions),
            ("POST", "/v1/embeddings", Route::Embeddings),
            ("GET", "/v1/models", Route::Models),
            ("HEAD", "/v1/models", Route::Models),
            ("GET", "/v1/models/a%2Fb", Route::Model("a/b".to_owned())),
            ("GET", "/v1beta/models/g", Route::GoogleModel("g".to_owned())),
        ] {
            assert_eq!(find(method, path), Ok(route), "{method} {path}");
        }
        let (model, method) = ("x/gemini-2.5-pro".to_owned(), "streamGenerateContent".to_owned());
        let found = find("POST", "/v1beta/models/x/gemini-2.5-pro:streamGenerateContent");
        assert_eq!(found, Ok(Route::Generate { model, method }));
    }

    #[test]
    fn what_leads_elsewhere_leads_nowhere() {
        assert_eq!(find("GET", "/v1/messages"), Err(Nowhere::Method("POST")));
        for path in [
            "/",
            "/v1",
            "/v1/files",
            "/v1beta/models/..:generateContent",
            "/v1beta/models/a%2F..%2Fb:generateContent",
            "/v1beta/models/a%3Fb:generateContent",
            "/v1beta/models/a:generate/../x",
            "/v1beta/models/:generateContent",
            "/v1/models/%zz",
            "/v1/models/a%0d%0ab",
        ] {
            assert_eq!(find("POST", path), Err(Nowhere::Path), "{path}");
        }
    }
}
