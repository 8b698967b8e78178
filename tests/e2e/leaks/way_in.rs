//! Secrets on their way in, and in files that cannot be used; of every kind.

use super::kinds::{ALL, Tour, jwt, secret};
use crate::support::sandbox::{set_mode, write_private};

/// In by `login` and by `import`, over what is there, and in forms that are refused.
#[test]
fn secrets_on_their_way_in() {
    let mut tour = Tour::new(3000);
    let (fresh, pasted) = (secret("pasted-key"), jwt("pasted-jwt", 900));
    tour.watch.learn("pasted key", &fresh);
    tour.watch.learn("pasted JWT", &pasted[30..]);
    tour.quiet(&["login", "mistral", "--api-key-stdin"], &fresh).ok();
    tour.quiet(&["login", "mistral", "--api-key-stdin", "--json"], &fresh).ok();
    tour.quiet(&["login", "claude/me@example.com", "--api-key-stdin"], &fresh);
    tour.quiet(&["login", "groq", "--api-key-stdin"], &format!("{fresh} and {fresh}"));
    tour.quiet(&["login", "groq", "--api-key-stdin"], &format!("Bearer {fresh}\n{fresh}"));
    tour.quiet(&["login", "codemie", "--jwt-token", "-"], &pasted);
    tour.quiet(&["login", "codemie", "--jwt-token", "-"], &pasted.replace('.', "!"));
    for name in ALL {
        let whole = tour.prints(&["export", name], "").stdout;
        let access = tour.prints(&["export", name, "--access-only"], "").stdout;
        for text in [whole, access].iter().filter(|text| !text.is_empty()) {
            tour.quiet(&["import", "-"], text);
            tour.quiet(&["import", "-", "--replace", "--json"], text);
            tour.quiet(&["import", "-", "--account", "second", "--replace"], text).ok();
            tour.quiet(&["import", "-"], &text[..text.len() / 2]);
            tour.quiet(&["import", "-"], &text.replace("\"kind\"", "\"kynd\""));
            tour.quiet(&["import", "-"], &text.replace("\"version\": 1", "\"version\": 9"));
            tour.quiet(&["import", "-"], &text.replace("\"provider\": \"", "\"provider\": \"../"));
        }
    }
    tour.watch.nothing_leaked();
}

/// Files that are damaged, open to others, or cut short.
#[test]
fn files_that_cannot_be_used() {
    let mut tour = Tour::new(3000);
    for name in ALL {
        let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
        let file = tour.watch.desk.sandbox.account_file(provider, account);
        let text = tour.watch.desk.sandbox.read(&file);
        for (bytes, mode) in [
            (text[..text.len() - 20].to_owned(), 0o600),
            (text.replace("\"version\"", "\"verzion\""), 0o600),
            (text.replace("\"version\":1", "\"version\":\"one\""), 0o600),
            (text.clone(), 0o644),
        ] {
            write_private(&file, &bytes);
            set_mode(&file, mode);
            for words in [
                &["token", name][..],
                &["env", name],
                &["export", name],
                &["refresh", name],
                &["status", provider],
                &["status", "--json"],
                &["account", "set", name, "note=x"],
                &["doctor", "--offline"],
            ] {
                tour.quiet(words, "");
            }
        }
        write_private(&file, &text);
    }
    tour.watch.nothing_leaked();
}
