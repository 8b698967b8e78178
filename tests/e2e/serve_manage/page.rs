//! The page as it is sent: nothing of anybody's in it, and nothing it could fetch or run but its own.

use super::{KEY, managed};
use crate::serve::client::Answer;
use crate::serve::kit::{Gateway, SECRET, Setup};
use crate::serve::upstream::Upstream;

fn page(gateway: &Gateway) -> Answer {
    let answer = gateway.ask(&gateway.bare("GET", "/manage"));
    answer.is(200);
    answer
}

/// The nonce of a page's policy.
fn nonce(page: &Answer) -> String {
    let policy = page.header("content-security-policy").expect("a policy");
    let (_, rest) = policy.split_once("script-src 'nonce-").expect("a nonce");
    rest.split('\'').next().unwrap_or_default().to_owned()
}

#[test]
fn the_page_runs_its_own_script_and_no_other() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let page = page(&gateway);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    let nonce = nonce(&page);
    assert!(nonce.len() >= 22, "{nonce}");
    for part in [
        "default-src 'none'",
        &format!("script-src 'nonce-{nonce}'"),
        &format!("style-src 'nonce-{nonce}'"),
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split(';').any(|known| known.trim() == part), "{part}: {policy}");
    }
    for loose in ["unsafe", "http:", "https:", "*"] {
        assert!(!policy.contains(loose), "{loose}: {policy}");
    }
    let text = page.text();
    for tag in ["<script", "<style"] {
        let with_nonce = format!("{tag} nonce=\"{nonce}\">");
        assert_eq!((text.matches(tag).count(), text.matches(&with_nonce).count()), (1, 1), "{tag}");
    }
    assert!(!text.contains("{nonce}") && !text.contains("{style}") && !text.contains("{script}"));
}

#[test]
fn no_two_pages_have_the_same_nonce() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let mut all: Vec<_> = (0..20).map(|_| nonce(&page(&gateway))).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20);
}

#[test]
fn the_page_fetches_nothing_from_elsewhere() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let text = page(&gateway).text();
    let loads =
        [" src=", "url(", "@import", "<link rel=\"stylesheet", "<iframe", "<img", "import("];
    for load in loads {
        assert!(!text.contains(load), "{load}");
    }
    // What its policy would stop anyway.
    for inline in [" style=\"", " onclick=", " onload=", "javascript:", "innerHTML", "eval("] {
        assert!(!text.contains(inline), "{inline}");
    }
    for address in text.split("http").skip(1) {
        let is_scheme = address.starts_with(":\"") || address.starts_with("s:\"");
        assert!(is_scheme || !address.starts_with([':', 's']), "http{:.40}", address);
    }
}

#[test]
fn the_page_says_nothing_of_accounts_keys_or_this_machine() {
    let upstream = Upstream::good();
    let setup = Setup::with(&upstream).account("fake/jane@example.com", "sk-of-jane-0123456789");
    let gateway = setup.set("management_key", KEY).start();
    let bare = page(&gateway).text();
    let ask = gateway.bare("GET", "/manage").with("Authorization", &super::bearer(KEY));
    let with_key = gateway.ask(&ask).text();
    let home = gateway.sandbox.user_home().display().to_string();
    let key = gateway.key.clone();
    for text in [&bare, &with_key] {
        for trace in [KEY, SECRET, "jane", "sk-of", "fake", &home, &key, &upstream.origin()] {
            assert!(!text.contains(trace), "{trace}");
        }
    }
}

#[test]
fn the_page_is_read_and_nothing_else() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let whole = page(&gateway).body.len();
    for path in ["/manage", "/manage/", "/manage?x=y"] {
        let page = gateway.ask(&gateway.bare("GET", path));
        page.is(200);
        assert_eq!(page.body.len(), whole, "{path}");
    }
    let mut client = gateway.connect();
    client.say(gateway.bare("HEAD", "/manage").with("Connection", "close").bytes());
    let head = client.head().expect("a head");
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some(whole.to_string().as_str()));
    assert_eq!(client.hears_for(std::time::Duration::from_secs(5)), "");
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        gateway.ask(&gateway.bare(method, "/manage")).is(404);
    }
    for path in ["/manage.html", "/manager", "/Manage", "/man%61ge", "//manage"] {
        assert_ne!(gateway.ask(&gateway.bare("GET", path)).status(), 200, "{path}");
    }
}
