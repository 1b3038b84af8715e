//! A crypt(3) string as text: of which kind it is, whether anything can fit it, and how long finding
//! that out takes.
//!
//! Nothing is checked here.

use std::fmt;

/// Costs above these are refused: a check would take more than a few seconds, and up to hours, and
/// only two are made at a time.
const MAX_BCRYPT_COST: u32 = 15;
const MAX_ROUNDS: u32 = 1_000_000;

/// What bcrypt can do at all.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// What `crypt` makes of fewer is this, so fewer are in no hash.
const MIN_ROUNDS: u32 = 1000;

/// The rounds where nobody says otherwise.
const USUAL_ROUNDS: u32 = 5000;

/// What a round of `$5$` and `$6$`, and one of the 2^cost of bcrypt, takes a slow processor: some
/// more than was measured on one of 2020 (0.5 µs, and 240 ms at the cost 12, 59 µs each).
const ROUND_NS: u64 = 1_200;
const BCRYPT_ROUND_NS: u64 = 75_000;

/// A check that takes longer than this is warned of.
const LONG_MS: u64 = 1_000;

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The algorithms of which hashes can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Des,
    Md5,
    Sha256,
    Sha512,
    Bcrypt,
}

/// A string that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crypt {
    pub(crate) kind: Kind,
    /// How long a check takes, estimated.
    pub(crate) check_ms: u64,
}

/// Why nothing fits a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is none, or not a whole one.
    NotWhole(String),
    /// Finding out would take too long.
    TooCostly(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::NotWhole(why) | Unusable::TooCostly(why) => f.write_str(why),
        }
    }
}

impl Crypt {
    /// Reads what `password` of `<user>` says.
    ///
    /// # Errors
    /// If nothing can fit it, or finding that out would take too long.
    pub(crate) fn read(text: &str) -> Result<Crypt, Unusable> {
        const KINDS: [(&str, Kind); 6] = [
            ("$1$", Kind::Md5),
            ("$5$", Kind::Sha256),
            ("$6$", Kind::Sha512),
            ("$2a$", Kind::Bcrypt),
            ("$2b$", Kind::Bcrypt),
            ("$2y$", Kind::Bcrypt),
        ];
        let known = KINDS
            .into_iter()
            .find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)));
        let (kind, rest) = known.unwrap_or((Kind::Des, text));
        let check_ns = match kind {
            // With a blank, say, it is a password as it is, and not one that was cut off.
            Kind::Des if rest.len() != 13 || coded(rest, 13).is_err() => {
                return Err(not_whole("it is no crypt(3) hash of a known kind"));
            }
            Kind::Des => 0,
            Kind::Md5 => salted(rest, 8, 22).map(|()| 0)?,
            Kind::Sha256 | Kind::Sha512 => {
                let (rounds, rest) = rounds(rest)?;
                salted(rest, 16, if kind == Kind::Sha256 { 43 } else { 86 })?;
                u64::from(rounds) * ROUND_NS
            }
            Kind::Bcrypt => {
                let (cost, rest) = cost(rest)?;
                coded(rest, 53)?;
                BCRYPT_ROUND_NS << cost
            }
        };
        let check_ms = check_ns / 1_000_000;
        Ok(Crypt { kind, check_ms })
    }

    /// Whether it is of a kind that is guessed too fast: DES, which moreover looks at eight characters
    /// only, and `$1$`.
    pub(crate) fn is_weak(self) -> bool {
        matches!(self.kind, Kind::Des | Kind::Md5)
    }

    /// Whether a check keeps others waiting for long.
    pub(crate) fn is_long(self) -> bool {
        self.check_ms > LONG_MS
    }
}

fn not_whole(why: impl Into<String>) -> Unusable {
    Unusable::NotWhole(why.into())
}

/// That these are so many characters of the 64 that hashes are written in.
fn coded(text: &str, length: usize) -> Result<(), Unusable> {
    if !text.bytes().all(|byte| ALPHABET.contains(&byte)) {
        return Err(not_whole("it has characters in it that no hash has"));
    }
    match text.len() {
        found if found == length => Ok(()),
        found if found < length => Err(not_whole(format!(
            "it is cut off: {found} characters where {length} should be"
        ))),
        found => Err(not_whole(format!(
            "it is too long: {found} characters where {length} should be"
        ))),
    }
}

/// That it is a salt and a checksum.
fn salted(text: &str, most_salt: usize, checksum: usize) -> Result<(), Unusable> {
    let Some((salt, rest)) = text.split_once('$') else {
        return Err(not_whole("it is cut off: there is nothing behind its salt"));
    };
    if salt.len() > most_salt {
        let why = format!("its salt has more than {most_salt} characters");
        return Err(not_whole(why));
    }
    coded(salt, salt.len())?;
    coded(rest, checksum)
}

/// How many rounds, and what is behind `rounds=`, which may be left out.
fn rounds(text: &str) -> Result<(u32, &str), Unusable> {
    let Some(text) = text.strip_prefix("rounds=") else {
        return Ok((USUAL_ROUNDS, text));
    };
    let wrong = || {
        not_whole(format!(
            "its rounds= is no number from {MIN_ROUNDS} to {MAX_ROUNDS}"
        ))
    };
    let (digits, rest) = text.split_once('$').ok_or_else(wrong)?;
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(rounds) if is_plain && rounds > MAX_ROUNDS => Err(Unusable::TooCostly(format!(
            "it would take too long: {rounds} rounds, where {MAX_ROUNDS} are the most"
        ))),
        Ok(rounds) if is_plain && rounds >= MIN_ROUNDS => Ok((rounds, rest)),
        _ => Err(wrong()),
    }
}

/// The cost of bcrypt, and what is behind it.
fn cost(text: &str) -> Result<(u32, &str), Unusable> {
    let wrong = || {
        not_whole(format!(
            "its cost is no number from 04 to {MAX_BCRYPT_COST}"
        ))
    };
    let (digits, rest) = text.split_once('$').ok_or_else(wrong)?;
    let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let cost = digits.parse().ok();
    match cost.filter(|cost| is_plain && BCRYPT_COSTS.contains(cost)) {
        Some(cost @ ..=MAX_BCRYPT_COST) => Ok((cost, rest)),
        Some(cost) => Err(Unusable::TooCostly(format!(
            "it would take too long: a bcrypt cost of {cost}, where {MAX_BCRYPT_COST} is the most"
        ))),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(start: &str, length: usize) -> String {
        format!("{start}{}", "a".repeat(length))
    }

    #[test]
    fn why_nothing_fits_is_said() {
        for (text, why) in [
            (hash("$6$salt$", 85), "cut off: 85 characters where 86"),
            (hash("$6$salt$", 87), "too long: 87 characters where 86"),
            (hash("$6$salt", 0), "cut off: there is nothing behind"),
            (
                hash("$6$rounds=999999999$salt$", 86),
                "999999999 rounds, where 1000000",
            ),
            (hash("$6$rounds=10$salt$", 86), "from 1000 to 1000000"),
            (hash("$6$rounds=x", 0), "from 1000 to 1000000"),
            (hash("$5$salt$", 86), "too long: 86 characters where 43"),
            (hash("$1$toolongsalt$", 22), "salt has more than 8"),
            (hash("$1$salt$", 21), "cut off: 21 characters where 22"),
            (hash("$6$sa:lt$", 86), "characters in it that no hash has"),
            (hash("$2b$31$", 53), "cost of 31, where 15"),
            (hash("$2b$3$", 53), "its cost is no number"),
            (hash("$2b$12$", 52), "cut off: 52 characters where 53"),
            (hash("$2b$12$+", 52), "characters in it that no hash has"),
            (hash("", 12), "no crypt(3) hash"),
            ("secret".to_owned(), "no crypt(3) hash"),
        ] {
            let said = Crypt::read(&text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn how_long_a_check_takes_follows_from_the_rounds() {
        for (text, check_ms, is_long) in [
            (hash("", 13), 0, false),
            (hash("$1$salt$", 22), 0, false),
            (hash("$6$salt$", 86), 6, false),
            (hash("$6$rounds=100000$salt$", 86), 120, false),
            (hash("$6$rounds=1000000$salt$", 86), 1200, true),
            (hash("$5$rounds=900000$salt$", 43), 1080, true),
            (hash("$2b$12$", 53), 307, false),
            (hash("$2y$14$", 53), 1228, true),
        ] {
            let crypt = Crypt::read(&text).unwrap();
            assert_eq!(
                (crypt.check_ms, crypt.is_long()),
                (check_ms, is_long),
                "{text}"
            );
        }
    }
}
