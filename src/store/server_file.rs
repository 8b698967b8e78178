//! What is known of an MCP server: `servers/ID.json`, 0600. Its row, as it was found out, and the
//! clients that its authorization servers registered for us.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::account::AccountId;
use crate::error::{Error, Result};
use crate::provider::{ClientAuth, Provider, merge};
use crate::secret::Secret;
use crate::store::{AccountLock, Config, Store, file, file_names, lock, remove};
use crate::text;

/// One MCP server.
#[derive(Clone, Debug)]
pub struct Server {
    /// The row as the stored sign-in was made with it.
    pub row: Provider,
    pub registrations: Vec<Registration>,
    /// The resource that the person said to ask for; empty: to ask for none.
    pub resource: Option<String>,
}

/// A client at an authorization server: one that it registered for us (RFC 7591), good at that issuer
/// and for that redirect URI only; or one that the person gave, good at that issuer.
#[derive(Clone, Debug)]
pub struct Registration {
    pub issuer: String,
    pub redirect_uri: String,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub client_auth: ClientAuth,
    /// The scopes that it was registered with, which bound it (RFC 7591 section 2); none: it may ask
    /// for any.
    pub scopes: Vec<String>,
    /// Unix seconds; None: for ever.
    pub expires_at: Option<i64>,
    /// The person's own, which nothing replaces.
    pub is_given: bool,
}

#[derive(Deserialize, Serialize)]
struct OnDisk {
    version: u8,
    row: Value,
    #[serde(default)]
    registrations: Vec<RegistrationOnDisk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct RegistrationOnDisk {
    issuer: String,
    redirect_uri: String,
    client_id: String,
    client_secret: Option<String>,
    client_auth: ClientAuth,
    #[serde(default)]
    scopes: Vec<String>,
    expires_at: Option<i64>,
    #[serde(default)]
    is_given: bool,
}

impl Store {
    fn server_path(&self, id: &str) -> PathBuf {
        self.home.join("servers").join(format!("{}.json", text::file_name(id)))
    }

    pub fn read_server(&self, id: &str) -> Result<Option<Server>> {
        let path = self.server_path(id);
        let Some(bytes) = file::read(&path)? else { return Ok(None) };
        let parsed = serde_json::from_slice::<OnDisk>(&bytes).ok();
        let server = parsed.and_then(|found| {
            let row = serde_json::from_value(found.row).ok()?;
            let registrations = found.registrations.into_iter().map(Registration::of).collect();
            Some(Server { row, registrations, resource: found.resource })
        });
        // Nothing is lost with it: a login finds it all out again.
        server.map(Some).ok_or_else(|| {
            Error::store(&path, "use", "it is damaged").or_try(format!("rm {}", path.display()))
        })
    }

    pub fn write_server(&self, server: &Server) -> Result<()> {
        let path = self.server_path(&server.row.id);
        let failed = |e| Error::store(&path, "write", e);
        let row = serde_json::to_value(&server.row).map_err(failed)?;
        let registrations = server.registrations.iter().map(Registration::on_disk).collect();
        let resource = server.resource.clone();
        let disk = OnDisk { version: 1, row, registrations, resource };
        file::write(&path, &serde_json::to_vec(&disk).map_err(failed)?)
    }

    /// The row of the sign-in that is stored now takes the place of the one before.
    pub fn keep_server_row(&self, row: &Provider, limit: Duration) -> Result<()> {
        let _lock = self.lock_server(&row.id, limit)?;
        let known = self.read_server(&row.id)?;
        let (registrations, resource) =
            known.map_or((Vec::new(), None), |known| (known.registrations, known.resource));
        self.write_server(&Server { row: row.clone(), registrations, resource })
    }

    /// Forgets the server; false when it was not known.
    pub fn remove_server(&self, id: &str) -> Result<bool> {
        remove(&self.server_path(id))
    }

    /// The rows that are not built in: of servers, and over them what people write.
    pub fn rows(&self, config: &Config) -> Map<String, Value> {
        let mut rows = Value::Object(self.server_rows());
        merge(&mut rows, config.providers().into());
        rows.as_object().cloned().unwrap_or_default()
    }

    /// The rows of all servers by id; what cannot be read is left out, and told by its own command.
    fn server_rows(&self) -> Map<String, Value> {
        let names = file_names(&self.home.join("servers")).unwrap_or_default();
        let ids = names.iter().filter_map(|name| text::from_file_name(name.strip_suffix(".json")?));
        let row = |id: String| {
            let bytes = file::read(&self.server_path(&id)).ok()??;
            let found: OnDisk = serde_json::from_slice(&bytes).ok()?;
            Some((id, found.row))
        };
        ids.filter_map(row).collect()
    }

    /// The lock of whoever asks a person to sign in to this server, if nobody does now. A person may
    /// take minutes, so it is not the account's lock.
    pub fn try_sign_in_lock(&self, id: &str) -> Result<Option<AccountLock>> {
        lock::try_lock(&self.server_path(id).with_extension("sign-in.lock"))
    }

    /// The lock of whoever changes what is known of the server.
    pub fn lock_server(&self, id: &str, limit: Duration) -> Result<AccountLock> {
        super::wait_for_lock(&self.server_path(id).with_extension("lock"), limit)
    }

    /// The account at a server; None: nobody is signed in there.
    pub fn account_at(&self, provider: &str) -> Result<Option<AccountId>> {
        match self.accounts(provider)?.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            several => self.default_of(several).map(Some),
        }
    }
}

impl Registration {
    fn of(found: RegistrationOnDisk) -> Registration {
        Registration {
            issuer: found.issuer,
            redirect_uri: found.redirect_uri,
            client_id: found.client_id,
            client_secret: found.client_secret.map(Secret::new),
            client_auth: found.client_auth,
            scopes: found.scopes,
            expires_at: found.expires_at,
            is_given: found.is_given,
        }
    }

    fn on_disk(&self) -> RegistrationOnDisk {
        RegistrationOnDisk {
            issuer: self.issuer.clone(),
            redirect_uri: self.redirect_uri.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
            client_auth: self.client_auth,
            scopes: self.scopes.clone(),
            expires_at: self.expires_at,
            is_given: self.is_given,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ID: &str = "mcp-mcp-example-com-01234567";

    fn store() -> Store {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("keyfob-server-{:016x}", u64::from_ne_bytes(random));
        let home = std::env::temp_dir().join(name);
        file::make_folder(&home).unwrap();
        Store { home, is_in_memory: true, config: None }
    }

    fn registration(secret: Option<&str>) -> Registration {
        Registration {
            issuer: "https://id.example.com".to_owned(),
            redirect_uri: "http://127.0.0.1:20001/callback".to_owned(),
            client_id: "client-1".to_owned(),
            client_secret: secret.map(Secret::new),
            client_auth: ClientAuth::Basic,
            scopes: vec!["read".to_owned()],
            expires_at: Some(1_900_000_000),
            is_given: false,
        }
    }

    fn server() -> Server {
        let mut row = Provider::named(ID).unwrap();
        row.server = Some("https://mcp.example.com/mcp".to_owned());
        row.scopes = vec!["read".to_owned()];
        row.token_params.insert("resource".to_owned(), "https://mcp.example.com/mcp".to_owned());
        row.pkce_unlisted = true;
        let registrations = vec![registration(Some("hunter2")), registration(None)];
        Server { row, registrations, resource: Some("https://mcp.example.com/".to_owned()) }
    }

    #[test]
    fn what_is_known_of_a_server_comes_back() {
        let store = store();
        assert!(store.read_server(ID).unwrap().is_none());
        store.write_server(&server()).unwrap();
        let found = store.read_server(ID).unwrap().unwrap();
        let row = |server: &Server| serde_json::to_value(&server.row).unwrap();
        assert_eq!(row(&found), row(&server()));
        assert_eq!(found.registrations.len(), 2);
        for (one, wanted) in found.registrations.iter().zip(server().registrations) {
            assert_eq!(one.client_secret, wanted.client_secret);
            assert_eq!(format!("{one:?}"), format!("{wanted:?}"));
        }
        let shown = format!("{found:?}");
        assert!(!shown.contains("hunter2") && shown.contains("[redacted]"), "{shown}");
        store.discard();
    }

    #[test]
    fn the_file_is_private_and_of_one_server() {
        let store = store();
        store.write_server(&server()).unwrap();
        let path = store.home.join("servers").join(format!("{ID}.json"));
        let mode =
            |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let rows = store.server_rows();
        assert_eq!(rows.keys().collect::<Vec<_>>(), [ID]);
        assert_eq!(rows[ID]["server"], "https://mcp.example.com/mcp");
        assert!(!Value::from(rows).to_string().contains("hunter2"), "a row holds no secret");
        assert!(store.remove_server(ID).unwrap() && !store.remove_server(ID).unwrap());
        assert!(store.server_rows().is_empty());
        store.discard();
    }

    #[test]
    fn a_damaged_file_is_named_and_hides_no_other() {
        let store = store();
        store.write_server(&server()).unwrap();
        let path = store.server_path("mcp-other-89abcdef");
        file::write(&path, br#"{"version":1,"row":"#).unwrap();
        let error = store.read_server("mcp-other-89abcdef").unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
        assert!(error.to_string().contains("mcp-other-89abcdef.json"), "{error}");
        assert_eq!(error.next(), Some(format!("rm {}", path.display()).as_str()));
        assert_eq!(store.server_rows().len(), 1);
        store.discard();
    }

    #[test]
    fn one_asks_at_a_time() {
        let store = store();
        store.write_server(&server()).unwrap();
        let held = store.try_sign_in_lock(ID).unwrap();
        assert!(held.is_some());
        assert!(store.try_sign_in_lock(ID).unwrap().is_none());
        // Whoever asks does not keep others from what is known of the server.
        assert!(store.lock_server(ID, std::time::Duration::ZERO).is_ok());
        drop(held);
        assert!(store.try_sign_in_lock(ID).unwrap().is_some());
        store.discard();
    }
}
