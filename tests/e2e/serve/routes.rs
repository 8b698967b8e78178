//! Every dialect end to end, against strict APIs (`support/model_api`): each kind of account is asked at
//! the route that its API speaks, whole and in a stream, and what comes back is what the API said.

use std::time::Instant;

use serde_json::{Value, json};

use super::client::Answer;
use super::kit::{Ask, Gateway, LIMIT, SECRET, Setup};
use super::upstream::Upstream;
use crate::run::seats::{ALL, Home, Seat, door};
use crate::support::model_api::{Fault, Speech, What, When};

/// A gateway over a home with accounts.
fn over(home: Home) -> (Gateway, Vec<Seat>) {
    let Home { sandbox, seats } = home;
    let config = sandbox.read_config();
    // The metadata service of the machine is left alone.
    let setup = Setup { sandbox, config, environment: Vec::new() };
    let setup = setup.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9");
    (setup.set("keepalive", 1).start(), seats)
}

/// A prompt for an account, at its API's route.
fn prompt(gateway: &Gateway, name: &str, is_streamed: bool) -> Ask {
    let door = door(name.split('/').next().unwrap_or_default());
    let model = &door.model;
    let (path, body) = match door.speech {
        Speech::Anthropic => (
            "/v1/messages".to_owned(),
            json!({"model": model, "max_tokens": 64, "stream": is_streamed,
                "messages": [{"role": "user", "content": "Say hello"}]}),
        ),
        Speech::Chat => (
            "/v1/chat/completions".to_owned(),
            json!({"model": model, "stream": is_streamed,
                "messages": [{"role": "user", "content": "Say hello"}]}),
        ),
        Speech::Responses => (
            "/v1/responses".to_owned(),
            json!({"model": model, "stream": is_streamed, "store": false, "instructions": "Be kind",
                "input": [{"type": "message", "role": "user",
                    "content": [{"type": "input_text", "text": "Say hello"}]}]}),
        ),
        Speech::CodeAssist | Speech::Gemini => {
            let method = match is_streamed {
                true => "streamGenerateContent?alt=sse",
                false => "generateContent",
            };
            let mut body =
                json!({"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]});
            if door.speech == Speech::CodeAssist {
                body["session_id"] = json!("session-0123456789");
            }
            (format!("/v1beta/models/{model}:{method}"), body)
        }
    };
    let accept = if is_streamed { "text/event-stream" } else { "application/json" };
    gateway.post(&path, body.to_string()).with("Accept", accept)
}

/// The text that a whole answer holds.
fn whole_text(speech: Speech, answer: &Value) -> Value {
    match speech {
        Speech::Anthropic => answer["content"][0]["text"].clone(),
        Speech::Chat => answer["choices"][0]["message"]["content"].clone(),
        Speech::CodeAssist | Speech::Gemini => {
            answer["candidates"][0]["content"]["parts"][0]["text"].clone()
        }
        Speech::Responses => answer["output"][0]["content"][0]["text"].clone(),
    }
}

/// The texts that the events of a stream bring, joined.
fn streamed_text(speech: Speech, answer: &Answer) -> String {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let pieces = events.filter_map(|event| {
        let piece = match speech {
            Speech::Anthropic => &event["delta"]["text"],
            Speech::Chat => &event["choices"][0]["delta"]["content"],
            Speech::CodeAssist | Speech::Gemini => {
                let part = &event["candidates"][0]["content"]["parts"][0];
                if part["thought"] == true { &Value::Null } else { &part["text"] }
            }
            Speech::Responses if event["type"] == "response.output_text.delta" => &event["delta"],
            Speech::Responses => &Value::Null,
        };
        piece.as_str().map(str::to_owned)
    });
    pieces.collect()
}

#[test]
fn every_kind_of_account_answers_at_the_route_of_its_api() {
    let (gateway, seats) = over(Home::of(&ALL));
    for Seat { name, api, .. } in &seats {
        let words = format!("serve key add {} --provider {name}", name.replace('/', "."));
        let key = gateway.cmd(&words).run().ok().line().to_owned();
        let bearer = format!("Bearer {key}");
        let begin = Instant::now();
        while gateway.ask(&gateway.get("/v1/models").but("Authorization", &bearer)).status() != 200
        {
            assert!(begin.elapsed() < LIMIT, "{name}: its key is not known");
        }
        let speech = door(name.split('/').next().unwrap_or_default()).speech;
        let ask = |is_streamed| prompt(&gateway, name, is_streamed).but("Authorization", &bearer);
        let whole = gateway.ask(&ask(false));
        assert_eq!(whole.status(), 200, "{name}: {}", whole.text());
        assert_eq!(whole_text(speech, &whole.json()), api.text(), "{name}");
        assert_eq!(whole.header("content-type"), Some("application/json"), "{name}");
        let streamed = gateway.ask(&ask(true));
        assert_eq!(streamed.status(), 200, "{name}: {}", streamed.text());
        assert_eq!(streamed_text(speech, &streamed), api.text(), "{name}");
        let kind = streamed.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/event-stream"), "{name}: {kind}");
        assert_eq!(api.seen(What::Prompt).len(), 2, "{name}");
        api.assert_content();
        if speech == Speech::CodeAssist {
            for text in [whole.text(), streamed.text()] {
                assert!(!text.contains("\"response\"") && !text.contains("traceId"), "{text}");
            }
        }
        for seen in api.seen(What::Prompt) {
            assert!(!format!("{seen:?}").contains(&key), "{name}: the caller's key");
        }
    }
    let said = gateway.running.stderr();
    for Seat { name, secret, .. } in &seats {
        assert!(!said.contains(secret), "{name}: {said}");
    }
}

/// The same words by way of the provider's own name, from one key that is good for all.
#[test]
fn a_provider_is_chosen_by_its_name_before_the_model() {
    let names =
        ["anthropic-api/default", "groq/default", "openai-api/default", "gemini-api/default"];
    let (gateway, seats) = over(Home::of(&names));
    for Seat { name, api, .. } in &seats {
        let provider = name.split('/').next().unwrap_or_default();
        let model = door(provider).model;
        let ask = prompt(&gateway, name, false);
        let text = String::from_utf8(ask.bytes()).expect("text");
        let named = text.replacen(&format!("\"{model}\""), &format!("\"{provider}/{model}\""), 1);
        let named =
            named.replacen(&format!("models/{model}:"), &format!("models/{provider}/{model}:"), 1);
        let more = if text.contains("Content-Length") { provider.len() + 1 } else { 0 };
        let length = text.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length: usize = length.expect("a length").parse().expect("a number");
        let is_in_path = text.contains("/v1beta/");
        let new = if is_in_path { length } else { length + more };
        let named =
            named.replace(&format!("Content-Length: {length}"), &format!("Content-Length: {new}"));
        gateway.raw(named.as_bytes()).is(200);
        assert_eq!(api.said().model, model, "{name}");
        api.assert_content();
    }
}

/// The one who asked for a whole answer gets no sign of the stream that it was made from.
#[test]
fn an_api_that_only_streams_answers_whole_too() {
    let (gateway, seats) = over(Home::of(&["openai/me@example.com"]));
    let (name, api) = (&seats[0].name, &seats[0].api);
    // Longer in all than a stream would be waited for, and than comments are apart.
    api.fault_once(When::Asked, Fault::Slow(500));
    let answer = gateway.ask(&prompt(&gateway, name, false));
    assert_eq!(answer.is(200).header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert_eq!(answer.json()["object"], "response");
    assert_eq!(whole_text(Speech::Responses, &answer.json()), api.text());
    assert!(api.said().is_streamed);
    for fault in [Fault::Cut, Fault::Overloaded] {
        println!("{fault:?}");
        api.fault_once(When::Asked, fault);
        let answer = gateway.ask(&prompt(&gateway, name, false));
        assert_eq!(answer.is(502).header("content-type"), Some("application/json"));
        assert!(answer.json()["error"].is_object(), "{}", answer.text());
    }
    api.assert_content();
}

#[test]
fn code_assist_is_kept_alive_between_events() {
    let (gateway, seats) = over(Home::of(&["gemini/me@example.com"]));
    let (name, api) = (&seats[0].name, &seats[0].api);
    api.fault_once(When::Asked, Fault::Slow(1_500));
    let answer = gateway.ask(&prompt(&gateway, name, true));
    let text = answer.is(200).text();
    assert!(text.matches(": keep-alive\n\n").count() >= 4, "{text}");
    for block in text.replace("\r\n", "\n").split("\n\n").filter(|block| !block.is_empty()) {
        let is_whole = block.strip_prefix("data: ").map(serde_json::from_str::<Value>);
        assert!(block == ": keep-alive" || is_whole.is_some_and(|data| data.is_ok()), "{block:?}");
    }
    assert_eq!(streamed_text(Speech::CodeAssist, &answer), api.text());
    api.assert_content();
}

/// What goes into the envelope, and what is not to be had behind it.
#[test]
fn code_assist_counts_and_wraps_and_refuses_what_it_has_not() {
    let upstream = Upstream::start(|request, out| match request.path.as_str() {
        "/v1internal:countTokens" => out.json(200, &json!({"totalTokens": 7})),
        _ => out.json(200, &json!({"response": {"n": 1}, "traceId": "t"})),
    });
    let mut setup = Setup::empty().account("ca/a", SECRET);
    let base = format!("{}/v1internal", upstream.origin());
    setup.config["providers"]["ca"] =
        json!({"ways": ["api_key"], "api": {"base": base, "dialect": "code_assist"}});
    let mut file = setup.sandbox.read_account("ca", "a");
    file["extra"] = json!({"project_id": "demo"});
    setup.sandbox.write_account("ca", "a", &file);
    let gateway = setup.start();
    let at = |method: &str, body: &str| {
        gateway.ask(&gateway.post(&format!("/v1beta/models/m:{method}"), body))
    };
    let contents = r#"{"contents": [{"n":1.0}], "generationConfig":{}}"#;
    assert_eq!(at("countTokens", contents).is(200).json(), json!({"totalTokens": 7}));
    assert_eq!(at("generateContent", contents).is(200).text(), r#"{"n":1}"#);
    let prompts = upstream.prompts();
    let counted = r#"{"request":{"model":"models/m","contents":[{"n":1.0}]}}"#;
    assert_eq!(prompts[0].body, counted);
    let wrapped = &prompts[1].body;
    assert!(wrapped.ends_with(&format!(r#""project":"demo","request":{contents}}}"#)), "{wrapped}");
    assert!(wrapped.starts_with(r#"{"model":"m","user_prompt_id":""#), "{wrapped}");
    let refused = at("embedContent", contents);
    let words = refused.is(400).words("/v1beta");
    assert!(words.contains("embedContent"), "{words}");
    assert_eq!(upstream.prompts().len(), 2);
}

#[test]
fn counting_and_embedding_have_their_own_paths() {
    let upstream = Upstream::start(|request, out| out.json(200, &json!({"at": request.path})));
    let origin = upstream.origin();
    let chat = json!({"base": format!("{origin}/v1"), "dialect": "openai_chat"});
    let anthropic = json!({"base": origin, "dialect": "anthropic_messages",
        "key_header": "x-api-key", "headers": {"anthropic-version": "2023-06-01"}});
    let versioned = json!({"base": format!("{origin}/anthropic/v1"),
        "dialect": "anthropic_messages"});
    let gemini = json!({"base": format!("{origin}/v1beta"), "key_header": "x-goog-api-key",
        "dialect": "gemini_generate_content"});
    let setup = Setup::empty().provider("chat", chat).provider("anth", anthropic);
    let setup = setup.provider("versioned", versioned).provider("gem", gemini);
    let setup = setup.account("chat/a", SECRET).account("anth/a", SECRET);
    let gateway = setup.account("versioned/a", SECRET).account("gem/a", SECRET).start();
    let at = |path: &str, model: &str| {
        let body = json!({"model": model, "input": "x", "messages": []}).to_string();
        gateway.ask(&gateway.post(path, body)).is(200).json()["at"].as_str().map(str::to_owned)
    };
    for (path, model, wanted) in [
        ("/v1/embeddings", "chat/m", "/v1/embeddings"),
        ("/v1/chat/completions", "chat/m", "/v1/chat/completions"),
        ("/v1/chat/completions/", "chat/m", "/v1/chat/completions"),
        ("/v1/messages", "anth/m", "/v1/messages"),
        ("/v1/messages/count_tokens", "anth/m", "/v1/messages/count_tokens"),
        ("/v1/messages?beta=true", "versioned/m", "/anthropic/v1/messages"),
        ("/v1/messages/count_tokens", "versioned/m", "/anthropic/v1/messages/count_tokens"),
        ("/v1beta/models/m:countTokens", "-", "/v1beta/models/m:countTokens"),
        ("/v1beta/models/gem/m:embedContent", "-", "/v1beta/models/m:embedContent"),
        ("/v1beta/models/gem%2Fm:generateContent", "-", "/v1beta/models/m:generateContent"),
        (
            "/v1beta/models/tuned%2Fm:generateContent",
            "-",
            "/v1beta/models/tuned%2Fm:generateContent",
        ),
    ] {
        assert_eq!(at(path, model).as_deref(), Some(wanted), "{path}");
    }
    let with_query = upstream.prompts().into_iter().find(|one| one.path.starts_with("/anthropic"));
    assert_eq!(with_query.map(|one| one.query).as_deref(), Some("beta=true"));
}

/// A row's features go first, and the caller's are added once; the version is the caller's, who reads the
/// answer.
#[test]
fn features_of_row_and_caller_are_joined() {
    let upstream = Upstream::good();
    let row = json!({"base": upstream.origin(), "dialect": "anthropic_messages",
        "key_header": "x-api-key",
        "headers": {"anthropic-version": "2023-06-01", "anthropic-beta": "row-1, both-2"}});
    let gateway = Setup::empty().provider("anth", row).account("anth/a", SECRET).start();
    let body = r#"{"model":"m","messages":[]}"#;
    let ask = gateway.post("/v1/messages?beta=true", body).with("anthropic-version", "2020-01-01");
    gateway.ask(&ask).is(200);
    gateway.ask(&ask.clone().with("Anthropic-Beta", "own-3,both-2")).is(200);
    let twice = ask.with("anthropic-beta", "own-3").with("anthropic-beta", "own-4");
    gateway.ask(&twice).is(200);
    let betas: Vec<_> = upstream
        .prompts()
        .iter()
        .map(|request| request.header("anthropic-beta").unwrap_or_default().to_owned())
        .collect();
    assert_eq!(betas[0].replace(' ', ""), "row-1,both-2");
    assert_eq!(betas[1], "row-1,both-2,own-3");
    assert_eq!(betas[2], "row-1,both-2,own-3,own-4");
    for request in upstream.prompts() {
        assert_eq!(request.header("anthropic-version"), Some("2020-01-01"));
        assert_eq!(request.header("x-api-key"), Some(SECRET));
        assert_eq!(request.header("authorization"), None);
        let betas = request.headers.iter().filter(|(name, _)| name == "anthropic-beta");
        assert_eq!(betas.count(), 1);
    }
}

/// A stream that fails in the middle is told as the provider told it.
#[test]
fn an_error_within_a_stream_is_the_providers_own() {
    let (gateway, seats) = over(Home::of(&["anthropic-api/default", "groq/default"]));
    for Seat { name, api, .. } in &seats {
        api.fault_once(When::Asked, Fault::Overloaded);
        let answer = gateway.ask(&prompt(&gateway, name, true));
        let text = answer.is(200).text().to_lowercase();
        assert!(text.contains("overloaded"), "{name}: {text}");
        assert_eq!(api.seen(What::Prompt).len(), 1, "{name}: it is not asked twice");
    }
}
