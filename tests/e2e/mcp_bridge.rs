//! `mcp-proxy` between a client on its stdin and a server without OAuth: every message, stream,
//! session and fault of the transport.

mod ends;
mod faults;
mod kit;
mod load;
mod messages;
mod modern;
mod older;
mod options;
mod sessions;
mod streams;
