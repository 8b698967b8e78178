use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::account::AccountRef;
use crate::commands::hand_out::Asked;
use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::flows::prompt::{Seat, Wish};
use crate::protocol::chat::{Answer, Call};
use crate::term;
use crate::text;

/// Sends one prompt to a model and prints its answer as it comes.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "run",
    help_triggers("-h", "--help"),
    example = "keyfob run claude \"Say hello\"\n\
               git diff | keyfob run openai - --system \"Review this change.\"\n\
               keyfob run codemie --jwt-token - --base-url URL --task \"Say hello\" --silent",
    note = "The model is the one named, else the one of `keyfob config set\n\
            providers.NAME.model MODEL`, else the provider's default. An answer may be\n\
            silent for as long as --timeout says."
)]
pub struct Run {
    /// whose account: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: AccountRef,

    /// the prompt; - reads stdin
    #[argh(positional)]
    prompt: Option<String>,

    /// the prompt, under another name
    #[argh(option, arg_name = "prompt")]
    task: Option<String>,

    /// the model to ask
    #[argh(option, arg_name = "model")]
    model: Option<String>,

    /// a system text to send before the prompt
    #[argh(option, arg_name = "text")]
    system: Option<String>,

    /// where the API is, for a token given on the spot
    #[argh(option, arg_name = "url")]
    base_url: Option<String>,

    /// a JWT to use instead of what is stored; - reads stdin
    #[argh(option, arg_name = "token")]
    jwt_token: Option<String>,

    /// ask for the answer in one piece, from an API that cannot stream
    #[argh(switch)]
    no_stream: bool,

    /// write nothing to stderr
    #[argh(switch)]
    silent: bool,

    /// print one JSON object with text, model, stop_reason and usage
    #[argh(switch)]
    json: bool,

    /// longest wait for the answer's beginning and for each silence, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Run) -> Result<()> {
    if args.silent {
        crate::log::be_silent();
    }
    let prompt = prompt(args)?;
    let app = App::new(args.timeout)?;
    let asked = Asked {
        jwt: args.jwt_token.as_deref(),
        base_url: args.base_url.as_deref(),
        ..Asked::of(&args.account)
    };
    let wish = Wish {
        model: args.model.as_deref(),
        prompt: &prompt,
        system: args.system.as_deref(),
        tool: None,
        is_streamed: !args.no_stream,
        wants_usage: args.json,
    };
    let mut ends_in_line = true;
    let mut has_text = false;
    let outcome = app.using(&asked, "run", |found| {
        let row = found.row(&app)?;
        let seat =
            Seat { account: &found.account, row: &row, client: &app.client, store: &app.store };
        let answer = match seat.ask(&wish, &mut |text| {
            let text = text::printable(text);
            if args.json || text.is_empty() {
                return Ok(true);
            }
            has_text = true;
            ends_in_line = text.ends_with('\n');
            term::print_piece(&text)
        }) {
            // What is shown is not asked for again with another token.
            Err(error) if has_text => return Ok(Err(error)),
            answer => answer?,
        };
        Ok(Ok((answer, found.account.id.clone(), found.is_stored)))
    });
    if !ends_in_line {
        term::print_piece("\n")?;
    }
    let (answer, id, is_stored) = outcome??;
    if args.json {
        let account = is_stored.then_some(id.account);
        let object = Object::new().with("provider", id.provider).with("account", json!(account));
        return term::print(&with_answer(object, &answer).to_string());
    }
    if !has_text {
        let why = answer.stop_reason.map_or(String::new(), |why| format!(" ({why})"));
        term::warn(&text::harmless(&format!("the model answered with no text{why}"), 200));
    }
    Ok(())
}

fn with_answer(object: Object, answer: &Answer) -> Object {
    let total = answer.input_tokens.zip(answer.output_tokens).map(|(sent, got)| sent + got);
    let call = |Call { name, arguments }: &Call| json!({"name": name, "arguments": arguments});
    let calls: Vec<Value> = answer.calls.iter().map(call).collect();
    object
        .with("model", json!(answer.model))
        .with("text", text::printable(&answer.text))
        .with("tool_calls", calls)
        .with("stop_reason", json!(answer.stop_reason))
        .with(
            "usage",
            json!({
                "input_tokens": answer.input_tokens,
                "output_tokens": answer.output_tokens,
                "total_tokens": total,
            }),
        )
}

fn prompt(args: &Run) -> Result<String> {
    let typed = match (&args.prompt, &args.task) {
        (Some(prompt), None) | (None, Some(prompt)) => prompt,
        (Some(_), Some(_)) => {
            return Err(Error::usage("a prompt and --task are the same thing: give one")
                .or_try("keyfob run --help"));
        }
        (None, None) => {
            let next = format!("keyfob run {} \"Say hello\"", args.account);
            return Err(Error::usage("what is the prompt?").or_try(next));
        }
    };
    if typed != "-" {
        return Ok(typed.clone());
    }
    if args.jwt_token.as_deref() == Some("-") {
        return Err(Error::usage("stdin cannot hold both the prompt and the token")
            .or_try(format!("keyfob run {} --jwt-token - --task \"Say hello\"", args.account)));
    }
    term::prompt::piped_text("prompt")
}
