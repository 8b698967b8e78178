//! Whole files, 0600 from the moment they exist; checked reads; folders 0700.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

use crate::error::{Error, Result};
use crate::store::mount;
use crate::text;

/// No file of ours is larger; a bigger one is not read into memory.
const LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// The whole content, or None when nothing is there. A symlink, a special file, or one that
/// others may read or write is an error that names the cure.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    read_checked(path, LIMIT_BYTES, check_mode)
}

/// The same of a file that grows.
pub fn read_large(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    read_checked(path, limit_bytes, check_mode)
}

/// `check` judges the open file, before anything is read from it.
pub fn read_checked(
    path: &Path,
    limit_bytes: u64,
    check: impl Fn(&Path, &Metadata) -> Result<()>,
) -> Result<Option<Vec<u8>>> {
    let mut options = OpenOptions::new();
    options.read(true);
    // A pipe in place of the file must not make us wait for a writer.
    #[cfg(unix)]
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if is_symlink_error(&e) => return Err(symlink(path)),
        Err(e) => return Err(io_error(path, "read", &e)),
    };
    let metadata = file.metadata().map_err(|e| io_error(path, "read", &e))?;
    if !metadata.is_file() {
        return Err(Error::store(path, "use", "it is not a regular file"));
    }
    check(path, &metadata)?;
    let size = usize::try_from(metadata.len().min(limit_bytes)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size + 1);
    let limited = file.take(limit_bytes + 1).read_to_end(&mut bytes);
    limited.map_err(|e| io_error(path, "read", &e))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Error::store(path, "read", "it is larger than any file of credentials"));
    }
    Ok(Some(bytes))
}

/// What O_NOFOLLOW answers for a symlink.
pub fn is_symlink_error(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(libc::ELOOP)
}

pub fn symlink(path: &Path) -> Error {
    Error::store(path, "use", "it is a symlink, and keyfob follows none")
}

/// Only the owner may read or write it.
#[cfg(unix)]
fn check_mode(path: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let cause = format!("others may read or change it (mode {:03o})", metadata.mode() & 0o777);
    let cure = format!("chmod 600 {}", text::shell_word(&path.display().to_string()));
    Err(Error::store(path, "use", cause).or_try(cure))
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// Makes the folder and its missing parents 0700, whatever the umask. One that others may write to
/// is refused: they could put their own files in place of ours.
pub fn make_folder(folder: &Path) -> Result<()> {
    let missing: Vec<_> = folder.ancestors().take_while(|path| !path.exists()).collect();
    for path in missing.iter().rev() {
        match make_private_folder(path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(io_error(path, "create", &e));
            }
            _ => {}
        }
    }
    check_folder(folder)
}

#[cfg(unix)]
fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    keep_owner(&File::open(path)?, path.parent().unwrap_or(path))
}

#[cfg(not(unix))]
fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().create(path)
}

#[cfg(unix)]
fn check_folder(folder: &Path) -> Result<()> {
    let mode = fs::metadata(folder).map_err(|e| io_error(folder, "read", &e))?.mode();
    // A sticky folder (like /tmp) keeps others away from our files.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let cause = format!("others may write to it (mode {:03o})", mode & 0o777);
        let cure = format!("chmod 700 {}", text::shell_word(&folder.display().to_string()));
        return Err(Error::store(folder, "use", cause).or_try(cure));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_folder(_: &Path) -> Result<()> {
    Ok(())
}

/// A file that is a mount of its own cannot be replaced, nor removed.
pub fn check_mount(path: &Path) -> Result<()> {
    if path.exists() && mount::is_mount_point(path) {
        let cause = "it is mounted as a single file, which no write can replace";
        return Err(Error::store(path, "use", format!("{cause}; mount its folder instead")));
    }
    Ok(())
}

/// Writes the whole file: a temp file beside it, fsync, rename, fsync of the folder.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Reservation::new(path, 0)?.write(bytes)
}

/// A temp file beside `path` with its space already on the disk, made *before* a request that
/// spends a code or a refresh token: a full or read-only disk is then found while nothing is
/// lost. Dropped unwritten, it is removed.
pub struct Reservation {
    path: PathBuf,
    temp: PathBuf,
    file: File,
    is_done: bool,
}

impl Reservation {
    /// `space_bytes` is what the coming content may need.
    pub fn new(path: &Path, space_bytes: usize) -> Result<Reservation> {
        let folder = path.parent().unwrap_or(Path::new("."));
        make_folder(folder)?;
        match fs::symlink_metadata(path) {
            Ok(seen) if seen.is_symlink() => return Err(symlink(path)),
            Ok(seen) if !seen.is_file() => {
                return Err(Error::store(path, "use", "it is not a regular file"));
            }
            Ok(_) | Err(_) => check_mount(path)?,
        }
        let temp = temp_name(path)?;
        let file = create_private(&temp).map_err(|e| io_error(path, "write", &e))?;
        let mut reservation = Reservation { path: path.to_owned(), temp, file, is_done: false };
        reservation.prepare(folder, space_bytes).map_err(|e| io_error(path, "write", &e))?;
        Ok(reservation)
    }

    fn prepare(&mut self, folder: &Path, space_bytes: usize) -> io::Result<()> {
        keep_owner(&self.file, folder)?;
        if space_bytes > 0 {
            self.file.write_all(&vec![b' '; space_bytes])?;
            // File systems that allocate late tell of a full disk only now.
            self.file.sync_all()?;
        }
        Ok(())
    }

    /// The same space for another name in the same folder: a login learns its account's name
    /// only from the answer.
    pub fn rename_to(&mut self, path: &Path) {
        self.path = path.to_owned();
    }

    /// Puts `bytes` in place of the old content; they are on disk when this returns.
    pub fn write(mut self, bytes: &[u8]) -> Result<()> {
        self.replace(bytes).map_err(|e| io_error(&self.path, "write", &e))
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytes)?;
        self.file.set_len(bytes.len() as u64)?;
        self.file.sync_all()?;
        fs::rename(&self.temp, &self.path)?;
        self.is_done = true;
        sync_folder(&self.path)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_done {
            // Left behind it would only be swept by a later login.
            let _ = fs::remove_file(&self.temp);
        }
    }
}

/// fsync of the folder that holds `path`, so that a rename or removal survives a power cut.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Root writing into someone's home must not leave files behind that their owner cannot read.
#[cfg(unix)]
pub fn keep_owner(file: &File, folder: &Path) -> io::Result<()> {
    let (ours, theirs) = (file.metadata()?, fs::metadata(folder)?);
    if ours.uid() != theirs.uid() {
        let chowned = std::os::unix::fs::fchown(file, Some(theirs.uid()), Some(theirs.gid()));
        return chowned.map_err(|_| {
            io::Error::other(format!("the folder belongs to another user (uid {})", theirs.uid()))
        });
    }
    Ok(())
}

#[cfg(not(unix))]
pub fn keep_owner(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

/// A new file that only the owner may touch, whatever the umask; it must not exist yet.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    let file = options.open(path)?;
    // A umask may have taken even the owner's bits.
    #[cfg(unix)]
    if file.metadata()?.mode() & 0o777 != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// The mark of an unfinished write, which no name of an account holds (`text::file_name` encodes
/// it); what carries it may be swept.
pub const TEMP_MARK: char = '~';

/// A name beside `path` that nobody else takes.
pub fn temp_name(path: &Path) -> Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| Error::store(path, "write", e))?;
    let suffix = text::hex(&random);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(path.with_file_name(format!("{name}{TEMP_MARK}{suffix}")))
}

/// An I/O error as a store error.
pub fn io_error(path: &Path, doing: &'static str, error: &io::Error) -> Error {
    Error::store(path, doing, text::cause(error))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("keyfob-file-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        make_folder(&path).unwrap();
        path
    }

    #[test]
    fn a_written_file_is_private_and_whole() {
        let folder = folder();
        let path = folder.join("a.json");
        write(&path, b"one, a longer text").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temp file stays");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_reservation_holds_space_and_leaves_nothing() {
        let folder = folder();
        let path = folder.join("a.json");
        drop(Reservation::new(&path, 10_000).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        let reservation = Reservation::new(&path, 10_000).unwrap();
        reservation.write(b"short").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"short");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn missing_is_not_unreadable() {
        let folder = folder();
        assert!(read(&folder.join("none")).unwrap().is_none());
        assert!(read(&folder).is_err(), "a folder is no file");
        let path = folder.join("open");
        write(&path, b"x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.next().unwrap().starts_with("chmod 600 "), "{error}");
        std::os::unix::fs::symlink(&path, folder.join("link")).unwrap();
        assert!(read(&folder.join("link")).is_err());
        assert!(write(&folder.join("link"), b"x").is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
