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
