//! The hidden prompt, on a terminal whose state is looked at afterwards.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::{KEY, holders, read};
use crate::login::demo::{LIMIT, eventually};
use crate::provider::Desk;
use crate::support::command::Output;
use crate::support::running::Running;

const QUESTION: &str = "(hidden): ";

/// A shell on a terminal of its own: `keyfob login groq …`, its status, the terminal's state. `stty`
/// is ours, and notes how it was called.
struct Terminal {
    desk: Desk,
    shell: Running,
}

impl Terminal {
    fn open(flags: &str) -> Self {
        let desk = Desk::new();
        let work = desk.sandbox.work();
        std::fs::create_dir(work.join("bin")).expect("a folder");
        let noting = format!(
            "#!/bin/sh\n{{ echo \"$@\"; env; }} >>{}/noted\nPATH=$OLD_PATH exec stty \"$@\"\n",
            work.display()
        );
        let shim = work.join("bin/stty");
        std::fs::write(&shim, noting).expect("a script");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&shim, executable).expect("an executable script");
        let line = format!(
            "{} login groq {flags}; echo \"status $?.\"; PATH=$OLD_PATH; stty -a",
            env!("CARGO_BIN_EXE_keyfob")
        );
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env_clear().current_dir(&work);
        command.env("PATH", format!("{}/bin:{path}", work.display())).env("OLD_PATH", path);
        command.env("SHELL", "/bin/sh").env("LANG", "C.UTF-8").env("KEYFOB_LOG", "trace");
        command.env("HOME", desk.sandbox.user_home()).env("KEYFOB_HOME", desk.sandbox.home());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("script of util-linux");
        let shell = Running::new(line, desk.sandbox.home(), child);
        Terminal { desk, shell }
    }

    /// At the prompt, with nothing typed yet.
    fn asking() -> Self {
        let terminal = Self::open("");
        eventually("the question", || terminal.shell.stdout().contains(QUESTION));
        terminal
    }

    /// Types, and looks at what the terminal is like afterwards.
    #[track_caller]
    fn typed(mut self, keys: &str, status: i32) -> (Desk, Output) {
        self.shell.write_stdin(keys);
        let output = self.shell.wait(LIMIT);
        let has = |text: &str| output.stdout.contains(text);
        output.check(has(&format!("status {status}.")), &format!("status {status}"));
        for word in ["echo", "icanon", "isig"] {
            let state = output.stdout.rsplit("status ").next().unwrap_or_default();
            let is_on = state.split([' ', ';', '\n', '\r']).any(|one| one == word);
            output.check(is_on, &format!("{word} is on again"));
        }
        output.check(!has("marker"), "nothing typed is shown");
        let noted = std::fs::read_to_string(self.desk.sandbox.work().join("noted"));
        assert!(!noted.unwrap_or_default().contains("marker"), "the key went to stty");
        (self.desk, output)
    }
}

#[track_caller]
fn stores(keys: &str) {
    let (desk, _) = Terminal::asking().typed(keys, 0);
    assert_eq!(read(&desk, "groq", "default")["access_token"], KEY);
    assert_eq!(holders(&desk), [desk.sandbox.account_file("groq", "default")]);
}

#[test]
fn a_typed_key_is_not_shown() {
    let (desk, output) = Terminal::asking().typed(&format!("{KEY}\r"), 0);
    assert_eq!(read(&desk, "groq", "default")["access_token"], KEY);
    let file = desk.sandbox.account_file("groq", "default");
    assert_eq!(desk.sandbox.mode(&file), 0o600);
    output.check(output.stdout.contains("console.groq.com"), "where a key comes from");
    output.check(output.stdout.contains("(hidden): \r\n"), "the line of the question ends");
}

#[test]
fn a_pasted_key_is_cleaned_here_too() {
    stores(&format!("  export GROQ_API_KEY=\"{KEY}\" \r"));
}

#[test]
fn backspace_takes_back_what_was_typed() {
    stores(&format!("wrong\x7f\x7f\x7f\x7f\x7f{KEY}x\x08\r"));
    // More than there is, and a letter of two bytes.
    stores(&format!("w\x7f\x7f\x7fö\x7f{KEY}\n"));
}

#[test]
fn ctrl_u_begins_again() {
    stores(&format!("nonsense \x15{KEY}\r"));
}

#[test]
fn ctrl_c_ends_with_130_and_the_echo_is_back() {
    for keys in ["\x03".to_owned(), format!("{KEY}\x03")] {
        let (desk, _) = Terminal::asking().typed(&keys, 130);
        assert!(holders(&desk).is_empty());
    }
}

#[test]
fn ctrl_d_at_once_is_no_key() {
    let (desk, _) = Terminal::asking().typed("\x04", 2);
    assert!(!desk.sandbox.account_file("groq", "default").exists());
}

#[test]
fn what_is_no_key_is_refused_with_the_echo_back() {
    for keys in ["\r", "sk-marker one two\r", "1234567890123\r"] {
        let (desk, output) = Terminal::asking().typed(keys, 2);
        output.check(!output.stdout.contains("1234567890123"), "nothing typed is shown");
        assert!(!desk.sandbox.account_file("groq", "default").exists());
    }
}

#[test]
fn nothing_is_asked_when_no_input_is_wanted() {
    let (_, output) = Terminal::open("--no-input").typed("", 2);
    output.check(!output.stdout.contains(QUESTION), "no question");
    output.check(output.stdout.contains("--api-key-stdin"), "the flag");
}
