mod borrowed;
mod cooling;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::account::{Account, AccountId, AccountRef, Identity, SERVER_PREFIX};
use crate::commands::source::Listed;
use crate::commands::{App, Object};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::{check, environment, tool};
use crate::store::{CoolDown, Found};
use crate::term;
use crate::text;
use crate::time::Timestamp;

/// Shows who is signed in, until when, and where each credential comes from.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "status",
    help_triggers("-h", "--help"),
    example = "keyfob status\nkeyfob status claude --check --json",
    note = "Exit 0 if any listed account can be used, else 4. `*` marks the default."
)]
pub struct Status {
    /// only this: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: Option<AccountRef>,

    /// refresh or ask the provider instead of trusting the clock
    #[argh(switch)]
    check: bool,

    /// print one JSON object
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

/// A token that cannot be renewed is pointed out a week before it expires.
const BEARER_WARNING_S: i64 = 7 * 86_400;

/// One line of the table; CLI.md section 10 for the JSON.
struct Row {
    provider: String,
    account: Option<String>,
    is_default: bool,
    kind: &'static str,
    state: State,
    expires_at: Option<Timestamp>,
    can_refresh: bool,
    source: String,
    path: Option<String>,
    identity: Identity,
    note: Option<String>,
    /// Not to be asked by `serve` for a while.
    cooling: Vec<CoolDown>,
    /// `--check` found that the provider turns it away.
    is_dead: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Damaged,
    Expired,
    Expiring,
    Refused,
    Valid,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Damaged => "damaged",
            State::Expired => "expired",
            State::Expiring => "expiring",
            State::Refused => "refused",
            State::Valid => "valid",
        }
    }
}

pub fn run(args: &Status) -> Result<()> {
    let app = App::new(args.timeout)?;
    let mut rows = Vec::new();
    let cool_downs = app.store.cool_downs();
    for id in listed(args, &app)? {
        let cooling = cooling::of(&id, &cool_downs);
        rows.push(Row { cooling, ..row_of(&id, args.check, &app)? });
    }
    rows.extend(from_environment(args, &app)?);
    let (borrowed, sources) = borrowed::find(args, &app)?;
    rows.extend(borrowed);
    if args.json {
        let accounts: Vec<_> = rows.iter().map(Row::json).collect();
        let sources: Vec<_> = sources.iter().map(Listed::json).collect();
        let object = Object::new().with("accounts", accounts).with("sources", sources);
        term::print(&object.to_string())?;
    } else {
        if !rows.is_empty() {
            term::print(&table(&rows))?;
        }
        sources.iter().filter_map(Listed::hint).for_each(|hint| term::say(&hint));
    }
    if rows.iter().any(Row::is_usable) {
        return Ok(());
    }
    let account = args.account.as_ref().map_or("no account".to_owned(), ToString::to_string);
    let why = if rows.is_empty() { "nobody is signed in" } else { "nothing listed can be used" };
    let named = args
        .account
        .as_ref()
        .map_or(String::new(), |name| format!(" {}", text::shell_word(&name.to_string())));
    Err(Error::SignIn { account, why: why.to_owned(), next: format!("keyfob login{named}") })
}

fn listed(args: &Status, app: &App) -> Result<Vec<AccountId>> {
    match &args.account {
        None => app.store.all_accounts(),
        Some(typed) if typed.account.is_some() => {
            let id = app.account(typed)?;
            let known =
                |id: &AccountId| app.store.accounts(&id.provider).map(|all| all.contains(id));
            match id {
                Some(id) if known(&id)? => Ok(vec![id]),
                _ => Ok(Vec::new()),
            }
        }
        Some(typed) => match app.account(typed)? {
            Some(id) => app.store.accounts(&id.provider),
            None => Ok(Vec::new()),
        },
    }
}

fn row_of(id: &AccountId, should_check: bool, app: &App) -> Result<Row> {
    let is_default = app.store.default_of(&app.store.accounts(&id.provider)?)? == *id;
    let found = match app.store.find_account(id) {
        Ok(Found::Account(account)) if should_check => {
            let checked = check::check(*account, &app.tools());
            let error = checked.outcome.err().map(|error| error.to_string());
            if let Some(warning) = checked.warning.or(error) {
                term::warn(&warning);
            }
            Ok((checked.account, checked.is_dead))
        }
        Ok(Found::Account(account)) => Ok((as_it_is_now(*account, app), false)),
        Ok(Found::Damaged(why)) => Err(why),
        Ok(Found::Missing) => Err("it went away".to_owned()),
        Err(error) => {
            term::say(&format!("keyfob: {error}"));
            if let Some(next) = error.next() {
                term::say(&format!("  try: {next}"));
            }
            Err(error.to_string())
        }
    };
    let path = app.store.account_path(id).display().to_string();
    let mut row = Row {
        provider: id.provider.clone(),
        account: Some(id.account.clone()),
        is_default,
        kind: "unknown",
        state: State::Damaged,
        expires_at: None,
        can_refresh: false,
        source: "keyfob".to_owned(),
        path: Some(path),
        identity: Identity::default(),
        note: None,
        cooling: Vec::new(),
        is_dead: false,
    };
    match found {
        Ok((account, is_dead)) => row.fill(&account, is_dead),
        Err(why) => row.note = Some(why),
    }
    if row.note.is_none() && id.provider.starts_with(SERVER_PREFIX) {
        // People know the address, not the id.
        let known = app.providers.find(&id.provider).ok().flatten();
        row.note = known.and_then(|known| known.server.clone());
    }
    Ok(row)
}

/// What another tool holds is read where it lies; nothing to read leaves the account as it is.
fn as_it_is_now(account: Account, app: &App) -> Account {
    let Credential::Tool(path, _) = &account.credential else { return account };
    let row = app.providers.get(&account.id.provider).ok();
    row.and_then(|row| tool::read(&account, path, row).ok()).unwrap_or(account)
}

fn from_environment(args: &Status, app: &App) -> Result<Vec<Row>> {
    if args.account.as_ref().is_some_and(|typed| typed.account.is_some()) {
        return Ok(Vec::new());
    }
    let wanted = match &args.account {
        // A server that nobody signed in to has no row yet.
        Some(typed) if typed.server.is_some() => Some(typed.provider.as_str()),
        Some(typed) => Some(app.providers.get(&typed.provider)?.id.as_str()),
        None => None,
    };
    let row = |(provider, found): (String, environment::Found)| Row {
        provider,
        account: None,
        is_default: false,
        kind: found.credential.kind(),
        state: State::Valid,
        expires_at: found.credential.expires_at(),
        can_refresh: false,
        source: format!("env:{}", found.name),
        path: None,
        identity: Identity::default(),
        note: ends_soon(&found.credential),
        cooling: Vec::new(),
        is_dead: false,
    };
    Ok(app.ready_by_variable(wanted)?.into_iter().map(row).collect())
}

/// Nobody renews a JWT that somebody else issued.
fn ends_soon(credential: &Credential) -> Option<String> {
    let Credential::Bearer(_, Some(at)) = credential else { return None };
    let is_soon = (0..BEARER_WARNING_S).contains(&at.since(Timestamp::now()));
    is_soon.then(|| "ask for a new one soon: nobody renews it".to_owned())
}

impl Row {
    fn fill(&mut self, account: &Account, mut is_dead: bool) {
        let now = Timestamp::now();
        self.kind = account.credential.kind();
        // None yet is no expiry.
        self.expires_at = account.expires_at().filter(|_| !account.secret().is_empty());
        if let Credential::Tool(path, minted) = &account.credential {
            self.source = format!("file:{path}");
            self.path = None;
            // The file is the tool's: when it holds nothing, only the tool can help.
            is_dead |= minted.token.is_empty();
        }
        self.can_refresh = account.can_refresh() && account.refused.is_none();
        self.identity = account.identity.clone();
        self.note = account.attributes.get("note").and_then(Value::as_str).map(str::to_owned);
        self.is_dead = is_dead || (account.refused.is_some() && !account.is_alive(now));
        self.note = self.note.take().or_else(|| ends_soon(&account.credential));
        self.state = match (is_dead || account.refused.is_some(), account.is_alive(now)) {
            (true, _) => State::Refused,
            (false, false) => State::Expired,
            (false, true) if !account.is_fresh(now) => State::Expiring,
            (false, true) => State::Valid,
        };
    }

    /// Whether `token` would print something: not expired, or renewable.
    fn is_usable(&self) -> bool {
        match self.state {
            _ if self.is_dead => false,
            State::Valid | State::Expiring => true,
            State::Expired => self.can_refresh,
            State::Refused => self.expires_at.is_some_and(|at| at > Timestamp::now()),
            State::Damaged => false,
        }
    }

    fn json(&self) -> Value {
        let mut row = json!({
            "provider": self.provider, "account": self.account, "default": self.is_default,
            "kind": self.kind, "state": self.state.name(), "expires_at": self.expires_at,
            "can_refresh": self.can_refresh, "source": self.source, "path": self.path,
            "identity": self.identity, "note": self.note,
        });
        if !self.cooling.is_empty() {
            row["cooling"] = cooling::json(&self.cooling);
        }
        row
    }

    fn cells(&self) -> [String; 6] {
        let expires = match self.expires_at {
            Some(at) => at.in_words(Timestamp::now()),
            None => "-".to_owned(),
        };
        let mark = if self.is_default { "*" } else { "" };
        let renews = if self.can_refresh { " (renews)" } else { "" };
        // Notes and paths may come from an imported file.
        let note = self.note.as_ref().map(|note| format!("  {}", text::harmless(note, 1024)));
        let cooling = cooling::words(&self.cooling).map(|words| format!("  {words}"));
        let note = format!("{}{}", note.unwrap_or_default(), cooling.unwrap_or_default());
        let place = text::harmless(self.path.as_ref().unwrap_or(&self.source), 4096);
        [
            format!("{}{mark}", self.provider),
            self.account.clone().unwrap_or("-".to_owned()),
            self.kind.to_owned(),
            self.state.name().to_owned(),
            format!("{expires}{renews}"),
            format!("{place}{note}"),
        ]
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["PROVIDER", "ACCOUNT", "KIND", "STATE", "EXPIRES", "SOURCE"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    term::columns(&lines)
}
