//! Another tool's credential file, read by its row of `sources.json`. What the tool wrote may be half
//! written, of an older version, or hostile: whatever does not fit is not there.

use serde_json::{Map, Value};

use crate::protocol::jwt;
use crate::secret::Secret;
use crate::source::{Entry, Kind, Search, Source};
use crate::text;
use crate::time::Timestamp;

/// Why the bytes are no document.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// A SQLite file in place of JSON.
    Database,
    /// In words; it may be half written.
    Json(String),
}

/// One provider's credential. Refresh tokens of the tool are not among it.
#[derive(Clone, Debug)]
pub struct Held {
    pub provider: String,
    pub kind: Kind,
    pub token: Given,
    pub expires_at: Option<Timestamp>,
    /// The second token, with its expiry.
    pub api_token: Option<(Secret, Option<Timestamp>)>,
    pub id_token: Option<Secret>,
    /// Who it is.
    pub name: Option<String>,
    pub facts: Vec<(String, String)>,
}

/// How a tool gives a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The output of a command, which we do not run.
    Command,
    Plain(Secret),
    /// The value of an environment variable.
    Variable(String),
}

/// The document in `bytes`; a BOM and, where the tool writes them, comment lines are dropped.
pub fn parse(bytes: &[u8], has_comments: bool) -> Result<Value, Broken> {
    if bytes.starts_with(b"SQLite format 3\0") {
        return Err(Broken::Database);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Broken::Json("it is no text".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Whole lines only: `//` inside a string belongs to an address. An empty line keeps the count.
    let is_comment = |line: &&str| has_comments && line.trim_start().starts_with("//");
    let kept = text.split('\n').map(|line| if is_comment(&line) { "" } else { line });
    let json = kept.collect::<Vec<_>>().join("\n");
    if json.trim().is_empty() {
        return Err(Broken::Json("it is empty".to_owned()));
    }
    let parsed = serde_json::from_str(&json);
    parsed.map_err(|e| Broken::Json(format!("it is no JSON from line {} on", e.line())))
}

/// What the document holds, at most one credential a provider.
pub fn held(source: &Source, document: &Value) -> Vec<Held> {
    let mut all: Vec<Held> = Vec::new();
    for entry in &source.holds {
        if all.iter().any(|known| known.provider == entry.provider) {
            continue;
        }
        all.extend(match entry.search {
            Search::At => entry.at.iter().find_map(|at| {
                let object = document.pointer(at)?;
                read(entry, object, entry.token_in(object)?)
            }),
            Search::CopilotCli => copilot_cli(entry, document),
            Search::HostKeys => host_keys(entry, document),
        });
    }
    all
}

/// What stands in a variable or is printed by a command: the token itself, or the tool's JSON.
pub fn held_in_text(source: &Source, text: &str) -> Vec<Held> {
    let text = text.trim();
    if text.starts_with('{') {
        return parse(text.as_bytes(), false).map_or(Vec::new(), |json| held(source, &json));
    }
    let read = |entry| read(entry, &Value::Null, text);
    source.holds.iter().filter(|entry| entry.kind == Kind::Token).filter_map(read).collect()
}

impl Entry {
    fn token_in<'a>(&self, object: &'a Value) -> Option<&'a str> {
        let mut texts = self.token.iter().filter_map(|at| object.pointer(at)?.as_str());
        texts.find(|text| !text.trim().is_empty())
    }
}

fn read(entry: &Entry, object: &Value, token: &str) -> Option<Held> {
    let is_met = |(at, wanted): (&String, &String)| {
        object.pointer(at).and_then(Value::as_str) == Some(wanted)
    };
    if !entry.only_if.iter().all(is_met) {
        return None;
    }
    let token = if entry.indirect { given(token.trim()) } else { Given::Plain(secret(token)?) };
    if let Given::Plain(token) = &token
        && !(entry.starts.is_empty() || entry.starts.iter().any(|s| token.expose().starts_with(s)))
    {
        return None;
    }
    let pointed = |at: &Option<String>| object.pointer(at.as_deref()?);
    let plain = |at: &Option<String>| pointed(at).and_then(Value::as_str).and_then(secret);
    let stated = entry.expires.iter().find_map(|at| object.pointer(at).filter(|v| !v.is_null()));
    let expires_at = match (stated, &token) {
        _ if entry.kind == Kind::ApiKey => None,
        (Some(value), _) => time(value, entry.zero_is_never),
        (None, Given::Plain(token)) => jwt::expires_at(token),
        (None, _) => None,
    };
    let name = pointed(&entry.name).and_then(Value::as_str).map(|name| text::harmless(name, 128));
    let fact = |(key, at): (&String, &String)| {
        let text = object.pointer(at)?.as_str().filter(|text| is_plain(text, 300))?;
        Some((key.clone(), text.to_owned()))
    };
    Some(Held {
        provider: entry.provider.clone(),
        kind: entry.kind,
        token,
        expires_at,
        api_token: plain(&entry.api_token).map(|token| {
            let at = pointed(&entry.api_expires).and_then(|value| time(value, true));
            (token, at)
        }),
        id_token: plain(&entry.id_token),
        name: name.filter(|name| !name.is_empty()),
        facts: entry.facts.iter().filter_map(fact).collect(),
    })
}

/// No token is longer; a session cookie of a browser is 4 KiB, the longest JWTs some 10.
const TOKEN_LIMIT_BYTES: usize = 32 * 1024;

/// A token that fits into a header.
fn secret(text: &str) -> Option<Secret> {
    is_plain(text.trim(), TOKEN_LIMIT_BYTES).then(|| Secret::new(text.trim()))
}

fn is_plain(text: &str, limit: usize) -> bool {
    !text.is_empty() && text.len() <= limit && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// pi: `!command`, `$NAME`, `${NAME}`, formerly a bare NAME; `$$` and `$!` stand for one character.
fn given(text: &str) -> Given {
    let plain = |text: &str| Given::Plain(Secret::new(text));
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    if text.starts_with('!') {
        return Given::Command;
    }
    let Some(rest) = text.strip_prefix('$') else {
        return if is_name(text) { Given::Variable(text.to_owned()) } else { plain(text) };
    };
    if rest.starts_with(['$', '!']) {
        return plain(rest);
    }
    let name = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(rest);
    Given::Variable(name.to_owned())
}

/// Seconds, milliseconds (past 10^11, which as seconds is the year 5138), the same as text, or RFC
/// 3339. What is no time at all counts as long past: nobody can say that it still holds.
fn time(value: &Value, zero_is_never: bool) -> Option<Timestamp> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match Timestamp::parse(text.trim()) {
            Some(at) => return Some(at),
            None => text.trim().parse().ok(),
        },
        _ => None,
    };
    let number = number.filter(|number| number.is_finite() && *number >= 0.0).unwrap_or(0.0);
    if number == 0.0 && zero_is_never {
        return None;
    }
    let seconds = if number > 1e11 { number / 1000.0 } else { number };
    // The cast saturates, and `plus` keeps it inside the calendar.
    Some(Timestamp(0).plus(seconds as i64))
}

/// Copilot CLI's config.json, which no vendor page describes: `copilotTokens` (or snake case) maps
/// `HOST:LOGIN` to a token, or to an object that holds one; `lastLoggedInUser` says whose counts.
fn copilot_cli(entry: &Entry, document: &Value) -> Option<Held> {
    let either = |a: &str, b: &str| document.get(a).or_else(|| document.get(b)).cloned();
    let tokens = either("copilotTokens", "copilot_tokens")?;
    let tokens = tokens.as_object()?;
    let user = either("lastLoggedInUser", "last_logged_in_user").unwrap_or(Value::Null);
    let key = match (user["host"].as_str(), user["login"].as_str()) {
        (Some(host), Some(login)) => Some(format!("{host}:{login}")),
        _ => None,
    };
    let chosen = key.and_then(|key| tokens.get_key_value(&key));
    let in_order = chosen.into_iter().chain(tokens);
    in_order.into_iter().find_map(|(key, value)| {
        let token = first_token(value, &entry.starts)?;
        let (host, login) = key.rsplit_once(':').unwrap_or((key, ""));
        let found = read(entry, &Value::Null, token)?;
        Some(at_host(found, host, Some(login)))
    })
}

/// The first text that begins like a token, at any depth (the parser limits that).
fn first_token<'a>(value: &'a Value, starts: &[String]) -> Option<&'a str> {
    match value {
        Value::String(text) if starts.iter().any(|start| text.starts_with(start)) => Some(text),
        Value::Object(object) => object.values().find_map(|value| first_token(value, starts)),
        Value::Array(values) => values.iter().find_map(|value| first_token(value, starts)),
        _ => None,
    }
}

/// `{"github.com": {…}}` and `{"github.com:CLIENT": {…}}`; the public host goes before others.
fn host_keys(entry: &Entry, document: &Value) -> Option<Held> {
    let object: &Map<String, Value> = document.as_object()?;
    let host_of = |key: &str| key.split(':').next().unwrap_or_default().to_owned();
    let (public, others): (Vec<_>, Vec<_>) =
        object.iter().partition(|(key, _)| host_of(key) == PUBLIC_HOST);
    public.into_iter().chain(others).find_map(|(key, value)| {
        let found = read(entry, value, entry.token_in(value)?)?;
        Some(at_host(found, &host_of(key), None))
    })
}

const PUBLIC_HOST: &str = "github.com";

/// A token of a company's own host must not travel to the public one.
fn at_host(mut found: Held, host: &str, login: Option<&str>) -> Held {
    let bare = host.split_once("://").map_or(host, |(_, rest)| rest).trim_end_matches('/');
    if bare != PUBLIC_HOST {
        found.facts.push(("instance".to_owned(), host.to_owned()));
    }
    let login = login.map(|login| text::harmless(login, 128)).filter(|login| !login.is_empty());
    found.name = login.or(found.name);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::table;
    use serde_json::json;

    fn source(id: &str) -> Source {
        table().unwrap().into_iter().find(|source| source.id == id).unwrap()
    }

    fn plain(held: &Held) -> &str {
        match &held.token {
            Given::Plain(token) => token.expose(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn comments_are_whole_lines() {
        let text = b"// one\n  // two\n{\"a\": \"https://x\",\n// three\n\"b\": 1}\n";
        assert_eq!(parse(text, true), Ok(json!({"a": "https://x", "b": 1})));
        assert!(matches!(parse(text, false), Err(Broken::Json(_))));
        assert_eq!(parse(b"\xef\xbb\xbf{}", false), Ok(json!({})));
    }

    #[test]
    fn what_is_no_document_is_told_apart() {
        assert_eq!(parse(b"SQLite format 3\0\x10", false), Err(Broken::Database));
        let says = |bytes: &[u8]| match parse(bytes, false) {
            Err(Broken::Json(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(says(b"").contains("empty"));
        assert!(says(b" \n ").contains("empty"));
        assert!(says(b"\xff\xfe{").contains("no text"));
        assert!(says(b"{\"a\":\n\"secret-in-the-mid").contains("line 2"));
        let deep = "[".repeat(100_000);
        assert!(says(deep.as_bytes()).contains("no JSON"));
    }

    #[test]
    fn times_have_many_forms() {
        let at = |value: Value| time(&value, true).map(|at| at.0);
        assert_eq!(at(json!(1_798_761_599)), Some(1_798_761_599));
        assert_eq!(at(json!(1_798_761_599.25)), Some(1_798_761_599));
        assert_eq!(at(json!(1_798_761_599_000_i64)), Some(1_798_761_599));
        assert_eq!(at(json!("1798761599000")), Some(1_798_761_599));
        assert_eq!(at(json!("2026-12-31T23:59:59Z")), Some(1_798_761_599));
        assert_eq!(at(json!(0)), None);
        assert_eq!(time(&json!(0), false), Some(Timestamp(0)));
        // Year 9999 is the end of the calendar.
        assert_eq!(at(json!(1e300)), at(json!(u64::MAX)));
        for wrong in [json!(-5), json!("soon"), json!([1]), json!({"a": 1}), json!(true)] {
            assert_eq!(time(&wrong, false), Some(Timestamp(0)), "{wrong}");
        }
    }

    #[test]
    fn wrong_types_are_not_there() {
        for id in table().unwrap().iter().map(|source| source.id.clone()) {
            let source = source(&id);
            for wrong in [
                json!(null),
                json!([]),
                json!("text"),
                json!(7),
                json!({"tokens": []}),
                json!({"tokens": {"access_token": 7}}),
                json!({"claudeAiOauth": {"accessToken": {"a": 1}}}),
                json!({"access_token": "with\nline break", "refresh_token": "r"}),
                json!({"copilotTokens": [1]}),
                json!({"copilotTokens": {"": null}}),
                json!({"github.com": "x", "": {}}),
                json!({"openai": {"type": "oauth", "access": ""}}),
                json!({"openai": {"type": 3, "access": "token-token"}}),
                json!({"openai": {"access": "no-type-at-all"}}),
            ] {
                assert!(held(&source, &wrong).is_empty(), "{id}: {wrong}");
            }
        }
    }

    #[test]
    fn a_token_is_what_fits_into_a_header() {
        assert!(secret(" sk-abc \n").is_some());
        for wrong in ["", " ", "a b", "a\u{7f}", "ы", &"x".repeat(40_000)] {
            assert!(secret(wrong).is_none(), "{wrong:.20}");
        }
    }

    #[test]
    fn values_may_be_indirect() {
        let literal = |text: &str| Given::Plain(Secret::new(text));
        let variable = |name: &str| Given::Variable(name.to_owned());
        assert_eq!(given("sk-abc"), literal("sk-abc"));
        assert_eq!(given("!op read x"), Given::Command);
        assert_eq!(given("$GROQ_API_KEY"), variable("GROQ_API_KEY"));
        assert_eq!(given("${GROQ_API_KEY}"), variable("GROQ_API_KEY"));
        assert_eq!(given("GROQ_API_KEY"), variable("GROQ_API_KEY"));
        assert_eq!(given("$$x"), literal("$x"));
        assert_eq!(given("$!x"), literal("!x"));
    }

    #[test]
    fn the_last_copilot_user_counts() {
        let source = source("copilot-cli");
        let mut file = json!({
            "copilotTokens": {"https://github.com:a": "gho_aaaa", "https://github.com:b": {"token": "gho_bbbb"}},
            "lastLoggedInUser": {"host": "https://github.com", "login": "b"},
        });
        assert_eq!(plain(&held(&source, &file)[0]), "gho_bbbb");
        file["lastLoggedInUser"]["login"] = json!("gone");
        assert_eq!(plain(&held(&source, &file)[0]), "gho_aaaa");
        let old = json!({"copilot_tokens": {"https://co.ghe.com:c": "gho_cccc"}});
        let found = &held(&source, &old)[0];
        assert_eq!(found.facts, [("instance".to_owned(), "https://co.ghe.com".to_owned())]);
        assert_eq!(found.name.as_deref(), Some("c"));
        let classic = json!({"copilotTokens": {"https://github.com:a": "ghp_aaaa"}});
        assert!(held(&source, &classic).is_empty());
    }

    #[test]
    fn the_public_host_goes_first() {
        let source = source("copilot-apps");
        let file = json!({
            "co.ghe.com:Iv1.x": {"user": "me-co", "oauth_token": "ghu_company"},
            "github.com:Iv1.b507a08c87ecfe98": {"user": "me", "oauth_token": "ghu_public"},
        });
        let found = &held(&source, &file)[0];
        assert_eq!((plain(found), found.name.as_deref()), ("ghu_public", Some("me")));
        assert!(found.facts.is_empty());
    }

    #[test]
    fn a_variable_holds_a_token_or_json() {
        let source = source("claude-code");
        assert_eq!(plain(&held_in_text(&source, " sk-ant-oat01-x\n")[0]), "sk-ant-oat01-x");
        let json = r#"{"claudeAiOauth":{"accessToken":"sk-ant-oat01-y","expiresAt":1}}"#;
        assert_eq!(plain(&held_in_text(&source, json)[0]), "sk-ant-oat01-y");
        assert!(held_in_text(&source, "two words").is_empty());
        assert!(held_in_text(&source, "{").is_empty());
    }
}
