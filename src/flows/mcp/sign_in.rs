//! The credential of an MCP server: the one on disk, renewed, or a new sign-in, for which all proxies of
//! this person ask once.

use std::thread;
use std::time::{Duration, Instant};

use crate::account::{Account, AccountId};
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Need, Tools};
use crate::flows::login::{self, Ears};
use crate::flows::mcp::begin::{self, Asking, Awaited};
use crate::flows::mcp::exchange::Tries;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, lock, register};
use crate::net::reply::Reply;
use crate::protocol::challenge::{self, Challenge};
use crate::protocol::{jsonrpc, scopes};
use crate::secret::Secret;
use crate::store::AccountLock;
use crate::term;
use crate::term::opener::{self, Opener};
use crate::text;

/// A token endpoint that is busy is asked once more after this.
const PAUSE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(200);

impl Bridge<'_> {
    /// The account at the server, as it is on disk.
    pub(super) fn account(&self) -> Option<Account> {
        let store = self.tools.store;
        let id = store.account_at(&self.options.server.provider).ok()??;
        store.read_account(&id).ok()?
    }

    /// The token to send; None: there is none, or the person brings a header of their own.
    pub(super) fn token(&self, tries: &mut Tries) -> std::result::Result<Option<Secret>, Fault> {
        if self.brings_own_token() {
            return Ok(None);
        }
        let store = self.tools.store;
        let id = store.account_at(&self.options.server.provider);
        let Some(id) = id.map_err(|error| Fault::of_sign_in(&error))? else { return Ok(None) };
        match self.renewed(&id, Need::Usual) {
            Ok(account) => Ok(Some(account.secret().clone())),
            // The server's challenge says what to do about it.
            Err(Error::SignIn { .. }) => {
                tries.has_refreshed = true;
                Ok(None)
            }
            Err(error) => Err(Fault::of_sign_in(&error)),
        }
    }

    /// The person gave the header that would carry ours.
    pub(super) fn brings_own_token(&self) -> bool {
        self.options.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    }

    fn renewed(&self, id: &AccountId, need: Need) -> Result<Account> {
        // A sign-in since the start may have found out another row.
        let providers = begin::rows(self.tools.store);
        let Tools { client, store, lock_limit, .. } = self.tools;
        let tools = Tools { client, providers: &providers, store, lock_limit };
        let fresh = match fresh::credential(id, need, &tools) {
            Err(Error::Temporary { .. }) => {
                thread::sleep(PAUSE);
                fresh::credential(id, need, &tools)
            }
            outcome => outcome,
        }?;
        fresh.warning.iter().for_each(|warning| self.note(warning));
        Ok(fresh.account)
    }

    /// 401: the token of somebody who was faster, else a renewal, else a sign-in; each once.
    pub(super) fn unauthorised(
        &self,
        head: &Reply,
        sent: Option<&Secret>,
        tries: &mut Tries,
    ) -> std::result::Result<(), Fault> {
        let is_turned_away = sent.is_some() && lock(&self.told).turned_away.as_ref() == sent;
        if tries.has_signed_in || is_turned_away {
            // The next message must not send the person to the browser again.
            lock(&self.told).turned_away = sent.cloned();
            let what = "the server refuses the token that was just issued for it";
            let next = format!("keyfob login {} --fresh", self.options.url);
            let fault = Fault::new(jsonrpc::SIGN_IN_FAILED, "refused", what).or_try(next);
            return Err(fault.status(head.status));
        }
        if self.brings_own_token() {
            let what = "the server does not take the Authorization header that was given";
            return Err(Fault::new(jsonrpc::SIGN_IN_FAILED, "refused", what).status(head.status));
        }
        let account = self.account();
        let on_disk = account.as_ref().map(Account::secret).filter(|token| !token.is_empty());
        if on_disk.is_some() && on_disk != sent && !tries.has_read_again {
            tries.has_read_again = true;
            return Ok(());
        }
        if let Some(account) = account.filter(|account| account.can_refresh() && sent.is_some())
            && !tries.has_refreshed
        {
            tries.has_refreshed = true;
            match self.renewed(&account.id, Need::Renewed) {
                Ok(_) => return Ok(()),
                Err(Error::SignIn { .. }) => {}
                Err(error) => return Err(Fault::of_sign_in(&error)),
            }
        }
        tries.has_signed_in = true;
        let challenge = challenge::bearer(head.header_values("www-authenticate"));
        self.sign_in(challenge.unwrap_or_default(), Vec::new(), sent)
    }

    /// 403 for want of scope: a sign-in for all that was had, and what is asked now; once for each
    /// set of scopes, and once for a message.
    pub(super) fn step_up(
        &self,
        challenge: Challenge,
        is_again: bool,
    ) -> std::result::Result<(), Fault> {
        let account = self.account();
        let granted = account.as_ref().map_or(Vec::new(), |account| {
            account.credential.scopes().iter().map(|scope| (*scope).to_owned()).collect()
        });
        let row = Asking::of(self).row().ok().flatten();
        let asked = row.map_or(Vec::new(), |row| row.scopes);
        let wanted = scopes::to_ask(None, challenge.scope.as_deref(), &[]);
        let all = scopes::union(&[&asked, &granted, &wanted]);
        let words = all.join(" ");
        let next =
            format!("keyfob login {} --scope {}", self.options.url, text::shell_word(&words));
        if is_again || lock(&self.told).scopes.contains(&words) {
            let what = "the server wants more scopes than the sign-in brought";
            let fault = Fault::new(jsonrpc::NOT_ALLOWED, "scope", what).status(403);
            return Err(Fault { scopes: all, ..fault.or_try(next) });
        }
        let sent = account.as_ref().map(|account| account.secret().clone());
        if opener::find().is_ok() {
            lock(&self.told).scopes.insert(words);
        }
        self.sign_in(challenge, all.clone(), sent.as_ref()).map_err(|fault| match fault.code {
            jsonrpc::SIGN_IN_NEEDED => {
                let what = "the server wants more scopes, for which you have to sign in again";
                let fault = Fault::new(jsonrpc::NOT_ALLOWED, "scope", what).status(403);
                Fault { scopes: all, ..fault.or_try(next) }
            }
            _ => fault,
        })
    }

    /// A new sign-in, asked for by one proxy for all. `sent` is the token that was turned away.
    fn sign_in(
        &self,
        challenge: Challenge,
        scopes_before: Vec<String>,
        sent: Option<&Secret>,
    ) -> std::result::Result<(), Fault> {
        let opener = match opener::find() {
            Ok(opener) => opener,
            Err(why) => return Err(self.headless(challenge, scopes_before, &why)),
        };
        let _only = lock(&self.signing);
        let is_done = || {
            let account = self.account();
            let token = account.as_ref().filter(|account| account.refused.is_none());
            let token = token.map(Account::secret).filter(|token| !token.is_empty());
            token.is_some() && token != sent
        };
        let Some(_lock) = self.turn_to_ask(&is_done)? else { return Ok(()) };
        let awaited = Asking::of(self).begin(challenge, scopes_before);
        let awaited = awaited.map_err(|error| Fault::of_sign_in(&error))?;
        let client_id = awaited.pending.provider.client_id.clone();
        self.heard(&opener, awaited).map_err(|error| {
            if let (Error::Refused { code, .. }, Some(client_id)) = (&error, client_id)
                && register::CLIENT_GONE.contains(&code.as_str())
            {
                let id = &self.options.server.provider;
                // It is found out again next time, if this fails.
                let _ = register::forget(id, &client_id, self.tools.store);
            }
            Fault::of_sign_in(&error)
        })
    }

    /// Shows the address, and waits until the sign-in comes to its end, wherever that is.
    fn heard(&self, opener: &Opener, awaited: Awaited) -> Result<()> {
        let pending = &awaited.pending;
        term::say("open this address in a browser to sign in:\n");
        term::say(&format!("{}\n", pending.auth_url));
        if !awaited.is_open
            && let Err(why) = opener.open(&pending.auth_url)
        {
            term::say(&format!("{why}; open the address yourself"));
        }
        let ears = Ears {
            listener: Some(awaited.listener),
            // stdin belongs to the client.
            paste: &|| None,
            page: None,
            limit: self.options.auth_timeout,
            tick: &|_| (),
            tell: &|what| self.note(what),
        };
        let signed_in = login::wait(pending, &ears, self.tools.client, self.tools.store)?;
        term::say(&format!("signed in to {}", self.options.url));
        signed_in.warnings.iter().for_each(|warning| self.note(warning));
        Ok(())
    }

    /// The lock of the one who asks; None: another one asked, and was answered.
    fn turn_to_ask(
        &self,
        is_done: &dyn Fn() -> bool,
    ) -> std::result::Result<Option<AccountLock>, Fault> {
        let deadline = Instant::now() + self.options.auth_timeout + Duration::from_secs(5);
        let mut is_noted = false;
        loop {
            if is_done() {
                return Ok(None);
            }
            let locked = self.tools.store.try_sign_in_lock(&self.options.server.provider);
            if let Some(lock) = locked.map_err(|error| Fault::of_sign_in(&error))? {
                return Ok(if is_done() { None } else { Some(lock) });
            }
            if !std::mem::replace(&mut is_noted, true) {
                self.note("another process waits for the sign-in to this server");
            }
            if Instant::now() > deadline {
                let what = "another process waits for the sign-in to this server";
                let next = format!("keyfob login {}", self.options.url);
                return Err(Fault::new(jsonrpc::SIGN_IN_NEEDED, "sign_in", what).or_try(next));
            }
            thread::sleep(POLL);
        }
    }
}
