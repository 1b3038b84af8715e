//! One crypt(3) string: whether it can be checked, what fits it, and making one.
//!
//! Knows of no users. The algorithms are `pw_hash`'s, which sees only what has the
//! form of a whole hash: it panics at some strings that do not.

use std::fmt;
use std::io;

use pw_hash::{HashSetup, bcrypt, md5_crypt, sha256_crypt, sha512_crypt, unix_crypt};

use super::key;

/// Bytes of the longest password; a longer one fits nothing.
pub const MAX_PASSWORD: usize = 1024;

/// Costs above these are refused: a check would take more than a few seconds, and up
/// to hours, and only two are made at a time.
const MAX_BCRYPT_COST: u32 = 15;
const MAX_ROUNDS: u32 = 1_000_000;

/// What `crypt` makes of fewer is this, so fewer are in no hash.
const MIN_ROUNDS: u32 = 1000;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Des,
    Md5,
    Sha256,
    Sha512,
    Bcrypt,
}

/// Why a string cannot be checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    NotWhole,
    TooCostly,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::NotWhole => f.write_str("it is not a whole crypt(3) hash of a known kind"),
            Unusable::TooCostly => write!(
                f,
                "it would take too long: a bcrypt cost of {MAX_BCRYPT_COST} and \
                 {MAX_ROUNDS} rounds are the most"
            ),
        }
    }
}

impl Hash {
    /// Reads what `password` of `<user>` says.
    ///
    /// # Errors
    /// If nothing can fit it, or finding that out would take too long.
    pub(super) fn read(text: &str) -> Result<Hash, Unusable> {
        let kinds = [
            ("$1$", Kind::Md5),
            ("$5$", Kind::Sha256),
            ("$6$", Kind::Sha512),
            ("$2a$", Kind::Bcrypt),
            ("$2b$", Kind::Bcrypt),
            ("$2y$", Kind::Bcrypt),
        ];
        let known = kinds
            .into_iter()
            .find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)));
        let (kind, rest) = known.unwrap_or((Kind::Des, text));
        let is_whole = match kind {
            Kind::Des => is_coded(rest, 13),
            Kind::Md5 => is_salted(rest, 8, 22),
            Kind::Sha256 => is_salted(past_rounds(rest)?, 16, 43),
            Kind::Sha512 => is_salted(past_rounds(rest)?, 16, 86),
            Kind::Bcrypt => is_coded(past_cost(rest)?, 53),
        };
        let text = text.to_owned();
        is_whole
            .then_some(Hash { kind, text })
            .ok_or(Unusable::NotWhole)
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

/// Whether these are so many characters of the 64 that hashes are written in.
fn is_coded(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// Whether it is a salt and a checksum.
fn is_salted(text: &str, most_salt: usize, checksum: usize) -> bool {
    text.split_once('$').is_some_and(|(salt, rest)| {
        salt.len() <= most_salt && is_coded(salt, salt.len()) && is_coded(rest, checksum)
    })
}

/// What is behind `rounds=`, which may be left out.
fn past_rounds(text: &str) -> Result<&str, Unusable> {
    let Some(text) = text.strip_prefix("rounds=") else {
        return Ok(text);
    };
    let (digits, rest) = text.split_once('$').ok_or(Unusable::NotWhole)?;
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(rounds) if is_plain && rounds > MAX_ROUNDS => Err(Unusable::TooCostly),
        Ok(rounds) if is_plain && rounds >= MIN_ROUNDS => Ok(rest),
        _ => Err(Unusable::NotWhole),
    }
}

/// What is behind the cost of bcrypt.
fn past_cost(text: &str) -> Result<&str, Unusable> {
    let (digits, rest) = text.split_once('$').ok_or(Unusable::NotWhole)?;
    let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let costs = bcrypt::MIN_COST..=bcrypt::MAX_COST;
    let cost = digits.parse().ok();
    match cost.filter(|cost| is_plain && costs.contains(cost)) {
        Some(..=MAX_BCRYPT_COST) => Ok(rest),
        Some(_) => Err(Unusable::TooCostly),
        None => Err(Unusable::NotWhole),
    }
}

#[cfg(test)]
mod tests;
