//! Password hashes (crypt(3)) and public keys (OpenSSH) of users: whether each can be used.
//!
//! Only their form is checked here. `admin/auth` checks passwords, the SSH server checks
//! signatures.

use std::fmt;

use super::error::Error;
use super::value::{Value, is_one_line};

/// Higher costs are refused: a check would take seconds to hours, and only two run at a time.
const MAX_BCRYPT_COST: u32 = 15;
const MAX_ROUNDS: u32 = 1_000_000;

/// Costs that bcrypt has.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// `crypt` raises fewer rounds to this, so no hash has fewer.
const MIN_ROUNDS: u32 = 1000;

/// Rounds without `rounds=`.
const DEFAULT_ROUNDS: u32 = 5000;

/// Time of a round of `$5$` and `$6$`, and of one of bcrypt's 2^cost rounds, on a slow processor.
/// Measured on one of 2020: 0.5 µs, and 59 µs (240 ms at cost 12).
const ROUND_NS: u64 = 1_200;
const BCRYPT_ROUND_NS: u64 = 75_000;

/// Longer checks cause a warning.
const LONG_MS: u64 = 1_000;

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Hash algorithms that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashKind {
    Des,
    Md5,
    Sha256,
    Sha512,
    Bcrypt,
}

/// A password hash that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    pub(crate) kind: HashKind,
    /// Estimated time of a check.
    pub(crate) check_ms: u64,
}

/// Why no password can match a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HashError {
    /// It is no hash, or not a whole one.
    NotWhole(String),
    /// A check would take too long.
    TooCostly(String),
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashError::NotWhole(why) | HashError::TooCostly(why) => f.write_str(why),
        }
    }
}

impl PasswordHash {
    /// Parses the `password` of a `<user>`.
    ///
    /// # Errors
    /// If no password can match it, or a check would take too long.
    pub(crate) fn read(text: &str) -> Result<PasswordHash, HashError> {
        const HASH_KINDS: [(&str, HashKind); 6] = [
            ("$1$", HashKind::Md5),
            ("$5$", HashKind::Sha256),
            ("$6$", HashKind::Sha512),
            ("$2a$", HashKind::Bcrypt),
            ("$2b$", HashKind::Bcrypt),
            ("$2y$", HashKind::Bcrypt),
        ];
        let known = HASH_KINDS
            .into_iter()
            .find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)));
        let (kind, rest) = known.unwrap_or((HashKind::Des, text));
        let check_ns = match kind {
            // With other characters it is a plain password, not a hash that was cut off.
            HashKind::Des if rest.len() != 13 || check_alphabet(rest, 13).is_err() => {
                return Err(not_whole("it is no crypt(3) hash of a known kind"));
            }
            HashKind::Des => 0,
            HashKind::Md5 => check_salted(rest, 8, 22).map(|()| 0)?,
            HashKind::Sha256 | HashKind::Sha512 => {
                let (rounds, rest) = parse_rounds(rest)?;
                check_salted(rest, 16, if kind == HashKind::Sha256 { 43 } else { 86 })?;
                u64::from(rounds) * ROUND_NS
            }
            HashKind::Bcrypt => {
                let (cost, rest) = parse_cost(rest)?;
                check_alphabet(rest, 53)?;
                BCRYPT_ROUND_NS << cost
            }
        };
        let check_ms = check_ns / 1_000_000;
        Ok(PasswordHash { kind, check_ms })
    }

    /// Whether it is too fast to guess: DES, which uses only eight characters, and `$1$`.
    pub(crate) fn is_weak(self) -> bool {
        matches!(self.kind, HashKind::Des | HashKind::Md5)
    }

    /// Whether a check delays others for long.
    pub(crate) fn is_long(self) -> bool {
        self.check_ms > LONG_MS
    }
}

fn not_whole(why: impl Into<String>) -> HashError {
    HashError::NotWhole(why.into())
}

/// Checks that the text is this many characters of the hash alphabet.
fn check_alphabet(text: &str, length: usize) -> Result<(), HashError> {
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

/// Checks that the text is a salt and a checksum.
fn check_salted(text: &str, most_salt: usize, checksum: usize) -> Result<(), HashError> {
    let Some((salt, rest)) = text.split_once('$') else {
        return Err(not_whole("it is cut off: there is nothing behind its salt"));
    };
    if salt.len() > most_salt {
        let why = format!("its salt has more than {most_salt} characters");
        return Err(not_whole(why));
    }
    check_alphabet(salt, salt.len())?;
    check_alphabet(rest, checksum)
}

/// Parses the optional `rounds=`; also returns the rest.
fn parse_rounds(text: &str) -> Result<(u32, &str), HashError> {
    let Some(text) = text.strip_prefix("rounds=") else {
        return Ok((DEFAULT_ROUNDS, text));
    };
    let wrong = || {
        not_whole(format!(
            "its rounds= is no number from {MIN_ROUNDS} to {MAX_ROUNDS}"
        ))
    };
    let (digits, rest) = text.split_once('$').ok_or_else(wrong)?;
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(rounds) if is_plain && rounds > MAX_ROUNDS => Err(HashError::TooCostly(format!(
            "it would take too long: {rounds} rounds, where {MAX_ROUNDS} are the most"
        ))),
        Ok(rounds) if is_plain && rounds >= MIN_ROUNDS => Ok((rounds, rest)),
        _ => Err(wrong()),
    }
}

/// Parses the cost of bcrypt; also returns the rest.
fn parse_cost(text: &str) -> Result<(u32, &str), HashError> {
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
        Some(cost) => Err(HashError::TooCostly(format!(
            "it would take too long: a bcrypt cost of {cost}, where {MAX_BCRYPT_COST} is the most"
        ))),
        None => Err(wrong()),
    }
}

/// Key types that can be used: the first word of a line.
const KEY_TYPES: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
];

/// Allowed length of an RSA key, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Bytes of an RSA exponent. Longer ones make checks slow, and are not in use.
const LONGEST_EXPONENT: usize = 4;

/// What is expected instead of an unusable key.
const EXPECTED_ONE_LINE: &str = "a public key on one line, such as ssh-ed25519 AAAA...";
const EXPECTED_KEY_TYPE: &str = "a key of type ssh-ed25519, ecdsa-sha2-nistp256, \
     ecdsa-sha2-nistp384, ecdsa-sha2-nistp521 or ssh-rsa";
const EXPECTED_WHOLE_KEY: &str =
    "a whole public key: the second word does not hold one of the first's type";
const EXPECTED_RSA_SIZE: &str = "an RSA key of 2048 to 8192 bits";

impl Value<'_> {
    /// A public key in OpenSSH's one-line form (sshd(8), AUTHORIZED_KEYS), without options.
    pub(super) fn key(&self) -> Result<String, Error> {
        let text = self.text.trim();
        let checked = match is_one_line(text) {
            true => check_public_key(text),
            false => Err(EXPECTED_ONE_LINE),
        };
        match checked {
            Ok(()) => Ok(text.to_owned()),
            Err(expected) => Err(self.bad_value(expected)),
        }
    }
}

/// Checks that a public key can be used.
///
/// # Errors
/// What is expected instead.
pub(super) fn check_public_key(line: &str) -> Result<(), &'static str> {
    let mut words = line.split(' ');
    let (Some(kind), Some(text)) = (words.next(), words.next()) else {
        return Err(EXPECTED_ONE_LINE);
    };
    if !kind.contains('-') || !kind.bytes().all(is_key_type_byte) || text.is_empty() {
        return Err(EXPECTED_ONE_LINE);
    }
    if !KEY_TYPES.contains(&kind) {
        return Err(EXPECTED_KEY_TYPE);
    }
    let blob = decode_base64(text).ok_or(EXPECTED_WHOLE_KEY)?;
    let mut fields = Fields(&blob);
    if fields.next() != Some(kind.as_bytes()) {
        return Err(EXPECTED_WHOLE_KEY);
    }
    let is_fine = match kind {
        "ssh-ed25519" => fields.next().map(<[u8]>::len) == Some(32),
        "ssh-rsa" => check_rsa(&mut fields)?,
        _ => is_curve_point(&mut fields, kind.trim_start_matches("ecdsa-sha2-")),
    };
    match is_fine && fields.0.is_empty() {
        true => Ok(()),
        false => Err(EXPECTED_WHOLE_KEY),
    }
}

/// The encoded key of a line, to compare with a client's; `None` if there is none.
pub fn public_key_bytes(line: &str) -> Option<Vec<u8>> {
    decode_base64(line.split(' ').nth(1)?)
}

/// Checks the exponent, then the modulus.
fn check_rsa(fields: &mut Fields<'_>) -> Result<bool, &'static str> {
    let (Some(exponent), Some(modulus)) = (fields.number(), fields.number()) else {
        return Ok(false);
    };
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - unused as usize;
    match RSA_BITS.contains(&bits) {
        true => Ok((1..=LONGEST_EXPONENT).contains(&exponent.len())),
        false => Err(EXPECTED_RSA_SIZE),
    }
}

/// Checks the curve's name, then an uncompressed point.
fn is_curve_point(fields: &mut Fields<'_>, curve: &str) -> bool {
    let length = match curve {
        "nistp256" => 65,
        "nistp384" => 97,
        _ => 133,
    };
    fields.next() == Some(curve.as_bytes())
        && fields
            .next()
            .is_some_and(|point| point.len() == length && point[0] == 4)
}

/// Length-prefixed fields (RFC 4251).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    /// A positive number without leading zeros.
    fn number(&mut self) -> Option<&'a [u8]> {
        let field = self.next()?;
        match field {
            [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Some(rest),
            [1..0x80, ..] => Some(field),
            _ => None,
        }
    }
}

/// Decodes base64, padding required, strictly.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        held = held << 6 | u32::from(base64_value(digit)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
        }
        held &= (1 << bits) - 1;
    }
    (held == 0).then_some(bytes)
}

fn base64_value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Whether key types have this byte (`sk-ssh-ed25519@openssh.com`).
fn is_key_type_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-@._".contains(&byte)
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
            let message = PasswordHash::read(&text).unwrap_err().to_string();
            assert!(message.contains(why), "{text}: {message}");
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
            let crypt = PasswordHash::read(&text).unwrap();
            assert_eq!(
                (crypt.check_ms, crypt.is_long()),
                (check_ms, is_long),
                "{text}"
            );
        }
    }

    const ED25519: &str = "ssh-ed25519 \
     AAAAC3NzaC1lZDI1NTE5AAAAIE4tIgRUeBnmexLcOY0/pOamaItf+uof6U9W2fUZOpW8";
    const P256: &str = "ecdsa-sha2-nistp256 \
     AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGy2/U3Ly7KnwYGthP3IW8ZjqcE9\
     9/fbXxtGVt5xJwCKUDfbeJCDrVcViWBR/X5OKM3KINW5hUiVKMWMMeZdP2A=";
    const P384: &str = "ecdsa-sha2-nistp384 \
     AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBDQ/JiQYVjjyJAbMoitd4yvAXD6k\
     f/lKGHs005MPb+2xFVYOGTkSY1A6v5Ln/vOV/r9ZmKH291PEpAfYm4mCdIyngCZ8ZGVNVGwi1aIZxeoZ\
     hEnyJvvZlM6XOb16+kTGGg==";
    const P521: &str = "ecdsa-sha2-nistp521 \
     AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBACrUbCxAlRA9/t2BrAbgwnhcz88\
     rVZTDMZXHtCUFEwYssA+1/dmGTC8KLTKRZB7jHCfDhxEivxRXmw+1ZlXTA3MLwCJ4iiJThiYlZZOOOyc\
     CfxMaBxB3f4wFXzdBmhks3S/6J0VKNQ/bbNDezifpAN3wpa5m15nyRIOC/voKDlAzde1Lg==";
    const RSA_2048: &str = "ssh-rsa \
     AAAAB3NzaC1yc2EAAAADAQABAAABAQDqosrTr6H3UemKL6vsKjWjKrkyqmiiKJR2U+Mux9OApznIcIRS\
     iadKK8yh6c2liHivhpodSJMTNuxPQJ7z0eph8r35wvxkewVnJ8Py2ARdyslY+pdKj0OyulgBienv6IdL\
     NdxMm8Zf1mHHGTkrnzI3Z9Ob9Ac8DAhTmjFmzR87+70h+WFAMIe5+XeYp4fSALvV981LXFYcGW43XfQf\
     MIxjtc+myi8flTrLoiroccMLfPUJt+Xn6pwUucIc8m7N0Gqif11ghNMCgbibIfot9/XteDEeJAi+SCXt\
     xRJF2GTCUrxA1sZlQ14IxiOIxOy0HeGSpTemwvEzYve5vwnhV0kv";
    const RSA_1024: &str = "ssh-rsa \
     AAAAB3NzaC1yc2EAAAADAQABAAAAgQDO4Jd9PPa+TbfAn00CMDlnTPNLxkoIYz8pdUOfilMti3e5HUEP\
     ZJ8qipOjgZxWrywgoqCxESE0FEt41n8AyS9RYI4P4wT6jtGzEl4hnOKIBRgBJdMCaUrWaAwjGe/0wxLL\
     jVXebqR53y6mzCocsc0xsxnEYGUXrZ87sD4KLN/4tQ==";

    #[test]
    fn keys_of_all_kinds_are_good_with_and_without_a_comment() {
        for key in [ED25519, P256, P384, P521, RSA_2048] {
            assert_eq!(check_public_key(key), Ok(()), "{key}");
            let commented = format!("{key} ann@example.org, \"laptop\"");
            assert_eq!(check_public_key(&commented), Ok(()));
            assert_eq!(public_key_bytes(&commented), public_key_bytes(key));
        }
        let bytes = public_key_bytes(ED25519).unwrap();
        assert!(bytes.starts_with(b"\0\0\0\x0bssh-ed25519\0\0\0\x20\x4e\x2d"));
        assert_eq!(bytes.len(), 51);
    }

    #[test]
    fn an_error_says_what_would_be_right() {
        let (kind, text) = ED25519.split_once(' ').unwrap();
        for (key, expected) in [
            ("", EXPECTED_ONE_LINE),
            ("AAAA", EXPECTED_ONE_LINE),
            ("ssh-ed25519", EXPECTED_ONE_LINE),
            ("ssh-ed25519  AAAA", EXPECTED_ONE_LINE),
            ("from=\"*\" ssh-ed25519 AAAA", EXPECTED_ONE_LINE),
            ("ssh-dss AAAA", EXPECTED_KEY_TYPE),
            ("sk-ssh-ed25519@openssh.com AAAA", EXPECTED_KEY_TYPE),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", EXPECTED_KEY_TYPE),
            (RSA_1024, EXPECTED_RSA_SIZE),
            ("ssh-ed25519 AAAA", EXPECTED_WHOLE_KEY),
            ("ssh-ed25519 AAAA...", EXPECTED_WHOLE_KEY),
            (&format!("ssh-rsa {text}"), EXPECTED_WHOLE_KEY),
            (
                &format!("{kind} {}", &text[..text.len() - 4]),
                EXPECTED_WHOLE_KEY,
            ),
            (&format!("{kind} {text}AAAA"), EXPECTED_WHOLE_KEY),
            (&P256.replace("nistp256", "nistp384"), EXPECTED_WHOLE_KEY),
            // A point that begins with a 1.
            (&P256.replace("BBBGy2", "BBAWy2"), EXPECTED_WHOLE_KEY),
        ] {
            assert_eq!(check_public_key(key), Err(expected), "{key}");
        }
    }

    #[test]
    fn a_key_that_is_cut_anywhere_is_noticed() {
        for key in [ED25519, P256, P384, P521, RSA_2048] {
            let start = key.find(' ').unwrap();
            for length in start..key.trim_end_matches('=').len() {
                assert!(
                    check_public_key(&key[..length]).is_err(),
                    "{}",
                    &key[..length]
                );
            }
        }
    }

    #[test]
    fn base64_is_read_strictly() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("AQID", Some(b"\x01\x02\x03")),
            ("AQI=", Some(b"\x01\x02")),
            ("AQ==", Some(b"\x01")),
            ("+/+/", Some(b"\xfb\xff\xbf")),
            ("AQ", None),
            ("AQI", None),
            ("A===", None),
            ("AR==", None),
            ("AQ=D", None),
            ("AQ_-", None),
            ("AQ D", None),
        ] {
            assert_eq!(decode_base64(text).as_deref(), expected, "{text}");
        }
    }
}
