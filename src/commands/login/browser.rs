//! Logins that end in a browser: print the URL and end, or show it and wait.

use std::time::Duration;

use crate::commands::App;
use crate::commands::login::{Login, Ready, complete_with, pending_json, project, show_extras};
use crate::error::Result;
use crate::flows::login::{Ears, Wish};
use crate::flows::redirect::Chosen;
use crate::flows::{login, redirect};
use crate::pending::{Begun, PendingLogin};
use crate::provider::Shows;
use crate::term::keys::Keys;
use crate::term::{self, opener, prompt};
use crate::text::shell_word;
use crate::time::Timestamp;

pub fn run(args: &Login, ready: Ready, app: &App) -> Result<()> {
    if args.print_auth_url {
        return begin_and_print(args, ready, app);
    }
    begin_and_wait(args, ready, app)
}

/// Begins one that another command will finish.
fn begin_and_print(args: &Login, ready: Ready, app: &App) -> Result<()> {
    let (pending, page) = begin(args, ready, app)?;
    show_extras(&pending.auth_url, args);
    if args.json {
        return term::print(&pending_json(&pending, page).to_string());
    }
    term::say(&format!("finish with: {}", complete_with(&pending, page)));
    term::print(&pending.auth_url)
}

/// Begins one at which nobody waits here; and what the provider's own page shows, if it ends there.
pub fn begin(args: &Login, ready: Ready, app: &App) -> Result<(PendingLogin, Option<Shows>)> {
    let chosen = redirect::promise(&ready.row, args.redirect_asked(true));
    let page = chosen.page;
    let ready = ready.with_client(&chosen.uri, args, app)?;
    Ok((login::begin(wish(args, ready, &chosen), &app.store)?, page))
}

fn wish(args: &Login, ready: Ready, chosen: &Chosen) -> Wish {
    Wish {
        account: ready.account,
        provider: ready.row,
        client: ready.client,
        redirect_uri: chosen.uri.clone(),
        login_hint: args.login_hint.clone(),
        prompt: args.prompt.clone(),
        expect: args.expect.clone(),
        project: args.project.clone(),
        replace: args.replace,
        verify: !args.no_verify,
        is_open: false,
        wait_s: i64::from(args.wait),
    }
}

/// Begins one and waits for its end, wherever that comes from.
fn begin_and_wait(args: &Login, ready: Ready, app: &App) -> Result<()> {
    let opener = if args.no_browser { Err(String::new()) } else { opener::find() };
    let chosen = redirect::listen(&ready.row, args.redirect_asked(opener.is_err()));
    let ready = ready.with_client(&chosen.uri, args, app)?;
    let pending = login::begin(wish(args, ready, &chosen), &app.store)?;
    if let Err(why) = &opener
        && !why.is_empty()
    {
        term::say(&format!("no browser is opened here: {why}"));
    }
    for note in &chosen.notes {
        term::say(note);
    }
    show_url(&pending, &chosen, args);
    if let Ok(opener) = &opener
        && let Err(why) = opener.open(&pending.auth_url)
    {
        term::say(&format!("{why}; open the address yourself"));
    }
    let with_countdown = term::is_capable() && prompt::is_possible(args.no_input);
    // A session is longer than a line of a terminal, and what is pasted is the secret itself.
    let is_session = matches!(pending.begun, Begun::Cookie { .. });
    let keys = (is_session && prompt::is_possible(args.no_input)).then(Keys::begin);
    let question = if is_session { "paste here (it is not shown): " } else { "paste here: " };
    if with_countdown {
        term::say("");
        term::ask(question);
    }
    let ears = Ears {
        listener: chosen.listener,
        paste: if args.no_input { &|| None } else { &prompt::pasted },
        page: chosen.page,
        limit: Duration::from_secs(u64::from(args.wait)),
        tick: &|remaining| {
            if with_countdown {
                let left = remaining.as_secs();
                term::rewrite_line_above(&format!("waiting {}:{:02}", left / 60, left % 60));
            }
        },
        tell: &|what| {
            term::say(what);
            if with_countdown {
                term::ask(question);
            }
        },
    };
    let outcome = login::wait(&pending, &ears, &app.client, &app.store);
    drop(keys);
    if with_countdown {
        term::say("");
    }
    app.store.sweep(Timestamp::now());
    project::choose_and_tell(outcome?, args, app)
}

/// The URL stands alone on its line, unwrapped, so that it can be copied from any terminal.
fn show_url(pending: &PendingLogin, chosen: &Chosen, args: &Login) {
    term::say("open this address in a browser to sign in:\n");
    term::say(&format!("{}\n", pending.auth_url));
    show_extras(&pending.auth_url, args);
    match (&chosen.listener, chosen.page) {
        (_, Some(_)) => term::say("then paste the code that the page shows."),
        (None, None) => {
            term::say("then paste the address of the page you end on (it will not load).");
        }
        (Some(listener), None) => {
            term::say("if the browser runs on another machine, either run this there first:\n");
            term::say(&format!("{}\n", ssh_line(listener.port, &pending.provider.redirect.host)));
            term::say("or paste the address of the page you end on (it will not load).");
        }
    }
    if !args.no_input {
        term::say("it can also be finished from another terminal:");
        term::say(&format!("  {}", complete_with(pending, chosen.page)));
    }
}

/// The command that makes this machine's callback port reachable from the person's own machine.
fn ssh_line(port: u16, host: &str) -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    // `client-address client-port server-address server-port`
    let connection = variable("SSH_CONNECTION").unwrap_or_default();
    let words: Vec<_> = connection.split_whitespace().collect();
    let here = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let here = here.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("SERVER");
    let server = words.get(2).copied().unwrap_or(here);
    let login = user.map_or(server.to_owned(), |user| format!("{user}@{server}"));
    let ssh_port = match words.get(3) {
        Some(&port) if port != "22" => format!(" -p {port}"),
        _ => String::new(),
    };
    format!("ssh{ssh_port} -N -L {port}:{host}:{port} {}", shell_word(&login))
}
