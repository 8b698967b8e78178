//! What a client says to an authorization server: the resource gets its real name back, and the client
//! the one it is to be known by.

use serde_json::Value;

use crate::protocol::form;
use crate::protocol::json_text;
use crate::protocol::mcp_relay::Gateway;

/// A query or form with its `resource` given back; all else as it stands.
pub fn pairs(text: &str, gateway: &Gateway) -> String {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = (form::decode(name) == "resource").then(|| form::decode(value))?;
        Some(format!("{name}={}", form::encode(&gateway.real_resource(&value)?)))
    };
    text.split('&').map(|one| pair(one).unwrap_or(one.to_owned())).collect::<Vec<_>>().join("&")
}

/// A URL with the same done to its query.
pub fn url(url: &str, gateway: &Gateway) -> String {
    match url.split_once('?') {
        Some((path, query)) => format!("{path}?{}", pairs(query, gateway)),
        None => url.to_owned(),
    }
}

/// A JSON body with the same done to its `resource`, and `client_name` replaced where it has one; None: it
/// stays as it is. `client_name` is given for registrations.
pub fn json(text: &str, gateway: &Gateway, client_name: Option<&str>) -> Option<String> {
    let mut body = json_text::value(text)?;
    let members = body.as_object_mut()?;
    let mut is_changed = false;
    let mut give_back = |value: &mut Value| {
        if let Some(real) = value.as_str().and_then(|told| gateway.real_resource(told)) {
            *value = Value::from(real);
            is_changed = true;
        }
    };
    match members.get_mut("resource") {
        Some(Value::Array(items)) => items.iter_mut().for_each(give_back),
        Some(value) => give_back(value),
        None => {}
    }
    if let (Some(name), Some(told)) = (client_name, members.get_mut("client_name")) {
        *told = Value::from(name);
        is_changed = true;
    }
    is_changed.then(|| body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mcp_relay::SignIn;

    const GATEWAY: Gateway = Gateway {
        base: "http://localhost:8317",
        root: "https://mcp.example",
        is_encoded: false,
        sign_in: SignIn::Through,
    };
    const TOLD: &str = "http://localhost:8317/mcp_auth?original=https://mcp.example/mcp";

    #[test]
    fn a_resource_gets_its_real_name_back() {
        let told = form::encode(TOLD);
        let text = format!("a=b+c&resource={told}&&x&resource=urn%3ax&redirect_uri={told}");
        let wanted = format!(
            "a=b+c&resource=https%3A%2F%2Fmcp.example%2Fmcp&&x&resource=urn%3ax&redirect_uri={told}"
        );
        assert_eq!(pairs(&text, &GATEWAY), wanted);
        assert_eq!(url(&format!("https://x/?{text}"), &GATEWAY), format!("https://x/?{wanted}"));
        assert_eq!(url("https://x/", &GATEWAY), "https://x/");
        assert_eq!(pairs("", &GATEWAY), "");
        let body = |resource: &str| format!(r#"{{"a":"{TOLD}","resource":{resource}}}"#);
        let (real, told) = ("\"https://mcp.example/mcp\"", format!("\"{TOLD}\""));
        assert_eq!(json(&body(&told), &GATEWAY, None), Some(body(real)));
        let (two, wanted) = (format!("[{told},7]"), format!("[{real},7]"));
        assert_eq!(json(&body(&two), &GATEWAY, None), Some(body(&wanted)));
    }

    #[test]
    fn a_registration_gets_another_name_if_it_has_one() {
        let text = r#"{"client_name":"Claude","x":1}"#;
        assert_eq!(json(text, &GATEWAY, None), None);
        let wanted = r#"{"client_name":"keyfob","x":1}"#;
        assert_eq!(json(text, &GATEWAY, Some("keyfob")).as_deref(), Some(wanted));
        for text in [r#"{"x":1}"#, "[1]", "{", ""] {
            assert_eq!(json(text, &GATEWAY, Some("keyfob")), None, "{text}");
        }
    }
}
