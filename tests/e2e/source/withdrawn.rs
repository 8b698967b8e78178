//! A yes ends by itself when what lies at the path is no longer what it was given for.

use std::fs;
use std::os::unix::fs::{chown, symlink};

use serde_json::json;

use super::{CLAUDE, Home, claude};
use crate::support::sandbox::set_mode;

fn trusting() -> Home {
    let home = Home::new();
    home.put(CLAUDE, &claude("sk-ant-oat01-abc", 3600));
    home.trust("claude-code");
    home.run("token claude").ok();
    home
}

/// It is gone for good: putting the file back is no new yes.
fn is_over(home: &Home, why: &str, put_back: impl Fn()) {
    let out = home.run("token claude");
    out.code(4).stdout_is("").stderr_has(why);
    assert!(home.trusted().is_empty(), "{:?}", home.trusted());
    put_back();
    assert_eq!(home.row(&home.path(CLAUDE))["state"], "ask");
    home.run("token claude").code(4).stdout_is("").stderr_has("keyfob source trust claude-code");
    home.trust("claude-code");
    home.run("token claude").ok();
}

#[test]
fn a_symlink_in_its_place_ends_it() {
    let home = trusting();
    let (file, real) = (home.path(CLAUDE), home.path("real.json"));
    fs::rename(&file, &real).unwrap();
    symlink(&real, &file).unwrap();
    is_over(&home, "symlink", || {
        fs::remove_file(&file).unwrap();
        fs::rename(&real, &file).unwrap();
    });
}

#[test]
fn the_first_look_tells_of_it() {
    for words in ["source list", "status claude"] {
        let home = trusting();
        set_mode(&home.path(CLAUDE), 0o606);
        let out = home.run(words);
        let said = format!("{}{}", out.stdout, out.stderr);
        assert!(said.contains("the consent to read it is withdrawn"), "{}", out.report());
        assert!(home.trusted().is_empty());
        let again = home.run(words);
        let said = format!("{}{}", again.stdout, again.stderr);
        assert!(said.contains("others may change it") && !said.contains("withdrawn"), "{said}");
    }
}

#[test]
fn others_being_able_to_change_it_ends_it() {
    let home = trusting();
    let file = home.path(CLAUDE);
    set_mode(&file, 0o666);
    is_over(&home, "others may change it", || set_mode(&file, 0o600));
}

#[test]
fn another_owner_ends_it() {
    let home = trusting();
    let file = home.path(CLAUDE);
    if chown(&file, Some(65_534), None).is_err() {
        println!("skipped: only root may give files away");
        return;
    }
    let row = home.row(&file);
    assert_eq!(row["state"], "refused");
    assert!(row["why"].as_str().unwrap().contains("another user (uid 65534)"), "{row}");
    assert!(home.trusted().is_empty());
    is_over(&home, "another user", || chown(&file, Some(0), None).unwrap());
}

/// The yes names the owner it was given for; a file of consents from elsewhere says another one.
#[test]
fn a_yes_to_another_owner_is_no_yes() {
    let home = trusting();
    let path = home.sandbox.home().join("trust.json");
    let mut file = home.sandbox.read_json(&path);
    file["trusted"][0]["owner"] = json!(4_242);
    fs::write(&path, file.to_string()).unwrap();
    is_over(&home, "keyfob source trust claude-code", || ());
}

/// The path is the one that was read, wherever the tool's own name for it leads now.
#[test]
fn a_folder_that_leads_elsewhere_is_another_path() {
    let home = trusting();
    let folder = home.path(".claude");
    fs::rename(&folder, home.path("moved")).unwrap();
    home.put("other/.credentials.json", &claude("sk-ant-oat01-other", 3600));
    symlink(home.path("other"), &folder).unwrap();
    home.run("token claude").code(4).stdout_is("").stderr_has("keyfob source trust claude-code");
    assert_eq!(home.row(&home.path("other/.credentials.json"))["state"], "ask");
    fs::remove_file(&folder).unwrap();
    fs::rename(home.path("moved"), &folder).unwrap();
    home.run("token claude").ok().stdout_is("sk-ant-oat01-abc\n");
}

#[test]
fn a_tool_that_replaces_its_file_keeps_it() {
    let home = trusting();
    let file = home.path(CLAUDE);
    let next = home.put(".claude/next", &claude("sk-ant-oat01-next", 3600));
    fs::rename(next, &file).unwrap();
    home.run("token claude").ok().stdout_is("sk-ant-oat01-next\n");
    // Signed out there, and in again.
    let aside = home.path("aside");
    fs::rename(&file, &aside).unwrap();
    home.run("token claude").code(4).stdout_is("");
    fs::rename(&aside, &file).unwrap();
    home.run("token claude").ok();
    assert_eq!(home.trusted().len(), 1);
}

#[test]
fn a_home_that_cannot_be_written_still_refuses() {
    let home = trusting();
    let (file, real) = (home.path(CLAUDE), home.path("real.json"));
    fs::rename(&file, &real).unwrap();
    symlink(&real, &file).unwrap();
    // The lock cannot be had, so nothing can be removed.
    let lock = home.sandbox.home().join("trust.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    home.run("token claude").code(4).stdout_is("").stderr_has("symlink");
}
