//! Where the home is, and that nothing is written anywhere else.

use std::fs;
use std::path::PathBuf;

use crate::support::command::Cmd;
use crate::support::sandbox::make_private_dir;
use crate::token::place::{EXPIRED_S, FRESH_S, Place};

/// The place's files, moved to another folder below HOME.
fn moved(place: &Place, to: &str) -> PathBuf {
    let target = place.home.user_home().join(to);
    make_private_dir(target.parent().expect("below HOME"));
    fs::rename(place.home.home(), &target).expect("both are ours");
    target
}

#[test]
fn keyfob_home_is_preferred_to_the_other_variables() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    let elsewhere = place.home.user_home().join("elsewhere");
    let output = place.token().env("XDG_CONFIG_HOME", &elsewhere.display().to_string()).run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    assert!(!elsewhere.exists());
}

#[test]
fn xdg_config_home_is_next() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    moved(&place, "xdg/keyfob");
    let xdg = place.home.user_home().join("xdg").display().to_string();
    let token = |cmd: Cmd| {
        let output = cmd.env("XDG_CONFIG_HOME", &xdg).run();
        output.ok().stdout_is(&format!("{}\n", grant.access_token));
    };
    token(place.token().env_remove("KEYFOB_HOME"));
    token(place.token().env("KEYFOB_HOME", ""));
}

#[test]
fn the_config_folder_of_home_is_last() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    moved(&place, ".config/keyfob");
    let output = place.token().env_remove("KEYFOB_HOME").run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    let output = place.token().env_remove("KEYFOB_HOME").env("XDG_CONFIG_HOME", "").run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
}

#[test]
fn a_relative_keyfob_home_is_one_of_the_working_folder() {
    let place = Place::new();
    let grant = place.signed_in(EXPIRED_S);
    fs::rename(place.home.home(), place.home.work().join("state")).expect("both are ours");
    let output = place.token().env("KEYFOB_HOME", "state").run();
    output.check(output.ok().line() != grant.access_token, "renewed");
    let again = place.token().env("KEYFOB_HOME", "./state/../state").run();
    again.ok().stdout_is(&output.stdout);
}

/// Login, refresh, use, status, logout: every file is below the home.
#[test]
fn nothing_is_written_outside_the_home() {
    let place = Place::new();
    let scratch = [
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR",
        "TMPDIR",
    ];
    let tidy = |cmd: Cmd| {
        scratch.iter().fold(cmd, |cmd, name| {
            let folder = place.home.user_home().join(name.to_lowercase());
            make_private_dir(&folder);
            cmd.env(name, &folder.display().to_string())
        })
    };
    let run = |arguments: &[&str]| tidy(place.home.cmd(arguments)).run();
    let begun = run(&["login", "my-idp", "--print-auth-url"]);
    let callback = crate::support::browser::approve(begun.ok().line()).location;
    run(&["login", "--callback-url", &callback]).ok();
    run(&["refresh", "my-idp"]).ok();
    run(&["use", "my-idp/me@example.com"]).ok();
    run(&["token", "my-idp", "--json"]).ok();
    run(&["status"]).ok();
    run(&["logout", "my-idp"]).ok();
    let home = place.home.home();
    for file in place.home.files(&place.home.user_home()) {
        assert!(file.starts_with(&home), "{}", file.display());
    }
    assert!(place.home.files(&place.home.work()).is_empty());
    place.idp.assert_content();
}

/// Asking needs no home, and makes none.
#[test]
fn a_home_that_is_not_there_is_nobody_signed_in() {
    let place = Place::new();
    let nowhere = place.home.user_home().join("not/yet");
    let at = nowhere.display().to_string();
    let output = place.home.cmd(&["token", "claude"]).env("KEYFOB_HOME", &at).run();
    output.code(4).stdout_is("").stderr_has("  try: keyfob login claude\n");
    let output = place.home.cmd(&["status", "--json"]).env("KEYFOB_HOME", &at).run();
    output.code(4);
    assert!(!place.home.user_home().join("not").exists());
}

#[test]
fn a_home_that_is_a_file_is_the_store_s_trouble() {
    let place = Place::new();
    let file = place.home.user_home().join("file");
    fs::write(&file, "x").expect("ours");
    let output = place.token().env("KEYFOB_HOME", &file.display().to_string()).run();
    output.code(5).stdout_is("").stderr_has(&file.display().to_string());
    assert_eq!(fs::read(&file).expect("ours"), b"x");
}
