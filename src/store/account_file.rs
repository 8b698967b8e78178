//! The shape of an account on disk (CLI.md section 4). Unknown fields survive a rewrite.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::account::{Account, AccountId, AccountRef, Identity, OauthClient, Refusal};
use crate::credential::{Credential, Minted, Tokens};
use crate::secret::Secret;
use crate::time::Timestamp;

const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Disk {
    version: u32,
    provider: String,
    account: String,
    kind: String,
    access_token: Option<String>,
    refresh_token: Option<String>,
    id_token: Option<String>,
    token_type: Option<String>,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    identity: Identity,
    created_at: Option<Timestamp>,
    refreshed_at: Option<Timestamp>,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(default)]
    extra: Map<String, Value>,
    /// A Google service account's key file.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account: Option<Value>,
    /// The file of another tool whose sign-in this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    borrowed_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_by: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    login_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refusal>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The account in `bytes`; Err says in words what is damaged, without quoting the file.
pub fn parse(id: &AccountId, bytes: &[u8]) -> Result<Account, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    let disk: Disk = serde_json::from_slice(bytes).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => "a field is missing or of the wrong type".to_owned(),
        _ => format!("it is no JSON from line {} on", e.line()),
    })?;
    if disk.version > VERSION {
        return Err(format!("it was written by a newer keyfob (version {})", disk.version));
    }
    if disk.provider != id.provider {
        return Err("it belongs to another provider".to_owned());
    }
    let credential = match disk.kind.as_str() {
        "oauth" => Credential::Oauth(Tokens {
            access_token: secret(disk.access_token).ok_or("it holds no access token")?,
            refresh_token: secret(disk.refresh_token),
            id_token: secret(disk.id_token),
            token_type: disk.token_type.unwrap_or_else(|| "Bearer".to_owned()),
            expires_at: disk.expires_at,
            scopes: disk.scopes,
        }),
        "bearer" if disk.borrowed_from.is_some() => {
            Credential::Tool(disk.borrowed_from.unwrap_or_default(), Minted::none())
        }
        "cookie" => {
            let cookies = secret(disk.access_token).ok_or("it holds no cookies in access_token")?;
            Credential::Cookie(cookies, disk.expires_at)
        }
        "entra" => Credential::Entra(minted(disk.access_token, disk.expires_at)),
        "service_account" => {
            let key = disk.service_account.ok_or("it holds no service_account")?;
            let minted = minted(disk.access_token, disk.expires_at);
            Credential::ServiceAccount(Secret::new(key.to_string()), minted)
        }
        "bearer" => {
            let token = secret(disk.access_token).ok_or("it holds no token in access_token")?;
            Credential::Bearer(token, disk.expires_at)
        }
        "api_key" => {
            Credential::ApiKey(secret(disk.access_token).ok_or("it holds no key in access_token")?)
        }
        _ => return Err("its kind is unknown to this version".to_owned()),
    };
    let mut extra = disk.extra;
    let api_token = take_api_token(&mut extra);
    let created_at = disk.created_at.or(disk.refreshed_at).unwrap_or(Timestamp(0));
    Ok(Account {
        id: id.clone(),
        credential,
        api_token,
        identity: disk.identity,
        client: disk.client_id.map(|id| OauthClient { id, secret: secret(disk.client_secret) }),
        issued_by: disk.issued_by,
        login_ids: disk.login_ids,
        created_at,
        refreshed_at: disk.refreshed_at.unwrap_or(created_at),
        refused: disk.refused,
        attributes: disk.attributes,
        extra,
        unknown: disk.unknown,
    })
}

/// An account that says itself whose it is.
pub fn parse_export(bytes: &[u8]) -> Result<Account, String> {
    let whole: Value = serde_json::from_slice(bytes).map_err(|_| "it is no JSON")?;
    let word = |key: &str| whole.get(key).and_then(Value::as_str).unwrap_or_default();
    // The same rules as for what is typed: these become names of files.
    let typed: AccountRef = format!("{}/{}", word("provider"), word("account")).parse()?;
    let account = typed.account.ok_or("it names no account")?;
    parse(&AccountId { provider: typed.provider, account }, bytes)
}

/// The second token stands among the provider's facts (CLI.md section 4): null before it was had.
fn take_api_token(extra: &mut Map<String, Value>) -> Option<Minted> {
    let token = extra.remove("api_token")?.as_str().map(str::to_owned);
    let expires_at = extra.remove("api_token_expires_at");
    let expires_at = expires_at.and_then(|at| serde_json::from_value(at).ok());
    Some(minted(token, expires_at))
}

fn put_api_token(extra: &mut Map<String, Value>, minted: &Minted) {
    let token = minted.token.expose();
    let token = (!token.is_empty()).then(|| token.to_owned());
    let expires_at = minted.expires_at.filter(|_| token.is_some());
    extra.insert("api_token".to_owned(), json!(token));
    extra.insert("api_token_expires_at".to_owned(), json!(expires_at));
}

fn minted(token: Option<String>, expires_at: Option<Timestamp>) -> Minted {
    secret(token).map_or_else(Minted::none, |token| Minted { token, expires_at })
}

fn secret(text: Option<String>) -> Option<Secret> {
    text.filter(|text| !text.is_empty()).map(Secret::new)
}

/// The file's bytes: one JSON object and a newline.
pub fn render(account: &Account) -> Result<Vec<u8>, serde_json::Error> {
    let own = |secret: &Secret| secret.expose().to_owned();
    let tokens = account.credential.oauth();
    let client = account.client.as_ref();
    let mut extra = account.extra.clone();
    if let Some(minted) = &account.api_token {
        put_api_token(&mut extra, minted);
    }
    let (service_account, borrowed_from) = match &account.credential {
        Credential::ServiceAccount(key, _) => (serde_json::from_str(key.expose()).ok(), None),
        Credential::Tool(path, _) => (None, Some(path.clone())),
        _ => (None, None),
    };
    // A sign-in that is read in place is not copied.
    let held = borrowed_from.is_none().then(|| own(account.credential.secret()));
    let held = held.filter(|held| !held.is_empty());
    let disk = Disk {
        version: VERSION,
        provider: account.id.provider.clone(),
        account: account.id.account.clone(),
        kind: account.credential.kind().to_owned(),
        access_token: held.clone(),
        refresh_token: tokens.and_then(|tokens| tokens.refresh_token.as_ref().map(own)),
        id_token: tokens.and_then(|tokens| tokens.id_token.as_ref().map(own)),
        token_type: account.credential.token_type().map(str::to_owned),
        expires_at: account.credential.expires_at().filter(|_| held.is_some()),
        scopes: account.credential.scopes().to_vec(),
        identity: account.identity.clone(),
        created_at: Some(account.created_at),
        refreshed_at: Some(account.refreshed_at),
        attributes: account.attributes.clone(),
        extra,
        service_account,
        borrowed_from,
        client_id: client.map(|client| client.id.clone()),
        client_secret: client.and_then(|client| client.secret.as_ref().map(own)),
        issued_by: account.issued_by.clone(),
        login_ids: account.login_ids.clone(),
        refused: account.refused.clone(),
        unknown: account.unknown.clone(),
    };
    let mut bytes = serde_json::to_vec_pretty(&disk)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AccountId {
        AccountId { provider: "p".to_owned(), account: "a".to_owned() }
    }

    fn read(text: &str) -> Result<Account, String> {
        parse(&id(), text.as_bytes())
    }

    const FILE: &str = r#"{"version":1,"provider":"p","account":"a","kind":"oauth",
        "access_token":"t","refresh_token":"r","id_token":null,"token_type":"Bearer",
        "expires_at":"2026-12-31T23:59:59Z","scopes":["s"],"identity":{"email":"me@x"},
        "created_at":"2026-01-01T00:00:00Z","refreshed_at":"2026-01-02T00:00:00Z",
        "attributes":{"note":"n"},"extra":{"project":"x"},"of_tomorrow":[1,{"a":2}]}"#;

    #[test]
    fn a_file_survives_the_round_trip() {
        let account = read(FILE).unwrap();
        let again = parse(&id(), &render(&account).unwrap()).unwrap();
        assert_eq!(again.unknown["of_tomorrow"][1]["a"], 2);
        assert_eq!(again.attributes["note"], "n");
        assert_eq!(again.credential.secret().expose(), "t");
        assert_eq!(again.refreshed_at, Timestamp::parse("2026-01-02T00:00:00Z").unwrap());
    }

    #[test]
    fn damage_is_named_without_quoting_the_file() {
        for (text, word) in [
            ("", "empty"),
            ("{\"version\":1,", "JSON"),
            ("\u{0}\u{1}\u{2}", "JSON"),
            ("{}", "field"),
            ("[]", "field"),
            (&FILE.replace("\"t\"", "7"), "field"),
            (&FILE.replace("\"t\"", "\"\""), "access token"),
            (&FILE.replace("\"version\":1", "\"version\":2"), "newer"),
            (&FILE.replace("\"oauth\"", "\"magic\""), "kind"),
            (&FILE.replace("\"p\"", "\"q\""), "another provider"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
