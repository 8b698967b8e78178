//! A server out in the world: it cannot send us to this machine or into a private network. It is
//! reached through a proxy, as no name of the tests resolves.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::{Desk, Proxy as Client};
use crate::network::fake_proxy::Proxy;
use crate::support::browser;
use crate::support::command::Cmd;
use crate::support::mcp_resource::WELL_KNOWN;
use crate::support::sandbox::write_private;
use crate::support::tls::{Ca, Server};

const NAME: &str = "mcp.keyfob.invalid";
const URL: &str = "https://mcp.keyfob.invalid/mcp";

/// The desk's server under a public name.
struct World {
    desk: Desk,
    proxy: Proxy,
    ca_file: String,
    _tls: Server,
}

impl World {
    fn new() -> Self {
        let desk = Desk::new();
        let ca = Ca::new("World");
        let ca_file = ca.write(&desk.sandbox.work().join("ca.pem"));
        let tls = Server::tls(ca.certify(NAME, (2020, 2090)), desk.resource.port());
        let port = tls.address().rsplit(':').next().and_then(|port| port.parse().ok());
        let proxy = Proxy::connect(port.expect("a port"), "");
        World { desk, proxy, ca_file, _tls: tls }
    }

    fn cmd(&self, arguments: &[&str]) -> Cmd {
        let proxy = format!("http://{}", self.proxy.server.address());
        let cmd = self.desk.cmd(arguments).env("HTTPS_PROXY", &proxy);
        cmd.env("KEYFOB_CA_FILE", &self.ca_file)
    }

    /// What `initialize` is answered.
    #[track_caller]
    fn error(&self) -> (i64, Value) {
        Client(self.cmd(&["mcp-proxy", URL]).spawn()).error("a", "initialize")
    }

    fn targets(&self) -> Vec<String> {
        let mut targets: Vec<_> = self.proxy.asked().into_iter().map(|one| one.target).collect();
        targets.dedup();
        targets
    }
}

/// A port of this machine that must stay silent.
fn trap() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("it can");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

#[track_caller]
fn assert_silent(trap: &TcpListener) {
    assert!(trap.accept().is_err(), "somebody came");
}

#[test]
fn metadata_is_not_fetched_from_this_machine_or_a_private_network() {
    let world = World::new();
    let (listener, address) = trap();
    for place in [
        "http://169.254.169.254/latest".to_string(),
        "https://169.254.169.254/latest".to_string(),
        "https://10.0.0.1/x".to_string(),
        "https://[fd00::1]/x".to_string(),
        format!("http://{address}/x"),
        format!("https://{address}/x"),
        format!("http://localhost:{}/x", address.rsplit(':').next().unwrap()),
    ] {
        world.desk.resource.challenge(&[&format!("Bearer resource_metadata=\"{place}\"")]);
        let (code, error) = world.error();
        assert_eq!((code, &error["data"]["kind"]), (-31002, &json!("unsafe_url")), "{error}");
    }
    assert_silent(&listener);
    assert_eq!(world.targets(), [format!("{NAME}:443")], "the proxy is asked for nothing else");
}

#[test]
fn an_authorization_server_is_not_looked_for_there_either() {
    let world = World::new();
    let (listener, address) = trap();
    world.desk.resource.challenge(&["Bearer"]);
    for issuer in
        [format!("https://{address}"), format!("http://{address}"), "https://192.168.0.7".into()]
    {
        let document = json!({"resource": URL, "authorization_servers": [issuer]});
        world.desk.resource.publish(&format!("{WELL_KNOWN}/mcp"), &document);
        let (code, error) = world.error();
        assert_eq!((code, &error["data"]["kind"]), (-31002, &json!("unsafe_url")), "{error}");
        world.cmd(&["login", URL, "--print-auth-url"]).run().code(1).stdout_is("");
    }
    assert_silent(&listener);
    assert_eq!(world.targets(), [format!("{NAME}:443")]);
}

#[test]
fn its_metadata_may_name_no_endpoint_here() {
    let world = World::new();
    let (listener, address) = trap();
    world.desk.resource.challenge(&["Bearer"]);
    let issuer = format!("https://{NAME}");
    let document = json!({"resource": URL, "authorization_servers": [issuer]});
    world.desk.resource.publish(&format!("{WELL_KNOWN}/mcp"), &document);
    for name in ["token_endpoint", "registration_endpoint", "authorization_endpoint"] {
        for host in [format!("http://{address}"), "https://10.1.2.3".to_string()] {
            let mut metadata = json!({"issuer": issuer,
                "authorization_endpoint": format!("{issuer}/a"),
                "token_endpoint": format!("{issuer}/t"),
                "registration_endpoint": format!("{issuer}/r"),
                "code_challenge_methods_supported": ["S256"]});
            metadata[name] = json!(format!("{host}/x"));
            let place = "/.well-known/oauth-authorization-server";
            world.desk.resource.publish(place, &metadata);
            let (code, error) = world.error();
            assert_eq!(code, -31002, "{name} {host} {error}");
        }
    }
    assert_silent(&listener);
    assert_eq!(world.targets(), [format!("{NAME}:443")]);
}

#[test]
fn a_redirect_is_not_followed() {
    let world = World::new();
    let (listener, address) = trap();
    world.desk.resource.challenge(&["Bearer"]);
    for place in [format!("{WELL_KNOWN}/mcp"), WELL_KNOWN.to_string()] {
        world.desk.resource.redirect(&place, &format!("http://{address}/x"));
    }
    world.error();
    assert_silent(&listener);
}

/// A row that says it came from a public server, whatever wrote it.
fn move_out(text: &str, from: &str) -> String {
    let moved = text.replace(&format!("\"server\":\"{from}\""), &format!("\"server\":\"{URL}\""));
    assert_ne!(moved, text);
    moved
}

#[test]
fn a_refresh_and_a_logout_go_to_no_private_endpoint_of_a_public_server() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    let (file, id) = (desk.server_file(), desk.id());
    write_private(&file, &move_out(&desk.sandbox.read(&file), &desk.resource.url()));
    desk.idp.reset_records();
    let output = desk.cmd(&["refresh", &id]).run();
    output.code(1).stderr_has("points to an address of a private network");
    desk.cmd(&["logout", &id]).run().ok().stderr_has("private network");
    assert_eq!(desk.idp.requests().len(), 0);
}

#[test]
fn a_code_goes_to_no_private_endpoint_of_a_public_server() {
    let desk = Desk::new();
    let begun = desk.login(&["--print-auth-url"]).run();
    let back = browser::approve(begun.ok().line());
    let mut pending = desk.sandbox.files(&desk.sandbox.home().join("pending"));
    pending.retain(|file| file.extension().is_some_and(|end| end == "json"));
    let text = desk.sandbox.read(&pending[0]);
    write_private(&pending[0], &move_out(&text, &desk.resource.url()));
    let output = desk.cmd(&["login", "--callback-url", "-"]).stdin(back.location).run();
    output.code(1).stderr_has("points to an address of a private network");
    assert_eq!(desk.idp.count("token_exchange"), 0);
}
