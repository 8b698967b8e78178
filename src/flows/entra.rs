//! Microsoft Entra ID for Azure.

use crate::account::Account;
use crate::error::{Error, Result};
use crate::flows::fresh::Tools;
use crate::provider::Provider;

pub fn renew(old: &Account, _row: &Provider, _tools: &Tools) -> Result<Account> {
    Err(Error::failed(format!("{}: not yet", old.id)))
}
