//! The scopes to ask a server for.

/// The scopes to ask for: the person's own words, else the challenge's, else all that the resource
/// names. An empty list: send no scope, the server decides.
pub fn to_ask(asked: Option<&str>, challenge: Option<&str>, resource: &[String]) -> Vec<String> {
    let challenge = challenge.filter(|words| !words.trim().is_empty());
    match asked.or(challenge) {
        Some(words) => union(&[&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>()]),
        None => union(&[resource]),
    }
}

/// All scopes of all sets, each once, in the order in which they are first seen.
pub fn union(sets: &[&[String]]) -> Vec<String> {
    let mut all = Vec::new();
    for scope in sets.iter().copied().flatten() {
        if !scope.is_empty() && !all.contains(scope) {
            all.push(scope.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_scopes_that_are_there_are_asked_for() {
        let resource = ["r1".to_owned(), "r2".to_owned(), "r1".to_owned()];
        for (asked, challenge, expected) in [
            (Some("a b  a"), Some("c"), &["a", "b"][..]),
            (Some(""), Some("c"), &[]),
            (None, Some("c d"), &["c", "d"]),
            (None, Some(" "), &["r1", "r2"]),
            (None, None, &["r1", "r2"]),
        ] {
            assert_eq!(to_ask(asked, challenge, &resource), expected, "{asked:?} {challenge:?}");
        }
        assert!(to_ask(None, None, &[]).is_empty());
        let more = ["r2".to_owned(), "x".to_owned()];
        assert_eq!(union(&[&resource, &[], &more]), ["r1", "r2", "x"]);
    }
}
