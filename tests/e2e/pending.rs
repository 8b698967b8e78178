//! Logins begun in one process and finished in another (CLI.md section 3).

mod code;
mod finish;
mod hosted;
mod issuer;
mod manage;
mod once;
mod printed;
mod trouble;
