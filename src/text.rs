//! Text from outside made harmless; masks and lists for messages.

/// Server text fit for a terminal or an error: control and direction-changing
/// characters become spaces, runs of space become one, and at most `limit`
/// characters remain.
pub fn harmless(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut shown = 0;
    for c in text.chars().map(|c| if is_dangerous(c) { ' ' } else { c }) {
        if c == ' ' && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        if shown == limit {
            out.push('…');
            break;
        }
        out.push(c);
        shown += 1;
    }
    out.trim_end().to_owned()
}

/// A model's text fit for a terminal: lines, tabs and every script stay; control characters and marks
/// that reorder what is read go.
pub fn printable(text: &str) -> String {
    let reorders = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&c| matches!(c, '\n' | '\t') || !(c.is_control() || reorders(c))).collect()
}

/// Control characters, and the Unicode marks that reorder or hide text.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text without the secrets that were sent to whoever wrote it: some servers repeat the request
/// in their errors, whole, encoded or cut short.
pub fn scrub(text: &str, secrets: &[&str]) -> String {
    /// A shorter match is chance.
    const RECOGNISED_BYTES: usize = 8;
    let same = |rest: &str, secret: &str| {
        let same = rest.bytes().zip(secret.bytes()).take_while(|(a, b)| a == b).count();
        (same > 0 && same >= RECOGNISED_BYTES.min(secret.len())).then_some(same)
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        // Secrets often begin alike (`eyJ`, `sk-`): the one that goes on longest is the one that is there.
        let longest = secrets.iter().filter_map(|secret| same(rest, secret)).max();
        out.push(if longest.is_some() { '…' } else { next });
        let end = longest.unwrap_or(next.len_utf8());
        let end = (end..=rest.len()).find(|end| rest.is_char_boundary(*end));
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    out
}

/// The system's words for an I/O error as part of a sentence: no capital, no number.
pub fn cause(error: &std::io::Error) -> String {
    let shown = error.to_string();
    let words = shown.split(" (os error").next().unwrap_or_default();
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A word as a shell reads it back: quoted only where it must be.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A file name for any text: letters, digits and `@+_-.` stay, every other byte is `%XX`, and so
/// is a leading dot (no hidden files, no `..`).
pub fn file_name(text: &str) -> String {
    let mut name = String::new();
    for (at, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"@+_-".contains(&byte);
        if plain || (byte == b'.' && at > 0) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `MY_IDP` for `my-idp`: a name as part of a variable's.
pub fn variable_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(plain).collect()
}

/// As much of a name as fits into a file name with room for an extension and a temp mark.
pub fn short_name(text: &str) -> String {
    const LIMIT_BYTES: usize = 200;
    let mut name = text.to_owned();
    while file_name(&name).len() > LIMIT_BYTES {
        name.pop();
    }
    name
}

/// The text behind a file name; None when it is not one that `file_name` makes.
pub fn from_file_name(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (file_name(&text) == name).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_text_cannot_steer_the_terminal() {
        let text = "a\tb\r\nc\u{1b}[2Jd\u{9b}e\u{202e}f\u{200d}g\u{7}";
        assert_eq!(printable(text), "a\tb\nc[2Jdef\u{200d}g");
    }

    #[test]
    fn terminal_tricks_are_removed() {
        assert_eq!(harmless("a\x1b[31mred\x07\r\n b", 99), "a [31mred b");
        assert_eq!(harmless("user\u{202e}txt.exe", 99), "user txt.exe");
        assert_eq!(harmless("  spaced   out ", 99), "spaced out");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(harmless(&"x".repeat(1_000_000), 3), "xxx…");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(shell_word("claude/me@example.com"), "claude/me@example.com");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("$(x)"), "'$(x)'");
    }

    #[test]
    fn any_text_makes_a_file_name_and_comes_back() {
        for text in ["me@example.com", "..", ".hidden", "a/b", "auth0|12%3", "имя", "a b"] {
            let name = file_name(text);
            assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
            assert_eq!(from_file_name(&name).as_deref(), Some(text));
        }
        assert_eq!(file_name("me@example.com"), "me@example.com");
        assert_eq!(from_file_name("a.json.damaged-1~"), None);
        assert_eq!(from_file_name("%2"), None);
    }

    #[test]
    fn no_name_is_too_long_for_a_file() {
        for text in ["x".repeat(300), "ы".repeat(128), "🔑".repeat(128)] {
            let name = short_name(&text);
            assert!(text.starts_with(&name) && (180..=200).contains(&file_name(&name).len()));
        }
    }

    #[test]
    fn what_was_sent_does_not_come_back() {
        let secrets = ["rt_0123456789", "s3cret", ""];
        assert_eq!(scrub("bad rt_0123456789, s3cret!", &secrets), "bad …, …!");
        assert_eq!(scrub("bad rt_01234567", &secrets), "bad …", "cut by the server");
        assert_eq!(scrub("rt_other", &secrets), "rt_other");
        let alike = ["eyJhbGciOi.first", "eyJhbGciOi.second-one", ""];
        assert_eq!(scrub("a eyJhbGciOi.second-one ä", &alike), "a … ä", "secrets begin alike");
        assert_eq!(scrub("eyJhbGciOi.firsteyJhbGciOi.second-one", &alike), "……");
    }

    #[test]
    fn lists_read_well() {
        let items = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(list(&items(1)), "0");
        assert_eq!(list(&items(3)), "0, 1 and 2");
    }
}
