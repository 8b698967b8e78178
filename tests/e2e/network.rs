//! The way to the server: whom to trust, which proxy to take, how long to wait, what is sent.

mod answers;
pub mod fake_proxy;
mod proxied;
mod sent;
mod trust;

use std::path::PathBuf;

use super::support::browser;
use super::support::command::{Cmd, Output};
use super::support::idp::{Dialect, Grant, Idp};
use super::support::sandbox::Sandbox;
use super::support::tls::{Ca, Server};

const ME: &str = "me@example.com";
const GOOD_YEARS: (i32, i32) = (2020, 4000);

type Variables<'a> = &'a [(&'a str, &'a str)];

/// An issuer, the way to it, and a provider `my-idp` that names its endpoints.
struct World {
    sandbox: Sandbox,
    idp: Idp,
    /// Where the product believes the issuer to be.
    origin: String,
    tls: Option<Server>,
    ca_file: String,
}

impl World {
    /// The issuer itself, on plain loopback.
    fn plain() -> World {
        let (sandbox, idp) = (Sandbox::new(), Idp::start(Dialect::oidc()));
        let origin = idp.origin().to_owned();
        World { sandbox, idp, origin, tls: None, ca_file: String::new() }.with_provider()
    }

    /// Behind TLS, with a right certificate of a CA that only `ca_file` knows.
    fn secured(host: &str) -> World {
        World::certified(host, host, GOOD_YEARS)
    }

    fn certified(host: &str, certified: &str, years: (i32, i32)) -> World {
        let (sandbox, idp, ca) = (Sandbox::new(), Idp::start(Dialect::oidc()), Ca::new("ours"));
        let to = idp.origin().rsplit(':').next().and_then(|port| port.parse().ok());
        let to = to.expect("an origin ends in a port");
        let tls = Server::tls(ca.certify(certified, years), to);
        let origin = format!("https://{host}:{}", tls.port);
        let ca_file = ca.write(&sandbox.work().join("ca.pem"));
        World { sandbox, idp, origin, tls: Some(tls), ca_file }.with_provider()
    }

    fn with_provider(self) -> World {
        self.add_provider("my-idp", &self.origin);
        self
    }

    /// Adds a provider by its endpoints, which makes no request.
    fn add_provider(&self, name: &str, origin: &str) {
        let words = ["provider", "add", name, "--client-id", "demo-client"];
        let mut command = self.sandbox.cmd(&words);
        for endpoint in ["authorize", "token", "revoke", "userinfo"] {
            command =
                command.arg(&format!("--{endpoint}-url")).arg(&format!("{origin}/{endpoint}"));
        }
        command.run().ok();
    }

    fn cmd(&self, words: &[&str], variables: Variables) -> Cmd {
        // A resolver that does not answer must not hold the tests up for long.
        let command = self.sandbox.cmd(words).env("RES_OPTIONS", "timeout:1 attempts:1");
        variables.iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    fn run(&self, words: &[&str], variables: Variables) -> Output {
        self.cmd(words, variables).run()
    }

    /// The CA in one of the variables.
    fn trust(&self) -> (&str, &str) {
        ("KEYFOB_CA_FILE", &self.ca_file)
    }

    /// Host and port of the issuer, as messages and proxies see them.
    fn target(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, target)| target)
    }

    fn tls_port(&self) -> u16 {
        self.tls.as_ref().map_or(0, |tls| tls.port)
    }

    /// Connections to the TLS server so far, refused ones too.
    fn tls_count(&self) -> usize {
        self.tls.as_ref().map_or(0, Server::count)
    }

    /// Begins a login and approves it as the person would; the callback comes back.
    fn approved(&self) -> String {
        let begun = self.run(&["login", "my-idp", "--print-auth-url"], &[]);
        let url = begun.ok().line().replacen(&self.origin, self.idp.origin(), 1);
        browser::approve(&url).location
    }

    fn finish(&self, callback: &str, variables: Variables) -> Output {
        self.run(&["login", "--callback-url", callback, "--timeout", "10"], variables)
    }

    /// Login in two steps, a refresh and a logout, all of which must work.
    fn whole_life(&self, variables: Variables) {
        self.finish(&self.approved(), variables).ok().stdout_is("").stderr_has(ME);
        let first = self.run(&["token", "my-idp"], variables).ok().line().to_owned();
        self.run(&["refresh", "my-idp"], variables).ok().stderr_has("refreshed my-idp");
        let second = self.run(&["token", "my-idp"], variables).ok().line().to_owned();
        assert!(first != second && self.idp.accepts_access(&second));
        let out = self.run(&["logout", "my-idp", "--json"], variables);
        assert_eq!(out.ok().json()["removed"][0]["revoked"], true, "{}", out.report());
        assert!(!self.idp.accepts_access(&second));
        assert_eq!(self.idp.count("token_exchange"), 1);
        assert_eq!(self.idp.count("userinfo"), 1);
        assert_eq!(self.idp.count("token_refresh"), 1);
        assert_eq!(self.idp.count("revoke"), 1);
        self.idp.assert_content();
        self.idp.reset_records();
    }

    /// An account whose token expired, and its file.
    fn expired(&self) -> (Grant, PathBuf) {
        let grant = self.idp.grant();
        let file = self.sandbox.write_oauth("my-idp", ME, &grant, -60);
        (grant, file)
    }

    /// Asks for a token that would have to be renewed: this exit code, nothing on stdout, the
    /// account as it was.
    #[track_caller]
    fn fails(&self, wanted: i32, variables: Variables) -> Output {
        let (_, file) = self.expired();
        let before = self.sandbox.read(&file);
        let out = self.run(&["token", "my-idp", "--timeout", "10"], variables);
        out.code(wanted).stdout_is("");
        out.check(self.sandbox.read(&file) == before, "an untouched account file");
        out
    }

    /// A login that failed on the way to the server has spent no code, so the same callback is
    /// good once the way is free.
    #[track_caller]
    fn fails_and_can_be_finished(&self, broken: Variables, mended: Variables) {
        let callback = self.approved();
        let failed = self.finish(&callback, broken);
        failed.check(!matches!(failed.status, Some(0) | None), "a failure").stdout_is("");
        assert_eq!(self.idp.count("token_exchange"), 0);
        let pending = self.run(&["pending", "list", "--json"], &[]).ok().json();
        let rows = pending["pending"].as_array().map(Vec::len);
        failed.check(rows == Some(1), "the login still under way");
        self.finish(&callback, mended).ok().stderr_has(ME);
        self.idp.reset_records();
    }
}
