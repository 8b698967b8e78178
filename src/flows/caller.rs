//! Who called: the name of the parent process, where the platform tells it.

/// The parent's name and process id.
#[cfg(unix)]
pub fn name() -> Option<(String, u32)> {
    let pid = std::os::unix::process::parent_id();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((crate::text::harmless(&name, 80), pid))
}

#[cfg(not(unix))]
pub fn name() -> Option<(String, u32)> {
    None
}
