//! A person with a browser: one cookie jar, redirects followed, the form of the identity provider
//! sent.

use super::{Jar, header};
use crate::support::browser::{self, Page, Redirect};

const MOST_STEPS: usize = 10;

/// Where a browser keeps the cookies of one instance.
#[derive(Default)]
pub struct Person {
    jar: Jar,
    /// Where the browser has been, path and query.
    pub visited: Vec<String>,
}

impl Person {
    /// Opens the sign-in address and signs in, up to the redirect to the loopback callback, which
    /// is not visited. `origin` is where the instance really listens.
    #[track_caller]
    pub fn sign_in(&mut self, url: &str, origin: &str) -> Redirect {
        let mut target = browser::split(&url.replacen("https://", "http://", 1)).1;
        let mut method = "GET";
        for _ in 0..MOST_STEPS {
            let page = self.visit(method, &format!("{origin}{target}"));
            self.visited.push(target.clone());
            match page.header("location") {
                Some(next) if next.starts_with("http://localhost:") => {
                    return Redirect { location: next.to_owned() };
                }
                Some(next) => (method, target) = ("GET", next.to_owned()),
                None if page.body.contains("<form method=\"post\">") => method = "POST",
                None => panic!("the sign-in ended on {page:#?}"),
            }
        }
        panic!("the sign-in goes round in circles: {:?}", self.visited);
    }

    #[track_caller]
    fn visit(&mut self, method: &str, url: &str) -> Page {
        let cookie = header(&self.jar);
        let headers = [("Cookie", cookie.as_str())];
        let sent = if self.jar.is_empty() { &[][..] } else { &headers };
        let page = browser::request(method, url, sent, "");
        let page = page.unwrap_or_else(|e| panic!("{method} {url}: {e}"));
        for (name, value) in &page.headers {
            if name.eq_ignore_ascii_case("set-cookie") {
                let pair = value.split(';').next().and_then(|pair| pair.split_once('='));
                let (name, value) = pair.expect("a cookie has a name and a value");
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }
}
