//! How SSH is spoken here: which algorithms, and how much of anything.
//!
//! Only what is new enough to be trusted and old enough to be in every client: all of it
//! has been in OpenSSH since 2014. What is asked for in it is `visitor`'s business.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

/// How the server is called.
pub(super) const IDENTIFICATION: &str = "SSH-2.0-txlb";

/// Tries to log in. A client's first one asks what is possible, and does not count.
const MAX_TRIES: usize = 6;

/// How long it takes at least to be told that something is wrong.
const REJECTION: Duration = Duration::from_millis(250);

/// How long a client may be silent before it is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How often it is asked without an answer.
const MAX_KEEPALIVES: usize = 3;

/// How long a client may take none of what it is sent.
const SLOW: Duration = Duration::from_secs(120);

/// What a client may send before it is told to go on, in bytes.
const WINDOW: u32 = 64 * 1024;

const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    // Not algorithms: they say what else is known, strict key exchange above all.
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
];

/// The ciphers bring their own; some clients want to agree on one all the same.
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];

/// What keys may sign with. RSA with SHA-1 is not there.
const SIGNATURES: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// Whether a client's key may sign in this way.
pub(super) fn is_accepted(signature: &Algorithm) -> bool {
    SIGNATURES.contains(signature)
}

/// How clients may log in: it is the same for all users, and for those who are none.
pub(super) fn methods() -> MethodSet {
    MethodSet::from(&[MethodKind::PublicKey, MethodKind::Password][..])
}

/// The protocol for a host with this key.
pub(super) fn config(key: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(IDENTIFICATION)),
        methods: methods(),
        auth_rejection_time: REJECTION,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        window_size: WINDOW,
        max_auth_attempts: MAX_TRIES + 1,
        inactivity_timeout: Some(SLOW),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: MAX_KEEPALIVES,
        preferred: Preferred {
            kex: Cow::Borrowed(KEY_EXCHANGES),
            key: Cow::Borrowed(SIGNATURES),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_signs_with_sha1_or_by_a_key_of_hardware() {
        for (name, is_fine) in [
            ("ssh-ed25519", true),
            ("ecdsa-sha2-nistp521", true),
            ("rsa-sha2-256", true),
            ("ssh-rsa", false),
            ("ssh-dss", false),
            ("sk-ssh-ed25519@openssh.com", false),
        ] {
            let is_taken = Algorithm::new(name).is_ok_and(|it| is_accepted(&it));
            assert_eq!(is_taken, is_fine, "{name}");
        }
    }
}
