//! A file that is mounted by itself (`docker run -v FILE:FILE`) cannot be replaced by a rename. That
//! has to be known before a refresh token is spent on a file that cannot take its successor.

use std::path::Path;

/// Whether something is mounted exactly there (Linux: /proc/self/mountinfo; false where the system
/// does not tell).
pub fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return false };
    let wanted = escaped(&path.to_string_lossy());
    // `36 35 98:0 /root /mount/point options …`
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(&wanted))
}

/// As proc(5) writes paths.
fn escaped(path: &str) -> String {
    let path = path.replace('\\', "\\134").replace(' ', "\\040");
    path.replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_proc_does() {
        assert_eq!(escaped("/a b\\c\n"), "/a\\040b\\134c\\012");
    }

    #[test]
    fn an_ordinary_file_is_no_mount_point() {
        assert!(!is_mount_point(Path::new("/nowhere/at/all")));
        assert!(!is_mount_point(&std::env::temp_dir().join("not-mounted")));
    }
}
