//! On Linux with glibc: link gcc's unwinder statically when the machine has it. The shared one (libgcc_s) is needed
//! for panics alone and costs each start 0.12 ms, a seventh of `keyfob token`.
use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=scripts/link.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let native = env::var("HOST") == env::var("TARGET");
    if !(native && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")) {
        return;
    }
    // Without the file the answer is the bare name, and the ordinary link stands.
    let Ok(answer) = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output() else {
        return;
    };
    if Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_absolute() {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
