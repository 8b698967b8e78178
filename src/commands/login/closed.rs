//! What an owner has ended is said before it is tried.

use crate::commands::login::Login;
use crate::provider::Provider;
use crate::term;
use crate::text;

pub fn tell(row: &Provider, args: &Login) {
    let Some(closed) = &row.closed else { return };
    // Only the sign-in was ended; keys and tokens given by hand are another matter.
    if args.api_key_stdin || args.jwt_token.is_some() {
        return;
    }
    let note = text::harmless(&closed.note, 400);
    term::warn(&format!("{} is closed since {}: {note}", row.title, closed.since));
}
