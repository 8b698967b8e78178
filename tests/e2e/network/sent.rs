//! What every request says, and what the log tells of it.

use super::World;
use super::fake_proxy::Proxy;
use crate::support::browser;
use crate::support::command::Output;

pub fn user_agent() -> String {
    format!("keyfob/{}", env!("CARGO_PKG_VERSION"))
}

/// Every kind of request the product makes, each once; what it said on the way, by command.
fn every_request(world: &World) -> Vec<Output> {
    let log = [("KEYFOB_LOG", "trace")];
    let add = ["provider", "add", "found", "--issuer", &world.origin, "--register"];
    let added = world.run(&add, &log);
    let begun = world.run(&["login", "found", "--print-auth-url"], &log);
    let callback = browser::approve(begun.ok().line()).location;
    let finished = world.cmd(&["login", "--callback-url", "-"], &log).stdin(callback).run();
    let renewed = world.run(&["refresh", "found"], &log);
    let ended = world.run(&["logout", "found"], &log);
    let all = vec![added, begun, finished, renewed, ended];
    for out in &all {
        out.ok();
    }
    all
}

#[test]
fn every_request_says_who_asks_and_wants_no_compression() {
    let world = World::plain();
    every_request(&world);
    let roles = ["discovery", "register", "token_exchange", "userinfo", "token_refresh", "revoke"];
    for role in roles {
        let requests = world.idp.requests_to(role);
        assert_eq!(requests.len(), 1, "{role}: {}", world.idp.counters());
        assert_eq!(requests[0].header("user-agent"), Some(user_agent().as_str()), "{role}");
        assert_eq!(requests[0].header("accept-encoding"), None, "{role}");
    }
    world.idp.assert_content();
}

#[test]
fn the_log_shows_method_host_path_and_status_alone() {
    let world = World::plain();
    let outputs = every_request(&world);
    let host = world.idp.origin().trim_start_matches("http://");
    let wanted = [
        format!("debug: GET {host}/.well-known/openid-configuration -> 200"),
        format!("debug: POST {host}/register -> 201"),
        format!("debug: POST {host}/token -> 200"),
        format!("debug: GET {host}/userinfo -> 200"),
        format!("debug: POST {host}/revoke -> 200"),
    ];
    let said: Vec<_> = outputs.iter().map(|out| out.stderr.as_str()).collect();
    let said = said.join("");
    for line in said.lines().filter(|line| line.contains(host)) {
        assert!(wanted.contains(&line.to_owned()), "{line}");
    }
    assert!(wanted.iter().all(|line| said.contains(line)), "{said}");
    let parameters = ["code", "code_verifier", "refresh_token", "token", "state", "client_id"];
    let mut values = Vec::new();
    for request in world.idp.requests() {
        values.extend(parameters.iter().filter_map(|name| request.param(name)));
        values.extend(parameters.iter().filter_map(|name| request.query_param(name)));
        let headers = request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
        values.extend(headers.map(|(_, value)| value.trim_start_matches("Bearer ").to_owned()));
        values.push(request.body);
    }
    values.retain(|value| value.len() > 8 && !host.contains(value.as_str()));
    assert!(values.len() > 15, "{values:?}");
    for value in values {
        assert!(!said.contains(&value), "{value} in {said}");
    }
}

#[test]
fn the_log_shows_no_credentials_of_a_proxy() {
    let world = World::secured("issuer.test");
    let tls_port = world.tls_port();
    let proxies =
        [Proxy::connect(tls_port, "me:hunter2"), Proxy::socks5(tls_port, "me", "hunter2")];
    for (scheme, proxy) in ["http", "socks5h"].into_iter().zip(&proxies) {
        let (grant, _) = world.expired();
        let value = format!("{scheme}://me:hunter2@{}", proxy.server.address());
        let variables = [world.trust(), ("ALL_PROXY", &value), ("KEYFOB_LOG", "trace")];
        let out = world.run(&["refresh", "my-idp"], &variables);
        out.ok().stderr_has("/token -> 200").stderr_lacks("hunter2").stderr_lacks("bWU6aHVudGVyMg");
        out.stderr_lacks(&grant.refresh_token).stderr_lacks("me:");
    }
}
