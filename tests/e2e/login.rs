//! Signing in while the process waits: what is shown, where the callback comes from, what is kept.

mod callback;
pub mod demo;
mod flags;
mod opener;
mod outcome;
mod page;
pub mod paste;
mod port;
mod rude;
mod shown;
mod signal;
mod terminal;
mod terms;
