//! A certificate chain and its key, out of PEM files, with errors for those who
//! have to put the files right.
//!
//! Whether the certificate is the right one for its clients is not known here.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};
use sha2::{Digest, Sha256};

use crate::calendar::UtcTime;
use crate::os::files::read_file;
use crate::os::rights::{self, Need};

/// No chain is longer.
const MOST_BYTES: u64 = 1 << 20;

/// A certificate, those behind it, and the key that fits the first one.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// What is in the files.
pub(super) fn read(cert: &Path, key: &Path) -> Result<Identity, String> {
    let named = |path: &Path, what: &str| format!("{}: {what}", path.display());
    let chain = contents(cert).and_then(|pem| chain(&pem));
    let chain = chain.map_err(|what| named(cert, &what))?;
    let private = contents(key).and_then(|pem| private_key(&pem));
    let private = private.map_err(|what| named(key, &what))?;
    fitting(chain, private).map_err(|trouble| match trouble {
        Trouble::Certificate(what) => named(cert, &what),
        Trouble::Key(what) => named(key, &what),
        Trouble::Both if cert == key => named(key, "the key does not fit the first certificate"),
        Trouble::Both => named(
            key,
            &format!(
                "the key does not fit the first certificate of {}",
                cert.display()
            ),
        ),
    })
}

/// What is in the bytes of one file.
pub(super) fn parse(pem: &[u8]) -> Result<Identity, String> {
    fitting(chain(pem)?, private_key(pem)?).map_err(|trouble| match trouble {
        Trouble::Certificate(what) | Trouble::Key(what) => what,
        Trouble::Both => "the key does not fit the certificate".to_owned(),
    })
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    // The desk reads this, between two changes.
    let bytes = read_file(path, MOST_BYTES + 1)
        .map_err(|error| format!("{error}{}", rights::advice(&error, Need::Read, path)))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("the file is larger than {MOST_BYTES} bytes"));
    }
    Ok(bytes)
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = found.map_err(|error| damaged(&error))?;
    if chain.is_empty() {
        return Err("there is no certificate in it: -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // PKCS#8 says so where it begins, the older forms in the line below.
    let is_encrypted = [
        &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
        b"Proc-Type: 4,ENCRYPTED",
    ]
    .iter()
    .any(|word| pem.windows(word.len()).any(|part| part == *word));
    if is_encrypted {
        return Err(
            "the key is encrypted, and nobody is there to be asked for its password: \
             'openssl pkey -in FILE -out NEW' takes that off"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            "there is no private key in it: -----BEGIN PRIVATE KEY-----".to_owned()
        }
        error => damaged(&error),
    })
}

fn damaged(error: &pem::Error) -> String {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "the line -----END ...----- is missing",
        pem::Error::IllegalSectionStart { .. } => "a line -----BEGIN ...----- is not whole",
        pem::Error::Base64Decode(_) => "what should be base64 is not",
        _ => "it cannot be read",
    };
    format!("this is no PEM: {why}")
}

/// Which file is to be put right.
enum Trouble {
    Certificate(String),
    Key(String),
    Both,
}

fn fitting(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Identity, Trouble> {
    for (index, certificate) in chain.iter().enumerate() {
        ParsedCertificate::try_from(certificate).map_err(|error| {
            let number = index + 1;
            Trouble::Certificate(format!("certificate {number} in it is none: {error}"))
        })?;
    }
    let fits = CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider());
    match fits {
        Ok(_) => Ok(Identity { chain, key }),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(Trouble::Both),
        Err(Error::InvalidCertificate(error)) => Err(Trouble::Certificate(format!(
            "the certificate cannot be used: {error}"
        ))),
        Err(error) => Err(Trouble::Key(format!(
            "the key cannot be used (RSA of 2048 to 8192 bits, ECDSA P-256, P-384 and P-521 \
             and Ed25519 can be): {error}"
        ))),
    }
}

/// Whether the first certificate of `chain` has expired at `now`.
pub(super) fn has_expired(chain: &[CertificateDer<'static>], now: SystemTime) -> bool {
    use CertificateError::{Expired, ExpiredContext};
    matches!(trouble(chain, now), Some(Expired | ExpiredContext { .. }))
}

/// What an operator should know of the first certificate of `chain`.
pub(super) fn remark(chain: &[CertificateDer<'static>], now: SystemTime) -> Option<String> {
    match trouble(chain, now)? {
        CertificateError::Expired => Some("the certificate has expired".to_owned()),
        CertificateError::ExpiredContext { not_after, .. } => {
            let end = iso(not_after);
            Some(format!("the certificate has expired, on {end}"))
        }
        CertificateError::NotValidYet => Some("the certificate is not valid yet".to_owned()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let begin = iso(not_before);
            Some(format!("the certificate is not valid before {begin}"))
        }
        _ => None,
    }
}

/// What a client that trusts nobody has against it: its dates come first, then that
/// its issuer is not known.
fn trouble(chain: &[CertificateDer<'static>], now: SystemTime) -> Option<CertificateError> {
    let parsed = ParsedCertificate::try_from(chain.first()?).ok()?;
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let verified = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        UnixTime::since_unix_epoch(since),
        provider().signature_verification_algorithms.all,
    );
    match verified {
        Err(Error::InvalidCertificate(trouble)) => Some(trouble),
        _ => None,
    }
}

fn iso(time: UnixTime) -> String {
    let since = Duration::from_secs(time.as_secs());
    UtcTime::of(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).iso()
}

/// What encrypts. It is handed to whoever needs it: a process has but one default,
/// and that is not ours to choose, as several balancers may live in it.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(super) fn fingerprint(chain: &[CertificateDer<'static>]) -> String {
    let leaf = chain.first().map_or(&[][..], |leaf| leaf.as_ref());
    let bytes = Sha256::digest(leaf);
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    words.join(":")
}
