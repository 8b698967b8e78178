//! A caller's request as it goes on to a provider: the account's own credential, nothing of the
//! caller's but what the API needs.

use ureq::http::Request;
use ureq::http::header::{ACCEPT, HeaderName, HeaderValue};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::protocol::gateway::body::Body;
use crate::protocol::gateway::envelope::{self, Envelope};
use crate::protocol::gateway::route::Route;
use crate::protocol::{attach, form, request};
use crate::provider::{Dialect, Provider};
use crate::secret::Secret;

/// A request for a model, as the caller made it.
pub struct Asked<'a> {
    pub route: &'a Route,
    /// Without the caller's key.
    pub query: &'a [(String, String)],
    /// Names in lower case.
    pub headers: &'a [(String, String)],
    pub body: &'a Body,
    /// Further headers that may go on, by the person's settings.
    pub pass_headers: &'a [String],
    /// A name for the prompt, where an API wants one.
    pub id: &'a str,
}

/// With whom it is asked.
pub struct With<'a> {
    pub account: &'a Account,
    /// The row as it is for this account and this dialect.
    pub row: &'a Provider,
    pub base: &'a str,
    pub dialect: Dialect,
    pub model: &'a str,
}

/// What a caller says of the API, and nothing that says who the caller or its program is.
const PASSED: [&str; 12] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "conversation_id",
    "idempotency-key",
    "openai-beta",
    "session-id",
    "session_id",
    "thread-id",
    "x-claude-code-session-id",
    "x-client-request-id",
    "x-goog-request-params",
];

/// What no setting lets through: keys that the caller may hold, and what belongs to its own connection.
const KEPT: [&str; 19] = [
    // What we cannot read we cannot scrub, nor tell where an event ends.
    "accept-encoding",
    "api-key",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-goog-api-key",
];

/// Where callers put credentials into a query; of the last three Google's APIs take each.
const KEPT_QUERY: [&str; 4] = ["api_key", "access_token", "key", "oauth_token"];

/// Headers whose values are lists, to which the row's are added.
const LISTS: [&str; 2] = ["anthropic-beta", "openai-beta"];

/// The request, and what has to be done to its answer. Err is the caller's fault.
pub fn request(asked: &Asked, with: &With) -> Result<(Request<Secret>, Envelope)> {
    let (path, method) = path(asked.route, with)?;
    let api = with.row.api.as_ref();
    let is_streamed = asked.body.is_streamed();
    let (text, envelope) = body(asked, with, is_streamed);
    let mut query: Vec<(&str, &str)> = Vec::new();
    for (name, value) in asked.query {
        query.push((name, value));
    }
    if let Some(api) = api {
        query.retain(|(name, _)| !api.query.contains_key(*name));
        query.extend(api.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    if with.dialect == Dialect::CodeAssist && method == Some("streamGenerateContent") {
        // Without it the answer is one array, which has no envelopes to take off one by one.
        query.retain(|(name, _)| *name != "alt");
        query.push(("alt", "sse"));
    }
    let mut url = format!("{}{path}", with.base);
    if !query.is_empty() {
        url = format!("{url}?{}", form::encode_pairs(&query));
    }
    let mut onward = request::post_json_text(&url, Secret::new(text))?;
    if is_streamed || envelope == Envelope::LastOfStream || method == Some("streamGenerateContent")
    {
        // Unless the caller says otherwise.
        onward.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    }
    pass_on(&mut onward, asked)?;
    if envelope == Envelope::LastOfStream {
        // The caller's wish is for the answer that is made of it.
        onward.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    }
    add_own(&mut onward, with)?;
    Ok((onward, envelope))
}

/// Below the base; and the method, where it stands in the path.
fn path<'a>(route: &'a Route, with: &With) -> Result<(String, Option<&'a str>)> {
    let own = with.row.api.as_ref().and_then(|api| api.path.as_deref());
    let encoded = form::encode(with.model);
    let filled = own.map(|path| path.replace("{model}", &encoded));
    let path = match route {
        Route::Messages | Route::CountTokens => {
            // Some write the version into the base, as every OpenAI-compatible API does.
            let usual = if with.base.ends_with("/v1") { "/messages" } else { "/v1/messages" };
            let path = filled.unwrap_or_else(|| usual.to_owned());
            if *route == Route::CountTokens { format!("{path}/count_tokens") } else { path }
        }
        Route::Responses => filled.unwrap_or_else(|| "/responses".to_owned()),
        Route::ChatCompletions => filled.unwrap_or_else(|| "/chat/completions".to_owned()),
        Route::Embeddings => match filled {
            Some(path) => path.replace("/chat/completions", "/embeddings"),
            None => "/embeddings".to_owned(),
        },
        Route::Generate { method, .. } if with.dialect == Dialect::CodeAssist => {
            if !["countTokens", "generateContent", "streamGenerateContent"].contains(&&**method) {
                let what = format!("{method} is not to be had with {}", with.account.id);
                return Err(Error::usage(what));
            }
            return Ok((format!(":{method}"), Some(method)));
        }
        Route::Generate { method, .. } => {
            let path = filled.unwrap_or_else(|| format!("/models/{encoded}"));
            return Ok((format!("{path}:{method}"), Some(method)));
        }
        Route::GoogleModel(_) | Route::GoogleModels | Route::Model(_) | Route::Models => {
            return Err(Error::usage("a list is asked of no provider"));
        }
    };
    Ok((path, None))
}

fn body(asked: &Asked, with: &With, is_streamed: bool) -> (String, Envelope) {
    let body = asked.body;
    if let (Route::Generate { method, .. }, Dialect::CodeAssist) = (asked.route, with.dialect) {
        let text = match method.as_str() {
            "countTokens" => envelope::wrap_count(body, with.model),
            _ => {
                let project = with.account.fact("project_id");
                envelope::wrap(body, with.model, project, asked.id)
            }
        };
        return (text, Envelope::CodeAssist);
    }
    let mut changes = Vec::new();
    let has_model = !matches!(asked.route, Route::Generate { .. });
    if has_model && body.model().as_deref() != Some(with.model) {
        changes.push(("model", serde_json::Value::from(with.model).to_string()));
    }
    let mut envelope = Envelope::None;
    let streams_only = with.row.api.as_ref().is_some_and(|api| api.stream_only);
    if streams_only && *asked.route == Route::Responses {
        // Such an API keeps nothing, and says so by refusing what does not say it.
        changes.push(("store", "false".to_owned()));
        if !is_streamed {
            changes.push(("stream", "true".to_owned()));
            envelope = Envelope::LastOfStream;
        }
    }
    let text = if changes.is_empty() { body.text().to_owned() } else { body.with(&changes) };
    (text, envelope)
}

fn pass_on(onward: &mut Request<Secret>, asked: &Asked) -> Result<()> {
    for (name, value) in asked.headers {
        let is_wanted = asked.pass_headers.iter().any(|more| more.eq_ignore_ascii_case(name));
        let is_kept = KEPT.contains(&name.as_str());
        if is_kept || (!PASSED.contains(&name.as_str()) && !is_wanted) {
            continue;
        }
        let wrong = || Error::usage(format!("the header {name} cannot be passed on"));
        let header = HeaderName::try_from(name).map_err(|_| wrong())?;
        // A list may come in several lines (RFC 9110, section 5.3).
        let before = onward.headers().get(&header).filter(|_| LISTS.contains(&name.as_str()));
        let before = before.and_then(|before| before.to_str().ok());
        let whole = before.map_or(value.clone(), |before| format!("{before},{value}"));
        let mut value = HeaderValue::from_str(&whole).map_err(|_| wrong())?;
        value.set_sensitive(true);
        onward.headers_mut().insert(header, value);
    }
    Ok(())
}

/// The credential and the row's headers. What a caller says of the API's version counts before the row's,
/// as it reads the answer.
fn add_own(onward: &mut Request<Secret>, with: &With) -> Result<()> {
    let said: Vec<_> = PASSED
        .iter()
        .filter_map(|name| Some((*name, onward.headers().get(*name)?.clone())))
        .collect();
    attach::attach(onward, with.account, with.row)?;
    for (name, callers) in said {
        let header = HeaderName::from_static(name);
        if !LISTS.contains(&name) {
            onward.headers_mut().insert(header, callers);
            continue;
        }
        let own = onward.headers().get(name).and_then(|value| value.to_str().ok());
        let own = own.unwrap_or_default().to_owned();
        let callers = callers.to_str().unwrap_or_default();
        let mut all: Vec<&str> = Vec::new();
        for word in own.split(',').chain(callers.split(',')).map(str::trim) {
            if !word.is_empty() && !all.contains(&word) {
                all.push(word);
            }
        }
        let joined = request::sensitive(&all.join(","))?;
        onward.headers_mut().insert(header, joined);
    }
    Ok(())
}

/// The caller's query without its key, or any other.
pub fn without_key(query: &str) -> Vec<(String, String)> {
    let mut pairs = form::decode_pairs(query);
    pairs.retain(|(name, _)| !KEPT_QUERY.contains(&name.as_str()));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountId;
    use crate::credential::Credential;
    use crate::provider::Api;
    use crate::time::Timestamp;

    fn account() -> Account {
        let id = AccountId { provider: "x".to_owned(), account: "a".to_owned() };
        Account::new(id, Credential::ApiKey(Secret::new("sk-own")), Timestamp(0))
    }

    fn row(api: Api) -> Provider {
        let mut row = Provider::named("x").unwrap();
        row.api = Some(api);
        row
    }

    fn onward(route: &Route, dialect: Dialect, row: &Provider, text: &str) -> Request<Secret> {
        let headers = [
            ("authorization", "Bearer kf-caller"),
            ("x-api-key", "kf-caller"),
            ("cookie", "c"),
            ("user-agent", "tool/1"),
            ("x-app", "cli"),
            ("anthropic-beta", "b, own"),
            ("anthropic-version", "2020-01-01"),
            ("x-more", "m"),
        ];
        let headers: Vec<_> = headers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
        let body = Body::parse(text.to_owned()).unwrap();
        let query = without_key("beta=true&key=kf-caller&api-version=0");
        let pass_headers = ["X-More".to_owned(), "Cookie".to_owned(), "x-api-key".to_owned()];
        let asked = Asked {
            route,
            query: &query,
            headers: &headers,
            body: &body,
            pass_headers: &pass_headers,
            id: "i",
        };
        let base = row.api.as_ref().unwrap().base.clone();
        let account = account();
        let with = With { account: &account, row, base: &base, dialect, model: "m/1" };
        request(&asked, &with).unwrap().0
    }

    #[test]
    fn nothing_of_the_caller_goes_on_but_what_the_api_needs() {
        let mut api = Api::at("https://x.example/v1");
        api.headers.insert("anthropic-beta".to_owned(), "own,of-the-row".to_owned());
        api.headers.insert("anthropic-version".to_owned(), "2023-06-01".to_owned());
        api.query.insert("api-version".to_owned(), "9".to_owned());
        let sent =
            onward(&Route::Messages, Dialect::AnthropicMessages, &row(api), r#"{"model":"m/1"}"#);
        let url = "https://x.example/v1/messages?beta=true&api-version=9";
        assert_eq!(sent.uri().to_string(), url);
        let header = |name: &str| sent.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(header("authorization").as_deref(), Some("Bearer sk-own"));
        assert_eq!(header("anthropic-beta").as_deref(), Some("own,of-the-row,b"));
        assert_eq!(header("anthropic-version").as_deref(), Some("2020-01-01"));
        assert_eq!(header("x-more").as_deref(), Some("m"));
        for name in ["x-api-key", "cookie", "user-agent", "x-app"] {
            assert_eq!(header(name), None, "{name}");
        }
        assert_eq!(sent.body().expose(), r#"{"model":"m/1"}"#);
        assert!(!format!("{sent:?}").contains("sk-own"));
    }

    #[test]
    fn each_route_has_its_place_below_the_base() {
        let url = |route: &Route, dialect, api| {
            onward(route, dialect, &row(api), "{}").uri().path().to_owned()
        };
        let at = || Api::at("https://x.example/v1");
        let chat = Dialect::OpenaiChat;
        assert_eq!(url(&Route::Embeddings, chat, at()), "/v1/embeddings");
        assert_eq!(url(&Route::ChatCompletions, chat, at()), "/v1/chat/completions");
        let own = || Api { path: Some("/d/{model}/chat/completions".to_owned()), ..at() };
        assert_eq!(url(&Route::ChatCompletions, chat, own()), "/v1/d/m%2F1/chat/completions");
        assert_eq!(url(&Route::Embeddings, chat, own()), "/v1/d/m%2F1/embeddings");
        let anthropic = Dialect::AnthropicMessages;
        assert_eq!(
            url(&Route::CountTokens, anthropic, Api::at("https://x.example")),
            "/v1/messages/count_tokens"
        );
        assert_eq!(url(&Route::Responses, Dialect::OpenaiResponses, at()), "/v1/responses");
        let generate =
            Route::Generate { model: "m/1".to_owned(), method: "generateContent".to_owned() };
        assert_eq!(
            url(&generate, Dialect::GeminiGenerateContent, at()),
            "/v1/models/m%2F1:generateContent"
        );
        assert_eq!(url(&generate, Dialect::CodeAssist, at()), "/v1:generateContent");
    }

    #[test]
    fn a_model_is_renamed_and_a_stream_forced_where_it_must_be() {
        let sent = onward(
            &Route::ChatCompletions,
            Dialect::OpenaiChat,
            &row(Api::at("https://x/v1")),
            r#"{"model":"fast","n":1.0}"#,
        );
        assert_eq!(sent.body().expose(), r#"{"model":"m/1","n":1.0}"#);
        let api = Api { stream_only: true, ..Api::at("https://x/v1") };
        let sent =
            onward(&Route::Responses, Dialect::OpenaiResponses, &row(api), r#"{"model":"m/1"}"#);
        assert_eq!(sent.body().expose(), r#"{"stream":true,"store":false,"model":"m/1"}"#);
    }
}
