//! Public keys in OpenSSH's one-line form: whether one can be used, and the bytes that
//! are compared with a client's.
//!
//! Only the form; no signature is checked here, nor whether a point is on its curve.

/// Kinds of keys that can be used, as the first word has them.
const KINDS: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
];

/// How long an RSA key may be, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Longer ones make checking slow, and nobody uses them.
const LONGEST_EXPONENT: usize = 4;

/// What is right instead of a key that cannot be used.
pub(super) const ON_ONE_LINE: &str = "a public key on one line, such as ssh-ed25519 AAAA...";
const OF_A_KIND: &str = "a key of type ssh-ed25519, ecdsa-sha2-nistp256, \
     ecdsa-sha2-nistp384, ecdsa-sha2-nistp521 or ssh-rsa";
const WHOLE: &str = "a whole public key: the second word does not hold one of the first's type";
const NOT_SHORT: &str = "an RSA key of 2048 to 8192 bits";

/// Whether a key can be used.
///
/// # Errors
/// What is expected instead.
pub(super) fn check(line: &str) -> Result<(), &'static str> {
    let mut words = line.split(' ');
    let (Some(kind), Some(text)) = (words.next(), words.next()) else {
        return Err(ON_ONE_LINE);
    };
    if !kind.contains('-') || !kind.bytes().all(is_key_byte) || text.is_empty() {
        return Err(ON_ONE_LINE);
    }
    if !KINDS.contains(&kind) {
        return Err(OF_A_KIND);
    }
    let blob = bytes(text).ok_or(WHOLE)?;
    let mut fields = Fields(&blob);
    if fields.next() != Some(kind.as_bytes()) {
        return Err(WHOLE);
    }
    let is_fine = match kind {
        "ssh-ed25519" => fields.next().map(<[u8]>::len) == Some(32),
        "ssh-rsa" => is_long_enough(&mut fields)?,
        _ => is_point(&mut fields, kind.trim_start_matches("ecdsa-sha2-")),
    };
    match is_fine && fields.0.is_empty() {
        true => Ok(()),
        false => Err(WHOLE),
    }
}

/// What a client's key has to be to be the one of this line; `None` if there is none.
pub fn public_key_bytes(line: &str) -> Option<Vec<u8>> {
    bytes(line.split(' ').nth(1)?)
}

/// The exponent and then the modulus.
fn is_long_enough(fields: &mut Fields<'_>) -> Result<bool, &'static str> {
    let (Some(exponent), Some(modulus)) = (fields.number(), fields.number()) else {
        return Ok(false);
    };
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - unused as usize;
    match RSA_BITS.contains(&bits) {
        true => Ok((1..=LONGEST_EXPONENT).contains(&exponent.len())),
        false => Err(NOT_SHORT),
    }
}

/// The curve's name and then a point, not compressed.
fn is_point(fields: &mut Fields<'_>, curve: &str) -> bool {
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

/// Fields with their length in front of them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    /// A positive number without zeros in front.
    fn number(&mut self) -> Option<&'a [u8]> {
        let field = self.next()?;
        match field {
            [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Some(rest),
            [1..0x80, ..] => Some(field),
            _ => None,
        }
    }
}

/// What base64 stands for: with its padding, and nothing that is cut off.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        held = held << 6 | u32::from(value(digit)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
        }
        held &= (1 << bits) - 1;
    }
    (held == 0).then_some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// What kinds of keys are made of (`sk-ssh-ed25519@openssh.com`).
fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-@._".contains(&byte)
}

#[cfg(test)]
mod tests {
    //! Keys as ssh-keygen makes them, and what is left of them after an accident.

    use super::*;

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
            assert_eq!(check(key), Ok(()), "{key}");
            let commented = format!("{key} ann@example.org, \"laptop\"");
            assert_eq!(check(&commented), Ok(()));
            assert_eq!(public_key_bytes(&commented), public_key_bytes(key));
        }
        let bytes = public_key_bytes(ED25519).unwrap();
        assert!(bytes.starts_with(b"\0\0\0\x0bssh-ed25519\0\0\0\x20\x4e\x2d"));
        assert_eq!(bytes.len(), 51);
    }

    #[test]
    fn what_is_wrong_is_told_by_what_would_be_right() {
        let (kind, text) = ED25519.split_once(' ').unwrap();
        for (key, expected) in [
            ("", ON_ONE_LINE),
            ("AAAA", ON_ONE_LINE),
            ("ssh-ed25519", ON_ONE_LINE),
            ("ssh-ed25519  AAAA", ON_ONE_LINE),
            ("from=\"*\" ssh-ed25519 AAAA", ON_ONE_LINE),
            ("ssh-dss AAAA", OF_A_KIND),
            ("sk-ssh-ed25519@openssh.com AAAA", OF_A_KIND),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", OF_A_KIND),
            (RSA_1024, NOT_SHORT),
            ("ssh-ed25519 AAAA", WHOLE),
            ("ssh-ed25519 AAAA...", WHOLE),
            (&format!("ssh-rsa {text}"), WHOLE),
            (&format!("{kind} {}", &text[..text.len() - 4]), WHOLE),
            (&format!("{kind} {text}AAAA"), WHOLE),
            (&P256.replace("nistp256", "nistp384"), WHOLE),
            // A point that begins with a 1.
            (&P256.replace("BBBGy2", "BBAWy2"), WHOLE),
        ] {
            assert_eq!(check(key), Err(expected), "{key}");
        }
    }

    #[test]
    fn a_key_that_is_cut_anywhere_is_noticed() {
        for key in [ED25519, P256, P384, P521, RSA_2048] {
            let start = key.find(' ').unwrap();
            for length in start..key.trim_end_matches('=').len() {
                assert!(check(&key[..length]).is_err(), "{}", &key[..length]);
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
            assert_eq!(bytes(text).as_deref(), expected, "{text}");
        }
    }
}
