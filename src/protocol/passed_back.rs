//! Headers of another server's answer on their way to a client of ours.

/// Of one connection (RFC 9110, section 7.6.1), or such as would act in the name of that server on whatever
/// shares our address.
const KEPT_BACK: [&str; 19] = [
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-length",
    "content-security-policy",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "refresh",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// Whether a header, named in lower case, is for the client. `connection` is what the answer's `Connection`
/// headers hold: a list of further names that are not.
pub fn is_passed_back(name: &str, connection: &str) -> bool {
    !KEPT_BACK.contains(&name)
        && !name.starts_with("access-control-")
        && !connection.split(',').any(|named| named.trim().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_connection_or_the_servers_site_stays() {
        let kept = ["set-cookie", "refresh", "transfer-encoding", "connection"];
        for name in kept.into_iter().chain(["access-control-allow-origin"]) {
            assert!(!is_passed_back(name, ""), "{name}");
        }
        for name in ["x-one", "x-two"] {
            assert!(!is_passed_back(name, "close, X-One,x-two"), "{name}");
        }
    }

    #[test]
    fn what_is_of_the_answer_goes_on() {
        for name in [
            "content-type",
            "retry-after",
            "x-request-id",
            "x-on",
            "anthropic-ratelimit-tokens-reset",
        ] {
            assert!(is_passed_back(name, "x-one"), "{name}");
        }
    }
}
