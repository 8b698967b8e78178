//! What `make install` places besides the binary (scripts/install-docs.sh).

use std::path::Path;

use crate::support::sandbox::Sandbox;
use crate::support::tool;

#[test]
fn completions_and_pages_lie_where_the_tools_look() {
    let sandbox = Sandbox::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-docs.sh");
    let share = sandbox.work().join("usr/share");
    let (script, place) = (script.display().to_string(), share.display().to_string());
    let words = ["bash", &script, env!("CARGO_BIN_EXE_keyfob"), &place];
    tool::run(&sandbox, &words, "").ok().stdout_is("");
    for (file, shell) in [
        ("bash-completion/completions/keyfob", "bash"),
        ("zsh/site-functions/_keyfob", "zsh"),
        ("fish/vendor_completions.d/keyfob.fish", "fish"),
    ] {
        let wanted = sandbox.cmd(&["completions", shell]).run().ok().stdout.clone();
        assert_eq!(sandbox.read(&share.join(file)), wanted, "{file}");
        assert_eq!(sandbox.mode(&share.join(file)), 0o644);
    }
    let pages = sandbox.files(&share.join("man/man1"));
    assert!(pages.len() > 25, "{pages:?}");
    for command in ["", "-login", "-git-credential", "-provider-add", "-account-set", "-env"] {
        let page = share.join(format!("man/man1/keyfob{command}.1"));
        assert!(sandbox.read(&page).starts_with(".TH KEYFOB"), "{page:?}");
    }
    assert!(!sandbox.home().exists(), "no state");
}
