//! What the gateway did so far, in numbers.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::{account, asking, get, managed, prompt};
use crate::login::demo::eventually;
use crate::serve::kit::{LIMIT, Setup};
use crate::serve::upstream::Upstream;

#[test]
fn prompts_and_errors_are_counted_by_route_and_account() {
    let upstream = Upstream::start(|request, out| match request.body.contains("wrong") {
        true => out.json(400, &json!({"error": {"message": "no such thing"}})),
        false => out.json(200, &json!({"answer": "good"})),
    });
    let gateway = managed(&upstream);
    let before = get(&gateway, "counters");
    assert_eq!((&before["requests"], &before["errors"]), (&json!(0), &json!(0)), "{before}");
    assert_eq!(before["routes"], json!({}));
    for _ in 0..3 {
        gateway.is_well();
    }
    gateway
        .ask(&gateway.post("/v1/chat/completions", r#"{"model":"wrong","messages":[]}"#))
        .is(400);
    gateway.ask(&gateway.post("/v1/embeddings", r#"{"model":"m","input":"x"}"#)).is(200);
    gateway.ask(&gateway.post("/v1/embeddings", "no JSON")).is(400);
    // Nobody's, and so nothing that is counted.
    prompt(&gateway, "kf-wrong").is(401);
    // The last is counted once it is answered.
    eventually("six requests", || get(&gateway, "counters")["requests"] == 6);
    let counters = get(&gateway, "counters");
    assert_eq!(counters["errors"], 2, "{counters}");
    let routes = json!({
        "chat_completions": {"requests": 4, "errors": 1},
        "embeddings": {"requests": 2, "errors": 1},
    });
    assert_eq!(counters["routes"], routes);
    assert_eq!(counters["started_at"], before["started_at"]);
    let account = account(&gateway, "fake/default");
    assert_eq!(account["requests"], 5, "{account}");
    assert!(account["last_used_at"].is_string(), "{account}");
}

#[test]
fn what_is_in_flight_are_prompts_and_not_the_questions_of_the_page() {
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let upstream = Upstream::start(move |_, out| {
        let _ = may_go.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LIMIT);
        out.json(200, &json!({"answer": "good"}))
    });
    let gateway = managed(&upstream);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    upstream.has_prompts(1, LIMIT);
    let mut idle: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    let in_flight = || get(&gateway, "counters")["in_flight"].clone();
    let all: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(in_flight)).collect();
        asked.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    assert!(all.iter().all(|one| *one == 1), "{all:?}");
    let connections = get(&gateway, "counters")["connections"].as_u64();
    assert!(connections.is_some_and(|all| (5..=9).contains(&all)), "{connections:?}");
    go.send(()).expect("somebody waits");
    client.answer().is(200);
    eventually("nothing in flight", || in_flight() == 0);
    idle.clear();
}

#[test]
fn counters_begin_anew_with_the_gateway() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    gateway.is_well();
    let crate::serve::kit::Gateway { sandbox, running, .. } = gateway;
    running.kill("TERM");
    running.wait(LIMIT).ok();
    let config = sandbox.read_config();
    let again = Setup { sandbox, config, environment: Vec::new() }.start();
    assert_eq!(get(&again, "counters")["requests"], 0);
    again.ask(&asking(&again, "POST", "counters")).is(404);
}
