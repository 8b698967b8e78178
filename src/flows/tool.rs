//! The sign-in of another installed tool.

use crate::account::Account;
use crate::error::{Error, Result};
use crate::provider::Provider;

pub fn read(old: &Account, _path: &str, _row: &Provider) -> Result<Account> {
    Err(Error::failed(format!("{}: not yet", old.id)))
}
