//! What an account does with a prompt, written as its dialect has it.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::asked::{self, Asked, Speech};
use super::{HOLD_LIMIT, World, tokens};
use crate::support::idp::Request;
use crate::support::idp::encoding::now_s;
use crate::support::idp::http::{self, Answer};

#[derive(Clone, Debug)]
pub enum Does {
    Answer,
    /// Keeps the connection for another prompt, and closes it when that comes.
    AnswerAndKeep,
    /// `event: error`, where the first event should be.
    BeginWithError,
    /// The first half of a stream.
    BreakMidStream,
    /// The connection ends before a byte came.
    HangUp,
    HangUpAfterHead,
    /// The first event of a stream at once, the others after a release; of another answer nothing
    /// before it.
    Hold,
    /// As `Refuse`, after a release.
    HoldRefusal(u16, &'static str),
    Limit(Says),
    /// A page of HTML.
    Page(u16),
    /// This status, in these words.
    Refuse(u16, &'static str),
}

/// How an account that is over its limit says when it may be asked again.
#[derive(Clone, Copy, Debug)]
pub enum Says {
    Nothing,
    /// `resets_at`, so many seconds from now, as ChatGPT has it.
    ResetsIn(i64),
    RetryAfter(&'static str),
    RetryAfterMs(u64),
    /// `retryDelay`, as Google has it.
    RetryInfo(&'static str),
    /// The reset of Anthropic's five hours, so many seconds from now.
    Unified(i64),
    Words(&'static str),
}

pub fn exchange(stream: &mut TcpStream, request: &Request, world: &World) -> io::Result<()> {
    if request.path == "/token" {
        return tokens::renew(stream, request, world);
    }
    let credential = asked::credential(request);
    let (account, is_good) = {
        let known = world.inner().known.get(&credential).cloned();
        known.unwrap_or_else(|| ("?".to_owned(), false))
    };
    if request.method == "GET" {
        let (models, unlisted) = {
            let inner = world.inner();
            (inner.models.clone(), inner.unlisted.clone())
        };
        if models.is_empty() || unlisted.contains(&account) {
            return Answer::json(404, &json!({"error": {"message": "no list"}})).send(stream);
        }
        let models: Vec<Value> = models.iter().map(|id| json!({"id": id})).collect();
        return Answer::json(200, &json!({"object": "list", "data": models})).send(stream);
    }
    let Some(asked) = Asked::read(request, &account, &credential) else {
        return Answer::json(404, &json!({"error": {"message": "no such path"}})).send(stream);
    };
    let does = {
        let mut inner = world.inner();
        inner.asked.push(asked.clone());
        match inner.scripts.get_mut(&account) {
            _ if !is_good => Does::Refuse(401, "invalid token"),
            Some(script) => script(&asked),
            None => Does::Answer,
        }
    };
    act(stream, &asked, does, world)
}

fn act(stream: &mut TcpStream, asked: &Asked, does: Does, world: &World) -> io::Result<()> {
    match does {
        Does::Answer => answer(stream, asked, None),
        Does::AnswerAndKeep => {
            let (account, body) = (&asked.account, whole(asked).to_string());
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-account: {account}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            stream.flush()?;
            http::read(stream).map(drop)
        }
        Does::BeginWithError => {
            head(stream, asked)?;
            let error = json!({"type": "error", "error": {
                "type": "overloaded_error", "message": "Overloaded",
            }});
            chunk(stream, format!("event: error\ndata: {error}\n\n").as_bytes())?;
            chunk(stream, b"")
        }
        Does::BreakMidStream => {
            head(stream, asked)?;
            chunk(stream, events(asked)[0].as_bytes())
        }
        Does::HangUp => Ok(()),
        Does::HangUpAfterHead => head(stream, asked),
        Does::Hold => answer(stream, asked, Some(world)),
        Does::HoldRefusal(status, words) => {
            until_released(world);
            Answer::json(status, &error(asked.speech, status, words)).send(stream)
        }
        Does::Limit(says) => limited(asked, says).send(stream),
        Does::Page(status) => Answer::html(status, "<h1>Just a moment</h1>").send(stream),
        Does::Refuse(status, words) => {
            Answer::json(status, &error(asked.speech, status, words)).send(stream)
        }
    }
}

fn answer(stream: &mut TcpStream, asked: &Asked, hold: Option<&World>) -> io::Result<()> {
    if !asked.is_streamed {
        if let Some(world) = hold {
            until_released(world);
        }
        return Answer::json(200, &whole(asked)).with("x-account", &asked.account).send(stream);
    }
    head(stream, asked)?;
    for (at, event) in events(asked).iter().enumerate() {
        if let Some(world) = hold.filter(|_| at == 1) {
            until_released(world);
        }
        chunk(stream, event.as_bytes())?;
    }
    chunk(stream, b"")
}

fn until_released(world: &World) {
    let deadline = Instant::now() + HOLD_LIMIT;
    let mut inner = world.inner();
    inner.held += 1;
    world.changed.notify_all();
    while !inner.is_released && Instant::now() < deadline {
        let waited = world.changed.wait_timeout(inner, Duration::from_millis(500));
        inner = waited.unwrap_or_else(|broken| broken.into_inner()).0;
    }
    inner.held -= 1;
}

fn head(stream: &mut TcpStream, asked: &Asked) -> io::Result<()> {
    let account = &asked.account;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\
         x-account: {account}\r\nConnection: close\r\n\r\n"
    )?;
    stream.flush()
}

fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut wire = format!("{:x}\r\n", bytes.len()).into_bytes();
    wire.extend_from_slice(bytes);
    wire.extend_from_slice(b"\r\n");
    stream.write_all(&wire)?;
    stream.flush()
}

/// The name of the answer to a prompt of Responses: another one for each.
fn response_id(asked: &Asked) -> String {
    format!("resp_{}_{:?}", asked.account, asked.at).replace(|c: char| !c.is_alphanumeric(), "_")
}

fn whole(asked: &Asked) -> Value {
    let text = format!("from {}", asked.account);
    match asked.speech {
        Speech::Chat => json!({"object": "chat.completion", "model": asked.model, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}},
        ]}),
        Speech::CodeAssist => json!({"response": gemini(&text)}),
        Speech::Gemini => gemini(&text),
        Speech::Messages => json!({"type": "message", "role": "assistant", "model": asked.model,
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}),
        Speech::Responses => json!({"id": response_id(asked), "object": "response",
            "status": "completed", "model": asked.model,
            "output": [{"type": "message", "id": "msg_1", "role": "assistant",
                "content": [{"type": "output_text", "text": text}]}]}),
    }
}

fn gemini(text: &str) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]})
}

fn events(asked: &Asked) -> Vec<String> {
    let (id, text) = (response_id(asked), format!("from {}", asked.account));
    let named = |kind: &str, data: &Value| format!("event: {kind}\ndata: {data}\n\n");
    let data = |data: &Value| format!("data: {data}\n\n");
    match asked.speech {
        Speech::Chat => vec![
            data(&json!({"choices": [{"index": 0, "delta": {"content": text}}]})),
            data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
            "data: [DONE]\n\n".to_owned(),
        ],
        Speech::CodeAssist => vec![data(&json!({"response": gemini(&text)})); 2],
        Speech::Gemini => vec![data(&gemini(&text)); 2],
        Speech::Messages => vec![
            named("message_start", &json!({"type": "message_start", "message": {"id": id}})),
            named(
                "content_block_delta",
                &json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": text}}),
            ),
            named("message_stop", &json!({"type": "message_stop"})),
        ],
        Speech::Responses => vec![
            named(
                "response.created",
                &json!({"type": "response.created",
                "response": {"id": id, "object": "response", "status": "in_progress"}}),
            ),
            named(
                "response.output_text.delta",
                &json!({"type": "response.output_text.delta", "delta": text}),
            ),
            named(
                "response.completed",
                &json!({"type": "response.completed",
                "response": {"id": id, "object": "response", "status": "completed"}}),
            ),
        ],
    }
}

fn limited(asked: &Asked, says: Says) -> Answer {
    let words = match says {
        Says::Words(words) => words,
        _ => "over the limit",
    };
    let in_seconds = |seconds: i64| now_s().saturating_add_signed(seconds);
    let mut body = error(asked.speech, 429, words);
    match says {
        Says::ResetsIn(seconds) => {
            body["error"]["type"] = json!("usage_limit_reached");
            body["error"]["resets_at"] = json!(in_seconds(seconds));
        }
        Says::RetryInfo(delay) => {
            let kind = "type.googleapis.com/google.rpc.RetryInfo";
            body["error"]["details"] = json!([{"@type": kind, "retryDelay": delay}]);
        }
        _ => {}
    }
    let answer = Answer::json(429, &body);
    match says {
        Says::RetryAfter(value) => answer.with("Retry-After", value),
        Says::RetryAfterMs(ms) => answer.with("retry-after-ms", &ms.to_string()),
        Says::Unified(seconds) => {
            let at = in_seconds(seconds).to_string();
            let name = |end: &str| format!("anthropic-ratelimit-unified-{end}");
            let answer = answer.with(&name("5h-status"), "rejected");
            answer.with(&name("5h-reset"), &at).with(&name("7d-status"), "allowed")
        }
        Says::Nothing | Says::ResetsIn(_) | Says::RetryInfo(_) | Says::Words(_) => answer,
    }
}

/// An error in the shape of the dialect.
fn error(speech: Speech, status: u16, words: &str) -> Value {
    match speech {
        Speech::Chat | Speech::Responses => {
            let kind = if status == 429 { "rate_limit_exceeded" } else { "some_error" };
            json!({"error": {"message": words, "type": kind, "param": null, "code": null}})
        }
        Speech::CodeAssist | Speech::Gemini => {
            let word = if status == 429 { "RESOURCE_EXHAUSTED" } else { "SOME_ERROR" };
            json!({"error": {"code": status, "message": words, "status": word}})
        }
        Speech::Messages => {
            let kind = if status == 429 { "rate_limit_error" } else { "some_error" };
            json!({"type": "error", "error": {"type": kind, "message": words}})
        }
    }
}
