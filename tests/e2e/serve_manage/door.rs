//! Who gets in to `/manage`: with which key, from where, and how often somebody may guess.

use super::{KEY, account, asking, bearer, get, managed, sending, told};
use crate::login::demo::eventually;
use crate::serve::client::Answer;
use crate::serve::kit::{Gateway, Setup};
use crate::serve::upstream::Upstream;

const PATHS: [&str; 7] = [
    "/manage",
    "/manage/",
    "/manage/api",
    "/manage/api/accounts",
    "/manage/api/keys",
    "/manage/api/logins",
    "/manage/anything",
];

fn guess(gateway: &Gateway, key: &str) -> Answer {
    gateway.ask(&asking(gateway, "GET", "accounts").but("Authorization", &bearer(key)))
}

#[test]
fn without_a_management_key_nothing_is_there() {
    let upstream = Upstream::good();
    for setup in [Setup::with(&upstream), Setup::with(&upstream).set("management_key", "")] {
        let gateway = setup.start();
        for path in PATHS {
            for method in ["GET", "POST", "DELETE"] {
                gateway.ask(&gateway.bare(method, path)).is(404);
                let bearers = [bearer(KEY), bearer(&gateway.key), bearer(""), "Bearer".to_owned()];
                for bearer in bearers {
                    let ask = gateway.bare(method, path).with("Authorization", &bearer);
                    let answer = gateway.ask(&ask);
                    answer.is(404);
                    assert_eq!(answer.json()["error"]["code"], "not_found", "{}", answer.text());
                }
            }
        }
        gateway.is_well();
    }
}

#[test]
fn a_key_that_is_set_while_it_runs_opens_it_and_closes_it_when_it_goes() {
    let upstream = Upstream::good();
    let mut gateway = Gateway::before(&upstream);
    let status = |gateway: &Gateway| guess(gateway, KEY).status();
    assert_eq!(status(&gateway), 404);
    gateway.set("management_key", KEY);
    eventually("the key counts", || status(&gateway) == 200);
    gateway.set("management_key", "another-key-0123456789");
    eventually("the old key is wrong", || status(&gateway) == 401);
    gateway.set("management_key", serde_json::Value::Null);
    eventually("it is off", || status(&gateway) == 404);
}

#[test]
fn who_brings_no_key_is_told_so_as_often_as_they_ask() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    for round in 0..12 {
        for path in PATHS.iter().filter(|path| path.starts_with("/manage/a")) {
            let bare = gateway.bare(["GET", "POST", "DELETE"][round % 3], path);
            let error = told(&gateway, &bare, 401)["error"].clone();
            assert_eq!(error["code"], "unauthorized");
            told(&gateway, &bare.with("Authorization", "Bearer "), 401);
        }
    }
    get(&gateway, "accounts");
}

#[test]
fn a_key_counts_as_a_bearer_token_and_nowhere_else() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let path = "/manage/api/accounts";
    for name in ["x-api-key", "x-goog-api-key", "Cookie"] {
        told(&gateway, &gateway.bare("GET", path).with(name, KEY), 401);
    }
    told(&gateway, &gateway.bare("GET", &format!("{path}?key={KEY}")), 401);
    for value in [format!("bearer {KEY}"), format!("BEARER  {KEY} ")] {
        told(&gateway, &gateway.bare("GET", path).with("Authorization", &value), 200);
    }
}

#[test]
fn a_clients_key_manages_nothing_and_the_management_key_asks_no_model() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    guess(&gateway, &gateway.key).is(401);
    for place in ["Authorization", "x-api-key", "x-goog-api-key"] {
        let value = if place == "Authorization" { bearer(KEY) } else { KEY.to_owned() };
        for path in ["/v1/models", "/v1beta/models", "/mcp_auth"] {
            let ask = gateway.bare("GET", path).with(place, &value);
            assert_ne!(gateway.ask(&ask).status(), 200, "{path} {place}");
        }
        let prompt = gateway.prompt().without("Authorization").with(place, &value);
        gateway.ask(&prompt).is(401);
    }
    upstream.was_not_asked();
}

#[test]
fn five_different_wrong_keys_lock_out_the_right_one_too() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    for round in 0..5 {
        let wrong = guess(&gateway, &format!("wrong-{round}"));
        wrong.is(401);
        assert!(!wrong.text().contains("wrong-"), "{}", wrong.text());
    }
    for key in [KEY, "wrong-6"] {
        let locked = guess(&gateway, key);
        locked.is(429);
        assert_eq!(locked.json()["error"]["code"], "locked_out");
        let wait = locked.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
        assert!(wait.is_some_and(|wait| (290..=300).contains(&wait)), "{wait:?}");
    }
    told(&gateway, &gateway.bare("GET", "/manage/api/keys"), 429);
    told(&gateway, &sending(&gateway, "keys", r#"{"name":"a"}"#), 429);
    // The page holds nothing, and the clients have nothing to do with it.
    gateway.ask(&gateway.bare("GET", "/manage")).is(200);
    gateway.is_well();
}

#[test]
fn the_same_wrong_key_again_is_one_guess_and_the_right_one_clears_the_count() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    for _ in 0..20 {
        guess(&gateway, "from-yesterday").is(401);
    }
    for round in 0..3 {
        guess(&gateway, &format!("wrong-{round}")).is(401);
    }
    guess(&gateway, KEY).is(200);
    for round in 0..4 {
        guess(&gateway, &format!("wrong-{round}")).is(401);
    }
    guess(&gateway, KEY).is(200);
}

#[test]
fn keys_that_nearly_fit_are_wrong() {
    let upstream = Upstream::good();
    for wrong in [&KEY[1..], &KEY[..KEY.len() - 1], &format!("{KEY}x"), &KEY.to_uppercase(), "*"] {
        let gateway = managed(&upstream);
        guess(&gateway, wrong).is(401);
        guess(&gateway, &wrong.repeat(200)).is(401);
    }
}

#[test]
fn a_foreign_host_gets_neither_the_page_nor_an_answer() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let port = gateway.port;
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        "127.0.0.1:1".to_owned(),
        "localhost".to_owned(),
    ] {
        for path in PATHS {
            let ask = gateway.bare("GET", path).with("Authorization", &bearer(KEY));
            let answer = gateway.ask(&ask.but("Host", &host));
            answer.is(403);
            assert!(!answer.text().contains("<html"), "{}", answer.text());
        }
    }
    let ask = asking(&gateway, "GET", "accounts").but("Host", &format!("localhost:{port}"));
    told(&gateway, &ask, 200);
    assert_eq!(account(&gateway, "fake/default")["state"], "ready");
}

/// Where this machine has another address than loopback, whoever comes from there is not let in.
#[test]
fn other_machines_do_not_manage_unless_they_may() {
    let Some(own) = own_address() else { return };
    let upstream = Upstream::good();
    let setup = Setup::with(&upstream).set("management_key", KEY);
    setup.sandbox.write_config(&setup.config);
    let words = ["serve", "--listen", "0.0.0.0:0", "--allow-remote"];
    let running = setup.sandbox.cmd(&words).spawn();
    let line = running.stderr_line_containing("listening on", crate::serve::kit::LIMIT);
    let port = line.rsplit(':').next().unwrap_or_default();
    let url = format!("http://{own}:{port}/manage");
    let key = bearer(KEY);
    let status = |url: &str| {
        let headers = [("Authorization", key.as_str())];
        crate::support::browser::request("GET", url, &headers, "").expect("an answer").status
    };
    assert_eq!(status(&url), 403);
    assert_eq!(status(&format!("{url}/api/accounts")), 403);
    let mut config = setup.config;
    config["serve"]["management_remote"] = true.into();
    setup.sandbox.write_config(&config);
    eventually("they may", || status(&format!("{url}/api/accounts")) == 200);
}

/// No packet is sent for this: the system says which address it would send from.
fn own_address() -> Option<std::net::Ipv4Addr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(own) if !own.is_loopback() && !own.is_unspecified() => Some(own),
        _ => None,
    }
}
