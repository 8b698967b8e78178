//! The wire of `serve` as values: what a request wants, what is sent on to a provider, what its answer
//! means for the account, and what a caller is told when there is no answer.

pub mod body;
pub mod envelope;
pub mod limits;
pub mod listing;
pub mod onward;
pub mod refusal;
pub mod route;
