//! What the gateway asks nobody for.

use std::net::TcpListener;
use std::sync::Arc;

use serde_json::json;

use super::{Gateway, JSON, is_refused, send};
use crate::support::idp::{Dialect, Idp};
use crate::support::mcp_resource::{McpResource, WELL_KNOWN};

#[test]
fn private_addresses_are_asked_nothing_in_any_spelling() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener");
    let port = listener.local_addr().expect("it is bound").port();
    let gateway = Gateway::start(&json!({}));
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
    ] {
        for scheme in ["http", "https"] {
            let origin = format!("{scheme}://{host}:{port}");
            is_refused(&gateway.say(&gateway.url(&format!("{origin}/mcp")), "x", None), 403);
            let relay = gateway.relay_url("https://mcp.example", &origin.to_lowercase(), "/x");
            is_refused(&gateway.say(&relay, "x", None), 403);
        }
    }
    is_refused(&gateway.say(&gateway.url("http://mcp.example/mcp"), "x", None), 403);
    let nobody = listener.accept().expect_err("nobody comes");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_second_server_cannot_use_what_the_first_one_showed() {
    let idp = Arc::new(Idp::start(Dialect::oidc()));
    let (first, second) = (McpResource::start(&idp), McpResource::start(&idp));
    // The second one names nobody.
    second.publish_nothing();
    let origins = json!([idp.origin(), first.origin(), second.origin()]);
    let gateway = Gateway::start(&json!({"mcp_private_origins": origins}));
    let token = |root: &McpResource| gateway.relay_url(root.origin(), idp.origin(), "/token");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let ask = |url: &str| send("POST", url, &form, "grant_type=refresh_token");
    is_refused(&ask(&token(&first)), 403);
    for server in [&first, &second] {
        assert_eq!(gateway.say(&gateway.url(&server.url()), "initialize", None).status, 401);
    }
    // The challenge named the metadata alone.
    is_refused(&ask(&token(&first)), 403);
    let place = gateway.relay_url(first.origin(), first.origin(), &format!("{WELL_KNOWN}/mcp"));
    assert_eq!(send("GET", &place, &[], "").status, 200);
    assert_eq!(idp.requests().len(), 0);
    let page = ask(&token(&first));
    assert_eq!(page.json()["error"], "invalid_client", "the issuer's own words: {page:#?}");
    is_refused(&ask(&token(&second)), 403);
    let mixed = gateway.relay_url(first.origin(), second.origin(), "/mcp");
    is_refused(&send("POST", &mixed, &[JSON], "{}"), 403);
    assert_eq!(idp.requests().len(), 1);
}

#[test]
fn what_leads_into_a_private_network_is_blocked_even_for_servers_in_one() {
    let idp = Arc::new(Idp::start(Dialect::oidc()));
    let resource = McpResource::start(&idp);
    let gateway = Gateway::start(&json!({"mcp_private_origins": [resource.origin()]}));
    let server = gateway.url(&resource.url());
    assert_eq!(gateway.say(&server, "initialize", None).status, 401);
    let place = |path: &str| gateway.relay_url(resource.origin(), resource.origin(), path);
    let page = send("GET", &place(&format!("{WELL_KNOWN}/mcp")), &[], "");
    let blocked = json!(["urn:keyfob:blocked:private-network"]);
    assert_eq!(page.json()["authorization_servers"], blocked, "{page:#?}");
    let relay = gateway.relay_url(resource.origin(), idp.origin(), "/token");
    is_refused(&send("GET", &relay, &[], ""), 403);

    resource.redirect("/away", &idp.url("/token"));
    resource.redirect("/relative", "/mcp?moved");
    resource.redirect("/public", "https://mcp.example/mcp");
    is_refused(&send("GET", &place("/away"), &[], ""), 403);
    for (path, wanted) in [
        ("/relative", place("/mcp?moved")),
        ("/public", gateway.relay_url(resource.origin(), "https://mcp.example", "/mcp")),
    ] {
        let page = send("GET", &place(path), &[], "");
        assert_eq!((page.status, page.header("location")), (302, Some(wanted.as_str())), "{path}");
    }
    resource.challenge(&[&format!("Bearer resource_metadata=\"{}\"", idp.url("/x"))]);
    let page = gateway.say(&server, "initialize", None);
    let wanted = "Bearer resource_metadata=\"urn:keyfob:blocked:private-network\"";
    assert_eq!(page.header("www-authenticate"), Some(wanted));
    assert_eq!(idp.requests().len(), 0);
}

#[test]
fn what_makes_no_sense_and_what_has_no_key_is_refused() {
    let idp = Arc::new(Idp::start(Dialect::oidc()));
    let resource = McpResource::start(&idp);
    let gateway = Gateway::start(&json!({"mcp_private_origins": [resource.origin()]}));
    let server = gateway.url(&resource.url());
    is_refused(&send("POST", &server, &[JSON], "{}"), 401);
    is_refused(&send("POST", &server, &[JSON, ("X-Api-Key", "kf-wrong")], "{}"), 401);
    let foreign = [JSON, ("X-Api-Key", gateway.key.as_str()), ("Host", "evil.example")];
    let authority = gateway.base.trim_start_matches("http://");
    let path = server.split_once(authority).expect("its path").1;
    let head = foreign.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let text =
        format!("GET {path} HTTP/1.1\r\n{}Connection: close\r\n\r\n", head.collect::<String>());
    let answer = crate::support::browser::raw(authority, text.as_bytes()).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 403 "));
    for path in ["/mcp_auth", "/mcp_auth?original=x", "/mcp_relay/x", "/mcp_relay/x/y/z"] {
        is_refused(&gateway.say(&format!("{}{path}", gateway.base), "x", None), 400);
    }
    let place = format!("{}{WELL_KNOWN}/mcp_auth", gateway.base);
    is_refused(&send("GET", &place, &[], ""), 404);
    let key = [("X-Api-Key", gateway.key.as_str())];
    is_refused(&send("PUT", &server, &key, "{}"), 405);
    is_refused(&send("GET", &gateway.url("https://no-such-name.invalid/mcp"), &key, ""), 502);
    assert_eq!(resource.requests().len(), 0);
}
