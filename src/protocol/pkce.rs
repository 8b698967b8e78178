//! Proof Key for Code Exchange, RFC 7636, method S256 only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::secret::Secret;
use crate::text;

/// 64 random bytes as a verifier of 86 characters (43 to 128 are allowed).
pub fn verifier(random: &[u8; 64]) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(random))
}

/// The `code_challenge` of a verifier.
pub fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

/// 256 random bits as the `state` of one login, independent of the verifier.
pub fn state(random: &[u8; 32]) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(random))
}

/// The name of a login: 16 hex digits of the hash of its state. A callback's state leads to
/// its pending file, and a spent login can be recognised without keeping the state.
pub fn login_id(state: &str) -> String {
    text::hex(&Sha256::digest(state)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_own_example_holds() {
        // RFC 7636 appendix B.
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn lengths_fit_the_rfc() {
        assert_eq!(verifier(&[7; 64]).expose().len(), 86);
        assert_eq!(state(&[7; 32]).expose().len(), 43);
        assert_eq!(login_id("x").len(), 16);
    }
}
