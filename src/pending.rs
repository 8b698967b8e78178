//! A login under way, as a value: all that is needed to finish it in another process.

use crate::account::{AccountRef, OauthClient};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::time::Timestamp;

/// Because the row travels inside, a later edit of config.json cannot send a code elsewhere.
#[derive(Clone, Debug)]
pub struct PendingLogin {
    /// Derived from the state, so that a callback finds its login without a search.
    pub login_id: String,
    pub account: AccountRef,
    /// The row as used, with the scopes and the client id of this login.
    pub provider: Provider,
    pub client_secret: Option<Secret>,
    pub state: Secret,
    pub verifier: Secret,
    pub redirect_uri: String,
    pub auth_url: String,
    /// Store nothing unless this identity signed in.
    pub expect: Option<String>,
    /// The account name may become another identity.
    pub replace: bool,
    /// Ask the provider who signed in.
    pub verify: bool,
    pub started_at: Timestamp,
    pub expires_at: Timestamp,
}

impl PendingLogin {
    /// The client of this login.
    pub fn client(&self) -> OauthClient {
        let id = self.provider.client_id.clone().unwrap_or_default();
        OauthClient { id, secret: self.client_secret.clone() }
    }
}
