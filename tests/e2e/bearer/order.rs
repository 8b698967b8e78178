//! Which JWT is sent: the one of the flag, else the variable's, else the stored one. Proven by what
//! an instance received.

use serde_json::{Value, json};

use super::expiring_in;
use crate::support::codemie::{Away, Instance, Person, Seen};
use crate::support::command::{Cmd, Output};
use crate::support::sandbox::Sandbox;

const LIST: &str = "claude-sonnet-4-6\ngpt-4o\n";

/// An instance that takes three tokens, one for each place where a token can be given.
struct Three {
    sandbox: Sandbox,
    instance: Instance,
    flag: String,
    variable: String,
    stored: String,
}

impl Three {
    fn new() -> Self {
        let tokens = [3_600, 7_200, 2_000_000].map(expiring_in);
        let instance = Instance::new();
        instance.world().tokens = tokens.to_vec();
        let [flag, variable, stored] = tokens;
        Three { sandbox: Sandbox::new(), instance, flag, variable, stored }
    }

    fn with_stored() -> Self {
        let three = Three::new();
        let words = ["login", "codemie", "--url", &three.instance.origin(), "--jwt-token", "-"];
        three.sandbox.cmd(&words).stdin(three.stored.as_str()).run().ok();
        assert_eq!(three.instance.connections(), 0, "nobody is asked about a token");
        three
    }

    fn with_session() -> Self {
        let three = Three::new();
        let origin = three.instance.origin();
        let words = ["login", "codemie", "--print-auth-url", "--url", &origin];
        let url = three.sandbox.cmd(&words).run().ok().line().to_owned();
        let back = Person::default().sign_in(&url, &origin).location;
        three.sandbox.cmd(&["login", "--callback-url", &back]).run().ok();
        three.instance.forget_requests();
        three
    }

    fn models(&self, arguments: &[&str]) -> Cmd {
        self.sandbox.cmd(&[&["models", "codemie"], arguments].concat())
    }

    fn with_variable(&self, command: Cmd) -> Cmd {
        command.env("CODEMIE_JWT_TOKEN", &self.variable)
    }

    /// The list came, and this token alone was sent for it.
    #[track_caller]
    fn was_sent(&self, output: &Output, token: &str) {
        output.ok().stdout_is(LIST).stderr_lacks(token);
        let seen = self.instance.asked();
        let [Seen { path, query, cookie, bearer, .. }] = &seen[..] else {
            panic!("one request, not {seen:?}\n{}", output.report())
        };
        assert_eq!(path, "/code-assistant-api/v1/llm_models");
        assert_eq!((query.as_str(), cookie), ("include_all=true", &None));
        assert_eq!(bearer.as_deref(), Some(token));
        self.instance.forget_requests();
    }
}

#[test]
fn the_flag_goes_before_the_variable_and_that_before_the_store() {
    let three = Three::with_stored();
    let origin = three.instance.origin();
    for place in [&[][..], &["--base-url", &origin]] {
        three.was_sent(&three.models(place).run(), &three.stored);
        let in_variable = three.with_variable(three.models(place));
        three.was_sent(&in_variable.clone().run(), &three.variable);
        let with_flag = in_variable.clone().arg("--jwt-token").arg(&three.flag);
        three.was_sent(&with_flag.run(), &three.flag);
        let on_stdin = in_variable.arg("--jwt-token").arg("-").stdin(three.flag.as_str());
        three.was_sent(&on_stdin.run(), &three.flag);
        let flag_alone = three.models(place).arg("--jwt-token").arg(&three.flag);
        three.was_sent(&flag_alone.run(), &three.flag);
    }
}

#[test]
fn a_token_goes_before_a_stored_session_and_never_beside_it() {
    let three = Three::with_session();
    let cookies = three.instance.newest_session();
    three.models(&[]).run().ok().stdout_is(LIST);
    assert_eq!(three.instance.asked()[0].cookie, Some(cookies));
    three.instance.forget_requests();
    three.was_sent(&three.with_variable(three.models(&[])).run(), &three.variable);
    let with_flag = three.with_variable(three.models(&["--jwt-token", &three.flag]));
    three.was_sent(&with_flag.run(), &three.flag);
}

#[test]
fn an_account_that_is_named_is_the_one_that_is_meant() {
    let three = Three::with_stored();
    let id = format!("codemie/{}", three.instance.name());
    let models = || three.with_variable(three.sandbox.cmd(&["models", &id]));
    three.was_sent(&models().run(), &three.stored);
    three.was_sent(&models().arg("--jwt-token").arg(&three.flag).run(), &three.flag);
}

#[test]
fn no_setup_is_needed() {
    let three = Three::new();
    let origin = three.instance.origin();
    for base in [origin.clone(), format!("{origin}/"), format!("{origin}/code-assistant-api/v1")] {
        let place = ["--base-url", base.as_str()];
        let flag = three.models(&place).arg("--jwt-token").arg(&three.flag);
        three.was_sent(&flag.run(), &three.flag);
        three.was_sent(&three.with_variable(three.models(&place)).run(), &three.variable);
    }
    let by_variable = |command: Cmd| command.env("CODEMIE_URL", &origin);
    three.was_sent(&by_variable(three.with_variable(three.models(&[]))).run(), &three.variable);
    let flag = by_variable(three.models(&["--jwt-token", "-"])).stdin(three.flag.as_str());
    three.was_sent(&flag.run(), &three.flag);
    assert!(!three.sandbox.home().exists(), "nothing was stored");
}

#[test]
fn the_base_url_goes_before_the_variable_of_the_address() {
    let three = Three::new();
    let other = Instance::new();
    let place = ["--base-url", &three.instance.origin()];
    let command = three.with_variable(three.models(&place)).env("CODEMIE_URL", &other.origin());
    three.was_sent(&command.run(), &three.variable);
    assert_eq!(other.connections(), 0);
}

#[test]
fn no_address_is_guessed_for_a_token() {
    let three = Three::new();
    let output = three.models(&["--jwt-token", &three.flag]).run();
    output.code(2).stdout_is("").stderr_has("--base-url").stderr_lacks(&three.flag);
    let output = three.with_variable(three.models(&[])).run();
    output.code(2).stdout_is("").stderr_has("--base-url").stderr_lacks(&three.variable);
    for place in ["http://codemie.example", "ftp://x", "https://me:pw@codemie.example", ""] {
        let output = three.models(&["--jwt-token", &three.flag, "--base-url", place]).run();
        output.check(matches!(output.status, Some(1 | 2)), place).stdout_is("");
    }
}

#[test]
fn with_nothing_at_all_the_person_is_told_to_sign_in() {
    let three = Three::new();
    let output = three.models(&["--base-url", &three.instance.origin()]).run();
    output.code(4).stdout_is("").stderr_has("try: keyfob login codemie");
    assert_eq!(three.instance.connections(), 0);
}

#[test]
fn the_name_of_the_variable_is_the_providers_to_say() {
    let three = Three::with_stored();
    three.sandbox.write_config(&json!({"providers": {"codemie": {"jwt_env": "MY_TOKEN"}}}));
    let command = three.with_variable(three.models(&[]));
    three.was_sent(&command.clone().run(), &three.stored);
    three.was_sent(&command.env("MY_TOKEN", &three.flag).run(), &three.flag);
}

#[test]
fn a_provider_of_ones_own_may_have_such_a_variable_too() {
    let three = Three::new();
    let base = format!("{}/code-assistant-api", three.instance.origin());
    let row = json!({"ways": ["bearer"], "api": {"base": base}, "jwt_env": "MY_TOKEN",
        "models": "/v1/llm_models?include_all=true"});
    three.sandbox.write_config(&json!({"providers": {"mine": row}}));
    let models = || three.sandbox.cmd(&["models", "mine"]).env("MY_TOKEN", &three.variable);
    three.was_sent(&models().run(), &three.variable);
    three.was_sent(&models().arg("--jwt-token").arg(&three.flag).run(), &three.flag);
    let login = ["login", "mine", "--jwt-token", &three.stored];
    three.sandbox.cmd(&login).run().ok();
    three.was_sent(&models().run(), &three.variable);
    three.was_sent(&three.sandbox.cmd(&["models", "mine"]).run(), &three.stored);
}

#[test]
fn what_is_stored_goes_to_no_other_address() {
    let foreign = Instance::new();
    let origin = foreign.origin();
    let refused = |command: Cmd| {
        let output = command.arg("--base-url").arg(&origin).run();
        output.code(2).stdout_is("").stderr_has("--base-url");
        assert_eq!(foreign.connections(), 0, "{}", output.report());
    };
    refused(Three::with_session().models(&[]));
    refused(Three::with_stored().models(&[]));
    let sandbox = Sandbox::new();
    sandbox.cmd(&["login", "openrouter", "--api-key-stdin"]).stdin("sk-or-12345678").run().ok();
    refused(sandbox.cmd(&["models", "openrouter"]));
    refused(sandbox.cmd(&["models", "openrouter/default"]));
}

/// A token that the person gives on the spot goes where the person says; what is stored stays.
#[test]
fn a_token_given_on_the_spot_may_go_elsewhere_and_takes_nothing_along() {
    let three = Three::with_session();
    let other = Instance::new();
    other.world().tokens = vec![three.flag.clone(), three.variable.clone()];
    let place = ["--base-url", &other.origin()];
    three.models(&place).arg("--jwt-token").arg(&three.flag).run().ok().stdout_is(LIST);
    three.with_variable(three.models(&place)).run().ok().stdout_is(LIST);
    let asked = other.asked();
    let sent: Vec<_> = asked.iter().map(|request| request.bearer.as_deref()).collect();
    assert_eq!(sent, [Some(three.flag.as_str()), Some(three.variable.as_str())]);
    assert!(asked.iter().all(|request| request.cookie.is_none()));
    assert_eq!(three.instance.asked(), []);
}

#[test]
fn a_token_that_is_turned_away_names_a_way_that_fits() {
    for away in [Away::Status(401), Away::Page, Away::To("https://idp.example/".to_owned())] {
        let three = Three::with_stored();
        three.instance.world().tokens.clear();
        three.instance.end_sessions(away.clone());
        let stored = three.models(&[]).run();
        stored.code(4).stdout_is("").stderr_lacks(&three.stored);
        let id = format!("codemie/{}", three.instance.name());
        stored.stderr_has(&format!("try: keyfob login {id} --jwt-token -\n"));
        let variable = three.with_variable(three.models(&[])).run();
        variable.code(4).stdout_is("").stderr_has("CODEMIE_JWT_TOKEN");
        variable.stderr_lacks("codemie/environment").stderr_lacks(&three.variable);
        let flag = three.models(&["--jwt-token", &three.flag]).run();
        flag.code(4).stdout_is("").stderr_has("--jwt-token -");
        flag.stderr_lacks("codemie/environment").stderr_lacks(&three.flag);
        assert_eq!(three.instance.asked().len(), 3, "one question each: {away:?}");
    }
}

#[test]
fn a_token_goes_where_the_stored_account_has_its_api() {
    let three = Three::with_session();
    let mut account = three.sandbox.read_account("codemie", &three.instance.name());
    account["extra"]["api_base"] = Value::from(format!("{}/moved", three.instance.origin()));
    three.sandbox.write_account("codemie", &three.instance.name(), &account);
    three.with_variable(three.models(&[])).run();
    three.models(&["--jwt-token", &three.flag]).run();
    three.models(&[]).run();
    let asked = three.instance.asked();
    assert_eq!(asked.len(), 3);
    for request in asked {
        assert_eq!(request.path, "/moved/v1/llm_models", "{request:?}");
    }
}
