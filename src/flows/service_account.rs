//! Google service accounts.

use crate::account::Account;
use crate::error::{Error, Result};
use crate::flows::fresh::Tools;
use crate::provider::Provider;
use crate::secret::Secret;

pub fn renew(old: &Account, _key: &Secret, _row: &Provider, _tools: &Tools) -> Result<Account> {
    Err(Error::failed(format!("{}: not yet", old.id)))
}
