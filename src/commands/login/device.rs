//! Device logins: a code typed on any other machine.

use std::time::Duration;

use crate::commands::App;
use crate::commands::login::finish::{amend, check_provider, only_pending};
use crate::commands::login::outcome::tell;
use crate::commands::login::{Login, Ready, complete_with, pending_json, show_extras};
use crate::error::{Error, Result};
use crate::flows::device::{self, Wish};
use crate::flows::finish;
use crate::pending::{Begun, PendingLogin};
use crate::term::{self, opener};
use crate::time::Timestamp;

/// Begins one; prints and ends, or shows and polls.
pub fn run(args: &Login, ready: Ready, app: &App) -> Result<()> {
    let pending = begin(args, ready, app)?;
    if args.print_auth_url {
        return print(&pending, args);
    }
    show(&pending, args);
    if !args.no_browser
        && let Ok(opener) = opener::find()
        && let Err(why) = opener.open(&pending.auth_url)
    {
        term::say(&format!("{why}; open the address yourself"));
    }
    poll(&pending, args, app)
}

/// Begins one at which nobody waits here.
pub fn begin(args: &Login, ready: Ready, app: &App) -> Result<PendingLogin> {
    let wish = Wish {
        account: ready.account,
        provider: ready.row,
        client: ready.client,
        expect: args.expect.clone(),
        replace: args.replace,
        verify: !args.no_verify,
    };
    device::begin(wish, &app.client, &app.store)
}

/// Finishes one begun in any process.
pub fn complete(args: &Login, app: &App) -> Result<()> {
    let login_id = match (&args.login_id, &args.account) {
        (Some(login_id), _) => login_id.clone(),
        (None, Some(account)) => only_pending(account, is_device, "--complete", app)?,
        (None, None) => {
            let what = "--complete needs the provider, or --login-id";
            return Err(Error::usage(what).or_try("keyfob login PROVIDER --complete"));
        }
    };
    check_provider(&login_id, args, app)?;
    let begun = app.store.find_pending(&login_id)?;
    poll(&begun.ok_or_else(|| finish::gone(&login_id, &app.store))?, args, app)
}

fn is_device(begun: &Begun) -> bool {
    matches!(begun, Begun::Device { .. })
}

fn print(pending: &PendingLogin, args: &Login) -> Result<()> {
    show_extras(&pending.auth_url, args);
    show_code(pending);
    if args.json {
        return term::print(&pending_json(pending, None).to_string());
    }
    term::say(&format!("finish with: {}", complete_with(pending, None)));
    term::print(&pending.auth_url)
}

fn show(pending: &PendingLogin, args: &Login) {
    term::say("open this address on any machine to sign in:\n");
    term::say(&format!("{}\n", pending.auth_url));
    show_extras(&pending.auth_url, args);
    show_code(pending);
    term::say(&format!("it can also be finished with: {}", complete_with(pending, None)));
}

/// The code stands there even when the address has it in it: the person compares the two, which is
/// all that keeps a stranger's sign-in from being approved by mistake.
fn show_code(pending: &PendingLogin) {
    term::say(&format!("code: {}", pending.user_code().unwrap_or_default()));
    term::say("approve only if you started this");
}

fn poll(begun: &PendingLogin, args: &Login, app: &App) -> Result<()> {
    let with_countdown = term::is_capable() && args.wait > 0;
    if with_countdown {
        term::say("\n");
    }
    let tick = |remaining: Duration| {
        if with_countdown {
            let left = remaining.as_secs();
            term::rewrite_line_above(&format!("waiting {}:{:02}", left / 60, left % 60));
        }
    };
    let limit = Duration::from_secs(u64::from(args.wait));
    let outcome = device::complete(begun, &amend(args), limit, &tick, &app.client, &app.store);
    app.store.sweep(Timestamp::now());
    tell(&outcome?, args)
}
