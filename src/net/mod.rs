//! The only files that touch a socket, or ask another program. Nothing here knows OAuth: requests come
//! in as values, and what counts as a callback is a question to the caller.

pub mod ca;
pub mod client;
pub mod failure;
pub mod guard;
pub mod hangup;
pub mod heartbeat;
pub mod loopback;
mod names;
pub mod page;
pub mod probe;
mod proxy;
pub mod reply;
pub mod serve;
mod slim;
pub mod stream;
