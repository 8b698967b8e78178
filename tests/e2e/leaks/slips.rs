//! Secrets in the wrong place: pasted where they do not fit, broken files, passwords in addresses.

use serde_json::json;

use super::{ME, Watch};
use crate::provider::LIMIT;
use crate::support::sandbox::{oauth_account, write_private};

#[test]
fn what_is_pasted_wrong_is_not_repeated() {
    let watch = Watch::new();
    watch.begin();
    watch.learn("pasted text", "marker-pasted-0123456789");
    let slip = "marker-pasted-0123456789";
    for (words, stdin) in [
        ("login --callback-url -", slip.to_owned()),
        ("login --callback-url -", format!("http://127.0.0.1/callback?code={slip}&state={slip}")),
        ("login --callback-url -", format!("http://127.0.0.1/callback?state={slip}")),
        ("login --callback-url -", format!("{slip}#{slip}")),
        ("login mine --auth-code -", format!("{slip}#{slip}")),
        ("login mine --auth-code -", format!("<{slip} {slip}>")),
        (
            "login google --print-auth-url --client-json -",
            format!("{{\"client_secret\":\"{slip}\""),
        ),
        (
            "login google --print-auth-url --client-json -",
            format!("{{\"client_id\":[\"{slip}\"]}}"),
        ),
        ("login google --print-auth-url --client-secret-stdin", slip.to_owned()),
        ("provider add claude --client-secret-stdin --issuer x", slip.to_owned()),
        ("provider add other --client-secret-stdin --issuer http://x.example", slip.to_owned()),
    ] {
        println!("{words} {stdin}");
        let output = watch.run(watch.desk.cmd(words).stdin(stdin));
        output.check(output.status != Some(0), "a failure");
    }
    // Tried at the server, which does not know it.
    watch.begin();
    watch.run(watch.desk.cmd("login mine --auth-code -").stdin(slip)).code(1);
    watch.nothing_leaked();
}

/// A login that waits is told the same slips.
#[test]
fn what_is_pasted_into_a_wait_is_not_repeated() {
    let watch = Watch::new();
    watch.learn("pasted text", "marker-pasted-0123456789");
    let mut login = watch.at_full_volume(watch.desk.cmd("login mine --no-browser")).spawn();
    let url = login.auth_url();
    watch.learn_pending(&url);
    login.write_stdin("marker-pasted-0123456789\n");
    login.stderr_line_containing("not taken", LIMIT);
    login.write_stdin("http://x/?code=marker-pasted-0123456789&state=marker-pasted-0123456789\n");
    login.stderr_line_containing("another sign-in", LIMIT);
    watch.approve(&url).follow();
    watch.keep(login.wait(LIMIT).ok());
    watch.learn_account();
    watch.nothing_leaked();
}

#[test]
fn broken_files_are_not_quoted() {
    let watch = Watch::new();
    let account = watch.sign_in();
    let path = watch.desk.sandbox.account_file("mine", ME);
    let token = account["refresh_token"].as_str().expect("a token");
    let mut wrong = oauth_account("mine", ME, &watch.desk.idp.grant(), 3600);
    wrong["refresh_token"] = json!([token]);
    let mut strange = wrong.clone();
    strange["refresh_token"] = json!(token);
    strange["expires_at"] = json!(token);
    strange["kind"] = json!(token);
    for text in [
        format!("{{\"version\":1,\"refresh_token\":\"{token}"),
        wrong.to_string(),
        strange.to_string(),
        token.to_owned(),
        format!("\"{token}\""),
        json!({"version": token}).to_string(),
    ] {
        write_private(&path, &text);
        for words in ["status", "status --json", "token mine", "refresh mine", "use mine/x"] {
            watch.cmd(words);
        }
    }
    // Set aside by the next login, which says so.
    watch.sign_in();
    let config = watch.desk.sandbox.home().join("config.json");
    let secret = super::CLIENT_SECRET;
    for text in [
        format!("{{\"client_secrets\":{{\"mine\":\"{secret}\""),
        format!("{{\"client_secrets\":{{\"mine\":[\"{secret}\"]}}}}"),
        format!("{{\"client_secrets\":\"{secret}\"}}"),
        format!("{{\"providers\":{{\"mine\":{{\"client_secret\":\"{secret}\"}}}}}}"),
        format!("{{\"providers\":{{\"mine\":{{\"{secret}\":1}}}}}}").replace(secret, "odd"),
        format!("\"{secret}\""),
    ] {
        write_private(&config, &text);
        for words in ["status", "provider list", "token mine", "login mine --print-auth-url --json"]
        {
            watch.cmd(words);
        }
    }
    watch.seen.borrow_mut().retain(|(place, _)| !place.starts_with("stdout of keyfob token"));
    watch.seen.borrow_mut().retain(|(place, _)| !place.starts_with("stdout of keyfob login"));
    watch.seen.borrow_mut().retain(|(place, _)| !place.contains("damaged-"));
    let damaged = watch
        .files_in("accounts")
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".damaged-"));
    damaged.for_each(|path| std::fs::remove_file(path).expect("a side file"));
    watch.nothing_leaked();
}

/// A proxy's password, and one in an address.
#[test]
fn passwords_in_addresses_are_not_repeated() {
    let watch = Watch::new();
    let password = "marker-password-0123456789";
    watch.learn("password", password);
    let add = |flags: &str| watch.desk.cmd(&format!("provider add other --client-id x {flags}"));
    for name in ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"] {
        for value in [
            format!("http://user:{password}@127.0.0.1:1"),
            format!("socks5://user:{password}@127.0.0.1:1"),
            format!("http://user:{password}@"),
            format!("nonsense://{password}"),
            format!("http://{password}:99999"),
        ] {
            let cmd = add("--issuer https://id.example --timeout 2").env(name, &value);
            let output = watch.run(cmd);
            output.check(output.status != Some(0), "a failure");
        }
    }
    for url in [
        format!("https://user:{password}@id.example"),
        format!("http://user:{password}@127.0.0.1/"),
        format!("http://id.example/?key={password}"),
        format!("https://id.example\\?key={password}"),
        format!("user:{password}@id.example"),
    ] {
        for flag in ["--issuer", "--token-url", "--authorize-url", "--revoke-url"] {
            watch.run(add(&format!("{flag} {url}"))).code(1);
        }
    }
    watch.nothing_leaked();
}
