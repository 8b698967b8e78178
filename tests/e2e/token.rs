//! `token` and `refresh`: what is handed out, when the issuer is asked, and what its answers do to
//! the stored credential.

mod faults;
mod fresh;
mod header;
mod interrupt;
mod kubectl;
pub mod place;
mod refreshed;
mod refused;
mod renew;
pub mod shell;
mod streams;
mod which;
