//! `run`, `models` and `auth-test`, over the built-in rows: each account has an API of its own
//! (`support/model_api`), and only the rows' origins are changed to lead there. Every such API is
//! strict about what is sent to it, and a test ends by asking whether it has complaints.

mod base;
mod cache;
mod dialects;
mod faults;
mod flags;
mod proof;
mod proof_faults;
mod proof_login;
mod renewed;
pub mod seats;
mod shaping;
mod streaming;

use std::time::Duration;

use seats::{ALL, Home, Seat};

const LIMIT: Duration = Duration::from_secs(20);
