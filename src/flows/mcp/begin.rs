//! The beginning of a sign-in from the proxy: what the server asks for, the client, the address to open.

use crate::account::OauthClient;
use crate::error::{Error, Result};
use crate::flows::login::{self, Wish};
use crate::flows::mcp::find_out::{self, FoundOut, Wanted};
use crate::flows::mcp::{Bridge, Options, register};
use crate::flows::redirect::{self, Asked};
use crate::net::client::Client;
use crate::net::loopback::Listener;
use crate::pending::{Begun, PendingLogin};
use crate::protocol::challenge::Challenge;
use crate::protocol::session;
use crate::provider::{Provider, Providers};
use crate::store::Store;
use crate::term;
use crate::time::Timestamp;

/// A sign-in with less time left than this is not taken over.
const LEAST_LEFT_S: i64 = 60;

/// All that a beginning needs; its own, so that a thread nobody waits for can have it.
pub struct Asking {
    options: Options,
    client: Client,
    store: Store,
}

/// A sign-in under way, and where its callback comes in.
pub struct Awaited {
    pub pending: PendingLogin,
    pub listener: Listener,
    /// The page of one that was taken over may be open already.
    pub is_open: bool,
}

impl Asking {
    pub fn of(bridge: &Bridge) -> Asking {
        let (client, store) = (bridge.tools.client.again(), bridge.tools.store.again());
        Asking { options: bridge.options.clone(), client, store }
    }

    /// A sign-in under way that nobody waits for any more, or a new one. `scopes_before` are those that
    /// a step up must not lose.
    pub fn begin(&self, challenge: Challenge, scopes_before: Vec<String>) -> Result<Awaited> {
        let gone = self.without_dead_client()?;
        if scopes_before.is_empty()
            && let Some(awaited) = self.taken_over(gone.as_ref())?
        {
            return Ok(awaited);
        }
        let found = self.find_out(challenge, scopes_before)?;
        let chosen = redirect::listen(&found.row, self.asked(false));
        let no_port = || Error::temporary("no port is free for the callback");
        let listener = chosen.listener.ok_or_else(no_port)?;
        let pending = self.pending(&found, &chosen.uri, true)?;
        Ok(Awaited { pending, listener, is_open: false })
    }

    /// The same for a person who opens the address somewhere else: nobody listens.
    pub fn begin_elsewhere(
        &self,
        challenge: Challenge,
        before: Vec<String>,
    ) -> Result<PendingLogin> {
        let gone = self.without_dead_client()?;
        if before.is_empty()
            && let Some(pending) = self.under_way(gone.as_ref())?.into_iter().next()
        {
            return Ok(pending);
        }
        let found = self.find_out(challenge, before)?;
        let uri = redirect::promise(&found.row, self.asked(true)).uri;
        self.pending(&found, &uri, false)
    }

    fn asked(&self, headless: bool) -> Asked<'static> {
        Asked { port: self.options.callback_port, host: None, headless }
    }

    /// The client that the server no longer knows, set aside if it was registered. One that a person
    /// gave cannot be replaced, and would lead them to a page that refuses it.
    fn without_dead_client(&self) -> Result<Option<OauthClient>> {
        let id = &self.options.server.provider;
        let Some(gone) = register::gone(id, &self.store)? else { return Ok(None) };
        register::forget(id, &gone.id, &self.store)?;
        let given = &self.options.given;
        let known = self.store.read_server(id)?;
        let kept = known.iter().flat_map(|server| &server.registrations);
        let is_kept = kept.filter(|one| one.is_given).any(|one| one.client_id == gone.id);
        let is_meant = match &given.id {
            Some(id) => *id == gone.id && (given.secret.is_none() || given.secret == gone.secret),
            None => is_kept,
        };
        if is_meant {
            let what = format!("the server no longer takes the client {} that was given", gone.id);
            let next = format!("keyfob login {} --client-id ID", self.options.url);
            return Err(Error::failed(what).or_try(next));
        }
        Ok(Some(gone))
    }

    /// Sign-ins in a browser that somebody began for this server.
    fn under_way(&self, gone: Option<&OauthClient>) -> Result<Vec<PendingLogin>> {
        let now = Timestamp::now();
        let mut all = self.store.pending(now)?;
        all.retain(|pending| {
            pending.account.provider == self.options.server.provider
                && matches!(pending.begun, Begun::Browser { .. })
                && pending.expires_at.since(now) > LEAST_LEFT_S
                && gone.is_none_or(|gone| pending.provider.client_id.as_ref() != Some(&gone.id))
        });
        Ok(all)
    }

    fn taken_over(&self, gone: Option<&OauthClient>) -> Result<Option<Awaited>> {
        for pending in self.under_way(gone)? {
            let Some(port) = pending.redirect_uri().and_then(session::port) else { continue };
            // Whoever listens there still waits for it.
            if let Ok(listener) = Listener::bind(&pending.provider.redirect.host, port) {
                // Whoever was asked so long ago has closed the page.
                let age_s = Timestamp::now().since(pending.started_at);
                let wait_s = i64::try_from(self.options.auth_timeout.as_secs()).unwrap_or(i64::MAX);
                let is_open = pending.is_open && age_s < wait_s;
                return Ok(Some(Awaited { pending, listener, is_open }));
            }
        }
        Ok(None)
    }

    /// The row as it is now: other processes sign in, and people change settings.
    pub fn row(&self) -> Result<Option<Provider>> {
        Ok(rows(&self.store).find(&self.options.server.provider)?.cloned())
    }

    fn find_out(&self, challenge: Challenge, scopes_before: Vec<String>) -> Result<FoundOut> {
        let options = &self.options;
        let known = self.store.read_server(&options.server.provider)?;
        let wanted = Wanted {
            id: &options.server.provider,
            url: &options.url,
            scope: options.scope.as_deref(),
            scopes_before,
            resource: options.resource.as_deref(),
            no_resource: options.no_resource,
            resource_before: known.and_then(|server| server.resource),
            pkce_unlisted: self.row()?.is_some_and(|row| row.pkce_unlisted),
        };
        find_out::find_out(&wanted, Some(challenge), &self.client)
    }

    fn pending(&self, found: &FoundOut, redirect_uri: &str, is_open: bool) -> Result<PendingLogin> {
        let given = &self.options.given;
        let (provider, client) =
            register::client(found, redirect_uri, given, &self.client, &self.store)?;
        let wish = Wish {
            account: self.options.server.clone(),
            provider,
            client,
            redirect_uri: redirect_uri.to_owned(),
            login_hint: None,
            prompt: None,
            expect: None,
            project: None,
            replace: true,
            verify: false,
            is_open,
            wait_s: i64::try_from(self.options.auth_timeout.as_secs()).unwrap_or(600),
        };
        login::begin(wish, &self.store)
    }
}

/// All rows as they are when they are first asked for; the proxy outlives what it read at its start.
pub fn rows(store: &Store) -> Providers {
    let rows_of = store.again();
    Providers::new(move || Ok(rows_of.rows(&rows_of.config()?)), term::warn)
}
