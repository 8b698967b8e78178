//! All rows there are: the built-in ones, what was found out of MCP servers, and what people wrote.

use serde_json::Value;

use crate::provider::{Providers, merge};
use crate::store::Store;
use crate::term;

/// The rows as they are when they are first asked for. Whoever runs for long asks anew: other
/// processes find servers out, and people change settings.
pub fn of(store: Store) -> Providers {
    let read = move || {
        // What people write goes before what was found out.
        let mut rows = Value::Object(store.server_rows());
        merge(&mut rows, store.config()?.providers().into());
        Ok(rows.as_object().cloned().unwrap_or_default())
    };
    Providers::new(read, term::warn)
}
