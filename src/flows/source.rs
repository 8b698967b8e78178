//! The sign-ins of other tools, read in place. Before consent a file is only looked at; after it, it
//! is read anew each time and never written. A refresh token found there is never spent.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::account::{Account, AccountId};
use crate::credential::{Credential, Minted, Tokens};
use crate::error::{Error, Result};
use crate::flows::fresh::Need;
use crate::flows::{caller, program};
use crate::protocol::source::{Broken, Given, Held};
use crate::protocol::{identity, source as format};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::source::{Kind, Source};
use crate::store::foreign::{self, Looked};
use crate::store::{Consent, Store, Trust};
use crate::text;
use crate::time::{Timestamp, duration_in_words};

/// A tool that is writing its file right now is done by then.
const WRITING: Duration = Duration::from_millis(50);
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// A store of another tool that is there.
pub struct Place<'a> {
    pub source: &'a Source,
    pub path: PathBuf,
    pub what: What,
    pub state: State,
    /// The command that would help, where the state says what is wrong.
    pub cure: Option<String>,
    owner: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A program that prints a token: used only by those who ask for it.
    Command,
    Database,
    File,
}

/// Whether we may read it.
#[derive(PartialEq, Eq)]
pub enum State {
    Ask,
    /// In words.
    Refused(String),
    Trusted,
}

/// Every store that is there, in the order of the search. Nothing is opened. A consent that no
/// longer fits what lies at its path is taken back.
pub fn places<'a>(sources: &'a [Source], store: &Store) -> Result<Vec<Place<'a>>> {
    let trust = store.trust()?;
    let found: Vec<_> = sources.iter().flat_map(|source| places_of(source, &trust)).collect();
    let is_void = |place: &&Place| {
        matches!(place.state, State::Refused(_)) && trust.of(&place.name()).is_some()
    };
    let void: Vec<_> = found.iter().filter(is_void).map(Place::name).collect();
    let void = void.into_iter().chain(changed_hands(&found, &trust)).collect::<Vec<_>>();
    if !void.is_empty() {
        // A home that cannot be written keeps a consent that `places_of` does not honour anyway.
        let _ = store.change_trust(|trust| {
            void.iter().for_each(|path| {
                trust.remove(path);
            });
        });
    }
    Ok(found)
}

fn changed_hands(found: &[Place], trust: &Trust) -> Vec<String> {
    let is_other = |place: &&Place| {
        place.state == State::Ask
            && trust.of(&place.name()).is_some_and(|consent| consent.owner != place.owner)
    };
    found.iter().filter(is_other).map(Place::name).collect()
}

fn places_of<'a>(source: &'a Source, trust: &Trust) -> Vec<Place<'a>> {
    let place = |path: PathBuf, what: What, looked: Looked| {
        let consent = trust.of(&path.display().to_string());
        let (state, cure, owner) = match looked {
            Looked::Missing => return None,
            Looked::Refused(why, cure) if consent.is_some() => {
                (State::Refused(format!("{why}; the consent to read it is withdrawn")), cure, 0)
            }
            Looked::Refused(why, cure) => (State::Refused(why), cure, 0),
            Looked::Usable { owner } => match consent {
                Some(consent) if consent.owner == owner && consent.source == source.id => {
                    (State::Trusted, None, owner)
                }
                _ => (State::Ask, None, owner),
            },
        };
        Some(Place { source, path, what, state, cure, owner })
    };
    let mut found = Vec::new();
    if let Some(path) = first_place(&source.files).and_then(|path| foreign::canonical(&path)) {
        let looked = foreign::look(&path);
        found.extend(place(path, What::File, looked));
    }
    if let Some(path) = first_place(&source.databases).and_then(|path| foreign::canonical(&path))
        && !matches!(foreign::look(&path), Looked::Missing)
    {
        let why = "it is a SQLite database, which keyfob does not read".to_owned();
        found.extend(place(path, What::Database, Looked::Refused(why, None)));
    }
    if let Some(path) = source.command.first().and_then(|name| program::locate(name)) {
        let looked = foreign::look_at_program(&path);
        found.extend(place(path, What::Command, looked));
    }
    found
}

/// Where the tool itself looks: the first place whose variable is set.
fn first_place(places: &[String]) -> Option<PathBuf> {
    places.iter().find_map(|place| {
        if let Some(rest) = place.strip_prefix("~/") {
            return Some(dirs::home_dir()?.join(rest));
        }
        let place = place.strip_prefix('$')?;
        let (name, rest) = place.split_once('/').unwrap_or((place, ""));
        let folder = std::env::var_os(name).filter(|value| !value.is_empty())?;
        let folder = Path::new(&folder);
        // What is relative depends on where the tool was started.
        let path = if rest.is_empty() { folder.to_owned() } else { folder.join(rest) };
        path.is_absolute().then_some(path)
    })
}

/// Where a source's file would be, for messages.
pub fn expected_path(source: &Source) -> Option<PathBuf> {
    first_place(&source.files)
}

impl Place<'_> {
    /// As the file of consents and the messages have it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Remembers the person's yes.
    pub fn trust(&mut self, store: &Store) -> Result<()> {
        let consent = Consent {
            path: self.name(),
            source: self.source.id.clone(),
            owner: self.owner,
            since: Timestamp::now(),
        };
        store.change_trust(|trust| trust.add(consent))?;
        let id = AccountId { provider: self.source.id.clone(), account: self.name() };
        store.audit("trust", &id, caller::name(), Timestamp::now());
        self.state = State::Trusted;
        Ok(())
    }

    /// What it holds; the person has said yes. Empty when the file is gone.
    pub fn held(&self) -> Result<Vec<Held>> {
        if self.what == What::Command {
            return self.said();
        }
        match self.read() {
            // Not every tool replaces its file in one go.
            Err(Unread::Broken(_)) => {
                thread::sleep(WRITING);
                self.read().map_err(|unread| unread.into_error(self))
            }
            outcome => outcome.map_err(|unread| unread.into_error(self)),
        }
    }

    fn read(&self) -> std::result::Result<Vec<Held>, Unread> {
        let bytes = foreign::read(&self.path, Some(self.owner)).map_err(Unread::Failed)?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        let document = format::parse(&bytes, self.source.comment_lines).map_err(Unread::Broken)?;
        Ok(format::held(self.source, &document))
    }

    /// What the program says.
    fn said(&self) -> Result<Vec<Held>> {
        let tool = &self.source.title;
        let sign_in = |why: String| Error::SignIn {
            account: tool.clone(),
            why,
            next: self.source.run.clone().unwrap_or_default(),
        };
        let arguments = self.source.command.get(1..).unwrap_or_default();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let said = program::run(&self.path, &arguments, COMMAND_LIMIT)
            .map_err(|why| Error::failed(format!("{tool}: {why}")))?;
        if !said.is_success {
            return Err(sign_in("it has no token: nobody is signed in there".to_owned()));
        }
        Ok(format::held_in_text(self.source, said.stdout.expose()))
    }

    /// The account that one provider has there. None: it has none. A token that has run out is looked
    /// for once more, and then the tool has to renew it.
    pub fn account(&self, row: &Provider, need: Need) -> Result<Option<Account>> {
        let mut outcome = self.account_now(row, need);
        if matches!(outcome, Err(Error::SignIn { .. })) && self.what == What::File {
            thread::sleep(WRITING);
            outcome = self.account_now(row, need);
        }
        outcome
    }

    fn account_now(&self, row: &Provider, need: Need) -> Result<Option<Account>> {
        let held = self.held()?;
        let Some(held) = held.iter().find(|held| held.provider == row.id) else { return Ok(None) };
        let account = account_of(held, self.source, &self.name(), row)?;
        check_life(&account, self.source, &self.name(), need)?;
        Ok(Some(account))
    }
}

/// Why a file says nothing.
enum Unread {
    Broken(Broken),
    Failed(Error),
}

impl Unread {
    fn into_error(self, place: &Place) -> Error {
        let (path, tool) = (place.name(), &place.source.title);
        let what = match self {
            Unread::Failed(error) => return error,
            Unread::Broken(Broken::Database) => {
                format!("{path} is a SQLite database, which keyfob does not read")
            }
            Unread::Broken(Broken::Json(why)) => {
                format!("{path} cannot be used: {why}; {tool} has to write it anew")
            }
        };
        let error = Error::failed(what);
        match &place.source.run {
            Some(command) => error.or_try(command),
            None => error,
        }
    }
}

/// The token in the first of the tool's variables that is set, and the variable's name. Err: there is
/// something in it that the provider does not take.
pub fn of_variables(source: &Source, row: &Provider) -> Result<Option<(String, Account)>> {
    for name in &source.variables {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let held = format::held_in_text(source, value.to_str().unwrap_or_default());
        let Some(held) = held.iter().find(|held| held.provider == row.id) else {
            let what = format!("{name} is set, but holds no token that {} takes", row.id);
            return Err(Error::failed(what).or_try(format!("unset {name}")));
        };
        let account = account_of(held, source, name, row)?;
        if let Some(at) = account.credential.expires_at().filter(|at| *at <= Timestamp::now()) {
            let why = format!("the token in {name} expired {}", at.in_words(Timestamp::now()));
            let next = format!("unset {name}");
            return Err(Error::SignIn { account: row.id.clone(), why, next });
        }
        return Ok(Some((name.clone(), account)));
    }
    Ok(None)
}

/// An account that lives for this command alone. `from` is a path or a variable's name.
pub fn account_of(held: &Held, source: &Source, from: &str, row: &Provider) -> Result<Account> {
    let token = match &held.token {
        Given::Plain(token) => token.clone(),
        Given::Variable(name) => {
            let value = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
            let shown = text::harmless(name, 80);
            let value = value.ok_or_else(|| {
                Error::failed(format!("{from} refers to the variable {shown}, which is not set"))
            })?;
            Secret::new(value.trim())
        }
        Given::Command => {
            let what = format!("{from} names a command for {}, and keyfob runs none", row.id);
            let next = format!("keyfob login {} --api-key-stdin", row.id);
            return Err(Error::failed(what).or_try(next));
        }
    };
    let tokens = Tokens {
        access_token: token.clone(),
        refresh_token: None,
        id_token: held.id_token.clone(),
        token_type: "Bearer".to_owned(),
        expires_at: held.expires_at,
        scopes: Vec::new(),
    };
    let credential = match held.kind {
        Kind::ApiKey => Credential::ApiKey(token),
        Kind::Token => {
            Credential::Tool(from.to_owned(), Minted { token, expires_at: held.expires_at })
        }
    };
    let id = AccountId { provider: row.id.clone(), account: source.id.clone() };
    let now = Timestamp::now();
    let mut account = Account::new(id, credential, now);
    if held.kind == Kind::Token {
        (account.identity, account.extra) =
            identity::identify(row, &tokens, &Value::Null, &Value::Null);
    }
    if account.identity.name().is_none() {
        account.identity.subject.clone_from(&held.name);
    }
    // A second token that has run out is bought anew.
    let is_alive = |at: Option<Timestamp>| at.is_none_or(|at| at.since(now) > 60);
    account.api_token = held
        .api_token
        .clone()
        .filter(|(_, at)| is_alive(*at))
        .map(|(token, at)| Minted { token, expires_at: at });
    add_facts(&mut account.extra, held, row)?;
    Ok(account)
}

/// A token says more reliably than the file what belongs to it.
fn add_facts(extra: &mut Map<String, Value>, held: &Held, row: &Provider) -> Result<()> {
    for (key, value) in &held.facts {
        let value = match (key.as_str(), &row.instance) {
            ("instance", Some(instance)) => instance.normalise(value)?,
            ("instance", None) => continue,
            _ => value.clone(),
        };
        extra.entry(key.clone()).or_insert(Value::from(value));
    }
    Ok(())
}

/// Nothing is renewed here: whose refresh token it is, has to.
fn check_life(account: &Account, source: &Source, from: &str, need: Need) -> Result<()> {
    let now = Timestamp::now();
    let Some(at) = account.credential.expires_at() else { return Ok(()) };
    let left_s = at.since(now);
    let tool = &source.title;
    let why = match need {
        _ if left_s <= 0 => format!("{tool}'s token in {from} expired {}", at.in_words(now)),
        Need::Seconds(wanted) if left_s < wanted => format!(
            "{tool}'s token in {from} lives {} more, {} were asked for",
            duration_in_words(left_s),
            duration_in_words(wanted),
        ),
        _ => return Ok(()),
    };
    let why = format!("{why}; only {tool} can renew it");
    let own = format!("keyfob login {}", account.id.provider);
    let next = source.run.clone().unwrap_or(own);
    Err(Error::SignIn { account: account.id.provider.clone(), why, next })
}
