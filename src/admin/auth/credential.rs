//! Credentials: the secret key of this process, tags and tokens made with it, and what a session
//! logged in with.

use std::io;
#[cfg(feature = "ssh")]
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::random::random_bytes;
#[cfg(feature = "ssh")]
use super::users::KnownUser;
#[cfg(feature = "ssh")]
use crate::config::Access;

/// Stands for a name and a password, and reveals neither without the key.
#[derive(Clone, Copy)]
pub(super) struct CredentialTag([u8; 32]);

impl CredentialTag {
    /// Compares in constant time.
    pub(super) fn is_equal_to(&self, other: &CredentialTag) -> bool {
        is_equal(&self.0, &other.0)
    }
}

/// Compares bytes in constant time. Their number is no secret.
pub(super) fn is_equal(ours: &[u8], theirs: &[u8]) -> bool {
    let pairs = ours.iter().zip(theirs);
    let difference = pairs.fold(0, |seen, (ours, theirs)| seen | (ours ^ theirs));
    std::hint::black_box(difference) == 0 && ours.len() == theirs.len()
}

/// A key for HMAC-SHA256, of its block size; made anew at each start.
pub(super) struct ProcessKey([u8; 64]);

impl ProcessKey {
    /// A random key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn random() -> io::Result<ProcessKey> {
        random_bytes().map(ProcessKey)
    }

    #[cfg(test)]
    pub(super) fn of(byte: u8) -> ProcessKey {
        ProcessKey([byte; 64])
    }

    /// The tag of a name and a password, neither of which has a NUL.
    pub(super) fn tag(&self, name: &str, password: &str) -> CredentialTag {
        CredentialTag(self.digest(&[name.as_bytes(), b"\0", password.as_bytes()]))
    }

    /// A token that shows that this process made the page for that user. No user's name begins
    /// with a NUL, so it is no other tag.
    #[cfg(feature = "web")]
    pub(super) fn page_token(&self, name: &str) -> String {
        let digest = self.digest(&[b"\0page\0", name.as_bytes()]);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A number that is always the same for a name, and that cannot be predicted.
    pub(super) fn stable_number(&self, name: &str) -> usize {
        let digest = self.digest(&[name.as_bytes()]);
        let bytes = digest.iter().take(size_of::<usize>());
        bytes.fold(0, |stable_number, byte| {
            stable_number << 8 | usize::from(*byte)
        })
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// What a user has logged in with. Sessions check it again before each request.
#[cfg(feature = "ssh")]
#[derive(Clone)]
pub(in crate::admin) struct Credential {
    pub(super) name: String,
    pub(super) user: Arc<KnownUser>,
    /// The public key; `None` for a password.
    pub(super) key: Option<Vec<u8>>,
}

#[cfg(feature = "ssh")]
impl Credential {
    /// The user's name.
    pub(in crate::admin) fn name(&self) -> &str {
        &self.name
    }

    /// The user's access.
    pub(in crate::admin) fn access(&self) -> Access {
        self.user.access
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_name_one_password_and_one_key() {
        let tag = ProcessKey::of(1).tag("ann", "secret");
        assert!(tag.is_equal_to(&ProcessKey::of(1).tag("ann", "secret")));
        for other in [
            ProcessKey::of(1).tag("ann", "Secret"),
            ProcessKey::of(1).tag("anna", "secret"),
            ProcessKey::of(1).tag("anns", "ecret"),
            ProcessKey::of(2).tag("ann", "secret"),
        ] {
            assert!(!tag.is_equal_to(&other));
        }
        // One byte is enough, the first or the last.
        for at in [0, 31] {
            let mut other = tag;
            other.0[at] ^= 1;
            assert!(!tag.is_equal_to(&other));
        }
    }

    #[test]
    fn it_is_hmac_sha256() {
        // What `openssl dgst -sha256 -mac HMAC -macopt hexkey:0101...` says of "ann\0secret".
        let hex: String = ProcessKey::of(1)
            .tag("ann", "secret")
            .0
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "6eb8738ecc144d62cbb5d3c8f9062e1d3aa0c62f8c84b9f34c8937a537d249e2"
        );
    }

    #[test]
    fn no_two_processes_have_the_same_key() {
        let keys = [ProcessKey::random().unwrap(), ProcessKey::random().unwrap()];
        assert!(keys[0].0 != keys[1].0);
    }
}
