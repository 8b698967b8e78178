//! The kit of the end-to-end tests: a home of its own and a command (`sandbox`, `command`), an
//! issuer (`idp`), and a browser that is a socket (`browser`). The product is reached through its
//! binary only.

// Not every test binary uses every part of the kit.
#![allow(dead_code)]

pub mod agent;
#[cfg(test)]
mod agent_selftest;
pub mod api;
pub mod browser;
pub mod codemie;
pub mod command;
pub mod entra;
pub mod github;
pub mod google_token;
pub mod idp;
pub mod many_api;
pub mod mcp_resource;
pub mod mcp_server;
pub mod model_api;
pub mod rsa_key;
pub mod running;
pub mod sandbox;
pub mod tls;
pub mod tool;
