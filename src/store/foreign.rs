//! Files of other tools. They are looked at, and after consent opened for reading; nothing here
//! writes, locks, moves or changes the mode of one.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::file;
use crate::text;

/// No tool's credential file comes near to it.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// What can be told of a file without opening it.
pub enum Looked {
    Missing,
    /// In words, and the command that cures it.
    Refused(String, Option<String>),
    Usable {
        owner: u32,
    },
}

/// The path with its folder resolved; the last part stays as it is, so that a symlink there can be
/// seen. None when the folder does not exist or the path is no text.
pub fn canonical(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?.canonicalize().ok()?;
    let whole = folder.join(path.file_name()?);
    whole.to_str().is_some().then_some(whole)
}

pub fn look(path: &Path) -> Looked {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Looked::Missing,
        Err(e) => return Looked::Refused(text::cause(&e), None),
    };
    if metadata.is_symlink() {
        return Looked::Refused("it is a symlink, and keyfob follows none".to_owned(), None);
    }
    match objection(&metadata, path) {
        Some((why, cure)) => Looked::Refused(why, cure),
        None => Looked::Usable { owner: owner_of(&metadata) },
    }
}

/// The same of a program, which may be a symlink, as package managers make them.
pub fn look_at_program(path: &Path) -> Looked {
    match fs::metadata(path) {
        Ok(metadata) => match writable(&metadata, path) {
            Some((why, cure)) => Looked::Refused(why, cure),
            None => Looked::Usable { owner: owner_of(&metadata) },
        },
        Err(_) => Looked::Missing,
    }
}

/// The whole content of a file that was consented to, if it still is the one: judged anew on the open
/// file, which nobody can swap any more. `owner` is whose it was then, where that was noted. None: it is
/// gone.
pub fn read(path: &Path, owner: Option<u32>) -> Result<Option<Vec<u8>>> {
    file::read_checked(path, LIMIT_BYTES, |path, metadata| {
        let is_other = owner.is_some_and(|owner| owner != owner_of(metadata));
        let changed = is_other.then(|| ("its owner changed".to_owned(), None));
        match objection(metadata, path).or(changed) {
            None => Ok(()),
            Some((why, cure)) => {
                let error = Error::store(path, "use", why);
                Err(match cure {
                    Some(cure) => error.or_try(cure),
                    None => error,
                })
            }
        }
    })
}

type Objection = (String, Option<String>);

fn objection(metadata: &Metadata, path: &Path) -> Option<Objection> {
    if !metadata.is_file() {
        return Some(("it is not a regular file".to_owned(), None));
    }
    foreign(metadata).or_else(|| writable(metadata, path))
}

#[cfg(unix)]
fn owner_of(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    metadata.uid()
}

#[cfg(not(unix))]
fn owner_of(_: &Metadata) -> u32 {
    0
}

/// The person is whoever owns the home folder, or (Linux) this process.
#[cfg(unix)]
fn foreign(metadata: &Metadata) -> Option<Objection> {
    let owner = owner_of(metadata);
    let mine = [dirs::home_dir(), Some(PathBuf::from("/proc/self"))];
    let mut mine = mine.into_iter().flatten().filter_map(|path| fs::metadata(path).ok());
    if mine.any(|metadata| owner_of(&metadata) == owner) {
        return None;
    }
    Some((format!("it belongs to another user (uid {owner})"), None))
}

#[cfg(not(unix))]
fn foreign(_: &Metadata) -> Option<Objection> {
    None
}

/// Whoever may write to it could have us use their account.
#[cfg(unix)]
fn writable(metadata: &Metadata, path: &Path) -> Option<Objection> {
    use std::os::unix::fs::MetadataExt;
    if metadata.mode() & 0o022 == 0 {
        return None;
    }
    let why = format!("others may change it (mode {:03o})", metadata.mode() & 0o777);
    Some((why, Some(format!("chmod go-w {}", text::shell_word(&path.display().to_string())))))
}

#[cfg(not(unix))]
fn writable(_: &Metadata, _: &Path) -> Option<Objection> {
    None
}
