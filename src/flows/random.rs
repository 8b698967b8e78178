//! Randomness, of which flows alone draw any.

use crate::error::{Error, Result};

/// So many bytes that nobody can guess.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::failed(format!("the system gives no random bytes: {e}")))?;
    Ok(bytes)
}
