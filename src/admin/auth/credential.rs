//! This process's secret, and what is derived with it.
//!
//! It is made anew at each start, and nothing that leaves the process is made with it.

use std::io;
#[cfg(feature = "ssh")]
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

#[cfg(feature = "ssh")]
use super::users::Known;
#[cfg(feature = "ssh")]
use crate::config::Access;

/// What stands for a name and its password: without the key, it tells neither.
#[derive(Clone, Copy)]
pub(super) struct Tag([u8; 32]);

impl Tag {
    /// Takes as long whether they are or not.
    pub(super) fn is(&self, other: &Tag) -> bool {
        is_same(&self.0, &other.0)
    }
}

/// Whether these are the same bytes; takes as long if they are not. That they are not
/// even as many is no secret.
pub(super) fn is_same(ours: &[u8], theirs: &[u8]) -> bool {
    let pairs = ours.iter().zip(theirs);
    let difference = pairs.fold(0, |seen, (ours, theirs)| seen | (ours ^ theirs));
    std::hint::black_box(difference) == 0 && ours.len() == theirs.len()
}

/// A key of HMAC-SHA256, of the size of that one's block.
pub(super) struct Key([u8; 64]);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub(super) fn random() -> io::Result<Key> {
        random_bytes().map(Key)
    }

    #[cfg(test)]
    pub(super) fn of(byte: u8) -> Key {
        Key([byte; 64])
    }

    /// For a name and a password, neither of which has a NUL.
    pub(super) fn tag(&self, name: &str, password: &str) -> Tag {
        Tag(self.digest(&[name.as_bytes(), b"\0", password.as_bytes()]))
    }

    /// What shows that a page was made by this process for the user of that name. No
    /// user's name begins with a NUL: it is no other tag.
    #[cfg(feature = "web")]
    pub(super) fn page_token(&self, name: &str) -> String {
        let digest = self.digest(&[b"\0page\0", name.as_bytes()]);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A number for a name: always the same one, and nobody can tell which.
    pub(super) fn number(&self, name: &str) -> usize {
        let digest = self.digest(&[name.as_bytes()]);
        let bytes = digest.iter().take(size_of::<usize>());
        bytes.fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Bytes that nobody can guess.
///
/// # Errors
/// If the system gives none.
pub(super) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
    Ok(bytes)
}

/// What somebody was let in by.
#[cfg(feature = "ssh")]
#[derive(Clone)]
pub(in crate::admin) struct Pass {
    pub(super) name: String,
    pub(super) user: Arc<Known>,
    /// The public key; without it, it was the password.
    pub(super) key: Option<Vec<u8>>,
}

#[cfg(feature = "ssh")]
impl Pass {
    /// Who they are.
    pub(in crate::admin) fn name(&self) -> &str {
        &self.name
    }

    /// What they may do.
    pub(in crate::admin) fn access(&self) -> Access {
        self.user.access
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_name_one_password_and_one_key() {
        let tag = Key::of(1).tag("ann", "secret");
        assert!(tag.is(&Key::of(1).tag("ann", "secret")));
        for other in [
            Key::of(1).tag("ann", "Secret"),
            Key::of(1).tag("anna", "secret"),
            Key::of(1).tag("anns", "ecret"),
            Key::of(2).tag("ann", "secret"),
        ] {
            assert!(!tag.is(&other));
        }
        // The first or the last byte alone is enough.
        for at in [0, 31] {
            let mut other = tag;
            other.0[at] ^= 1;
            assert!(!tag.is(&other));
        }
    }

    #[test]
    fn it_is_hmac_sha256() {
        // What `openssl dgst -sha256 -mac HMAC -macopt hexkey:0101...` says of "ann\0secret".
        let hex: String = Key::of(1)
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
        let keys = [Key::random().unwrap(), Key::random().unwrap()];
        assert!(keys[0].0 != keys[1].0);
    }
}
