//! Cookies travel over TLS whose certificate is checked.

use super::Lab;
use crate::support::browser::Redirect;
use crate::support::codemie::Person;
use crate::support::command::Cmd;
use crate::support::tls::{Ca, Server};

/// An instance behind TLS, with a certificate of a CA that only `ca_file` knows.
struct Secured {
    lab: Lab,
    tls: Server,
    ca_file: String,
}

impl Secured {
    fn new(certified: &str, years: (i32, i32)) -> Self {
        let (lab, ca) = (Lab::new(), Ca::new("ours"));
        let tls = Server::tls(ca.certify(certified, years), lab.instance.port());
        let ca_file = ca.write(&lab.sandbox.work().join("ca.pem"));
        Secured { lab, tls, ca_file }
    }

    fn begin(&self) -> Redirect {
        let origin = format!("https://{}", self.tls.address());
        let words = ["login", "codemie", "--print-auth-url", "--url", &origin];
        let url = self.lab.sandbox.cmd(&words).run().ok().line().to_owned();
        assert!(url.starts_with(&origin), "{url}");
        Person::default().sign_in(&url, &self.lab.instance.origin())
    }

    fn finish(&self, callback: &Redirect) -> Cmd {
        self.lab.sandbox.cmd(&["login", "--callback-url", &callback.location])
    }
}

#[test]
fn an_unknown_certificate_gets_no_cookies_and_costs_no_login() {
    let secured = Secured::new("127.0.0.1", (2020, 4000));
    let callback = secured.begin();
    let output = secured.finish(&callback).run();
    output.code(1).stdout_is("").stderr_has("cannot trust").stderr_has("KEYFOB_CA_FILE");
    output.stderr_lacks("session-");
    assert_eq!(secured.lab.instance.asked(), []);
    assert_eq!(secured.lab.account_files().len(), 0);

    let output = secured.finish(&callback).env("KEYFOB_CA_FILE", &secured.ca_file).run();
    output.ok().stderr_has("me@example.com");
    let account = secured.lab.sandbox.read_account("codemie", &secured.tls.address());
    assert_eq!(account["access_token"], secured.lab.instance.newest_session());
    assert_eq!(account["extra"]["instance"], format!("https://{}", secured.tls.address()));
}

#[test]
fn a_wrong_certificate_is_refused_even_from_a_known_authority() {
    for (name, years) in [("other.test", (2020, 4000)), ("127.0.0.1", (2001, 2002))] {
        let secured = Secured::new(name, years);
        let callback = secured.begin();
        let output = secured.finish(&callback).env("KEYFOB_CA_FILE", &secured.ca_file).run();
        output.code(1).stdout_is("").stderr_has("cannot trust");
        assert_eq!(secured.lab.instance.asked(), [], "{name}");
    }
}

#[test]
fn a_refresh_trusts_no_more_than_the_login_did() {
    let secured = Secured::new("127.0.0.1", (2020, 4000));
    let trust = |command: Cmd| command.env("KEYFOB_CA_FILE", &secured.ca_file);
    trust(secured.finish(&secured.begin())).run().ok();
    secured.lab.instance.forget_requests();
    for word in ["refresh", "models"] {
        let output = secured.lab.run(word, &[]);
        output.stdout_is("").stderr_has("cannot trust");
        assert_ne!(output.status, Some(0));
        assert_eq!(secured.lab.instance.asked(), []);
        trust(secured.lab.sandbox.cmd(&[word, "codemie"])).run().ok();
        secured.lab.instance.forget_requests();
    }
}
