//! Other tools' sign-ins, read in place after consent (CLI.md section 6). Every file has the shape
//! that its tool writes; every token is made up.

mod consent;
mod contents;
mod copilot;
mod offer;
mod order;
mod shapes;
mod sights;
mod withdrawn;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::command::{Cmd, Output};
use crate::support::idp::encoding::now_s;
use crate::support::sandbox::{Sandbox, write_private};

/// A home with other tools' files in it.
struct Home {
    sandbox: Sandbox,
}

impl Home {
    fn new() -> Self {
        Home { sandbox: Sandbox::new() }
    }

    fn path(&self, below_home: &str) -> PathBuf {
        self.sandbox.user_home().join(below_home)
    }

    /// 0600, as all these tools write theirs.
    fn put(&self, below_home: &str, text: &str) -> PathBuf {
        let path = self.path(below_home);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_private(&path, text);
        path
    }

    fn cmd(&self, words: &str) -> Cmd {
        self.sandbox.cmd(&words.split_whitespace().collect::<Vec<_>>())
    }

    fn run(&self, words: &str) -> Output {
        self.cmd(words).run()
    }

    #[track_caller]
    fn trust(&self, name: &str) {
        self.run(&format!("source trust {name} --yes")).ok().stdout_is("");
    }

    /// The rows of `source list --json`.
    #[track_caller]
    fn listed(&self) -> Vec<Value> {
        self.run("source list --json").ok().json()["sources"].as_array().unwrap().clone()
    }

    /// The row of one path.
    #[track_caller]
    fn row(&self, path: &Path) -> Value {
        let path = path.display().to_string();
        let rows = self.listed();
        let row = rows.iter().find(|row| row["path"] == path.as_str());
        row.unwrap_or_else(|| panic!("no {path} in {rows:?}")).clone()
    }

    /// The paths in trust.json.
    fn trusted(&self) -> Vec<String> {
        let path = self.sandbox.home().join("trust.json");
        if !path.exists() {
            return Vec::new();
        }
        assert_eq!(self.sandbox.mode(&path), 0o600);
        let file = self.sandbox.read_json(&path);
        assert_eq!(file["version"], 1);
        let paths = file["trusted"].as_array().unwrap().iter();
        paths.map(|yes| yes["path"].as_str().unwrap().to_owned()).collect()
    }
}

/// All that a reader must leave as it is: of the file, and of its folder.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    bytes: Vec<u8>,
    stat: Vec<i64>,
    folder: Vec<String>,
}

fn snapshot(path: &Path) -> Snapshot {
    let stat = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        let numbers =
            [meta.ino(), meta.size(), meta.nlink(), meta.mode().into(), meta.uid().into()];
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        numbers.map(|n| n as i64).into_iter().chain(times).collect::<Vec<_>>()
    };
    let folder = path.parent().unwrap();
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.map(|path| path.display().to_string()).collect();
    names.sort();
    Snapshot {
        bytes: fs::read(path).unwrap(),
        stat: [stat(path), stat(folder)].concat(),
        folder: names,
    }
}

/// A JWT that expires so many seconds from now.
fn jwt(ttl_s: i64, claims: Value) -> String {
    let mut claims = claims;
    claims["exp"] = json!(now_s().saturating_add_signed(ttl_s));
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2lnbmF0dXJl", part("{\"alg\":\"none\"}".into()), part(claims.to_string()))
}

fn seconds(ttl_s: i64) -> i64 {
    now_s().saturating_add_signed(ttl_s) as i64
}

fn millis(ttl_s: i64) -> i64 {
    seconds(ttl_s) * 1000
}

/// Claude Code's file.
const CLAUDE: &str = ".claude/.credentials.json";

fn claude(token: &str, ttl_s: i64) -> String {
    let oauth = json!({
        "accessToken": token, "refreshToken": "sk-ant-ort01-never-shown-anywhere",
        "expiresAt": millis(ttl_s), "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max", "rateLimitTier": "default_claude_max_20x",
    });
    json!({"claudeAiOauth": oauth, "mcpOAuth": {"x": {"accessToken": "another-thing"}}}).to_string()
}

/// Codex's file, pretty as it writes it.
const CODEX: &str = ".codex/auth.json";

fn codex(access: &str) -> String {
    let claims = json!({"email": "me@example.com",
        "https://api.openai.com/auth": {"chatgpt_account_id": "acc-from-claims", "chatgpt_plan_type": "plus"}});
    let file = json!({
        "auth_mode": "chatgpt", "OPENAI_API_KEY": null,
        "tokens": {"id_token": jwt(-60, claims), "access_token": access,
            "refresh_token": "rt-codex-never-shown-anywhere", "account_id": "acc-from-file"},
        "last_refresh": "2026-11-20T10:00:00.123456Z",
    });
    serde_json::to_string_pretty(&file).unwrap()
}
