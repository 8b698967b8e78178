//! The scripts and lines that docs/scripts.md tells people to copy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::json;

use crate::support::idp::{Dialect, Fault, Idp, Times};
use crate::support::sandbox::Sandbox;

const ACCOUNT: &str = "me@example.com";

/// A machine with an account of an issuer, and `ssh server`, which runs a command in another home.
struct Place {
    sandbox: Sandbox,
    there: Sandbox,
    idp: Idp,
}

impl Place {
    fn new(ttl_s: i64) -> Place {
        let idp = Idp::start(Dialect::oidc());
        let (sandbox, there) = (Sandbox::new(), Sandbox::new());
        let add = ["provider", "add", "my-idp", "--client-id", "demo-client", "--issuer"];
        for home in [&sandbox, &there] {
            home.cmd(&[&add[..], &[&idp.issuer()]].concat()).run().ok();
        }
        sandbox.write_oauth("my-idp", ACCOUNT, &idp.grant(), ttl_s);
        let bin = sandbox.work().join("bin");
        fs::create_dir(&bin).unwrap();
        let ssh = format!("shift; KEYFOB_HOME='{}' exec \"$@\"", there.home().display());
        for (name, body) in
            [("keyfob", format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_keyfob"))), ("ssh", ssh)]
        {
            fs::write(bin.join(name), format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Place { sandbox, there, idp }
    }

    fn shell(&self, line: &str) -> Output {
        let bin = self.sandbox.work().join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().env("PATH", path).current_dir(self.sandbox.work());
        command.env("KEYFOB_HOME", self.sandbox.home()).env("HOME", self.sandbox.user_home());
        command.output().unwrap()
    }

    fn stdout(&self, line: &str) -> String {
        let output = self.shell(line);
        assert!(output.status.success(), "{line}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the cron job; what it sent, if it did.
    fn keep_signed_in(&self) -> Option<String> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/keep-signed-in.sh");
        let sent = self.sandbox.work().join("sent");
        let _ = fs::remove_file(&sent);
        let said = self.stdout(&format!("sh '{}' my-idp 'cat >sent'", script.display()));
        assert_eq!(said, "");
        fs::read_to_string(sent).ok()
    }
}

#[test]
fn the_cron_job_renews_in_silence_and_calls_only_for_a_person() {
    let place = Place::new(3600);
    place.idp.set_access_lifetime(10_000);
    assert_eq!(place.keep_signed_in(), None);
    assert_eq!(place.idp.count("token_refresh"), 1, "an hour is less than two");
    assert_eq!(place.keep_signed_in(), None);
    assert_eq!(place.idp.count("token_refresh"), 1, "it is good until the next run");

    place.sandbox.write_oauth("my-idp", ACCOUNT, &place.idp.grant(), -5);
    place.idp.fault("token_refresh", Fault::Status(503), Times::Always);
    assert_eq!(place.keep_signed_in(), None, "the next run tries again");
    place.idp.clear_faults();

    place.sandbox.cmd(&["logout", "my-idp"]).run().ok();
    let sent = place.keep_signed_in().expect("a message");
    assert!(sent.contains("try: keyfob login my-idp"), "{sent}");
}

#[test]
fn a_header_reaches_curl_by_a_pipe() {
    let place = Place::new(3600);
    let url = place.idp.url("/api/hello");
    let line = format!("keyfob token my-idp --header | curl -s -H @- {url}");
    assert!(place.stdout(&line).contains("hello"));
}

#[test]
fn a_copy_without_renewal_leaves_this_machine_as_it_was() {
    let place = Place::new(3600);
    place.stdout("keyfob export my-idp --access-only | ssh server keyfob import -");
    assert_eq!(place.stdout("ssh server keyfob token my-idp"), place.stdout("keyfob token my-idp"));
    assert!(!place.there.read_account("my-idp", ACCOUNT)["refresh_token"].is_string());
    place.sandbox.cmd(&["refresh", "my-idp"]).run().ok();
    place.there.cmd(&["refresh", "my-idp"]).run().code(4);
}

#[test]
fn a_sign_in_moves_to_another_machine() {
    let place = Place::new(3600);
    let line = "keyfob export my-idp | ssh server keyfob import - && \
                keyfob logout my-idp --keep-token";
    place.stdout(line);
    place.sandbox.cmd(&["token", "my-idp"]).run().code(4).stdout_is("");
    assert_eq!(place.idp.count("revoke"), 0);
    place.there.cmd(&["refresh", "my-idp"]).run().ok();
    let file = place.there.account_file("my-idp", ACCOUNT);
    assert_eq!(place.there.mode(&file), 0o600);
    assert_ne!(place.there.read_account("my-idp", ACCOUNT)["refresh_token"], json!(null));
}

#[test]
fn a_job_that_cannot_have_its_time_ends() {
    let place = Place::new(3600);
    place.idp.set_access_lifetime(600);
    let line = "token=$(keyfob token my-idp --min-ttl 7200) || exit; echo started";
    let output = place.shell(line);
    assert!(matches!(output.status.code(), Some(3 | 4)), "{output:?}");
    assert_eq!(output.stdout, b"");
}
