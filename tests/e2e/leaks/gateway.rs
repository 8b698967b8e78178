//! `serve` at full volume over an API that says back what it was sent: neither the account's key, nor the
//! caller's, nor the management key is seen where it has no business.

use std::time::Duration;

use serde_json::json;

use super::Watch;
use crate::support::browser;
use crate::support::model_api::{Api, Door, Fault, Speech, When};

const LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "sk-marker-of-the-account-0123456789";
const MANAGEMENT: &str = "marker-of-the-management-key-0123";

fn api() -> Api {
    let door = Door {
        speech: Speech::Chat,
        prompts: "/v1/chat/completions".to_owned(),
        query: Vec::new(),
        models: Some("/v1/models".to_owned()),
        free: Vec::new(),
        credential: "authorization".to_owned(),
        headers: Vec::new(),
        model: "m".to_owned(),
        project: None,
        stream_only: false,
    };
    Api::start(door, |value| value == format!("Bearer {KEY}"))
}

#[test]
fn a_gateway_whose_provider_says_everything_back() {
    let (watch, api) = (Watch::new(), api());
    let add = format!("provider add echo --base-url {}/v1 --model m --api-key-stdin", api.origin());
    watch.run(watch.desk.cmd(&add).stdin(KEY)).ok();
    watch.run(watch.desk.cmd("config set serve.management_key -").stdin(MANAGEMENT)).ok();
    let mine = watch.token("serve key add tester").ok().stdout.trim().to_owned();
    watch.learn("account's key", KEY);
    watch.learn("client key", &mine);
    watch.learn("management key", MANAGEMENT);
    let serve = watch.desk.cmd("serve --listen 127.0.0.1:0");
    let serve = watch.at_full_volume(serve).spawn();
    let line = serve.stderr_line_containing("listening on ", LIMIT);
    let base = line.split("listening on ").nth(1).unwrap_or_default().to_owned();
    let ask = |path: &str, bearer: &str, body: &str| {
        let bearer = format!("Bearer {bearer}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let method = if body.is_empty() { "GET" } else { "POST" };
        let answer = browser::request(method, &format!("{base}{path}"), &headers, body).unwrap();
        watch
            .saw(&format!("the answer of {path}"), &format!("{:?}{}", answer.headers, answer.body));
        answer.status
    };
    for stream in [false, true] {
        let prompt = json!({"model": "m", "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]});
        assert_eq!(ask("/v1/chat/completions", &mine, &prompt.to_string()), 200);
        for status in [400, 402, 403, 422, 429, 500, 503, 401] {
            api.fault_once(When::Asked, Fault::Echo(status));
            assert_ne!(ask("/v1/chat/completions", &mine, &prompt.to_string()), 200, "{status}");
            watch.cmd("status");
            watch.cmd("status --json");
            for path in ["accounts", "counters", "keys", "logins", "providers"] {
                assert_eq!(ask(&format!("/manage/api/{path}"), MANAGEMENT, ""), 200);
            }
            ask("/manage/api/accounts/echo/default/reset", MANAGEMENT, "{}");
        }
    }
    for path in ["/v1/models", "/v1/nowhere", "/manage", "/manage/api/nowhere"] {
        ask(path, &mine, "");
    }
    ask(&format!("/v1/models?key={mine}"), "kf-of-somebody-else-0123456789", "");
    watch.cmd("serve key list").ok();
    watch.cmd("config list").ok();
    serve.kill("TERM");
    watch.keep(serve.wait(LIMIT).ok());
    watch.nothing_leaked();
}
