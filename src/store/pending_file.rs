//! The shape of a pending login on disk, private to the store.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::AccountRef;
use crate::pending::PendingLogin;
use crate::secret::Secret;
use crate::time::Timestamp;

#[derive(Deserialize, Serialize)]
struct Disk {
    version: u32,
    login_id: String,
    account: AccountRef,
    /// Through a value, so that the row's large reader is compiled once, not once more for files.
    row: Value,
    client_secret: Option<String>,
    state: String,
    verifier: String,
    redirect_uri: String,
    auth_url: String,
    expect: Option<String>,
    replace: bool,
    verify: bool,
    started_at: Timestamp,
    expires_at: Timestamp,
}

/// None when the bytes are no pending login of this version.
pub fn parse(bytes: &[u8]) -> Option<PendingLogin> {
    let disk: Disk = serde_json::from_slice(bytes).ok()?;
    let provider = serde_json::from_value(disk.row).ok()?;
    (disk.version == 1).then(|| PendingLogin {
        login_id: disk.login_id,
        account: disk.account,
        provider,
        client_secret: disk.client_secret.map(Secret::new),
        state: Secret::new(disk.state),
        verifier: Secret::new(disk.verifier),
        redirect_uri: disk.redirect_uri,
        auth_url: disk.auth_url,
        expect: disk.expect,
        replace: disk.replace,
        verify: disk.verify,
        started_at: disk.started_at,
        expires_at: disk.expires_at,
    })
}

pub fn render(pending: &PendingLogin) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Disk {
        version: 1,
        login_id: pending.login_id.clone(),
        account: pending.account.clone(),
        row: serde_json::to_value(&pending.provider)?,
        client_secret: pending.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
        state: pending.state.expose().to_owned(),
        verifier: pending.verifier.expose().to_owned(),
        redirect_uri: pending.redirect_uri.clone(),
        auth_url: pending.auth_url.clone(),
        expect: pending.expect.clone(),
        replace: pending.replace,
        verify: pending.verify,
        started_at: pending.started_at,
        expires_at: pending.expires_at,
    })
}
