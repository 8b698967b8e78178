//! Percent-encoding and `application/x-www-form-urlencoded`, both ways.

/// RFC 3986 section 2.3: unreserved characters stay, every other byte becomes `%XX`.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `a=1&b=2` with both sides encoded; a space is `%20`, which forms and queries both read.
pub fn encode_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    let pair =
        |(key, value): &(K, V)| format!("{}={}", encode(key.as_ref()), encode(value.as_ref()));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// `%XX` and `+` undone; a broken escape stays as it is, invalid UTF-8 is replaced.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The decoded pairs of a query or form body, in order.
pub fn decode_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_the_round_trip() {
        for text in ["", "a b&c=d", "ключ", "100%", "https://x/y?z=1#f", "a+b"] {
            assert_eq!(decode(&encode(text)), text);
        }
        assert_eq!(encode("a b+c/é"), "a%20b%2Bc%2F%C3%A9");
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(decode("100%&%zz%4"), "100%&%zz%4");
        assert_eq!(decode("a+b%20c"), "a b c");
    }

    #[test]
    fn pairs_are_split_and_decoded() {
        let pairs = decode_pairs("code=a%2Fb&state=&&flag");
        let expected = [("code", "a/b"), ("state", ""), ("flag", "")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
