//! A library, built with `cc` and preloaded, that counts the calls by which a process changes the
//! world: it can kill the process in front of one of them, let one fail, or swap a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::Cmd;

const SOURCE: &str = include_str!("shim.c");

pub struct Shim {
    library: PathBuf,
    trace: PathBuf,
}

/// The calls of one run, in order: a name, and a path where the call has one.
pub struct Trace {
    calls: Vec<(String, String)>,
    /// The call that was not carried out, counted from one.
    cut: usize,
}

impl Shim {
    /// `None`, with the reason printed, where no C compiler is found.
    pub fn build(folder: &Path) -> Option<Self> {
        let source = folder.join("shim.c");
        let library = folder.join("shim.so");
        fs::write(&source, SOURCE).expect("a folder of ours");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output();
        match built {
            Ok(output) if output.status.success() => {
                Some(Shim { library, trace: folder.join("trace") })
            }
            Ok(output) => panic!("cc: {}", String::from_utf8_lossy(&output.stderr)),
            Err(e) => {
                println!("skipped: no cc ({e})");
                None
            }
        }
    }

    /// Kills the command in front of its n-th call.
    pub fn kill(&self, at: usize, cmd: Cmd) -> Cmd {
        self.watch(cmd).env("SHIM_KILL", &at.to_string())
    }

    /// Lets the command's n-th call fail with an I/O error.
    pub fn fail(&self, at: usize, cmd: Cmd) -> Cmd {
        self.watch(cmd).env("SHIM_FAIL", &at.to_string())
    }

    /// Lets every call of that name fail with that errno.
    pub fn fail_all(&self, name: &str, errno: i32, cmd: Cmd) -> Cmd {
        self.watch(cmd).env("SHIM_FAIL_NAME", name).env("SHIM_ERRNO", &errno.to_string())
    }

    /// Puts another file in place of `target` just before the command first opens that.
    pub fn swap(&self, by: &Path, target: &Path, cmd: Cmd) -> Cmd {
        let by = by.display().to_string();
        self.watch(cmd).env("SHIM_SWAP", &by).env("SHIM_TARGET", &target.display().to_string())
    }

    fn watch(&self, cmd: Cmd) -> Cmd {
        let _ = fs::remove_file(&self.trace);
        cmd.env("LD_PRELOAD", &self.library.display().to_string())
            .env("SHIM_TRACE", &self.trace.display().to_string())
    }

    /// What the last command called, the `cut`-th not carried out (0: all were). `None`, with the
    /// reason printed, when nothing can be preloaded into it (a static binary).
    pub fn trace(&self, cut: usize) -> Option<Trace> {
        let Ok(text) = fs::read_to_string(&self.trace) else {
            println!("skipped: nothing can be preloaded into this binary");
            return None;
        };
        let call = |line: &str| {
            let mut words = line.splitn(2, ' ').map(str::to_string);
            (words.next().unwrap_or_default(), words.next().unwrap_or_default())
        };
        Some(Trace { calls: text.lines().map(call).collect(), cut })
    }
}

impl Trace {
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether such a call was carried out, on that path if one is given.
    pub fn has_done(&self, name: &str, path: Option<&Path>) -> bool {
        let path = path.map(|path| path.display().to_string());
        self.calls.iter().enumerate().any(|(at, (call, on))| {
            at + 1 != self.cut && call == name && path.as_ref().is_none_or(|path| path == on)
        })
    }

    /// The call that was not carried out, for messages.
    pub fn what(&self) -> String {
        let call = self.cut.checked_sub(1).and_then(|at| self.calls.get(at));
        call.map(|(name, path)| format!("step {}, {name} {path}", self.cut)).unwrap_or_default()
    }
}
