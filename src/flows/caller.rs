//! Who called: the name of the parent process, where the platform tells it.

/// The parent's name and process id.
#[cfg(unix)]
pub fn name() -> Option<(String, u32)> {
    use std::io::Read;
    let pid = std::os::unix::process::parent_id();
    // The kernel keeps 15 bytes of it: one read, as this is on the way of every token.
    let mut name = [0; 64];
    let mut file = std::fs::File::open(format!("/proc/{pid}/comm")).ok()?;
    let count = file.read(&mut name).ok()?;
    let name = String::from_utf8_lossy(name.get(..count)?);
    Some((crate::text::harmless(&name, 80), pid))
}

#[cfg(not(unix))]
pub fn name() -> Option<(String, u32)> {
    None
}
