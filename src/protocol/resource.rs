//! Protected resource metadata (RFC 9728), as the MCP authorization chapter uses it: which server
//! signs people in for a resource, and what the resource is called there.

use serde_json::Value;
use ureq::http::Uri;

use crate::endpoint;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::text;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where a server's metadata may lie, in the order to ask: where its challenge says, then RFC 9728
/// section 3.1's place for its path and query, then the root. Nothing is checked here.
pub fn metadata_urls(server: &str, challenged: Option<&str>) -> Vec<String> {
    let mut urls: Vec<_> = challenged.map(str::to_owned).into_iter().collect();
    if let Some((origin, path, query)) = parts(server) {
        let path = path.strip_suffix('/').unwrap_or(&path);
        let own = format!("{origin}{WELL_KNOWN}{path}{}", with_mark(query.as_deref()));
        for url in [own, format!("{origin}{WELL_KNOWN}")] {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    urls
}

/// What a resource says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Byte for byte: the `resource` parameter of RFC 8707 is compared so.
    pub resource: String,
    /// At least one; https, or http on this machine for a server on this machine.
    pub authorization_servers: Vec<String>,
    pub scopes: Vec<String>,
}

/// Reads a metadata document. None when the body is none: many servers answer a page to any path.
/// Fails when it is one that must not, or cannot, be used for this server.
pub fn parse(server: &str, body: &Secret) -> Result<Option<Resource>> {
    let document: Value = serde_json::from_str(body.expose()).unwrap_or_default();
    let Some(resource) = document.get("resource").and_then(Value::as_str) else {
        return Ok(None);
    };
    let (shown, shown_server) = (text::harmless(resource, 200), text::harmless(server, 200));
    if !covers(resource, server) {
        let what = format!("the metadata of {shown_server} is for another resource, {shown}");
        return Err(Error::failed(what));
    }
    if document.get("dpop_bound_access_tokens_required") == Some(&Value::Bool(true)) {
        let what = format!("{shown_server} ({shown}) takes only DPoP-bound tokens");
        return Err(Error::failed(format!("{what}, which keyfob does not make")));
    }
    let authorization_servers = strings(&document, "authorization_servers");
    if authorization_servers.is_empty() {
        let what = format!("{shown_server} ({shown}) names no authorization server");
        return Err(Error::failed(what));
    }
    for issuer in &authorization_servers {
        endpoint::check(&format!("the authorization server of {shown_server}"), issuer)?;
        if endpoint::is_on_this_machine(issuer) && !endpoint::is_on_this_machine(server) {
            let issuer = text::harmless(issuer, 200);
            let what = format!("{shown_server} names an authorization server on this machine");
            return Err(Error::failed(format!("{what}, {issuer}")));
        }
    }
    let scopes = strings(&document, "scopes_supported");
    Ok(Some(Resource { resource: resource.to_owned(), authorization_servers, scopes }))
}

/// Whether a token for `resource` may go to `server`: one origin, and the server's path is the
/// resource's or lies under it. A resource with a query covers only servers with the same one.
pub fn covers(resource: &str, server: &str) -> bool {
    let (Some((origin, path, query)), Some((server_origin, server_path, server_query))) =
        (parts(resource), parts(server))
    else {
        return false;
    };
    if origin != server_origin || (query.is_some() && query != server_query) {
        return false;
    }
    let (path, server_path) = (path.trim_end_matches('/'), server_path.trim_end_matches('/'));
    if has_dots(path) || has_dots(server_path) {
        return path == server_path;
    }
    server_path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `..` leads out of the path it seems to lie under.
fn has_dots(path: &str) -> bool {
    path.to_ascii_lowercase().replace("%2e", ".").split('/').any(|part| [".", ".."].contains(&part))
}

/// Origin, path (at least `/`) and query of a URL; its fragment is dropped.
fn parts(url: &str) -> Option<(String, String, Option<String>)> {
    let url = url.split('#').next().unwrap_or_default();
    let uri: Uri = url.parse().ok()?;
    let query = uri.query().filter(|query| !query.is_empty()).map(str::to_owned);
    Some((endpoint::origin(url)?, uri.path().to_owned(), query))
}

fn with_mark(query: Option<&str>) -> String {
    query.map(|query| format!("?{query}")).unwrap_or_default()
}

/// The texts of a list; a missing list, and null, are empty.
fn strings(document: &Value, name: &str) -> Vec<String> {
    let items = document.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_metadata_is_asked_for_in_order() {
        let path = "https://h/.well-known/oauth-protected-resource/public/mcp";
        let root = "https://h/.well-known/oauth-protected-resource";
        let query = "https://h/.well-known/oauth-protected-resource/public/mcp?a=b";
        for (server, challenged, expected) in [
            ("https://h/public/mcp", None, &[path, root][..]),
            ("https://h/public/mcp/", None, &[path, root]),
            ("https://H:443/public/mcp?a=b#c", None, &[query, root]),
            ("https://h/public/mcp", Some("https://x/m"), &["https://x/m", path, root]),
            ("https://h/public/mcp", Some(path), &[path, root]),
            ("https://h/public/mcp", Some(root), &[root, path]),
            ("https://h", None, &[root]),
            ("https://h/", None, &[root]),
            ("rubbish", Some("https://x/m"), &["https://x/m"]),
        ] {
            assert_eq!(metadata_urls(server, challenged), expected, "{server} {challenged:?}");
        }
    }

    #[test]
    fn a_resource_covers_what_lies_under_it() {
        let server = "https://h/public/mcp";
        for resource in [
            server,
            "https://h",
            "https://h/",
            "HTTPS://H:443/public#x",
            "https://h/public/",
            "https://h/public/mcp/",
        ] {
            assert!(covers(resource, server), "{resource}");
        }
        for resource in [
            "https://other/public/mcp",
            "https://h:8443/public/mcp",
            "http://h/public/mcp",
            "https://h/public/mcp/more",
            "https://h/public/mcp2",
            "https://h/pub",
            "https://h/Public",
            "https://h/public/mcp?tenant=1",
            "https://h/public/x/..",
            "/public/mcp",
            "h",
            "",
        ] {
            assert!(!covers(resource, server), "{resource}");
        }
        assert!(!covers("https://h/mcp", "https://h/mcp2"));
        assert!(!covers("https://h/mcp", "https://h/mcp/%2E./admin"));
        assert!(covers("https://h/mcp?a=1", "https://h/mcp?a=1"));
        assert!(covers("https://h/mcp", "https://h/mcp?a=1"));
    }

    fn read(server: &str, document: Value) -> Result<Option<Resource>> {
        parse(server, &Secret::new(document.to_string()))
    }

    #[test]
    fn a_document_is_read() {
        let document = json!({
            "resource": "HTTPS://h/", "authorization_servers": ["https://as/", "https://as2"],
            "scopes_supported": ["a", "b"], "unknown": 1,
        });
        let expected = Resource {
            resource: "HTTPS://h/".to_owned(),
            authorization_servers: vec!["https://as/".to_owned(), "https://as2".to_owned()],
            scopes: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(read("https://h/mcp", document).unwrap(), Some(expected));
        let document = json!({
            "resource": "http://127.0.0.1:1/mcp", "scopes_supported": null,
            "authorization_servers": ["http://localhost:2"],
        });
        let found = read("http://127.0.0.1:1/mcp", document).unwrap().unwrap();
        assert!(found.scopes.is_empty());
    }

    #[test]
    fn a_page_is_no_document() {
        for body in ["", "<html>resource</html>", "[]", "null", "{}", r#"{"resource":1}"#, "{"] {
            assert_eq!(parse("https://h/mcp", &Secret::new(body)).unwrap(), None, "{body}");
        }
    }

    #[test]
    fn what_must_not_be_used_is_refused_by_name() {
        let servers = json!(["https://as"]);
        for (document, told) in [
            (
                json!({"resource": "https://evil/\u{1b}mcp", "authorization_servers": servers}),
                "the metadata of https://h/mcp is for another resource, https://evil/ mcp",
            ),
            (
                json!({"resource": "https://h", "authorization_servers": servers,
                    "dpop_bound_access_tokens_required": true}),
                "https://h/mcp (https://h) takes only DPoP",
            ),
            (json!({"resource": "https://h"}), "names no authorization server"),
            (json!({"resource": "https://h", "authorization_servers": []}), "names no"),
            (json!({"resource": "https://h", "authorization_servers": "https://as"}), "names no"),
            (json!({"resource": "https://h", "authorization_servers": ["http://as"]}), "http://as"),
            (
                json!({"resource": "https://h", "authorization_servers": ["https://as", "javascript:x"]}),
                "javascript:x",
            ),
            (
                json!({"resource": "https://h", "authorization_servers": ["http://127.0.0.1:1"]}),
                "on this machine, http://127.0.0.1:1",
            ),
            (
                json!({"resource": "https://h", "authorization_servers": ["https://localhost"]}),
                "on this machine, https://localhost",
            ),
        ] {
            let error = read("https://h/mcp", document).unwrap_err();
            assert!(matches!(error, Error::Failed { .. }), "{error:?}");
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
