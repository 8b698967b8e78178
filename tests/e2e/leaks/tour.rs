//! Every command when all goes well, and what a process shows to others of the same machine.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{CLIENT_SECRET, ME, Watch};
use crate::support::browser;
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::set_mode;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn every_command_at_full_volume() {
    let watch = Watch::new();
    for words in [
        "--help",
        "version",
        "provider list",
        "provider list --json",
        "provider show mine",
        "provider show mine --json",
        "status",
        "pending list",
    ] {
        watch.cmd(words);
    }
    let url = watch.begin();
    watch.cmd("pending list").ok();
    watch.cmd("pending list --json").ok();
    watch.begin();
    let callback = watch.approve(&url);
    let finish = watch.desk.cmd("login --callback-url - --json").stdin(callback.location.as_str());
    watch.run(finish).ok();
    watch.learn_account();
    // Spent: the second time it is refused.
    let again = watch.desk.cmd("login --callback-url -").stdin(callback.location.as_str());
    watch.run(again).code(6);
    let id = watch.cmd("pending list --json").json()["pending"][0]["login_id"].clone();
    watch.cmd(&format!("pending cancel {}", id.as_str().unwrap_or_default())).ok();
    for words in [
        "status",
        "status --json",
        "status --check",
        "status mine --check --json",
        "doctor",
        "doctor --json",
    ] {
        watch.cmd(words).ok();
    }
    watch.token("token mine").ok();
    watch.token("token mine --json").ok();
    watch.token("token mine --header").ok();
    watch.token("token mine --format kubectl").ok();
    watch.token("env mine").ok();
    watch.token("export mine --access-only").ok();
    let whole = watch.token("export mine").ok().stdout.clone();
    watch.run(watch.desk.cmd("import -").stdin(whole.as_str())).ok();
    watch.run(watch.desk.cmd("import - --account copy --json").stdin(whole)).ok();
    watch.cmd("logout mine/copy --keep-token").ok();
    watch.cmd("account set mine note=hello").ok();
    watch.cmd("audit").ok();
    watch.cmd("audit --json").ok();
    watch.cmd("refresh mine").ok();
    watch.learn_account();
    watch.cmd("refresh --all --json").ok();
    watch.learn_account();
    watch.desk.expire();
    watch.token("token mine --min-ttl 60").ok();
    watch.learn_account();
    watch.cmd("use mine/me@example.com").ok();
    watch.cmd("logout mine --json").ok();
    watch.sign_in();
    watch.cmd("logout --all").ok();
    watch.cmd("provider remove mine").ok();
    watch.nothing_leaked();
    watch.desk.idp.assert_content();
}

#[test]
fn a_registration_that_brings_a_secret() {
    let watch = Watch::new();
    let client = serde_json::json!({"client_id": "demo-client", "client_secret": CLIENT_SECRET,
        "registration_access_token": "marker-registration-token", "token_endpoint_auth_method":
        "client_secret_basic"});
    watch.learn("registration token", "marker-registration-token");
    watch.desk.idp.fault("register", Fault::json(201, &client), Times::Once);
    let issuer = watch.desk.idp.issuer();
    watch.cmd(&format!("provider add mine --issuer {issuer} --register --json")).ok();
    watch.sign_in();
    watch.nothing_leaked();
}

/// The page at the end of a sign-in is in the browser's history and screenshots.
#[test]
fn the_pages_of_a_login_that_waits() {
    let watch = Watch::new();
    for wrong in ["", "?code=marker-of-others-0123&state=marker-of-others-4567"] {
        let login = watch.at_full_volume(watch.desk.cmd("login mine --no-browser --json")).spawn();
        let url = login.auth_url();
        watch.learn_pending(&url);
        watch.learn("code of somebody else", "marker-of-others-0123");
        let callback = watch.approve(&url);
        let (base, _) = callback.location.split_once('?').expect("a query");
        let mut pages = vec![
            browser::get(&format!("{base}{wrong}")),
            browser::get(&callback.location.replace("/callback", "/elsewhere")),
        ];
        pages.push(callback.follow());
        assert_eq!(pages.last().map(|page| page.status), Some(200));
        for page in pages {
            watch.saw(
                &format!("the page {}", page.status),
                &format!("{:?}{}", page.headers, page.body),
            );
        }
        watch.keep(login.wait(LIMIT).ok());
        watch.learn_account();
    }
    watch.nothing_leaked();
}

/// Other people of the machine see the command line of a login, and its environment if it leaks
/// into the opener.
#[test]
fn the_process_list_and_the_openers_environment() {
    let watch = Watch::new();
    let work = watch.desk.sandbox.work();
    let (dump, script) = (work.join("dump"), work.join("browser"));
    let text = format!(
        "#!/bin/sh\n{{ tr '\\0' '\\n' </proc/$$/environ; ls -l /proc/$$/fd; }} >{0}.part\nmv {0}.part {0}\n",
        dump.display(),
    );
    fs::write(&script, text).expect("a script");
    set_mode(&script, 0o700);
    let cmd = watch.desk.cmd("login mine").env("BROWSER", &script.display().to_string());
    let login = watch.at_full_volume(cmd).spawn();
    let url = login.auth_url();
    watch.learn_pending(&url);
    for name in ["cmdline", "environ", "comm"] {
        let bytes = fs::read(format!("/proc/{}/{name}", login.pid())).expect("Linux has /proc");
        watch.saw(&format!("/proc/PID/{name}"), &String::from_utf8_lossy(&bytes));
    }
    let deadline = Instant::now() + LIMIT;
    while !dump.exists() {
        assert!(Instant::now() < deadline, "the opener was not started: {}", login.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
    let dumped = fs::read_to_string(&dump).expect("a dump");
    assert!(dumped.contains("KEYFOB_HOME"), "{dumped}");
    for secret_file in ["config.json", "pending/", "accounts/"] {
        assert!(!dumped.contains(secret_file), "an open file of ours: {dumped}");
    }
    watch.saw("the opener's environment", &dumped);
    watch.approve(&url).follow();
    watch.keep(login.wait(LIMIT).ok());
    watch.learn_account();
    watch.nothing_leaked();
}

/// Another process waits while one refreshes; the lock names a process, not a token.
#[test]
fn a_refresh_under_way_shows_nothing() {
    let watch = Watch::new();
    watch.sign_in();
    watch.desk.expire();
    watch.desk.idp.fault("token_refresh", Fault::Delay(300), Times::Once);
    let first = watch.at_full_volume(watch.desk.cmd("refresh mine")).spawn();
    watch.desk.idp.wait_for("token_refresh", 1);
    let cmdline = fs::read(format!("/proc/{}/cmdline", first.pid())).expect("Linux has /proc");
    watch.saw("/proc/PID/cmdline", &String::from_utf8_lossy(&cmdline));
    for file in watch.files_in("accounts") {
        if file.extension().is_some_and(|extension| extension == "lock") {
            watch.saw("the lock file", &fs::read_to_string(&file).expect("a lock file"));
        }
    }
    let second = watch.at_full_volume(watch.desk.cmd("status")).spawn();
    watch.keep(&second.wait(LIMIT));
    watch.keep(first.wait(LIMIT).ok());
    watch.learn_account();
    watch.nothing_leaked();
}

/// The child gets the access token it is there for, and nothing else of ours.
#[test]
fn a_child_gets_the_access_token_alone() {
    let watch = Watch::new();
    let account = watch.sign_in();
    let show = "env; tr '\\0' '\\n' </proc/$$/cmdline; ls -l /proc/$$/fd";
    let cmd = watch.desk.sandbox.cmd(&["exec", "mine", "--", "sh", "-c", show]);
    let child = watch.at_full_volume(cmd).run();
    let secret = account["access_token"].as_str().expect("a token");
    watch.saw("the child", &child.ok().stdout.replace(secret, "TOKEN"));
    watch.saw("stderr of exec", &child.stderr);
    for file in ["config.json", "accounts/", "pending/"] {
        child.check(!child.stdout.contains(file), "no open file of ours");
    }
    watch.nothing_leaked();
}

/// Contract: `token` prints the secret on stdout and nowhere else; without `token` nobody does.
#[test]
fn only_token_prints_a_token() {
    let watch = Watch::new();
    let account = watch.sign_in();
    let secret = account["access_token"].as_str().expect("a token");
    assert_eq!(watch.token("token mine").line(), secret);
    let json = watch.token("token mine --json").json();
    assert_eq!(json["token"], secret);
    let shown = json.to_string();
    for key in ["refresh_token", "id_token"] {
        assert!(!shown.contains(account[key].as_str().expect("a token")), "{key}");
    }
    assert!(!shown.contains(CLIENT_SECRET) && json["account"] == ME);
    let _: Value = json;
    watch.nothing_leaked();
}
