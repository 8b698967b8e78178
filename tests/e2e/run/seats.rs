//! One account of every kind, each with the API that its built-in row leads to.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::support::command::Cmd;
use crate::support::google_token::GoogleToken;
use crate::support::idp::dialect::path_and_query;
use crate::support::idp::encoding::{jwt, now_s};
use crate::support::idp::{Dialect, Fault, Idp, Times};
use crate::support::model_api::{Api, Door, Speech};
use crate::support::rsa_key::RsaKey;
use crate::support::sandbox::{Sandbox, in_seconds, oauth_account};

/// In the order in which keyfob shows them.
pub const ALL: [&str; 15] = [
    "anthropic-api/default",
    "azure/entra",
    "azure/key",
    "claude/me@example.com",
    "codemie/jwt",
    "codemie/session",
    "copilot/user-1",
    "gemini/me@example.com",
    "gemini-api/default",
    "groq/default",
    "my.llm/default",
    "openai/me@example.com",
    "openai-api/default",
    "vertex/robot",
    "xai/default",
];

/// A home, its accounts, and their APIs.
pub struct Home {
    pub sandbox: Sandbox,
    pub seats: Vec<Seat>,
}

/// One account.
pub struct Seat {
    /// PROVIDER/ACCOUNT
    pub name: String,
    pub api: Api,
    /// Of an account that signed in.
    pub idp: Option<Arc<Idp>>,
    /// Of a service account.
    pub google: Option<Arc<GoogleToken>>,
    /// What its API takes now.
    pub secret: String,
}

impl Seat {
    fn plain(name: &str, api: Api, secret: String) -> Seat {
        Seat { name: name.to_owned(), api, idp: None, google: None, secret }
    }
}

fn row(id: &str) -> &'static Value {
    static ROWS: OnceLock<Vec<Value>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| {
        let list = Sandbox::new().cmd(&["provider", "list", "--json"]).run();
        list.ok().json()["providers"].as_array().expect("a list of rows").clone()
    });
    rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no row {id}"))
}

impl Home {
    pub fn empty() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write_config(&json!({"providers": {}}));
        Home { sandbox, seats: Vec::new() }
    }

    pub fn of(names: &[&str]) -> Self {
        let mut home = Home::empty();
        names.iter().for_each(|name| home.sit_down(name));
        home
    }

    pub fn cmd(&self, words: &[&str]) -> Cmd {
        // The metadata service of the machine is left alone.
        self.sandbox.cmd(words).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    }

    /// `words` are divided by spaces.
    pub fn say(&self, words: &str) -> Cmd {
        self.cmd(&words.split_whitespace().collect::<Vec<_>>())
    }

    pub fn seat(&self, name: &str) -> &Seat {
        let found = self.seats.iter().find(|seat| seat.name == name);
        found.unwrap_or_else(|| panic!("nobody sits at {name}"))
    }

    /// The only API.
    pub fn api(&self) -> &Api {
        assert_eq!(self.seats.len(), 1);
        &self.seats[0].api
    }

    /// Sets one key of config.json; `path` is divided by slashes.
    pub fn configure(&self, path: &str, value: Value) {
        let mut config = self.sandbox.read_config();
        let mut at = &mut config;
        for key in path.split('/') {
            at = &mut at[key];
        }
        *at = value;
        self.sandbox.write_config(&config);
    }

    /// No API and no issuer has a complaint.
    #[track_caller]
    pub fn is_content(&self) {
        for seat in &self.seats {
            seat.api.assert_content();
            if let Some(idp) = &seat.idp {
                idp.assert_content();
            }
            if let Some(google) = &seat.google {
                google.assert_content();
            }
        }
    }

    /// No secret of any account stands in the text.
    #[track_caller]
    pub fn tells_nothing(&self, text: &str) {
        for seat in &self.seats {
            // Of a cookie the value alone is the secret.
            let cookie = seat.secret.strip_prefix("_oauth2_proxy=");
            let secret = cookie.unwrap_or(&seat.secret);
            assert!(!text.contains(secret), "{}: its secret is in\n{text}", seat.name);
        }
    }

    pub fn sit_down(&mut self, name: &str) {
        let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
        let seat = match provider {
            "claude" | "gemini" | "openai" => self.signed_in(provider, account),
            "copilot" => self.bought(name),
            "azure" | "codemie" => self.at_an_instance(name),
            "vertex" => self.robot(name),
            "my.llm" => self.added(name),
            _ => self.with_key(provider, account),
        };
        self.seats.push(seat);
    }

    /// The row's API base, moved to this API.
    fn lead(&self, provider: &str, api: &Api) {
        let base = row(provider)["api"]["base"].as_str().expect("a base");
        let base = format!("{}{}", api.origin(), path_and_query(base).0);
        self.configure(&format!("providers/{provider}/api/base"), json!(base));
    }

    /// Google's mail: signed in, and no model API behind it.
    pub fn add_mail(&mut self) {
        let row = row("google");
        let idp = Arc::new(Idp::start(Dialect::from_row(row, None)));
        let mut overlay = idp.overlay(&json!([row]))["providers"]["google"].clone();
        let dialect = idp.dialect();
        overlay["client_id"] = json!(dialect.client_id);
        self.configure("providers/google", overlay);
        self.configure("client_secrets", json!({"google": dialect.client_secret}));
        let grant = idp.grant();
        let mut value = oauth_account("google", "me@example.com", &grant, 3000);
        value["issued_by"] = json!(idp.origin());
        self.sandbox.write_account("google", "me@example.com", &value);
        let api = Api::start(door("groq"), |_| false);
        let seat = Seat::plain("google/me@example.com", api, grant.access_token);
        self.seats.push(Seat { idp: Some(idp), ..seat });
    }

    /// Ready through a variable alone, which is returned with its value.
    pub fn add_variable(&mut self) -> (&'static str, String) {
        let seat = self.with_key("mistral", "default");
        std::fs::remove_file(self.sandbox.account_file("mistral", "default")).expect("a file");
        let secret = seat.secret.clone();
        self.seats.push(seat);
        ("MISTRAL_API_KEY", secret)
    }

    /// Changes keys of an account's file.
    pub fn amend(&self, name: &str, change: &Value) {
        let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
        let mut value = self.sandbox.read_account(provider, account);
        for (key, part) in change.as_object().expect("an object") {
            value[key] = part.clone();
        }
        self.sandbox.write_account(provider, account, &value);
    }

    fn write(&self, name: &str, kind: &str, change: &Value) {
        let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
        let mut value = json!({"version": 1, "provider": provider, "account": account, "kind": kind,
            "expires_at": in_seconds(3000), "refreshed_at": in_seconds(-600),
            "created_at": in_seconds(-86_400)});
        for (key, part) in change.as_object().expect("an object") {
            value[key] = part.clone();
        }
        self.sandbox.write_account(provider, account, &value);
    }

    fn with_key(&self, provider: &str, account: &str) -> Seat {
        let secret = format!("sk-{provider}-0123456789-abcdef");
        let value = match provider {
            "anthropic-api" | "gemini-api" => secret.clone(),
            _ => format!("Bearer {secret}"),
        };
        let api = Api::start(door(provider), move |shown| shown == value);
        self.lead(provider, &api);
        let name = format!("{provider}/{account}");
        self.write(&name, "api_key", &json!({"access_token": secret, "expires_at": null}));
        Seat::plain(&name, api, secret)
    }

    fn added(&self, name: &str) -> Seat {
        let secret = "sk-my-llm-0123456789-abcdef".to_owned();
        let value = format!("Bearer {secret}");
        let api = Api::start(door("my.llm"), move |shown| shown == value);
        let base = format!("{}/v1", api.origin());
        let words =
            ["provider", "add", "my.llm", "--base-url", &base, "--model", "m-1", "--api-key-stdin"];
        self.cmd(&words).stdin(secret.clone()).run().ok();
        Seat::plain(name, api, secret)
    }

    fn signed_in(&self, provider: &str, account: &str) -> Seat {
        let row = row(provider);
        let idp = Arc::new(Idp::start(Dialect::from_row(row, None)));
        let issuer = Arc::clone(&idp);
        let api = Api::start(door(provider), move |shown| {
            shown.strip_prefix("Bearer ").is_some_and(|token| issuer.accepts_access(token))
        });
        let overlay = idp.overlay(&json!([row]))["providers"][provider].clone();
        self.configure(&format!("providers/{provider}"), overlay);
        self.lead(provider, &api);
        let grant = idp.grant();
        let mut value = oauth_account(provider, account, &grant, 3000);
        value["issued_by"] = json!(idp.origin());
        match provider {
            "openai" => value["extra"] = json!({"account_id": "acct-user-1"}),
            "gemini" => value["extra"] = json!({"project_id": "demo-project"}),
            _ => {}
        }
        self.sandbox.write_account(provider, account, &value);
        let name = format!("{provider}/{account}");
        Seat { idp: Some(idp), ..Seat::plain(&name, api, grant.access_token) }
    }

    /// Copilot: a second token is what its API takes.
    fn bought(&self, name: &str) -> Seat {
        let row = row("copilot");
        let idp = Arc::new(Idp::start(Dialect::from_row(row, None)));
        let secret = "tid=second-0123456789;exp=1".to_owned();
        let value = format!("Bearer {secret}");
        let issuer = Arc::clone(&idp);
        let api = Api::start(door("copilot"), move |shown| {
            let token = shown.strip_prefix("Bearer ").unwrap_or_default();
            shown == value || issuer.accepts_api_token(token)
        });
        // Each second token names the API it is for.
        let patch = json!({"endpoints": {"api": api.origin()}});
        idp.fault("api_token", Fault::Patch(patch), Times::Always);
        let overlay = idp.overlay(&json!([row]))["providers"]["copilot"].clone();
        self.configure("providers/copilot", overlay);
        self.lead("copilot", &api);
        let extra = json!({"api_token": secret, "api_token_expires_at": in_seconds(1500)});
        let first = json!({"access_token": idp.grant().access_token, "expires_at": null,
            "extra": extra, "issued_by": idp.origin()});
        self.write(name, "oauth", &first);
        Seat { idp: Some(idp), ..Seat::plain(name, api, secret) }
    }

    fn at_an_instance(&self, name: &str) -> Seat {
        let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
        let token = || jwt(&json!({"exp": now_s() + 3000, "sub": name}));
        let (kind, header, secret) = match account {
            "entra" => ("entra", "authorization", token()),
            "jwt" => ("bearer", "authorization", token()),
            "key" => ("api_key", "api-key", "0123456789abcdef-azure-key".to_owned()),
            _ => ("cookie", "cookie", "_oauth2_proxy=c2Vzc2lvbg-0123456789|17|sig".to_owned()),
        };
        let value = match header {
            "authorization" => format!("Bearer {secret}"),
            _ => secret.clone(),
        };
        let mut door = door(provider);
        door.credential = header.to_owned();
        let api = Api::start(door, move |shown| shown == value);
        let mut extra = json!({"instance": api.origin()});
        match provider {
            "azure" => extra["deployment"] = json!("gpt-4o"),
            _ => extra["project"] = json!("alpha"),
        }
        if account == "entra" {
            extra["entra_link"] = json!("environment");
        }
        let mut change = json!({"access_token": secret, "extra": extra, "issued_by": api.origin()});
        if account == "key" {
            change["expires_at"] = Value::Null;
        }
        self.write(name, kind, &change);
        Seat::plain(name, api, secret)
    }

    fn robot(&self, name: &str) -> Seat {
        let secret = "ya29.minted-0123456789".to_owned();
        let value = format!("Bearer {secret}");
        let google = Arc::new(GoogleToken::start());
        google.know("robot@x.example", Some("k1"), RsaKey::one());
        let issuer = Arc::clone(&google);
        let api = Api::start(door("vertex"), move |shown| match issuer.count() {
            0 => shown == value,
            _ => shown == format!("Bearer {}", issuer.last_token()),
        });
        self.lead("vertex", &api);
        let robot = json!({"type": "service_account", "client_email": "robot@x.example",
            "private_key_id": "k1", "private_key": RsaKey::one().pem(),
            "token_uri": google.url()});
        let place = json!({"project": "p", "location": "us-east1"});
        let minted = json!({"access_token": secret, "service_account": robot, "extra": place});
        self.write(name, "service_account", &minted);
        Seat { google: Some(google), ..Seat::plain(name, api, secret) }
    }
}

/// What the vendor documents, written down once more: a row that says otherwise is wrong.
pub fn door(provider: &str) -> Door {
    let (speech, prompts, models) = match provider {
        "anthropic-api" => (Speech::Anthropic, "/v1/messages", "/v1/models"),
        "azure" => (Speech::Chat, "/openai/v1/chat/completions", "/openai/v1/models"),
        "claude" => (Speech::Anthropic, "/v1/messages", "/v1/models?limit=1000"),
        "codemie" => (
            Speech::Chat,
            "/code-assistant-api/v1/chat/completions",
            "/code-assistant-api/v1/llm_models?include_all=true",
        ),
        "copilot" => (Speech::Chat, "/chat/completions", "/models"),
        "gemini" => (Speech::CodeAssist, "/v1internal", ""),
        "gemini-api" => {
            (Speech::Gemini, "/v1beta/models/gemini-2.5-flash", "/v1beta/models?pageSize=1000")
        }
        "groq" => (Speech::Chat, "/openai/v1/chat/completions", "/openai/v1/models"),
        "openai" => (
            Speech::Responses,
            "/backend-api/codex/responses",
            "/backend-api/codex/models?client_version=1.0.0",
        ),
        "openai-api" => (Speech::Responses, "/v1/responses", "/v1/models"),
        "vertex" => (
            Speech::Gemini,
            "/v1/projects/p/locations/us-east1/publishers/google/models/gemini-2.5-pro",
            "",
        ),
        _ => (Speech::Chat, "/v1/chat/completions", "/v1/models"),
    };
    let credential = match provider {
        "anthropic-api" => "x-api-key",
        "gemini-api" => "x-goog-api-key",
        _ => "authorization",
    };
    let headers: &[(&str, &str)] = match provider {
        "anthropic-api" => &[("anthropic-version", "2023-06-01")],
        "claude" => &[("anthropic-beta", "oauth-2025-04-20"), ("anthropic-version", "2023-06-01")],
        "copilot" => &[("editor-plugin-version", "keyfob/1.0"), ("editor-version", "keyfob/1.0")],
        "openai" => &[("chatgpt-account-id", "acct-user-1"), ("originator", "keyfob")],
        _ => &[],
    };
    let model = match provider {
        "azure" => "gpt-4o",
        "my.llm" => "m-1",
        _ => row(provider)["model"].as_str().expect("a default model"),
    };
    let user = json!({"user_id": "user-1", "name": "Me", "username": "me@example.com",
        "email": "me@example.com", "projects": [], "applications": ["alpha"],
        "applications_admin": []});
    let free = match provider {
        "codemie" => vec![("/code-assistant-api/v1/user".to_owned(), user)],
        _ => Vec::new(),
    };
    Door {
        speech,
        prompts: prompts.to_owned(),
        query: Vec::new(),
        models: Some(models.to_owned()).filter(|models| !models.is_empty()),
        free,
        credential: credential.to_owned(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        model: model.to_owned(),
        project: Some("demo-project".to_owned()).filter(|_| provider == "gemini"),
        stream_only: provider == "openai",
    }
}
