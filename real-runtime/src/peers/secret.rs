//! The secret that makes a node a member.

use crate::failure::Failure;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Fewer bytes than this could be guessed by whoever hears a handshake.
pub const SECRET_BYTES_LEAST: usize = 16;

/// No secret is longer; a longer file is another one.
const SECRET_BYTES_MOST: usize = 4_096;

/// Bytes of a proof.
pub(super) const PROOF_BYTES: usize = 32;

/// What all members of a cluster know and nobody else does. It is never sent, and not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// No secret: good where nobody but the members can connect.
    pub fn none() -> Self {
        Secret(Vec::new())
    }

    /// The secret in the file at `path`, without the white space at its ends.
    ///
    /// # Errors
    /// If the file cannot be read, or is too short or too long for a secret.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failure = |why: String| {
            let path = path.display();
            Failure::run(format!(
                "the cluster's secret in {path} {why}; give all members a file with the same random bytes, such as those of \
                 `openssl rand -hex 32`"
            ))
        };
        let bytes = read(path).map_err(|error| failure(format!("cannot be read: {error}")))?;
        let secret = bytes.trim_ascii();
        if secret.len() < SECRET_BYTES_LEAST {
            let len = secret.len();
            return Err(failure(format!("has {len} bytes, and needs at least {SECRET_BYTES_LEAST}")));
        }
        if bytes.len() > SECRET_BYTES_MOST {
            return Err(failure(format!("has more than {SECRET_BYTES_MOST} bytes")));
        }
        Ok(Secret(secret.to_vec()))
    }

    /// The proof that whoever said `parts` knows the secret.
    pub(super) fn prove(&self, parts: &[&[u8]]) -> [u8; PROOF_BYTES] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether `proof` is that of `parts`. Takes the same time whatever it is.
    pub(super) fn verify(&self, parts: &[&[u8]], proof: &[u8; PROOF_BYTES]) -> bool {
        self.mac(parts).verify_slice(proof).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        for part in parts {
            // With its length, so that no two lists of parts are the same bytes.
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// At most one byte more than a secret can have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SECRET_BYTES_MOST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{SECRET_BYTES_LEAST, Secret};

    fn read(bytes: &[u8]) -> Result<Secret, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, bytes).expect("a new file");
        Secret::read(&path).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_secret_is_read_without_the_line_end() {
        assert_eq!(read(b"0123456789abcdef\n"), Ok(Secret(b"0123456789abcdef".to_vec())));
        assert_eq!(read(&[0xFF; 4_096]), Ok(Secret(vec![0xFF; 4_096])));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_refused() {
        let short = read(b"0123456789abcde \n").expect_err("15 bytes");
        assert!(short.contains("has 15 bytes, and needs at least 16"), "{short}");
        assert!(!short.contains("0123"), "{short}");
        assert!(read(&[0xFF; 4_097]).expect_err("too long").contains("more than 4096 bytes"));
        let missing = Secret::read(std::path::Path::new("/nowhere/secret")).expect_err("no file");
        assert!(missing.to_string().contains("/nowhere/secret cannot be read: "), "{missing}");
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret(vec![b'x'; SECRET_BYTES_LEAST]);
        assert_eq!(format!("{secret:?}, {:?}", Some(&secret)), "<hidden>, Some(<hidden>)");
    }

    #[test]
    fn a_proof_is_of_the_parts_as_they_were_cut_and_of_the_secret() {
        let secret = Secret(b"0123456789abcdef".to_vec());
        let proof = secret.prove(&[b"ab", b"c"]);
        assert!(secret.verify(&[b"ab", b"c"], &proof));
        assert!(!secret.verify(&[b"a", b"bc"], &proof));
        assert!(!Secret::none().verify(&[b"ab", b"c"], &proof));
    }

    #[test]
    fn a_proof_is_hmac_sha_256() {
        let secret = Secret(b"Jefe".to_vec());
        assert_eq!(secret.prove(&[]), hmac_by_hand(b"Jefe", b""));
        assert_eq!(secret.prove(&[b"ab"]), hmac_by_hand(b"Jefe", b"\x02\0\0\0\0\0\0\0ab"));
    }

    /// RFC 2104 as it is written.
    fn hmac_by_hand(key: &[u8], text: &[u8]) -> [u8; 32] {
        use sha2::{Digest as _, Sha256};
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        let pad = |byte: u8| block.map(|of_key| of_key ^ byte);
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
        Sha256::new().chain_update(pad(0x5C)).chain_update(inner).finalize().into()
    }
}
