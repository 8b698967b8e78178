//! What an API says when it gives no answer, and what that means for the person.

use serde_json::Value;

use crate::text;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The stream ended in the middle.
    Cut,
    /// The API's own words, harmless and short.
    Told { code: String, words: String },
    /// It answered, but not so.
    Unreadable(&'static str),
}

/// What the person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// Name another model.
    Model,
    /// Nothing that keyfob knows.
    None,
    /// Look at the address: nothing is there.
    Place,
    /// Get more of it: nothing is left, or nothing is paid.
    Quota,
    /// Sign in, or give another key.
    SignIn,
    /// Try again later.
    Wait,
}

/// What an error object of whatever shape tells; None: it is no error.
pub fn told(answer: &Value) -> Option<Fault> {
    // Google sends a list of one where a stream was asked for.
    let answer = answer.get(0).unwrap_or(answer);
    let inner = match answer.get("error") {
        Some(error) if !error.is_null() => error,
        // Responses' and CodeMie's way.
        _ if answer["type"] == "error" => answer,
        _ => return None,
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let first = |keys: &[&str]| {
        let mut texts = keys.iter().map(|key| text(&inner[*key]));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let reason = inner["details"].as_array().into_iter().flatten();
    let reason = reason.map(|detail| text(&detail["reason"])).find(|reason| !reason.is_empty());
    let code = match (inner, reason) {
        (Value::String(code), _) => code.clone(),
        (_, Some(reason)) => reason,
        // That an error event is one says nothing more.
        _ if inner["type"] == "error" => first(&["status", "code"]),
        _ => first(&["type", "status", "code"]),
    };
    // The finer word of two, where `type` is a mere class.
    let code = match text(&inner["code"]) {
        finer if !finer.is_empty() && !finer.bytes().all(|b| b.is_ascii_digit()) => finer,
        _ => code,
    };
    let words = match first(&["message", "error_description"]) {
        words if words.is_empty() => text(&answer["message"]),
        words => words,
    };
    Some(Fault::Told { code: text::harmless(&code, 80), words: text::harmless(&words, 300) })
}

/// The words of an error answer, whatever its shape; empty ones where it has none.
pub fn of_body(body: &str) -> Fault {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    told(&answer).unwrap_or_else(|| {
        // FastAPI's way, where one of several details may be the matter, and a bare text.
        let detail = &answer["detail"];
        let detail = detail.get(0).unwrap_or(detail);
        let inner = if detail.is_object() { detail } else { &answer };
        let words = ["detail", "message", "msg"].iter().find_map(|key| inner[*key].as_str());
        let words = detail.as_str().or(words);
        let bare = answer.is_null().then_some(body.trim()).filter(|text| text.len() < 300);
        let words = text::harmless(words.or(bare).unwrap_or_default(), 300);
        let code = text::harmless(inner["code"].as_str().unwrap_or_default(), 80);
        Fault::Told { code, words }
    })
}

const UNKNOWN_CREDENTIAL: [&str; 11] = [
    "api key not valid",
    "api_key_invalid",
    "authentication_error",
    "incorrect api key",
    "invalid api key",
    "invalid_api_key",
    "invalid_token",
    "reported as leaked",
    "token has been revoked",
    "token_expired",
    "unauthenticated",
];

const NOTHING_LEFT: [&str; 10] = [
    "billing",
    "credit balance",
    "current quota",
    "insufficient balance",
    "insufficient_quota",
    "payment required",
    "quota_exceeded",
    "quota_exhausted",
    "usage_limit_reached",
    "usage_not_included",
];

const NOT_NOW: [&str; 6] =
    ["api_error", "overloaded", "rate_limit", "server_error", "timeout_error", "unavailable"];

const NO_SUCH: [&str; 7] = [
    "invalid",
    "not a valid",
    "not exist",
    "not found",
    "not supported",
    "unexpected model name",
    "unknown",
];

const NO_SUCH_MODEL: [&str; 3] = ["invalid_model", "model_not_found", "model_not_supported"];

/// What is to be done about an error with this status; None for one inside a stream, whose code may
/// be the status that it would have had.
pub fn cure(status: Option<u16>, code: &str, words: &str) -> Cure {
    let status = status.or_else(|| code.parse().ok().filter(|status| (400..600).contains(status)));
    let words = words.to_lowercase();
    let said = format!("{} {words}", code.to_lowercase());
    let says = |any: &[&str]| any.iter().any(|word| said.contains(word));
    // Whoever speaks of "this model" knows it, and has something against the rest of the request.
    let is_about_model = says(&NO_SUCH_MODEL)
        || words.contains("model")
            && !words.contains("this model")
            && NO_SUCH.iter().any(|word| words.contains(word));
    match status {
        Some(401) => Cure::SignIn,
        None | Some(400 | 403) if says(&UNKNOWN_CREDENTIAL) => Cure::SignIn,
        Some(402) => Cure::Quota,
        None | Some(400 | 403 | 429) if says(&NOTHING_LEFT) => Cure::Quota,
        Some(408 | 429 | 500..) => Cure::Wait,
        None if says(&NOT_NOW) => Cure::Wait,
        Some(404) if said.contains("model") || said.contains("deployment") => Cure::Model,
        Some(404) => Cure::Place,
        _ if is_about_model => Cure::Model,
        _ => Cure::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer's body, its code and its words.
    const BODIES: &str = r#"
{"error":{"message":"Gone.","type":"invalid_request_error","code":"model_not_found"}} | model_not_found | Gone.
{"error":{"message":"Wrong.","type":"invalid_request_error","code":null}} | invalid_request_error | Wrong.
{"type":"error","code":null,"message":"Oops.","param":null} | | Oops.
{"type":"error","error":{"type":"not_found_error","message":"model: x"}} | not_found_error | model: x
{"error":{"code":400,"message":"Bad.","status":"INVALID_ARGUMENT"}} | INVALID_ARGUMENT | Bad.
{"error":{"code":400,"message":"Bad.","status":"INVALID_ARGUMENT","details":[{"@type":"help"},{"reason":"API_KEY_INVALID"}]}} | API_KEY_INVALID | Bad.
[{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED"}}] | PERMISSION_DENIED | No.
{"error":{"message":"Insufficient credits","code":402},"user_id":"u"} | 402 | Insufficient credits
{"error":{"code":"401","message":"Access denied."}} | 401 | Access denied.
{"error":"model 'x' not found"} | model 'x' not found |
{"error":"invalid_token","message":"Expired."} | invalid_token | Expired.
{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"} | 1500 | Invalid model: x
{"detail":"Not authenticated"} | | Not authenticated
{"detail":[{"loc":["body","model"],"msg":"Field required","type":"missing"}]} | | Field required
{"detail":{"code":"deactivated_workspace"}} | deactivated_workspace |
unauthorized: token expired | | unauthorized: token expired
{} | |
[] | |
{"error":null} | |
"#;

    #[test]
    fn each_vendors_error_is_read() {
        let read = |code: &str, words: &str| Fault::Told {
            code: code.to_owned(),
            words: words.to_owned(),
        };
        for row in BODIES.trim().lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let &[body, code, words] = &cells[..] else { panic!("{row}") };
            assert_eq!(of_body(body), read(code, words), "{row}");
        }
        assert_eq!(of_body("a\u{1b}[31mb\n"), read("", "a [31mb"));
        assert_eq!(of_body(&"x".repeat(300)), read("", ""), "a page is no word");
    }

    #[test]
    fn an_answer_is_no_error() {
        for answer in
            ["null", "[]", "{}", r#"{"error":null}"#, r#"{"type":"message"}"#, "\"error\""]
        {
            assert_eq!(told(&serde_json::from_str(answer).unwrap()), None, "{answer}");
        }
    }

    /// Status, code, the vendor's words (as it sends them, or as its users report them), and the cure.
    const ROWS: &str = "\
401 | | | SignIn
401 | invalid_api_key | Incorrect API key provided: sk-… | SignIn
400 | API_KEY_INVALID | API key not valid. Please pass a valid API key. | SignIn
403 | PERMISSION_DENIED | Your API key was reported as leaked. Please use another API key. | SignIn
403 | permission_error | OAuth token has been revoked. Please obtain a new token. | SignIn
400 | Incorrect API key provided: xa… | | SignIn
402 | 402 | Insufficient credits | Quota
402 | unknown_error | Insufficient Balance | Quota
429 | insufficient_quota | You exceeded your current quota, please check your plan. | Quota
429 | usage_limit_reached | The usage limit has been reached | Quota
429 | QUOTA_EXHAUSTED | You have exhausted your capacity on this model. | Quota
400 | invalid_request_error | Your credit balance is too low to access the Anthropic API. | Quota
403 | BILLING_DISABLED | This API method requires billing to be enabled. | Quota
429 | rate_limit_exceeded | Rate limit reached for m on tokens per min (TPM) | Wait
429 | rate_limit_error | This request would exceed your account's rate limit. | Wait
408 | | | Wait
500 | api_error | Internal server error | Wait
503 | UNAVAILABLE | The model is overloaded. Please try again later. | Wait
529 | overloaded_error | Overloaded | Wait
404 | not_found_error | model: claude-x | Model
404 | model_not_found | The model `x` does not exist or you do not have access to it. | Model
404 | DeploymentNotFound | The API deployment for this resource does not exist. | Model
404 | - | Not Found | Place
403 | model_not_found | Project `p` does not have access to model `x` | Model
400 | invalid_request_error | Model Not Exist | Model
400 | 400 | x is not a valid model ID | Model
400 | 1500 | Invalid model: x | Model
400 | model_not_supported | The requested model is not supported. | Model
400 | | The 'x' model is not supported when using Codex with a ChatGPT account. | Model
400 | INVALID_ARGUMENT | * GenerateContentRequest.model: unexpected model name format | Model
400 | unsupported_parameter | 'max_tokens' is not supported with this model. | None
400 | invalid_request_error | `temperature` and `top_p` cannot both be specified for this model. | None
400 | context_length_exceeded | This model's maximum context length is 8192 tokens. | None
400 | invalid_request_error | max_tokens: 9 > 8, which is the limit of the model | None
403 | unsupported_country_region_territory | Country, region, or territory not supported | None
403 | SERVICE_DISABLED | Vertex AI API has not been used in project 1 before or it is disabled. | None
403 | permission_error | OAuth authentication is not allowed for this organization. | None
400 | | | None
422 | | Field required | None
";

    #[test]
    fn what_helps_is_told_by_the_vendors_own_words() {
        for row in ROWS.lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let &[status, code, words, wanted] = &cells[..] else { panic!("{row}") };
            let found = cure(Some(status.parse().unwrap()), code, words);
            assert_eq!(format!("{found:?}"), wanted, "{row}");
        }
    }

    #[test]
    fn an_error_in_a_stream_has_no_status_but_its_code() {
        for (code, words, wanted) in [
            ("overloaded_error", "Overloaded", Cure::Wait),
            ("api_error", "Internal server error", Cure::Wait),
            ("server_error", "The server had an error", Cure::Wait),
            ("rate_limit_exceeded", "Rate limit reached", Cure::Wait),
            ("UNAVAILABLE", "The service is currently unavailable.", Cure::Wait),
            ("429", "Provider returned error", Cure::Wait),
            ("502", "Provider returned error", Cure::Wait),
            ("402", "Provider returned error", Cure::Quota),
            ("insufficient_quota", "You exceeded your current quota", Cure::Quota),
            ("authentication_error", "invalid x-api-key", Cure::SignIn),
            ("UNAUTHENTICATED", "Request had invalid credentials.", Cure::SignIn),
            ("model_not_found", "The model does not exist.", Cure::Model),
            ("invalid_prompt", "Invalid prompt: flagged.", Cure::None),
            ("1500", "", Cure::None),
            ("", "", Cure::None),
        ] {
            assert_eq!(cure(None, code, words), wanted, "{code} {words}");
        }
    }
}
