//! The credential of an MCP server: the one on disk, renewed, or a new sign-in, for which all proxies of
//! this person ask once.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::account::{Account, AccountId};
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Need};
use crate::flows::login::{self, Ears, Wish};
use crate::flows::mcp::exchange::Tries;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::find_out::{self, FoundOut, Wanted};
use crate::flows::mcp::{Bridge, lock, register};
use crate::flows::redirect::{self, Asked, Chosen};
use crate::net::client::Reply;
use crate::net::loopback::Listener;
use crate::pending::{Begun, PendingLogin};
use crate::protocol::challenge::{self, Challenge};
use crate::protocol::{discovery, jsonrpc};
use crate::secret::Secret;
use crate::store::AccountLock;
use crate::term::{self, opener};
use crate::time::Timestamp;

/// A token endpoint that is busy is asked once more after this.
const PAUSE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(200);
/// A client that cannot sign in has to hear of it soon.
const HEADLESS_LIMIT: Duration = Duration::from_millis(1_600);

impl Bridge<'_> {
    /// The account at the server, as it is on disk.
    pub(super) fn account(&self) -> Option<Account> {
        let store = self.tools.store;
        let id = store.account_at(&self.options.server.provider).ok()??;
        store.read_account(&id).ok()?
    }

    /// The token to send; None: there is none, or the person brings a header of their own.
    pub(super) fn token(&self, tries: &mut Tries) -> std::result::Result<Option<Secret>, Fault> {
        let is_own =
            self.options.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if is_own {
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

    fn renewed(&self, id: &AccountId, need: Need) -> Result<Account> {
        match fresh::credential(id, need, &self.tools) {
            Err(Error::Temporary { .. }) => {
                thread::sleep(PAUSE);
                fresh::credential(id, need, &self.tools)
            }
            outcome => outcome,
        }
        .map(|fresh| fresh.account)
    }

    /// 401: the token of somebody who was faster, else a renewal, else a sign-in; each once.
    pub(super) fn unauthorised(
        &self,
        head: &Reply,
        sent: Option<&Secret>,
        tries: &mut Tries,
    ) -> std::result::Result<(), Fault> {
        if tries.has_signed_in {
            let what = "the server refuses the token that was just issued for it";
            return Err(Fault::new(jsonrpc::SIGN_IN_FAILED, "refused", what).status(head.status));
        }
        if self.options.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
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

    /// 403 for want of scope: a sign-in for all that was had, and what is asked now.
    pub(super) fn step_up(&self, challenge: Challenge) -> std::result::Result<(), Fault> {
        let account = self.account();
        let granted = account.as_ref().map_or(Vec::new(), |account| {
            account.credential.scopes().iter().map(|scope| (*scope).to_owned()).collect()
        });
        let row = self.tools.providers.find(&self.options.server.provider).ok().flatten();
        let asked = row.map_or(Vec::new(), |row| row.scopes.clone());
        let wanted = discovery::scopes(None, challenge.scope.as_deref(), &[]);
        let all = discovery::union(&[&asked, &granted, &wanted]);
        let sent = account.as_ref().map(|account| account.secret().clone());
        self.sign_in(challenge, all.clone(), sent.as_ref()).map_err(|fault| {
            let next = format!("keyfob login {} --scope '{}'", self.options.url, all.join(" "));
            match fault.code {
                jsonrpc::SIGN_IN_NEEDED => {
                    let fault = Fault { code: jsonrpc::NOT_ALLOWED, kind: "scope", ..fault };
                    Fault { scopes: all, ..fault.or_try(next) }
                }
                _ => fault,
            }
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
        let outcome = self.begun(challenge, scopes_before).and_then(|(pending, chosen)| {
            term::say("open this address in a browser to sign in:\n");
            term::say(&format!("{}\n", pending.auth_url));
            // The page of one that was taken over may be open already.
            if !chosen.is_taken_over
                && let Err(why) = opener.open(&pending.auth_url)
            {
                term::say(&format!("{why}; open the address yourself"));
            }
            let ears = Ears {
                listener: chosen.listener,
                // stdin belongs to the client.
                paste: &|| None,
                page: None,
                limit: self.options.auth_timeout,
                tick: &|_| (),
                tell: &|what| self.note(what),
            };
            login::wait(&pending, &ears, self.tools.client, self.tools.store)
        });
        match outcome {
            Ok(signed_in) => {
                term::say(&format!("signed in to {}", self.options.url));
                signed_in.warnings.iter().for_each(|warning| self.note(warning));
                Ok(())
            }
            Err(error) => {
                self.forget_dead_client(&error);
                Err(Fault::of_sign_in(&error))
            }
        }
    }

    /// The lock of the one who asks; None: another one asked, and was answered.
    fn turn_to_ask(
        &self,
        is_done: &dyn Fn() -> bool,
    ) -> std::result::Result<Option<AccountLock>, Fault> {
        let deadline = Instant::now() + self.options.auth_timeout + Duration::from_secs(5);
        loop {
            if is_done() {
                return Ok(None);
            }
            let locked = self.tools.store.try_sign_in_lock(&self.options.server.provider);
            if let Some(lock) = locked.map_err(|error| Fault::of_sign_in(&error))? {
                return Ok(if is_done() { None } else { Some(lock) });
            }
            if Instant::now() > deadline {
                let what = "another process waits for the sign-in to this server";
                let next = format!("keyfob login {}", self.options.url);
                return Err(Fault::new(jsonrpc::SIGN_IN_NEEDED, "sign_in", what).or_try(next));
            }
            thread::sleep(POLL);
        }
    }

    /// A sign-in under way that nobody waits for any more, or a new one.
    fn begun(
        &self,
        challenge: Challenge,
        scopes_before: Vec<String>,
    ) -> Result<(PendingLogin, Taken)> {
        if scopes_before.is_empty()
            && let Some(taken) = self.taken_over()?
        {
            return Ok(taken);
        }
        let found = self.find_out(Some(challenge), scopes_before)?;
        let asked = Asked { port: self.options.callback_port, host: None, headless: false };
        let chosen = redirect::listen(&found.row, asked);
        let Chosen { uri, listener, .. } = chosen;
        let listener =
            listener.ok_or_else(|| Error::temporary("no port is free for the callback"))?;
        let pending = self.begin(&found, &uri, true)?;
        Ok((pending, Taken { listener: Some(listener), is_taken_over: false }))
    }

    fn taken_over(&self) -> Result<Option<(PendingLogin, Taken)>> {
        let now = Timestamp::now();
        for pending in self.tools.store.pending(now)? {
            let is_ours = pending.account.provider == self.options.server.provider;
            let Begun::Browser { redirect_uri, .. } = &pending.begun else { continue };
            let Some(port) = crate::protocol::session::port(redirect_uri).filter(|_| is_ours)
            else {
                continue;
            };
            // Whoever listens there still waits for it.
            if let Ok(listener) = Listener::bind(&pending.provider.redirect.host, port) {
                let taken = Taken { listener: Some(listener), is_taken_over: pending.is_open };
                return Ok(Some((pending, taken)));
            }
        }
        Ok(None)
    }

    fn find_out(&self, challenge: Option<Challenge>, before: Vec<String>) -> Result<FoundOut> {
        let options = self.options;
        let known = self.tools.providers.find(&options.server.provider)?;
        let wanted = Wanted {
            id: &options.server.provider,
            url: &options.url,
            scope: options.scope.as_deref(),
            scopes_before: before,
            resource: options.resource.as_deref(),
            no_resource: options.no_resource,
            pkce_unlisted: known.is_some_and(|row| row.pkce_unlisted),
        };
        find_out::find_out(&wanted, challenge, self.tools.client)
    }

    fn begin(&self, found: &FoundOut, redirect_uri: &str, is_open: bool) -> Result<PendingLogin> {
        let (client, store) = (self.tools.client, self.tools.store);
        if let Some(account) = self.account()
            && let Some(refusal) = &account.refused
            && register::CLIENT_GONE.contains(&refusal.code.as_str())
            && let Some(gone) = &account.client
        {
            register::forget(&found.row.id, &gone.id, store)?;
        }
        let given = &self.options.given;
        let (row, oauth_client) = register::client(found, redirect_uri, given, client, store)?;
        let wish = Wish {
            account: self.options.server.clone(),
            provider: row,
            client: oauth_client,
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
        login::begin(wish, store)
    }

    /// A client that the server no longer knows is set aside; the next sign-in registers another.
    fn forget_dead_client(&self, error: &Error) {
        let Error::Refused { code, .. } = error else { return };
        let (store, id) = (self.tools.store, &self.options.server.provider);
        if register::CLIENT_GONE.contains(&code.as_str())
            && let Ok(Some(server)) = store.read_server(id)
            && let Some(client_id) = &server.row.client_id
        {
            // It is found out again next time, if this fails.
            let _ = register::forget(id, client_id, store);
        }
    }

    // ---- no browser here

    /// What a client is told where no browser can be opened: the address, and the command that ends
    /// the sign-in. The next message finds the account, however it came there.
    fn headless(&self, challenge: Challenge, before: Vec<String>, why: &str) -> Fault {
        let next = format!("keyfob login {}", self.options.url);
        let mut told = lock(&self.told);
        let is_open = |pending: &PendingLogin| {
            pending.expires_at > Timestamp::now()
                && self.tools.store.is_under_way(&pending.login_id)
        };
        let pending = match told.pending.take().filter(is_open).filter(|_| before.is_empty()) {
            Some(pending) => Ok(pending),
            None => self.begun_in_time(challenge, before),
        };
        let what = match &pending {
            Ok(pending) => format!(
                "sign-in needed, and no browser can be opened here ({why}). Run: {next} - or open \
                 {} and then run: keyfob login --callback-url -",
                pending.auth_url
            ),
            Err(error) => format!(
                "sign-in needed, and no browser can be opened here ({why}). Run: {next} ({error})"
            ),
        };
        if !std::mem::replace(&mut told.has_been, true) {
            term::say(&format!("sign-in needed for {}; run: {next}", self.options.url));
        }
        told.pending = pending.ok();
        Fault::new(jsonrpc::SIGN_IN_NEEDED, "sign_in", what).or_try(next)
    }

    fn begun_in_time(&self, challenge: Challenge, before: Vec<String>) -> Result<PendingLogin> {
        let (sender, outcome) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                let begun = self.find_out(Some(challenge), before).and_then(|found| {
                    let asked =
                        Asked { port: self.options.callback_port, host: None, headless: true };
                    let uri = redirect::promise(&found.row, asked).uri;
                    self.begin(&found, &uri, false)
                });
                // Nobody may wait for it any more.
                let _ = sender.send(begun);
            });
            let late = || Error::temporary("its authorization server takes long to answer");
            outcome.recv_timeout(HEADLESS_LIMIT).unwrap_or_else(|_| Err(late()))
        })
    }
}

/// Where the callback of a sign-in comes in.
struct Taken {
    listener: Option<Listener>,
    is_taken_over: bool,
}
