//! `/_…`: the same switches for shell scripts. Neither counted nor logged.

use serde_json::{Value, json};

use super::Shared;
use super::device::Decision;
use super::device_control::decide;
use super::encoding::Params;
use super::fault::{Fault, Times};
use super::http::{Answer, Request};
use super::ledger::Identity;
use super::overlay::overlay;

pub fn answer(shared: &Shared, request: &Request) -> Answer {
    let params = request.query_params().unwrap_or_default();
    match respond(shared, request, &params) {
        Ok(body) => Answer::json(200, &body),
        Err(text) => Answer::json(400, &json!({"error": text})),
    }
}

fn respond(shared: &Shared, request: &Request, params: &Params) -> Result<Value, String> {
    let done = Ok(json!({"ok": true}));
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/_complaints") => Ok(json!(shared.world().complaints)),
        ("GET", "/_counters") => Ok(json!(shared.world().counters)),
        ("GET", "/_requests") => Ok(shared.world().requests.iter().map(logged).collect::<Value>()),
        ("POST", "/_clear") => {
            shared.world().faults.clear();
            done
        }
        ("POST", "/_device") => {
            let decision = match params.text("do") {
                "approve" => Decision::Approved,
                "deny" => Decision::Denied,
                "expire" => Decision::Expired,
                other => return Err(format!("do is {other:?}")),
            };
            let code = params.text("user_code");
            if decide(shared, code, decision) { done } else { Err(format!("no code {code:?}")) }
        }
        ("POST", "/_expire") => {
            shared.world().ledger.expire_access_tokens();
            done
        }
        ("POST", "/_fault") => {
            let fault = fault(params, &request.body)?;
            let times = times(params)?;
            shared.world().faults.add(params.text("role"), fault, times);
            done
        }
        ("POST", "/_identity") => {
            let (email, subject) = (params.text("email").into(), params.text("sub").into());
            shared.world().identity = Identity { email, subject };
            done
        }
        ("POST", "/_overlay") => {
            let rows: Value = serde_json::from_str(&request.body).map_err(|e| e.to_string())?;
            Ok(overlay(&shared.origin, &rows))
        }
        _ => Err(format!("no control {} {}", request.method, request.path)),
    }
}

fn logged(request: &Request) -> Value {
    json!({
        "role": request.role,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "body": request.body,
    })
}

fn fault(params: &Params, body: &str) -> Result<Fault, String> {
    let status = number(params, "status")?.map(|status| status as u16);
    let ms = number(params, "ms")?;
    Ok(match params.text("kind") {
        "body" => Fault::body(
            status.unwrap_or(200),
            params.get("type").unwrap_or("application/json"),
            body,
        ),
        "cut" => Fault::CutShort,
        "delay" => Fault::Delay(ms.unwrap_or(1000)),
        "drop" => Fault::Drop,
        "empty" => Fault::Empty,
        "error" => Fault::oauth_error(params.text("code"), status.unwrap_or(400)),
        "hang" => Fault::Hang,
        "html" => Fault::Html(status.unwrap_or(200)),
        "lost" => Fault::DropAfterWork,
        "patch" => Fault::Patch(serde_json::from_str(body).map_err(|e| e.to_string())?),
        "redirect" => Fault::Redirect(params.text("to").into()),
        "retry" => {
            let after = params.get("after").unwrap_or("1").into();
            Fault::RetryAfter(status.unwrap_or(429), after)
        }
        "status" => Fault::Status(status.unwrap_or(500)),
        "trickle" => Fault::Trickle(ms.unwrap_or(50)),
        "truncated" => Fault::Truncated,
        other => return Err(format!("no fault {other:?}")),
    })
}

fn times(params: &Params) -> Result<Times, String> {
    match params.get("times") {
        None => Ok(Times::Once),
        Some("always") => Ok(Times::Always),
        Some(text) => text.parse().map(Times::Count).map_err(|_| format!("times is {text:?}")),
    }
}

fn number(params: &Params, name: &str) -> Result<Option<u64>, String> {
    let parse = |text: &str| text.parse().map_err(|_| format!("{name} is {text:?}"));
    params.get(name).map(parse).transpose()
}
