//! The order of things: each file is one flow, read from top to bottom.
//! Flows draw the time and randomness, and turn what `protocol` understood into what to do next.

pub mod api;
pub mod api_token;
pub mod caller;
pub mod check;
pub mod device;
pub mod discover;
pub mod doctor;
pub mod entra;
pub mod environment;
pub mod finish;
pub mod fresh;
pub mod gateway;
pub mod keep;
pub mod key;
pub mod login;
pub mod logout;
pub mod mcp;
pub mod mcp_relay;
pub mod models;
pub mod program;
pub mod project;
pub mod prompt;
pub mod proof;
pub mod random;
pub mod redirect;
pub mod renew;
pub mod service_account;
pub mod session;
pub mod source;
pub mod tool;
pub mod transfer;
