//! Providers that are slow, not there, or do with a connection what HTTP lets them do.

use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{Gateway, SECRET, Setup};
use super::upstream::{Out, Upstream};
use crate::support::tls::{DeadPort, Server};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_provider_that_does_not_begin_in_time_is_a_time_out() {
    let upstream = Upstream::start(|_, out| out.pause(10 * SECOND));
    let gateway = Setup::with(&upstream).set("upstream_timeout", 2).start();
    let begin = Instant::now();
    let answer = gateway.ask(&gateway.prompt());
    let words = answer.is(504).words("/v1/chat/completions");
    assert!(words.contains("fake/default"), "{words}");
    let waited = begin.elapsed();
    assert!(waited >= 2 * SECOND && waited < 6 * SECOND, "{waited:?}");
    upstream.saw_it_go(10 * SECOND);
}

/// A stream may last for ever, and be silent for no longer than this.
#[test]
fn silence_within_an_answer_has_the_same_limit_and_the_whole_has_none() {
    let upstream = Upstream::start(|request, out| {
        out.events()?;
        for number in 0..6 {
            out.event(number)?;
            out.pause(SECOND)?;
        }
        if request.body.contains("silent") {
            out.pause(10 * SECOND)?;
        }
        out.end()
    });
    let gateway = Setup::with(&upstream).set("upstream_timeout", 3).start();
    let gateway = &gateway;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let answer = gateway.ask(&gateway.prompt());
            assert!(answer.is(200).text().ends_with("data: 5\n\n"), "{}", answer.text());
        });
        scope.spawn(|| {
            let mut client = gateway.connect();
            client.say(gateway.post("/v1/chat/completions", r#"{"model":"silent"}"#).bytes());
            let begin = Instant::now();
            let answer = client.try_answer();
            assert!(answer.is_err(), "a clean end: {answer:?}");
            assert!(begin.elapsed() < 13 * SECOND, "{:?}", begin.elapsed());
        });
    });
}

#[test]
fn a_provider_that_is_not_there_is_a_bad_gateway() {
    let dead = DeadPort::new();
    let resetting = Server::resetting();
    for address in [dead.address(), resetting.address()] {
        let row = json!({"base": format!("http://{address}/v1"), "dialect": "openai_chat"});
        let setup = Setup::empty().provider("fake", row).account("fake/default", SECRET);
        let gateway = setup.start();
        let begin = Instant::now();
        let words = gateway.ask(&gateway.prompt()).is(502).words("/v1/chat/completions");
        assert!(words.contains("fake/default"), "{words}");
        assert!(begin.elapsed() < 5 * SECOND, "{:?}", begin.elapsed());
    }
}

/// Kept connections end whenever the provider likes, and no request may be lost by it.
#[test]
fn a_kept_connection_that_ended_meanwhile_loses_no_request() {
    let upstream = Upstream::start(|_, out| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";
        out.raw(format!("{head}{{}}"))
    });
    let gateway = Gateway::before(&upstream);
    for count in 1..=20 {
        gateway.is_well();
        upstream.has_ended(count, 10 * SECOND);
    }
}

#[test]
fn what_comes_before_an_answer_is_no_answer() {
    type Begin = fn(&mut Out) -> std::io::Result<()>;
    let hints: Begin = |out| out.raw("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n");
    let going_on: Begin = |out| out.raw("HTTP/1.1 100 Continue\r\n\r\n");
    for begin in [hints, going_on] {
        let upstream = Upstream::start(move |_, out| {
            begin(out)?;
            out.json(200, &json!({"answer": "good"}))
        });
        let gateway = Gateway::before(&upstream);
        let answer = gateway.ask(&gateway.prompt());
        assert_eq!(answer.is(200).json()["answer"], "good");
        assert_eq!(answer.header("link"), None);
    }
}

/// The gateway's own address, in a shell that is set up for it, must not be asked for ever.
#[test]
fn a_row_that_leads_to_the_gateway_itself_asks_nobody() {
    let upstream = Upstream::good();
    let mut gateway = Gateway::before(&upstream);
    let own = format!("http://{}/v1", gateway.host());
    let mut config = gateway.sandbox.read_config();
    config["providers"]["self"] =
        json!({"ways": ["api_key"], "api": {"base": own, "dialect": "openai_chat"}});
    gateway.config = config;
    super::kit::write_account(&gateway.sandbox, "self/a", &gateway.key, &json!({"priority": "9"}));
    gateway.set("keepalive", 15);
    let begin = Instant::now();
    let ask = gateway.post("/v1/chat/completions", r#"{"model":"self/m"}"#);
    while gateway.ask(&ask).status() == 200 {
        assert!(begin.elapsed() < 10 * SECOND, "it asks itself");
    }
    gateway.is_well();
    assert!(upstream.prompts().len() < 400, "{}", upstream.prompts().len());
}
