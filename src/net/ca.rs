//! The certificate authorities a server is checked against: Mozilla's, and the user's own.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::error::{self, Error};
use crate::text;

/// All of Mozilla's roots in one PEM file are 0.2 MB.
const LIMIT_BYTES: u64 = 10 * 1024 * 1024;

/// A variable that names nothing of use.
#[derive(Debug)]
pub struct Fault {
    pub variable: &'static str,
    pub path: PathBuf,
    /// There is no reading it; else it can be read and holds no certificate.
    pub is_unreadable: bool,
    /// In words: `no such file or directory`, `holds damaged PEM`.
    pub how: String,
}

/// A set, because a folder such as /etc/ssl/certs holds each certificate up to three times.
type Ders = BTreeSet<Vec<u8>>;

/// The bundled roots plus those of `KEYFOB_CA_FILE`, else of `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`. `lookup` reads a variable; an empty one counts as unset. A file that
/// cannot be read or holds no certificate is an error that names it and its variable.
pub fn roots(lookup: impl Fn(&str) -> Option<OsString>) -> error::Result<RootCerts> {
    let own = own(lookup)?;
    if own.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    // ureq's `Specific` replaces its bundled roots, hence a second copy of them to add to.
    let bundled = TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der).to_owned());
    let own = own.iter().map(|der| Certificate::from_der(der).to_owned());
    Ok(RootCerts::from(bundled.chain(own)))
}

/// How many certificates of the user's own the variables add.
pub fn named(lookup: impl Fn(&str) -> Option<OsString>) -> Result<usize, Fault> {
    own(lookup).map(|ders| ders.len())
}

fn own(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Ders, Fault> {
    let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let mut own = Ders::new();
    if let Some(file) = set("KEYFOB_CA_FILE") {
        own.extend(of_file("KEYFOB_CA_FILE", Path::new(&file))?);
    } else {
        if let Some(file) = set("SSL_CERT_FILE") {
            own.extend(of_file("SSL_CERT_FILE", Path::new(&file))?);
        }
        if let Some(folders) = set("SSL_CERT_DIR") {
            own.extend(of_folders("SSL_CERT_DIR", &folders)?);
        }
    }
    Ok(own)
}

fn of_file(variable: &'static str, path: &Path) -> Result<Ders, Fault> {
    let pem = read(path).map_err(|error| unreadable(variable, path, &error))?;
    let ders = certificates(&pem).ok_or_else(|| broken(variable, path, "holds damaged PEM"))?;
    if ders.is_empty() {
        return Err(broken(variable, path, "holds no certificate in PEM form"));
    }
    Ok(ders)
}

/// `SSL_CERT_DIR` is a list like PATH. Files without certificates and links to nowhere
/// are passed over: such folders hold notes and links.
fn of_folders(variable: &'static str, folders: &OsStr) -> Result<Ders, Fault> {
    let mut ders = Ders::new();
    for folder in env::split_paths(folders) {
        let entries = fs::read_dir(&folder).map_err(|e| unreadable(variable, &folder, &e))?;
        for entry in entries {
            let path = entry.map_err(|e| unreadable(variable, &folder, &e))?.path();
            if path.is_file() {
                let pem = read(&path).map_err(|e| unreadable(variable, &path, &e))?;
                ders.extend(certificates(&pem).unwrap_or_default());
            }
        }
    }
    if ders.is_empty() {
        return Err(broken(variable, Path::new(folders), "holds no certificate in PEM form"));
    }
    Ok(ders)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path)?.take(LIMIT_BYTES + 1).read_to_end(&mut pem)?;
    if pem.len() as u64 > LIMIT_BYTES {
        return Err(io::Error::other("more than 10 MB"));
    }
    Ok(pem)
}

/// The certificates of a PEM text in DER; keys and the like are passed over, and what
/// does not start as DER does (0x30): rustls would drop it later without a word.
/// None if the PEM is damaged.
fn certificates(pem: &[u8]) -> Option<Ders> {
    let items: Vec<PemItem> = parse_pem(pem).collect::<Result<_, _>>().ok()?;
    let ders = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate.der().to_vec()),
        _ => None,
    });
    Some(ders.filter(|der| der.first() == Some(&0x30)).collect())
}

fn unreadable(variable: &'static str, path: &Path, error: &io::Error) -> Fault {
    Fault { variable, path: path.to_owned(), is_unreadable: true, how: text::cause(error) }
}

fn broken(variable: &'static str, path: &Path, how: &str) -> Fault {
    Fault { variable, path: path.to_owned(), is_unreadable: false, how: how.to_owned() }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let (path, Fault { variable, how, .. }) = (fault.path.display(), &fault);
        let what = match fault.is_unreadable {
            true => format!("cannot read {path} named by {variable}: {how}"),
            false => format!("{path} named by {variable} {how}"),
        };
        Error::failed(what).or_try(format!("unset {variable}"))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// A folder that goes when the test ends.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = env::temp_dir().join(format!("keyfob-ca-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, text: &str) -> String {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        }

        fn path(&self) -> String {
            self.0.to_str().unwrap().to_owned()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pem(der: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    /// How many roots there are, None for ureq's own.
    fn count(variables: &[(&str, &str)]) -> error::Result<Option<usize>> {
        let lookup = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
        };
        match roots(lookup)? {
            RootCerts::Specific(certificates) => Ok(Some(certificates.len())),
            _ => Ok(None),
        }
    }

    #[test]
    fn own_certificates_are_added_to_the_bundled_ones() {
        let folder = Folder::new("added");
        let own = [pem(b"0first"), pem(b"0second"), pem(b"0third")];
        let two = folder.write("two.pem", &format!("a note\n{}{}", own[0], own[1]));
        folder.write("again.pem", &own[0]);
        folder.write("README", "no certificate\n");
        folder.write("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!\n");
        let other = Folder::new("other");
        let three = other.write("three.pem", &own[2]);
        let bundled = TLS_SERVER_ROOT_CERTS.len();

        assert_eq!(count(&[]).unwrap(), None);
        assert_eq!(count(&[("KEYFOB_CA_FILE", ""), ("SSL_CERT_DIR", "")]).unwrap(), None);
        assert_eq!(count(&[("SSL_CERT_FILE", &two)]).unwrap(), Some(bundled + 2));
        assert_eq!(count(&[("SSL_CERT_DIR", &folder.path())]).unwrap(), Some(bundled + 2));
        let both = format!("{}:{}", folder.path(), other.path());
        assert_eq!(count(&[("SSL_CERT_DIR", &both)]).unwrap(), Some(bundled + 3));
        let pair = [("SSL_CERT_FILE", three.as_str()), ("SSL_CERT_DIR", &folder.path())];
        assert_eq!(count(&pair).unwrap(), Some(bundled + 3));
        let first = [("KEYFOB_CA_FILE", three.as_str()), ("SSL_CERT_FILE", "/nowhere")];
        assert_eq!(count(&first).unwrap(), Some(bundled + 1));
    }

    #[test]
    fn a_file_without_certificates_names_its_variable() {
        let folder = Folder::new("broken");
        let empty = folder.write("empty.pem", "");
        let note = folder.write("note.pem", "hello\n");
        let rubbish = folder.write("rubbish.pem", &pem(b"hello"));
        let cut = folder.write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
        let missing = folder.0.join("missing.pem").to_str().unwrap().to_owned();
        for variable in ["KEYFOB_CA_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            for path in [&empty, &note, &rubbish, &cut, &missing] {
                let shown = count(&[(variable, path)]).unwrap_err().to_string();
                assert!(shown.contains(variable) && shown.contains(path), "{shown}");
            }
        }
        let shown = count(&[("SSL_CERT_DIR", &folder.path())]).unwrap_err().to_string();
        assert!(shown.contains("holds no certificate"), "{shown}");
    }
}
