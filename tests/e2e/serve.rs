//! `serve`: who comes in, what is refused, and how answers pass. A request is bytes on a socket, and an
//! upstream is told what to do byte by byte (`kit`, `client`, `upstream`); the vendors' own dialects
//! are in `routes`, over the strict API of `support/model_api`.

mod bodies;
pub mod client;
mod crowd;
mod door;
mod gone;
mod hosts;
mod keys;
pub mod kit;
mod listening;
mod lists;
mod names;
mod passing;
mod providers;
mod relay;
mod routes;
mod silence;
mod smuggling;
pub mod upstream;

/// Every path that takes prompts, and a body for it.
const PROMPTS: [(&str, &str); 7] = [
    ("/v1/chat/completions", r#"{"model":"m","messages":[]}"#),
    ("/v1/embeddings", r#"{"model":"m","input":"x"}"#),
    ("/v1/messages", r#"{"model":"m","messages":[]}"#),
    ("/v1/messages/count_tokens", r#"{"model":"m","messages":[]}"#),
    ("/v1/responses", r#"{"model":"m","input":"x"}"#),
    ("/v1beta/models/m:generateContent", r#"{"contents":[]}"#),
    ("/v1beta/models/m:streamGenerateContent", r#"{"contents":[]}"#),
];
const LISTS: [&str; 4] = ["/v1/models", "/v1/models/m", "/v1beta/models", "/v1beta/models/m"];
