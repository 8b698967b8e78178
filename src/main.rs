//! keyfob signs a person in to AI providers and OAuth issuers and hands fresh tokens to scripts.
//! README.md has the map of this folder.

mod account;
mod commands;
mod credential;
mod endpoint;
mod error;
mod flows;
mod log;
mod net;
mod pending;
mod protocol;
mod provider;
mod qr;
mod secret;
mod source;
mod store;
mod term;
mod text;
mod time;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
