//! RSA keys made at run time: no private key lies in the tree, where scanners would rightly find it.
//! `ring` cannot make one, so `openssl` does.

use std::process::Command;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair,
    UnparsedPublicKey,
};

/// PKCS#8 wraps a PKCS#1 key of 1024 to 4096 bits in so many bytes: two lengths of two bytes, the
/// version and the algorithm.
const PKCS8_HEAD_BYTES: usize = 26;

/// A private key in the DER of PKCS#8.
#[derive(Clone)]
pub struct RsaKey(Vec<u8>);

impl RsaKey {
    /// The same two keys for all tests of a process: making one takes a while.
    pub fn one() -> &'static RsaKey {
        static KEY: OnceLock<RsaKey> = OnceLock::new();
        KEY.get_or_init(|| RsaKey::new(2048))
    }

    pub fn other() -> &'static RsaKey {
        static KEY: OnceLock<RsaKey> = OnceLock::new();
        KEY.get_or_init(|| RsaKey::new(3072))
    }

    pub fn new(bits: usize) -> RsaKey {
        let size = format!("rsa_keygen_bits:{bits}");
        // In DER some versions write PKCS#1; in PEM it is PKCS#8 everywhere.
        let words = ["genpkey", "-algorithm", "RSA", "-pkeyopt", &size];
        let output = Command::new("openssl").args(words).output();
        let output = output.expect("the tests need openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pem = String::from_utf8_lossy(&output.stdout);
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).expect("base64");
        RsaKey(der)
    }

    /// `-----BEGIN PRIVATE KEY-----`, as Google's files have it.
    pub fn pem(&self) -> String {
        pem("PRIVATE KEY", &self.0)
    }

    /// `-----BEGIN RSA PRIVATE KEY-----`, the older form.
    pub fn pkcs1_pem(&self) -> String {
        pem("RSA PRIVATE KEY", &self.0[PKCS8_HEAD_BYTES..])
    }

    pub fn pair(&self) -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(&self.0).expect("a key that openssl made")
    }

    /// Whether this key made the signature, RS256.
    pub fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        let public = self.pair().public_key().as_ref().to_vec();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
        public.verify(text.as_bytes(), signature).is_ok()
    }

    /// Pieces of the private key as any output might show them. The beginning, which all keys share,
    /// is left out.
    pub fn pieces(&self) -> Vec<String> {
        let all = [self.pem(), self.pkcs1_pem()];
        let lines = all.iter().flat_map(|pem| pem.lines()).filter(|line| !line.starts_with('-'));
        let lines = lines.filter(|line| line.len() >= 24 && !line.starts_with("MII"));
        lines.map(|line| line[..24].to_owned()).collect()
    }
}

/// An elliptic key, which RS256 cannot use.
pub fn ec_pem() -> String {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    pem("PRIVATE KEY", key.expect("ring makes elliptic keys").as_ref())
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
