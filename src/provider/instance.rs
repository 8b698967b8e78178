//! Providers that customers run at addresses of their own: one normal form of such an address, and
//! the row as it is there.

use std::borrow::Cow;

use serde_json::{Map, Value};
use ureq::http::Uri;

use crate::endpoint;
use crate::error::{Error, Result};
use crate::provider::table::merge;
use crate::provider::{Instance, Provider, wrong_row};

impl Instance {
    /// The one form in which an address is stored and found: lower-case origin, and its path
    /// without what belongs to the product. A bare host name counts as https.
    pub fn normalise(&self, typed: &str) -> Result<String> {
        let typed = typed.trim();
        let with_scheme =
            if typed.contains("://") { typed.to_owned() } else { format!("https://{typed}") };
        let bare = with_scheme.split(['?', '#']).next().unwrap_or_default();
        endpoint::check("--url", bare)?;
        let wrong = || Error::usage("--url wants the address of the installation");
        let origin = endpoint::origin(bare).ok_or_else(wrong)?;
        let path = bare.parse::<Uri>().map_err(|_| wrong())?.path().to_owned();
        let mut path = path.trim_end_matches('/');
        for known in &self.strip {
            let end = path.to_ascii_lowercase().find(known.as_str());
            let is_whole = |end: &usize| matches!(path.get(end + known.len()..), Some(rest) if rest.is_empty() || rest.starts_with('/'));
            if let Some(end) = end.filter(is_whole) {
                path = path.get(..end).unwrap_or_default().trim_end_matches('/');
            }
        }
        Ok(format!("{origin}{path}"))
    }
}

/// The host of an address, with its port where that is unusual, and its path: the name of an
/// account there.
pub fn name_of(instance: &str) -> String {
    instance.split_once("://").map_or(instance, |(_, rest)| rest).to_owned()
}

impl Provider {
    /// The address that this row is at, where its provider has many.
    pub fn address(&self) -> Option<&str> {
        self.instance.as_ref()?.address.as_deref()
    }

    /// The row of an account: at its address, if it has one.
    pub fn at(&self, address: Option<&str>) -> Result<Cow<'_, Provider>> {
        match address {
            Some(address) => self.at_instance(address).map(Cow::Owned),
            None => Ok(Cow::Borrowed(self)),
        }
    }

    /// The row as it is at a normalised address.
    pub fn at_instance(&self, address: &str) -> Result<Provider> {
        let Some(instance) = &self.instance else { return Ok(self.clone()) };
        let mut row = serde_json::to_value(self).map_err(|_| wrong_row(&self.id, &Value::Null))?;
        merge(&mut row, filled(&Value::Object(instance.row.clone()), address));
        let mut there =
            Provider::from_value(&self.id, &row).ok_or_else(|| wrong_row(&self.id, &row))?;
        if let Some(instance) = &mut there.instance {
            instance.address = Some(address.to_owned());
        }
        there.client_secret.clone_from(&self.client_secret);
        Ok(there)
    }
}

fn filled(value: &Value, address: &str) -> Value {
    match value {
        Value::String(text) => {
            let text = text.replace("{instance}", address).replace("{host}", &name_of(address));
            Value::from(text)
        }
        Value::Array(all) => all.iter().map(|one| filled(one, address)).collect(),
        Value::Object(object) => {
            let pairs = object.iter().map(|(key, value)| (key.clone(), filled(value, address)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance() -> Instance {
        let strip = vec!["/code-api".to_owned()];
        let row =
            json!({"token_url": "https://api.{host}/t", "api": {"base": "{instance}/code-api"}});
        let row = row.as_object().unwrap().clone();
        Instance { required: true, address: None, env: Vec::new(), strip, row }
    }

    #[test]
    fn an_address_has_one_form() {
        for typed in [
            "https://Lab.Example.com",
            "lab.example.com",
            " https://lab.example.com/ ",
            "https://lab.example.com:443//",
            "https://lab.example.com/code-api",
            "https://lab.example.com/Code-API/v1/user?x=1#y",
        ] {
            assert_eq!(instance().normalise(typed).unwrap(), "https://lab.example.com", "{typed}");
        }
        let other = instance().normalise("https://lab.example.com/code-apis/").unwrap();
        assert_eq!(other, "https://lab.example.com/code-apis");
        let local = instance().normalise("http://127.0.0.1:8080/x/code-api").unwrap();
        assert_eq!(local, "http://127.0.0.1:8080/x");
        for bad in ["", "http://lab.example.com", "ftp://x", "https://me:pw@x", "https://"] {
            assert!(instance().normalise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_row_is_filled_in() {
        let mut row = Provider::named("x").unwrap();
        row.client_secret = vec!["s".to_owned()];
        row.instance = Some(instance());
        let there = row.at_instance("https://lab.example.com").unwrap();
        assert_eq!(there.token_url.as_deref(), Some("https://api.lab.example.com/t"));
        assert_eq!(there.api.unwrap().base, "https://lab.example.com/code-api");
        assert_eq!(there.client_secret, ["s"]);
    }
}
