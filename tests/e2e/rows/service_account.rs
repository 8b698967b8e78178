//! The standard set of the rows that take a Google service account's key file.

use serde_json::{Value, json};

use super::{built_in_rows, has_way};
use crate::support::google_token::{GoogleToken, SCOPE};
use crate::support::rsa_key::RsaKey;
use crate::support::sandbox::Sandbox;

const EMAIL: &str = "robot@my-project.iam.gserviceaccount.com";

#[test]
fn a_key_file_is_traded_handed_out_and_removed() {
    let rows: Vec<_> =
        built_in_rows().iter().filter(|row| has_way(row, "service_account")).collect();
    assert!(!rows.is_empty());
    for row in rows {
        let id = row["id"].as_str().expect("an id");
        println!("row {id}");
        assert_eq!(row["scopes"], json!([SCOPE]), "{id}");
        let (google, sandbox) = (GoogleToken::start(), Sandbox::new());
        google.know(EMAIL, None, RsaKey::one());
        let file = json!({"type": "service_account", "client_email": EMAIL, "project_id": "p-1",
                          "private_key": RsaKey::one().pem(), "token_uri": google.url()});
        let login = sandbox.cmd(&["login", id, "--service-account", "-"]);
        login.stdin(file.to_string()).run().ok().stdout_is("").stderr_has(EMAIL);

        let token = sandbox.cmd(&["token", id, "--json"]).run().ok().json();
        assert_eq!(token["token"], google.last_token(), "{id}");
        let base = token["api_base"].as_str().expect("a base");
        assert!(base.starts_with("https://") && !base.contains(['{', '}']), "{id}: {base}");
        let child = sandbox.cmd(&["exec", id, "--", "env"]).run();
        for (name, template) in row["exports"].as_object().expect("variables") {
            let value = match template.as_str() {
                Some("=token") => google.last_token(),
                Some("=project") => "p-1".to_owned(),
                Some("=location") => "us-central1".to_owned(),
                _ => panic!("{id}: {name} is {template}"),
            };
            let line = format!("{name}={value}");
            child.ok().check(child.stdout.lines().any(|one| one == line), &line);
        }

        let logout = sandbox.cmd(&["logout", id, "--json"]).run();
        let removed = logout.ok().json()["removed"][0].clone();
        assert_eq!(removed["revoked"], Value::Null, "{id}");
        logout.stderr_has(row["revoke_page"].as_str().expect("where keys are deleted"));
        assert!(!sandbox.account_file(id, EMAIL).exists(), "{id}");
        google.assert_content();
    }
}
