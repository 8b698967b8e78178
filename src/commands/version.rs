use argh::{ArgsInfo, FromArgs};

use crate::commands::Object;
use crate::error::Result;
use crate::term;

/// Prints the version.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "version", help_triggers("-h", "--help"))]
pub struct Version {
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

pub fn run(args: &Version) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        return term::print(&Object::new().with("keyfob", version).to_string());
    }
    term::print(&format!("keyfob {version}"))
}
