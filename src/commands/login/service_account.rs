//! A Google service account.

use crate::account::AccountRef;
use crate::commands::App;
use crate::commands::login::Login;
use crate::error::{Error, Result};
use crate::provider::Provider;

pub fn run(_args: &Login, account: &AccountRef, _row: &Provider, _app: &App) -> Result<()> {
    Err(Error::failed(format!("{account}: not yet")))
}
