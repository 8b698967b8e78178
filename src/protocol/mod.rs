//! OAuth on the wire: values in, requests and values out.
//! No file, socket, environment, clock or randomness: every function here is a table row away
//! from its test. The request and response types are the plain ones that ureq re-exports.

pub mod api_token;
pub mod attach;
pub mod authorize;
pub mod callback;
pub mod certificate;
pub mod challenge;
pub mod chat;
pub mod code_assist;
pub mod device;
pub mod discovery;
pub mod entra;
pub mod form;
pub mod gateway;
pub mod identity;
pub mod json_text;
pub mod jsonrpc;
pub mod jwt;
pub mod mcp;
pub mod mcp_relay;
pub mod models;
pub mod modern;
pub mod oauth_error;
pub mod passed_back;
pub mod pkce;
pub mod registration;
pub mod request;
pub mod resource;
pub mod revoke;
pub mod scopes;
pub mod service_account;
pub mod session;
pub mod sign;
pub mod source;
pub mod sse;
pub mod token;
