//! Files that change under a running gateway are seen within a second.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::kit::{CHAT, Kit, LIMIT, MESSAGES, Prompt, SOON, Serving, chat, eventually, words};
use crate::support::sandbox::write_private;

/// Waits until this account answers.
#[track_caller]
fn serves(serving: &Serving, account: &str) {
    eventually(&format!("{account} answers"), SOON, || {
        let page = serving.ask(&chat());
        (page.header("x-account") == Some(account)).then_some(())
    });
}

/// Waits until nobody else than this account has answered several in a row.
#[track_caller]
fn serves_alone(serving: &Serving, account: &str) {
    eventually(&format!("{account} answers alone"), SOON, || {
        let mut pages = (0..4).map(|_| serving.ask(&chat()));
        pages.all(|page| page.header("x-account") == Some(account)).then_some(())
    });
}

#[test]
fn an_account_that_is_added_changed_or_removed_is_seen() {
    let kit = Kit::new();
    let serving = kit.serve();
    let page = serving.ask(&chat());
    assert_eq!((page.status, words(&page).contains("keyfob login")), (400, true), "{page:#?}");
    kit.keys(CHAT, &["a"]);
    serves(&serving, "a");
    let login = kit.home.cmd(&["login", "chat/b", "--api-key-stdin"]).stdin("key-of-b\n");
    kit.api.knows("key-of-b", "b");
    login.run().ok();
    serves(&serving, "b");

    // Another key: the old one is used no longer.
    kit.api.knows("key-new", "a-new");
    kit.key_is(CHAT, "a", "key-new", json!({}));
    serves(&serving, "a-new");
    kit.api.forget();
    (0..4).for_each(|_| drop(serving.ask(&chat())));
    assert_eq!((kit.api.count("a"), kit.api.count("a-new")), (0, 2));

    kit.home.cmd(&["logout", "chat/a"]).run().ok();
    serves_alone(&serving, "b");
    fs::remove_file(kit.home.account_file(CHAT, "b")).expect("it is there");
    serving.ask_until("nobody is left", &chat(), |page| page.status == 400);
}

/// The account is left out while its file is no account, and the others answer.
#[test]
fn a_file_that_is_damaged_takes_its_own_account_out_and_no_other() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a", "b"]);
    let serving = kit.serve();
    serves(&serving, "a");
    let file = kit.home.account_file(CHAT, "a");
    let whole = kit.home.read(&file);
    for damage in ["", "{", "[]", "{\"version\":99}", "null"] {
        write_private(&file, damage);
        serves_alone(&serving, "b");
        write_private(&file, &whole);
        serves(&serving, "a");
    }
    // Nor is it led elsewhere.
    let elsewhere = kit.home.work().join("elsewhere.json");
    write_private(&elsewhere, &whole);
    fs::remove_file(&file).expect("it is there");
    symlink(&elsewhere, &file).expect("a place for it");
    serves_alone(&serving, "b");
    assert!(!serving.running.stderr().contains("panicked"), "{}", serving.running.stderr());
}

#[test]
fn a_file_that_is_put_in_the_place_of_another_is_seen() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a"]);
    let serving = kit.serve();
    serves(&serving, "a");
    let file = kit.home.account_file(CHAT, "a");
    // Of the same length, and of the same age.
    let other = kit.home.work().join("other.json");
    kit.api.knows("key-z", "z");
    write_private(&other, &kit.home.read(&file).replace("key-a", "key-z"));
    let touched = fs::metadata(&file).and_then(|meta| meta.modified()).expect("it has an age");
    let open = fs::File::options().write(true).open(&other).expect("it is ours");
    open.set_modified(touched).expect("it is ours");
    fs::rename(&other, &file).expect("both are ours");
    serves_alone(&serving, "z");
}

#[test]
fn settings_are_taken_up_while_it_runs() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a", "b"]);
    let serving = kit.serve();
    let quick = Prompt::to(CHAT, "quick");
    assert_eq!(serving.ask(&quick).status, 200);
    kit.configure(json!({"aliases": {"quick": "chat/m-small"}, "routing": "fill-first"}));
    serving.ask_until("the alias", &quick, |_| {
        kit.api.asked().pop().is_some_and(|asked| asked.model == "m-small")
    });
    kit.api.forget();
    (0..3).for_each(|_| drop(serving.ask(&quick)));
    assert_eq!(kit.api.order(), ["a"; 3]);

    // A provider that was not there, too.
    let mut config = kit.config(json!({}));
    config["providers"]["late"] = config["providers"][CHAT].clone();
    kit.home.write_config(&config);
    kit.key_with("late", "l", json!({}));
    let late = Prompt::to(CHAT, "late/m");
    serving.ask_until("the provider", &late, |page| page.header("x-account") == Some("l"));
}

#[test]
fn settings_that_cannot_be_read_leave_everything_as_it_was() {
    let kit = Kit::with(json!({"aliases": {"quick": "chat/m-small"}}));
    kit.keys(CHAT, &["a"]);
    kit.signed_in("s", 3_000);
    kit.keys(MESSAGES, &["m"]);
    let serving = kit.serve();
    let file = kit.home.home().join("config.json");
    let whole = kit.home.read(&file);
    let wrong = kit.config(json!({"routing": "by luck"})).to_string();
    for text in ["{\"serve\": {", "[1]", wrong.as_str()] {
        let said = serving.running.stderr().lines().count();
        write_private(&file, text);
        eventually("a word about it", LIMIT, || {
            let stderr = serving.running.stderr();
            stderr.lines().skip(said).any(|line| line.contains("config.json")).then_some(())
        });
        // Every account is there, old aliases, and what has to be renewed is renewed.
        kit.api.forget();
        assert_eq!(serving.ask(&Prompt::to(CHAT, "quick")).status, 200, "{text}");
        assert_eq!(kit.api.asked()[0].model, "m-small", "{text}");
        assert_eq!(serving.ask(&Prompt::to(MESSAGES, "m")).status, 200, "{text}");
        let renewals = kit.api.renewals("s");
        kit.api.expire("s");
        assert_eq!(serving.ask(&Prompt::to(CHAT, "signed/m")).status, 200, "{text}");
        assert_eq!(kit.api.renewals("s"), renewals + 1, "{text}");
        // So is an account that comes meanwhile.
        let name = format!("new-{said}");
        kit.keys(CHAT, &[&name]);
        serves(&serving, &name);
        write_private(&file, &whole);
    }
    // No more than a word each time.
    let words =
        serving.running.stderr().lines().filter(|line| line.contains("config.json")).count();
    assert!(words <= 12, "{}", serving.running.stderr());
}

#[test]
fn a_client_key_that_is_removed_opens_nothing_from_the_next_second_on() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a"]);
    let serving = kit.serve();
    serves(&serving, "a");
    kit.home.cmd(&["serve", "key", "remove", "test"]).run().ok();
    serving.ask_until("it is turned away", &chat(), |page| page.status == 401);
}
