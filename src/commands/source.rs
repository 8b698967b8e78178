use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::flows::source::{self, Place, State, What};
use crate::source::{Source as Row, table};
use crate::store::foreign;
use crate::term::{self, prompt};
use crate::text::{self, shell_word};

/// Lets keyfob read the sign-ins of other tools where they lie, or takes that back.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "source",
    help_triggers("-h", "--help"),
    example = "keyfob source list\nkeyfob source trust codex\nkeyfob token openai"
)]
pub struct Source {
    #[argh(subcommand)]
    command: SourceCommand,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
enum SourceCommand {
    Forget(Forget),
    List(List),
    Trust(Trust),
}

/// Takes a consent back; the other tool's file stays as it is.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "forget", help_triggers("-h", "--help"))]
struct Forget {
    /// the path or the name that `keyfob source list` shows
    #[argh(positional)]
    which: Option<String>,

    /// every one
    #[argh(switch)]
    all: bool,
}

/// Lists the sign-ins of other tools that are here, and whether keyfob may read
/// them. None is opened unless it is trusted.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
struct List {
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

/// Allows keyfob to read another tool's sign-in in place.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "trust",
    help_triggers("-h", "--help"),
    example = "keyfob source trust claude-code\nkeyfob source trust ~/.codex/auth.json --yes",
    note = "The file is never changed, and its refresh token is never used. The yes ends\n\
            when the path becomes a symlink, changes owner, or can be changed by others."
)]
struct Trust {
    /// the path or the name that `keyfob source list` shows
    #[argh(positional)]
    which: String,

    /// do not ask
    #[argh(switch)]
    yes: bool,

    /// ask nothing
    #[argh(switch)]
    no_input: bool,
}

pub fn run(args: Source) -> Result<()> {
    let app = App::new(None)?;
    match args.command {
        SourceCommand::Forget(args) => forget(&args, &app),
        SourceCommand::List(args) => list(&args, &app),
        SourceCommand::Trust(args) => trust(&args, &app),
    }
}

/// One line of the list; CLI.md section 10.
pub struct Listed {
    path: String,
    name: String,
    tool: String,
    providers: Vec<String>,
    state: &'static str,
    why: Option<String>,
    cure: Option<String>,
}

impl Listed {
    pub fn json(&self) -> Value {
        json!({
            "path": self.path, "tool": self.tool, "name": self.name, "providers": self.providers,
            "state": self.state, "why": self.why,
        })
    }

    pub fn is_of(&self, place: &Place) -> bool {
        self.path == place.name()
    }

    /// For the person who looks at `status`; what is trusted stands in its table.
    pub fn hint(&self) -> Option<String> {
        let Listed { path, name, tool, .. } = self;
        match (self.state, &self.why) {
            ("ask", _) => {
                Some(format!("{tool} has a file here, {path}\n  try: keyfob source trust {name}"))
            }
            (_, Some(why)) => {
                let cure = self.cure.as_ref().map_or(String::new(), |c| format!("\n  try: {c}"));
                Some(format!("{tool}: {path} is not used: {why}{cure}"))
            }
            _ => None,
        }
    }
}

/// Every source that is here, trusted ones with what they hold.
pub fn listed(places: &[Place], app: &App) -> Result<Vec<Listed>> {
    let mut all: Vec<_> = places.iter().map(listed_place).collect();
    let trust = app.store.trust()?;
    let gone = trust.all().iter().filter(|consent| all.iter().all(|l| l.path != consent.path));
    let gone: Vec<_> = gone
        .map(|consent| Listed {
            path: consent.path.clone(),
            name: consent.source.clone(),
            tool: consent.source.clone(),
            providers: Vec::new(),
            state: "trusted",
            why: Some("nothing is there now, or its tool looks elsewhere".to_owned()),
            cure: None,
        })
        .collect();
    all.extend(gone);
    Ok(all)
}

fn listed_place(place: &Place) -> Listed {
    let source = place.source;
    let (state, why) = match &place.state {
        State::Ask if place.what == What::Command => {
            ("ask", Some(format!("run only after keyfob source trust {}", source.id)))
        }
        State::Ask => ("ask", None),
        State::Refused(why) => ("refused", Some(why.clone())),
        State::Trusted => ("trusted", None),
    };
    let mut listed = Listed {
        path: place.name(),
        name: source.id.clone(),
        tool: source.title.clone(),
        providers: Vec::new(),
        state,
        why,
        cure: place.cure.clone(),
    };
    if place.state == State::Trusted {
        match providers(place) {
            Ok(providers) if providers.is_empty() => listed.why = Some(nothing_in(source)),
            Ok(providers) => listed.providers = providers,
            Err(error) => listed.why = Some(error.to_string()),
        }
    }
    listed
}

fn providers(place: &Place) -> Result<Vec<String>> {
    if place.what == What::Command {
        return Ok(place.source.holds.iter().map(|entry| entry.provider.clone()).collect());
    }
    Ok(place.held()?.into_iter().map(|held| held.provider).collect())
}

fn nothing_in(source: &Row) -> String {
    let why = source.if_empty.as_ref().map_or(String::new(), |why| format!("; {why}"));
    format!("it holds no sign-in that keyfob can use{why}")
}

fn list(args: &List, app: &App) -> Result<()> {
    let sources = table()?;
    let all = listed(&source::places(&sources, &app.store)?, app)?;
    if args.json {
        let all: Vec<_> = all.iter().map(Listed::json).collect();
        return term::print(&Object::new().with("sources", all).to_string());
    }
    if all.is_empty() {
        term::say("no other tool's sign-in is here");
        return Ok(());
    }
    let head = ["NAME", "STATE", "PROVIDERS", "PATH"].map(str::to_owned);
    let line = |listed: &Listed| {
        let why = listed.why.as_ref().map_or(String::new(), |why| format!("  {why}"));
        let providers = match listed.providers.as_slice() {
            [] => "-".to_owned(),
            some => some.join(","),
        };
        let path = format!("{}{why}", listed.path);
        [listed.name.clone(), listed.state.to_owned(), providers, path]
    };
    let lines: Vec<_> = std::iter::once(head).chain(all.iter().map(line)).collect();
    term::print(&term::columns(&lines))
}

fn trust(args: &Trust, app: &App) -> Result<()> {
    let sources = table()?;
    let mut places = source::places(&sources, &app.store)?;
    let at = chosen(&args.which, &places).ok_or_else(|| unknown(&args.which, &sources))?;
    let place = &mut places[at];
    if let State::Refused(why) = &place.state {
        let what = format!("{} cannot be trusted: {why}", place.name());
        let error = Error::failed(what);
        let next = place.cure.clone().or_else(|| Some(login_of(place.source)));
        return Err(next.into_iter().fold(error, Error::or_try));
    }
    if place.state == State::Ask && !args.yes {
        if !prompt::is_possible(args.no_input) {
            let which = shell_word(&args.which);
            return Err(Error::PromptNeeded {
                what: format!("reading {} needs a yes", place.name()),
                next: format!("keyfob source trust {which} --yes"),
            });
        }
        if !ask(place)? {
            return Err(Error::failed(format!("{} is not read", place.name())));
        }
    }
    accept(place, app)
}

/// Says what would be read, and asks.
pub fn ask(place: &Place) -> Result<bool> {
    let Row { title, .. } = place.source;
    let path = place.name();
    if place.what == What::Command {
        let rest = place.source.command.get(1..).unwrap_or_default().join(" ");
        term::say(&format!("{title} would be run each time its token is needed: {path} {rest}"));
        return prompt::confirm("run it?");
    }
    term::say(&format!("{title} keeps a file in {path}"));
    term::say(
        "keyfob would read it each time it is needed: its access tokens and keys. It is never",
    );
    term::say("changed, and its refresh tokens are never used.");
    prompt::confirm("read it?")
}

/// Reads it before the yes is remembered: what cannot be read is found now, not at the first use.
pub fn accept(place: &mut Place, app: &App) -> Result<()> {
    let held = place.held()?;
    place.trust(&app.store)?;
    let tool = &place.source.title;
    if held.is_empty() {
        term::warn(&format!("{}: {}", place.name(), nothing_in(place.source)));
        return Ok(());
    }
    let providers: Vec<_> = held.iter().map(|held| held.provider.clone()).collect();
    term::say(&format!("{} is read for {}", place.name(), text::list(&providers)));
    for provider in &providers {
        if let Some(terms) = app.providers.find(provider)?.and_then(|row| row.terms.as_ref()) {
            term::say(&format!("{provider}: {} ({})", terms.note, terms.url));
        }
    }
    term::say(&format!("{tool} stays in charge of it; keyfob only reads it"));
    Ok(())
}

/// By path, else by name: a tool's file goes before its database.
fn chosen(which: &str, places: &[Place]) -> Option<usize> {
    let by_name = || places.iter().position(|place| place.source.id == which);
    by_path(which).and_then(|path| places.iter().position(|p| p.name() == path)).or_else(by_name)
}

fn by_path(which: &str) -> Option<String> {
    let whole = std::path::absolute(which).ok()?;
    Some(foreign::canonical(&whole)?.display().to_string())
}

fn unknown(which: &str, sources: &[Row]) -> Error {
    let shown = text::harmless(which, 200);
    let Some(source) = sources.iter().find(|source| source.id == which) else {
        let what = format!("no tool that keyfob knows keeps its sign-in in {shown}");
        return Error::usage(what).or_try("keyfob source list");
    };
    let place = match (source::expected_path(source), source.command.first()) {
        (Some(path), _) => format!("no file of {} is here: {}", source.title, path.display()),
        (None, Some(program)) => format!("there is no {program} on PATH"),
        (None, None) => format!("{} has no file", source.title),
    };
    let next = source.run.clone().unwrap_or_else(|| login_of(source));
    Error::failed(place).or_try(next)
}

/// Signing in with keyfob instead, where the tool is one provider's own.
fn login_of(source: &Row) -> String {
    let provider = source.holds.first().filter(|_| source.is_dedicated());
    provider.map_or("keyfob login".to_owned(), |entry| format!("keyfob login {}", entry.provider))
}

fn forget(args: &Forget, app: &App) -> Result<()> {
    let which = match (&args.which, args.all) {
        (None, true) => {
            app.store.trust_nobody()?;
            term::say("no other tool's file is trusted any more");
            return Ok(());
        }
        (Some(which), false) => which,
        _ => return Err(Error::usage("name one source, or --all").or_try("keyfob source list")),
    };
    let path = by_path(which);
    let mut gone = Vec::new();
    app.store.change_trust(|trust| {
        let is_meant = |path_of: &str, source: &str| {
            path.as_deref() == Some(path_of) || path_of == which || source == which
        };
        let meant = trust.all().iter().filter(|c| is_meant(&c.path, &c.source));
        gone = meant.map(|consent| consent.path.clone()).collect();
        gone.iter().for_each(|path| {
            trust.remove(path);
        });
    })?;
    if gone.is_empty() {
        let what = format!("{} is not trusted", text::harmless(which, 200));
        return Err(Error::failed(what).or_try("keyfob source list"));
    }
    gone.iter().for_each(|path| term::say(&format!("{path} is not read any more")));
    Ok(())
}
