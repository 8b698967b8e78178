//! Headers of answers that hold a URL: `WWW-Authenticate` (RFC 9728, 5.1) and `Location`.

use crate::protocol::mcp_relay::{after_origin, web_origin};

/// The value of a `WWW-Authenticate` header with each `resource_metadata` replaced by what `ours` makes of
/// it; None leaves it. All else stays as it was sent.
pub fn challenge(value: &str, mut ours: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let (quoted, after) = rest.split_at(quoted_len(rest));
            out.push_str(quoted);
            rest = after;
            continue;
        }
        let length = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (name, after) = rest.split_at(length);
        out.push_str(name);
        rest = after;
        let blank = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
        let sign = blank(rest);
        if !name.eq_ignore_ascii_case("resource_metadata") || !rest[sign..].starts_with('=') {
            continue;
        }
        let begin = sign + 1 + blank(&rest[sign + 1..]);
        let sent = &rest[begin..];
        let length = match sent.starts_with('"') {
            true => quoted_len(sent),
            false => sent.find([',', ' ', '\t']).unwrap_or(sent.len()),
        };
        let url = unquoted(&sent[..length]);
        match ours(&url).filter(|ours| !ours.contains(['"', '\\'])) {
            Some(ours) => out.push_str(&format!("=\"{ours}\"")),
            None => out.push_str(&rest[..begin + length]),
        }
        rest = &rest[begin + length..];
    }
    out
}

/// A quoted string with both its quotes; a missing end is the end of the text.
fn quoted_len(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    out
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The URL that a `Location` means in an answer to a request for `asked` (RFC 3986, 5.2, dots aside). None:
/// nothing that a client of HTTP can follow.
pub fn location(asked: &str, value: &str) -> Option<String> {
    let value = value.trim();
    let bare = value.split('#').next().unwrap_or_default();
    let origin = web_origin(asked)?;
    let path = after_origin(asked).split('?').next().unwrap_or_default();
    let url = if bare.starts_with("//") {
        format!("{}:{bare}", origin.split(':').next().unwrap_or_default())
    } else if bare.starts_with('/') {
        format!("{origin}{bare}")
    } else if bare.is_empty() {
        format!("{origin}{}", after_origin(asked))
    } else if bare.starts_with('?') {
        format!("{origin}{path}{bare}")
    } else if has_scheme(bare) {
        bare.to_owned()
    } else {
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        format!("{origin}{folder}{bare}")
    };
    web_origin(&url).map(|_| url)
}

fn has_scheme(text: &str) -> bool {
    let colon = text.find(':').unwrap_or(text.len());
    colon < text.find(['/', '?']).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_metadata_of_a_challenge_changes() {
        for (value, wanted) in [
            (r#"Bearer resource_metadata="https://x/m""#, r#"Bearer resource_metadata="OURS""#),
            (
                "Bearer Resource_Metadata = https://x/m, a=b",
                "Bearer Resource_Metadata=\"OURS\", a=b",
            ),
            (
                r#"Basic realm="resource_metadata=\"https://x/m\"", Bearer error="e", resource_metadata="https://x/m", scope="a b""#,
                r#"Basic realm="resource_metadata=\"https://x/m\"", Bearer error="e", resource_metadata="OURS", scope="a b""#,
            ),
            (r#"Bearer resource_metadata="https:\/\/x/m"#, r#"Bearer resource_metadata="OURS""#),
            ("Bearer", "Bearer"),
            ("Bearer resource_metadata", "Bearer resource_metadata"),
            ("Bearer resource_metadata=", "Bearer resource_metadata="),
            (r#"Bearer resource_metadata="else", é"#, r#"Bearer resource_metadata="else", é"#),
        ] {
            let ours = |url: &str| (url == "https://x/m").then(|| "OURS".to_owned());
            assert_eq!(challenge(value, ours), wanted, "{value}");
        }
    }

    #[test]
    fn no_challenge_makes_the_parser_panic_or_stay() {
        let mut seed = 1_u64;
        let alphabet = ["resource_metadata", "=", ",", "\"", "\\", " ", "é", "\t", "x", "\u{202e}"];
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..10 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(alphabet[(seed >> 33) as usize % alphabet.len()]);
            }
            assert_eq!(challenge(&text, |_| None), text);
        }
    }

    #[test]
    fn a_location_is_read_like_a_link() {
        for (value, wanted) in [
            ("https://y/z?q#f", Some("https://y/z?q")),
            ("HTTP://127.0.0.1/", Some("HTTP://127.0.0.1/")),
            ("//y/z", Some("https://y/z")),
            ("/z?q", Some("https://x/z?q")),
            ("?q", Some("https://x/a/b?q")),
            ("z", Some("https://x/a/z")),
            ("z?u=https://y", Some("https://x/a/z?u=https://y")),
            ("", Some("https://x/a/b?c")),
            ("#f", Some("https://x/a/b?c")),
            ("javascript:alert(1)", None),
            ("https://me@y/", None),
            ("https://", None),
        ] {
            assert_eq!(location("https://x/a/b?c", value).as_deref(), wanted, "{value}");
        }
        assert_eq!(location("https://x", "z").as_deref(), Some("https://x/z"));
    }
}
