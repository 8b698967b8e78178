//! `--help`, `help`, `--version`.

use super::run_raw;
use crate::support::command::Output;
use crate::support::sandbox::Sandbox;

/// Every command of CLI.md that is built, and the flags it has to have.
const COMMANDS: [(&str, &str); 20] = [
    ("doctor", "--offline --json --timeout"),
    ("exec", "--json --timeout"),
    (
        "login",
        "--no-browser --print-auth-url --callback-url --auth-code --login-id --qr --copy --wait \
         --callback-port --callback-host --login-hint --prompt --expect --replace --scope \
         --access-tier --client-id --client-secret-stdin --client-json --no-verify \
         --client-name --fresh --resource --no-resource --accept-terms --no-input --json \
         --timeout",
    ),
    ("logout", "--all --keep-token --json --timeout"),
    (
        "mcp-proxy",
        "--header --client-id --client-secret-env --client-name --scope --resource --no-resource \
         --transport --callback-port --auth-timeout --ephemeral --log-file --timeout",
    ),
    ("pending", "list cancel"),
    ("pending cancel", "--all"),
    ("pending list", "--json"),
    ("provider", "list show add remove"),
    (
        "provider add",
        "--issuer --authorize-url --token-url --device-url --revoke-url --userinfo-url \
         --client-id --register --client-secret-stdin --scope --redirect-port --redirect-path \
         --audience --resource --json --timeout",
    ),
    ("provider list", "--json"),
    ("provider show", "--json"),
    ("refresh", "--all --json --timeout"),
    ("source", "list trust forget"),
    ("source forget", "--all"),
    ("source list", "--json"),
    ("source trust", "--yes --no-input"),
    ("status", "--check --json --timeout"),
    ("token", "--min-ttl --json --timeout"),
    ("version", "--json"),
];

fn run(sandbox: &Sandbox, words: &str) -> Output {
    sandbox.cmd(&words.split_whitespace().collect::<Vec<_>>()).run()
}

/// The names under `Commands:`.
fn commands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    list.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// Every command there is, and its help.
pub fn all_help() -> Vec<(String, String)> {
    let sandbox = Sandbox::new();
    let mut all = vec![(String::new(), run(&sandbox, "--help").ok().stdout.clone())];
    let mut at = 0;
    while at < all.len() {
        let (parent, help) = all[at].clone();
        for name in commands(&help) {
            let name = format!("{parent} {name}").trim().to_owned();
            let help = run(&sandbox, &format!("{name} --help"));
            help.ok().check(help.stderr.is_empty(), "nothing on stderr");
            all.push((name, help.stdout.clone()));
        }
        at += 1;
    }
    assert!(!sandbox.home().exists(), "help writes nothing");
    all
}

#[test]
fn every_command_has_help_that_tells_its_flags() {
    let all = all_help();
    let of = |name: &str| {
        let found = all.iter().find(|(known, _)| known == name);
        found.map(|(_, help)| help.as_str()).unwrap_or_else(|| panic!("no command {name}"))
    };
    for (name, help) in &all {
        assert!(help.starts_with(&format!("Usage: keyfob {name}").trim_end().to_owned()), "{help}");
        assert!(help.contains("--help") && help.lines().count() > 5, "{help}");
    }
    for (name, flags) in COMMANDS {
        for flag in flags.split_whitespace() {
            // Described, not only named in the usage line.
            let start = format!("  {flag}");
            let is_told = of(name).lines().any(|line| {
                line.strip_prefix(&start)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            });
            assert!(is_told, "{name} --help does not tell of {flag}:\n{}", of(name));
        }
    }
    for code in ["0", "1", "2", "3", "4", "5", "6", "130"] {
        let is_told = |line: &str| line.starts_with(&format!("  {code} "));
        assert!(of("").lines().any(is_told), "exit code {code}");
    }
}

#[test]
fn help_fits_80_columns_and_keeps_its_indent() {
    for (name, help) in all_help() {
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{name} --help: {line}");
        }
        let tail = help.lines().skip_while(|line| *line != "Notes:" && *line != "Examples:");
        for line in tail {
            let is_good = line.is_empty() || line.starts_with("  ") || line.ends_with(':');
            assert!(is_good, "{name} --help, at column 0: {line}");
        }
    }
}

#[test]
fn help_can_be_asked_for_in_every_way() {
    let sandbox = Sandbox::new();
    let whole = run(&sandbox, "--help").stdout;
    for words in ["help", "-h"] {
        run(&sandbox, words).ok().stdout_is(&whole);
    }
    for name in ["login", "provider", "provider add", "pending list"] {
        let wanted = run(&sandbox, &format!("{name} --help")).stdout;
        run(&sandbox, &format!("help {name}")).ok().stdout_is(&wanted);
        run(&sandbox, &format!("{name} -h")).ok().stdout_is(&wanted);
    }
    // Whatever else stands there: a person who asks for help gets it.
    run(&sandbox, "login claude --help").ok();
    run(&sandbox, "help nosuch").code(2).stdout_is("");
}

#[test]
fn keyfob_alone_shows_the_way() {
    let sandbox = Sandbox::new();
    run(&sandbox, "").code(2).stdout_is("").stderr_has("try: keyfob --help");
    run(&sandbox, "provider").code(2).stdout_is("").stderr_has("try: keyfob provider --help");
    run(&sandbox, "pending").code(2).stdout_is("").stderr_has("try: keyfob pending --help");
}

#[test]
fn the_version_is_told() {
    let sandbox = Sandbox::new();
    let version = env!("CARGO_PKG_VERSION");
    for words in ["--version", "-V", "version"] {
        run(&sandbox, words).ok().stdout_is(&format!("keyfob {version}\n"));
    }
    let json = format!("{{\"version\":1,\"keyfob\":\"{version}\"}}\n");
    run(&sandbox, "version --json").ok().stdout_is(&json);
    assert!(!sandbox.home().exists());
    // Even where nothing can be read.
    let output = run_raw(&sandbox, &[b"version"]);
    output.ok();
}
