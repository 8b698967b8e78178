//! Everything is private from the moment it exists, and what is not private is not used.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::command::Output;
use crate::support::sandbox::{set_mode, write_private};
use crate::token::place::{EXPIRED_S, FRESH_S, ME, Place, text};

/// Every folder below the home is 0700 and every file 0600.
fn assert_private(place: &Place) {
    fn visit(place: &Place, path: &Path) {
        let is_folder = path.is_dir();
        let wanted = if is_folder { 0o700 } else { 0o600 };
        let listing = place.home.listing();
        assert_eq!(place.home.mode(path), wanted, "{}\n{listing}", path.display());
        if is_folder {
            fs::read_dir(path).expect("ours").flatten().for_each(|e| visit(place, &e.path()));
        }
    }
    visit(place, &place.home.home());
}

#[test]
fn a_login_and_a_refresh_make_private_files_whatever_the_umask() {
    for mask in ["000", "022", "077"] {
        let place = Place::new();
        // The product makes its folders itself.
        fs::remove_dir_all(place.home.home()).expect("the kit made it");
        let add = place.home.cmd(&["provider", "add", "my-idp", "--client-id", "demo-client"]);
        let add = add.arg("--issuer").arg(&place.idp.issuer());
        add.umask(mask).run().ok();
        assert_private(&place);
        let begin = place.home.cmd(&["login", "my-idp", "--print-auth-url"]).umask(mask).run();
        assert_private(&place);
        let callback = crate::support::browser::approve(begin.ok().line()).location;
        place.home.cmd(&["login", "--callback-url", &callback]).umask(mask).run().ok();
        assert_private(&place);

        place.home.cmd(&["refresh", "my-idp"]).umask(mask).run().ok();
        assert_private(&place);
        place.home.cmd(&["use", &format!("my-idp/{ME}")]).umask(mask).run().ok();
        assert_private(&place);
        place.token().umask(mask).run().ok();
        assert!(place.temp_files().is_empty(), "{}", place.home.listing());
    }
}

fn refuses(output: &Output, file: &Path, command: &str) {
    output.code(5).stdout_is("").stderr_has(&file.display().to_string());
    output.check(
        output.stderr.lines().any(|line| line == format!("  try: {command}")),
        &format!("a line `  try: {command}`"),
    );
}

#[test]
fn an_account_file_that_others_may_touch_is_refused_with_the_chmod_to_run() {
    for mode in [0o640, 0o604, 0o644, 0o660, 0o666, 0o610, 0o602, 0o777] {
        for ttl_s in [FRESH_S, EXPIRED_S] {
            let place = Place::new();
            place.signed_in(ttl_s);
            let before = place.bytes();
            set_mode(&place.file(), mode);
            let cure = format!("chmod 600 {}", place.file().display());
            refuses(&place.token().run(), &place.file(), &cure);
            let refresh = place.home.cmd(&["refresh", "my-idp"]).run();
            refuses(&refresh, &place.file(), &cure);
            assert_eq!(place.home.mode(&place.file()), mode, "the person decides");
            assert_eq!(place.bytes(), before);
            assert_eq!(place.idp.requests().len(), 0);
        }
    }
}

/// The command is to be pasted as it is.
#[test]
fn the_chmod_that_is_shown_works() {
    let place = Place::new();
    let account = "it's me$(x)";
    let grant = place.signed_in_as(account, FRESH_S);
    set_mode(&place.home.account_file(place.provider, account), 0o644);
    let output = place.token_of(account).run();
    let cure = output.code(5).stderr.lines().find_map(|line| line.strip_prefix("  try: "));
    let cure = cure.unwrap_or_else(|| panic!("{}", output.report()));
    let status = std::process::Command::new("sh").args(["-c", cure]).status().expect("sh runs");
    assert!(status.success(), "{cure}");
    place.token_of(account).run().ok().stdout_is(&format!("{}\n", grant.access_token));
}

#[test]
fn a_config_that_others_may_touch_is_refused_where_it_is_needed() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let config = place.home.home().join("config.json");
    set_mode(&config, 0o644);
    let output = place.token().run();
    refuses(&output, &config, &format!("chmod 600 {}", config.display()));
    assert_eq!(place.idp.requests().len(), 0);
    set_mode(&config, 0o600);
    place.token().run().ok();
}

/// Moves the file away and leaves a link to it.
fn linked(file: &Path, place: &Place) -> PathBuf {
    let target = place.home.work().join("target");
    fs::rename(file, &target).expect("ours");
    symlink(&target, file).expect("ours");
    target
}

#[test]
fn a_symlink_in_place_of_an_account_or_the_config_is_refused() {
    for ttl_s in [FRESH_S, EXPIRED_S] {
        let place = Place::new();
        place.signed_in(ttl_s);
        let before = place.bytes();
        let target = linked(&place.file(), &place);
        for arguments in
            [&["token", "my-idp"][..], &["refresh", "my-idp"], &["token", "my-idp/me@example.com"]]
        {
            let output = place.home.cmd(arguments).run();
            output.code(5).stdout_is("").stderr_has("me@example.com.json").stderr_has("symlink");
        }
        assert_eq!(fs::read(&target).expect("the target stays"), before);
        assert!(place.file().is_symlink());
        assert_eq!(place.idp.requests().len(), 0);
    }
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let config = place.home.home().join("config.json");
    linked(&config, &place);
    let output = place.token().run();
    output.code(5).stdout_is("").stderr_has("config.json").stderr_has("symlink");
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_login_refuses_a_symlink_before_the_person_goes_to_the_browser() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let target = linked(&place.file(), &place);
    let before = fs::read(&target).expect("ours");
    let output = place.home.cmd(&["login", "my-idp", "--print-auth-url"]).run();
    output.code(5).stdout_is("").stderr_has("symlink");
    assert_eq!(fs::read(&target).expect("ours"), before);
}

#[test]
fn a_dangling_symlink_is_not_a_missing_account() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    fs::remove_file(place.file()).expect("ours");
    symlink(place.home.work().join("nowhere"), place.file()).expect("ours");
    place.token().run().code(5).stdout_is("").stderr_has("symlink");
}

#[test]
fn a_folder_or_a_fifo_in_place_of_an_account_is_refused_at_once() {
    for make in ["mkdir", "mkfifo"] {
        let place = Place::new();
        place.signed_in(FRESH_S);
        fs::remove_file(place.file()).expect("ours");
        let made = std::process::Command::new(make).arg(place.file()).status().expect("it runs");
        assert!(made.success());
        set_mode(&place.file(), 0o700);
        let running = place.token().spawn();
        let output = running.wait(std::time::Duration::from_secs(10));
        output.code(5).stdout_is("").stderr_has("me@example.com.json");
    }
}

/// Whoever may write to the folder may put their own file in place of ours.
#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let folder = place.file().parent().expect("a folder").to_path_buf();
    for mode in [0o770, 0o702, 0o777] {
        set_mode(&folder, mode);
        let output = place.token().run();
        refuses(&output, &folder, &format!("chmod 700 {}", folder.display()));
        assert_eq!(place.idp.requests().len(), 0);
    }
    set_mode(&folder, 0o700);
    place.token().run().ok();
    assert!(place.idp.accepts_refresh(text(&place.stored(), "refresh_token")));
}

#[test]
fn a_file_of_megabytes_is_not_read() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    write_private(&place.file(), &" ".repeat(5 << 20));
    place.token().run().code(5).stdout_is("").stderr_has("larger");
}
