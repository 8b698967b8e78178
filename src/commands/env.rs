use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value};

use crate::account::AccountRef;
use crate::commands::hand_out::Asked;
use crate::commands::{App, Object};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::environment::{self, Variable};
use crate::term;
use crate::text;

/// Prints the variables that the providers' own tools read, quoted for a shell.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "env",
    help_triggers("-h", "--help"),
    example = "eval \"$(keyfob env openai)\"\nkeyfob env claude openai --shell fish | source",
    note = "Shells: sh (bash, zsh, dash), fish, powershell, dotenv, json. What is\n\
            evaluated stays in that shell; keyfob exec hands the same to one command\n\
            alone. docker run --env-file takes quotes literally."
)]
pub struct Env {
    /// whose variables: PROVIDER or PROVIDER/ACCOUNT, one or more
    #[argh(positional)]
    accounts: Vec<AccountRef>,

    /// for which shell, sh by default
    #[argh(option, default = "Shell::Sh")]
    shell: Shell,

    /// the same as --shell json
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    Dotenv,
    Fish,
    Json,
    Powershell,
    Sh,
}

impl argh::FromArgValue for Shell {
    fn from_arg_value(value: &str) -> std::result::Result<Shell, String> {
        match value {
            "dotenv" => Ok(Shell::Dotenv),
            "fish" => Ok(Shell::Fish),
            "json" => Ok(Shell::Json),
            "powershell" | "pwsh" => Ok(Shell::Powershell),
            "bash" | "dash" | "ksh" | "sh" | "zsh" => Ok(Shell::Sh),
            _ => Err("the shells are sh, fish, powershell, dotenv and json".to_owned()),
        }
    }
}

pub fn run(args: &Env) -> Result<()> {
    if args.accounts.is_empty() {
        return Err(Error::usage("whose variables?").or_try("keyfob env PROVIDER"));
    }
    let app = App::new(args.timeout)?;
    let shell = if args.json { Shell::Json } else { args.shell };
    let mut all: Vec<Variable> = Vec::new();
    for account in &args.accounts {
        for variable in app.variables(account)? {
            // Two providers may feed the same tool: the one named last counts.
            all.retain(|known| known.name != variable.name);
            all.push(variable);
        }
    }
    if shell == Shell::Json {
        let pairs = all.iter().map(|v| (v.name.clone(), Value::from(v.value.expose())));
        let env: Map<String, Value> = pairs.collect();
        return term::print(&Object::new().with("env", env).to_string());
    }
    let lines: Vec<_> = all.iter().filter_map(|variable| line(shell, variable)).collect();
    if lines.is_empty() { Ok(()) } else { term::print(&lines.join("\n")) }
}

/// None, with a warning, for a name that the shell cannot export (302AI_API_KEY). A name is never
/// quoted, so that nothing but a name may stand there.
fn line(shell: Shell, variable: &Variable) -> Option<String> {
    let (name, value) = (&variable.name, variable.value.expose());
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let name = text::harmless(name, 80);
        term::warn(&format!("{name}: letters, digits and _ name a variable; it is left out"));
        return None;
    }
    if matches!(shell, Shell::Sh | Shell::Fish) && name.starts_with(|c: char| c.is_ascii_digit()) {
        term::warn(&format!("{name} begins with a digit: no shell exports it; use keyfob exec"));
        return None;
    }
    Some(match shell {
        Shell::Sh => format!("export {name}={}", sh(value)),
        Shell::Fish => format!("set -gx {name} {}", fish(value)),
        Shell::Powershell => format!("${{env:{name}}} = {}", powershell(value)),
        Shell::Dotenv | Shell::Json => format!("{name}={}", dotenv(value)),
    })
}

/// Between single quotes nothing is special but the quote itself.
fn sh(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// PowerShell takes typographic quotes for quotes, too.
fn powershell(value: &str) -> String {
    let mut quoted = String::from("'");
    for c in value.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted + "'"
}

/// Bare where every reader agrees (docker takes quotes literally). Else in single quotes, between which
/// sh, node, python and compose take everything as it is; what those cannot hold, in double quotes.
fn dotenv(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=@%,~".contains(c);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    // Python reads \\ and \' between them, too.
    let is_literal = !value.contains(['\'', '\n', '\r']) && !value.contains(r"\\");
    if is_literal && !value.ends_with('\\') {
        return format!("'{value}'");
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '"' | '\\' | '$' | '`' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

impl App {
    /// What the tools of one account's provider read, its secret fresh.
    pub fn variables(&self, account: &AccountRef) -> Result<Vec<Variable>> {
        let found = self.hand_out(&Asked::of(account))?;
        let given = found.variable.clone();
        let given =
            given.map(|name| Variable { name, value: found.account.credential.secret().clone() });
        // A JWT comes with its instance; every other variable says all there is to say.
        if given.is_some() && !matches!(found.account.credential, Credential::Bearer(..)) {
            return Ok(given.into_iter().collect());
        }
        let row = found.row(self)?;
        Ok(environment::variables(&found.account, &row).into_iter().chain(given).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_its_quotes() {
        let hard = "a'b\"c$d`e\\f\u{2019}g";
        assert_eq!(sh(hard), "'a'\\''b\"c$d`e\\f\u{2019}g'");
        assert_eq!(fish(hard), "'a\\'b\"c$d`e\\\\f\u{2019}g'");
        assert_eq!(powershell(hard), "'a''b\"c$d`e\\f\u{2019}\u{2019}g'");
        assert_eq!(dotenv(hard), "\"a'b\\\"c\\$d\\`e\\\\f\u{2019}g\"");
        assert_eq!(dotenv("sk-abc_1.2=="), "sk-abc_1.2==");
        assert_eq!(dotenv("a\"b$c`d\\e f"), "'a\"b$c`d\\e f'");
        assert_eq!(dotenv("a$\\"), "\"a\\$\\\\\"");
        assert_eq!(dotenv("a\nb"), "\"a\\nb\"");
    }
}
