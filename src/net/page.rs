//! What a person sees in the browser at the end of a sign-in: one small page, no outside resource.

const TEMPLATE: &str = include_str!("page.html");

/// The sign-in worked.
pub fn success(text: &str) -> String {
    render("Signed in", text, "✓", "#1a7f37")
}

/// It did not, or not yet.
pub fn failure(text: &str) -> String {
    render("Not signed in", text, "✕", "#d1242f")
}

fn render(title: &str, text: &str, mark: &str, colour: &str) -> String {
    // The text comes last: what it holds is never searched for places to fill.
    TEMPLATE
        .replace("{title}", title)
        .replace("{mark}", mark)
        .replace("{colour}", colour)
        .replace("{text}", &escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_text_stays_text() {
        let page = failure("<script>alert('x')</script> {title} & \"y\"");
        assert!(page.contains(
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; {title} &amp; &quot;y&quot;"
        ));
        assert!(!page.contains("<script"));
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = success("ok");
        for word in ["http:", "https:", "src=", "href=", "url(", "@import", "{title}", "{mark}"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
