use std::sync::Mutex;
use std::thread;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::account::{Account, AccountRef};
use crate::commands::hand_out::{Asked, HandOut, Place};
use crate::commands::{App, Object, child};
use crate::error::{Error, Result};
use crate::flows::check;
use crate::flows::prompt::Seat;
use crate::flows::proof::{self, DISCOVERY, Outcome, REFRESH, SMOKE, Step, TOOL_SMOKE};
use crate::term;

/// Accounts proven at the same time.
const AT_ONCE: usize = 8;

/// Proves a credential from its file to a model's answer, and says which link is
/// broken.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "auth-test",
    help_triggers("-h", "--help"),
    example = "keyfob auth-test gemini --login\nkeyfob auth-test --all-configured --json",
    note = "Steps: discovery finds the credential; refresh shows it to its provider by a\n\
            call that costs nothing, and renews it only if it has to; smoke sends a prompt\n\
            that must be answered AUTH_TEST_OK; tool_smoke offers a tool that must be\n\
            called. Each is ok, failed (with what to try) or skipped (with the reason).\n\
            Exit 0 if none failed, else the code of the first that did."
)]
pub struct AuthTest {
    /// whose: PROVIDER or PROVIDER/ACCOUNT; without it, all that are configured
    #[argh(positional)]
    account: Option<AccountRef>,

    /// every account, and every provider with a variable set
    #[argh(switch)]
    all_configured: bool,

    /// sign in first
    #[argh(switch)]
    login: bool,

    /// leave the last step out
    #[argh(switch)]
    no_tool_smoke: bool,

    /// the model to ask
    #[argh(option, arg_name = "model")]
    model: Option<String>,

    /// print one JSON object
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

/// What was found out about one account.
struct Proved {
    provider: String,
    account: Option<String>,
    steps: Vec<Step>,
}

pub fn run(args: &AuthTest) -> Result<()> {
    let accounts = wanted(args)?;
    if let Some(account) = accounts.first().filter(|_| args.login) {
        let words = ["login".to_owned(), account.to_string()];
        let code = child::run(&words, args.timeout, None)?;
        if code != 0 {
            let what = format!("the sign-in to {account} did not succeed");
            return Err(Error::Child { what, status: code });
        }
    }
    let proved = prove_all(&accounts, args)?;
    if args.json {
        let results: Vec<_> = proved.iter().map(Proved::json).collect();
        term::print(&Object::new().with("results", results).to_string())?;
    }
    let steps = proved.into_iter().flat_map(|one| one.steps);
    let mut failures = steps.filter_map(|step| match step.outcome {
        Outcome::Failed(error) => Some(error),
        Outcome::Ok(_) | Outcome::Skipped(_) => None,
    });
    failures.next().map_or(Ok(()), Err)
}

/// The accounts to prove, in the order in which they are shown.
fn wanted(args: &AuthTest) -> Result<Vec<AccountRef>> {
    if let Some(account) = &args.account {
        if args.all_configured {
            let what = "either one account or --all-configured";
            return Err(Error::usage(what).or_try("keyfob auth-test --help"));
        }
        return Ok(vec![account.clone()]);
    }
    if args.login {
        let what = "--login signs in to one provider: which?";
        return Err(Error::usage(what).or_try("keyfob auth-test PROVIDER --login"));
    }
    let app = App::new(args.timeout)?;
    let stored = app.store.all_accounts()?;
    let mut all: Vec<_> =
        stored.into_iter().map(|id| AccountRef::new(&id.provider, Some(id.account))).collect();
    for (provider, _) in app.ready_by_variable(None)? {
        if !all.iter().any(|known| known.provider == provider) {
            all.push(AccountRef::new(&provider, None));
        }
    }
    match all.is_empty() {
        true => Err(Error::SignIn {
            account: "no account".to_owned(),
            why: "nobody is signed in".to_owned(),
            next: "keyfob setup".to_owned(),
        }),
        false => Ok(all),
    }
}

/// Some at once; each is shown as soon as it is done.
fn prove_all(accounts: &[AccountRef], args: &AuthTest) -> Result<Vec<Proved>> {
    let width = accounts.iter().map(|account| account.to_string().chars().count()).max();
    let width = width.unwrap_or(0);
    let waiting = Mutex::new(accounts.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let app = &App::new(args.timeout)?;
    let work = || -> Result<()> {
        loop {
            let next = waiting.lock().map_err(|_| stopped())?.next();
            let Some((at, account)) = next else { return Ok(()) };
            let proved = prove(account, args, app);
            let mut done = done.lock().map_err(|_| stopped())?;
            if !args.json {
                term::print(&proved.rows(&account.to_string(), width))?;
            }
            done.push((at, proved));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..accounts.len().min(AT_ONCE)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| stopped())?)
    })?;
    let mut done = done.into_inner().map_err(|_| stopped())?;
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, proved)| proved).collect())
}

fn stopped() -> Error {
    Error::failed("a test stopped in the middle: this is a bug of keyfob, please report it")
}

fn prove(typed: &AccountRef, args: &AuthTest, app: &App) -> Proved {
    let again = format!("keyfob auth-test {typed}");
    let mut proved = Proved {
        provider: typed.provider.clone(),
        account: typed.account.clone(),
        steps: Vec::new(),
    };
    let asked = Asked::of(typed);
    let place = match app.find(&asked) {
        Ok(place) => place,
        Err(error) => {
            proved.steps.push(Step::failed(DISCOVERY, error, &again));
            return proved.without_the_rest("there is no credential to test");
        }
    };
    let used = match place {
        Place::Stored(account) => proved.check_stored(account, &again, app),
        Place::Given(found) => proved.check_given(found, &again, app),
    };
    proved.provider.clone_from(&used.account.id.provider);
    if proved.steps.iter().any(Step::has_failed) {
        proved = proved.without_the_rest("the credential does not work");
    } else if let Err(error) = proved.ask_model(&used, args, &again, app) {
        proved.steps.push(Step::failed(SMOKE, error, &again));
        proved = proved.without_the_rest("the prompt without a tool failed");
    }
    for step in &mut proved.steps {
        step.explain(|error| used.explain(error, &asked, "auth-test"));
    }
    proved
}

impl Proved {
    fn check_stored(&mut self, account: Account, again: &str, app: &App) -> HandOut {
        self.account = Some(account.id.account.clone());
        let path = app.store.account_path(&account.id);
        let detail = format!("{} of {}", account.credential.kind(), path.display());
        self.steps.push(Step::ok(DISCOVERY, detail));
        let checked = check::check(account, &app.tools());
        if let Some(warning) = &checked.warning {
            term::warn(warning);
        }
        let (account, found) = (checked.account, checked.outcome);
        self.steps.push(proof::refresh_step(&account, found, checked.is_dead, again));
        HandOut { account, variable: None, is_stored: true }
    }

    /// What is in no file of ours is good as it is, or not at all.
    fn check_given(&mut self, found: HandOut, again: &str, app: &App) -> HandOut {
        let from = found.variable.as_deref().unwrap_or("another tool's sign-in");
        let kind = found.account.credential.kind();
        let detail = format!("{kind} of {from}{}", proof::until(&found.account));
        self.steps.push(Step::ok(DISCOVERY, detail));
        let shown = check::show(&found.account, &app.tools());
        self.steps.push(proof::refresh_step(&found.account, shown, false, again));
        found
    }

    fn ask_model(&mut self, used: &HandOut, args: &AuthTest, again: &str, app: &App) -> Result<()> {
        let row = &*used.row(app)?;
        let (account, client, store) = (&used.account, &app.client, &app.store);
        let seat = Seat { account, row, client, store };
        let model = args.model.as_deref();
        self.steps.extend(proof::prompts(&seat, model, !args.no_tool_smoke, again));
        Ok(())
    }

    fn without_the_rest(mut self, why: &str) -> Proved {
        let known = self.steps.len();
        let rest = [DISCOVERY, REFRESH, SMOKE, TOOL_SMOKE].into_iter().skip(known);
        self.steps.extend(rest.map(|name| Step::skipped(name, why)));
        self
    }

    fn json(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(step_json).collect();
        json!({"provider": self.provider, "account": self.account, "steps": steps})
    }

    fn rows(&self, account: &str, width: usize) -> String {
        let row = |step: &Step| {
            let (outcome, detail, next) = shown(step);
            let next = next.map_or(String::new(), |next| format!("\n  try: {next}"));
            format!("{account:width$}  {:10}  {outcome:7}  {detail}{next}", step.name)
        };
        self.steps.iter().map(row).collect::<Vec<_>>().join("\n")
    }
}

/// The outcome's word, what there is to say, and what to try.
fn shown(step: &Step) -> (&'static str, String, Option<&str>) {
    match &step.outcome {
        Outcome::Ok(detail) => ("ok", detail.clone(), None),
        Outcome::Failed(error) => ("failed", error.to_string(), error.next()),
        Outcome::Skipped(why) => ("skipped", why.clone(), None),
    }
}

fn step_json(step: &Step) -> Value {
    let (outcome, detail, next) = shown(step);
    json!({"step": step.name, "outcome": outcome, "detail": detail, "try": next})
}
