//! One crypt(3) string: whether it can be checked, what fits it, and making one.
//!
//! Knows of no users. The algorithms are `pw_hash`'s, which sees only what has the
//! form of a whole hash: it panics at some strings that do not.

use std::io;

use pw_hash::{HashSetup, bcrypt, md5_crypt, sha256_crypt, sha512_crypt, unix_crypt};

use super::key;
use crate::config::crypt::{Crypt, Kind, Unusable};

/// Bytes of the longest password; a longer one fits nothing.
pub const MAX_PASSWORD: usize = 1024;

/// Makes a `$6$` hash of a password, for the attribute `password` of `<user>`.
///
/// # Errors
/// `InvalidInput` for a password that is empty, has more than [`MAX_PASSWORD`] bytes,
/// or a NUL. Else that the system gives no randomness.
pub fn hash_password(password: &str) -> io::Result<String> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if password.is_empty() {
        return Err(wrong("the password is empty".to_owned()));
    }
    if !is_possible(password) {
        let why = format!("a password has at most {MAX_PASSWORD} bytes, and no NUL among them");
        return Err(wrong(why));
    }
    let salt = key::random_bytes::<SALT>()?.map(|byte| ALPHABET[usize::from(byte % 64)]);
    let salt = String::from_utf8_lossy(&salt);
    let setup = HashSetup {
        salt: Some(&salt),
        rounds: Some(ROUNDS),
    };
    sha512_crypt::hash_with(setup, password).map_err(io::Error::other)
}

/// Characters of a new hash's salt, the most that `$6$` has.
const SALT: usize = 16;

/// Rounds of a new hash: about a tenth of a second, and 20 times what is usual where
/// nobody says otherwise.
const ROUNDS: u32 = 100_000;

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether it can be anybody's password at all. A NUL ends what crypt(3) sees.
pub(super) fn is_possible(password: &str) -> bool {
    password.len() <= MAX_PASSWORD && !password.contains('\0')
}

/// A crypt(3) string that can be checked.
pub(super) struct Hash {
    kind: Kind,
    text: String,
}

impl Hash {
    /// Reads what `password` of `<user>` says.
    ///
    /// # Errors
    /// If nothing can fit it, or finding that out would take too long.
    pub(super) fn read(text: &str) -> Result<Hash, Unusable> {
        let kind = Crypt::read(text)?.kind;
        let text = text.to_owned();
        Ok(Hash { kind, text })
    }

    /// Whether it is this password's. Takes as long as it is meant to.
    pub(super) fn fits(&self, password: &str) -> bool {
        let verify = match self.kind {
            Kind::Des => unix_crypt::verify,
            Kind::Md5 => md5_crypt::verify,
            Kind::Sha256 => sha256_crypt::verify,
            Kind::Sha512 => sha512_crypt::verify,
            Kind::Bcrypt => bcrypt::verify,
        };
        verify(password, &self.text)
    }
}

#[cfg(test)]
mod tests;
