//! `env`: what the providers' own tools read, and that every shell reads it back as it is.

mod dotenv;
mod names;
mod shells;
mod which;

use serde_json::{Map, Value, json};

use crate::support::sandbox::{Sandbox, in_seconds};

/// Each as one variable, `V00` and on.
const NASTY: [&str; 24] = [
    "it's",
    "say \"hi\"",
    "'\\''\"'",
    "a\\b\\n",
    "ends in \\",
    "two \\\\ and \\'",
    "$HOME ${HOME} $$ $(echo no)",
    "`echo no`",
    "  blanks  inside and around  ",
    "*?[a-z]{b,c} ~ ~/",
    "#no; comment & no | pipe <>",
    "!! !x ^a^b",
    "%s %PATH% %d",
    "tab\there",
    "line\nbreak\n\nand more\n",
    "carriage\rreturn",
    "ünïcödé ‘single’ “double” ‚low‛",
    "-n",
    "--",
    "=a=b",
    "",
    "@(x) (y) [z] {",
    "\u{1b}[31mred\u{7}",
    "{\"json\": [1, null]}",
];

fn name(at: usize) -> String {
    format!("V{at:02}")
}

/// A home whose provider `odd` exports every value, as facts of the account.
fn odd() -> Sandbox {
    let exports = (0..NASTY.len()).map(|at| (name(at), json!(format!("=v{at}"))));
    let facts = NASTY.iter().enumerate().map(|(at, value)| (format!("v{at}"), json!(value)));
    with(exports.collect(), facts.collect())
}

fn with(exports: Map<String, Value>, facts: Map<String, Value>) -> Sandbox {
    let sandbox = Sandbox::new();
    let row = json!({"ways": ["api_key"], "exports": exports});
    sandbox.write_config(&json!({"providers": {"odd": row}}));
    sandbox.write_account("odd", "default", &key("odd", "sk-plain-0123456789", &json!(facts)));
    sandbox
}

fn key(provider: &str, secret: &str, extra: &Value) -> Value {
    json!({"version": 1, "provider": provider, "account": "default", "kind": "api_key",
        "access_token": secret, "created_at": in_seconds(-60), "refreshed_at": in_seconds(-60),
        "extra": extra})
}
