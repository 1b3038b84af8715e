//! Certificates: a chain and its key out of PEM files, whether they fit each other, and when they
//! are valid.
//!
//! Errors say what is wrong with which file.

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

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A certificate with its chain, and the key that fits it.
#[derive(Debug)]
pub(super) struct CertificateAndKey {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Reads both files.
pub(super) fn read_files(cert: &Path, key: &Path) -> Result<CertificateAndKey, String> {
    let named = |path: &Path, what: &str| format!("{}: {what}", path.display());
    let chain = read_pem(cert).and_then(|pem| chain(&pem));
    let chain = chain.map_err(|what| named(cert, &what))?;
    let private = read_pem(key).and_then(|pem| private_key(&pem));
    let private = private.map_err(|what| named(key, &what))?;
    match_key(chain, private).map_err(|problem| match problem {
        Problem::Certificate(what) => named(cert, &what),
        Problem::Key(what) => named(key, &what),
        Problem::Both if cert == key => named(key, "the key does not match the first certificate"),
        Problem::Both => named(
            key,
            &format!(
                "the key does not match the first certificate of {}",
                cert.display()
            ),
        ),
    })
}

/// Reads the bytes of one file that holds both.
pub(super) fn parse(pem: &[u8]) -> Result<CertificateAndKey, String> {
    match_key(chain(pem)?, private_key(pem)?).map_err(|problem| match problem {
        Problem::Certificate(what) | Problem::Key(what) => what,
        Problem::Both => "the key does not match the certificate".to_owned(),
    })
}

fn read_pem(path: &Path) -> Result<Vec<u8>, String> {
    // The controller reads this, so it must not block on a pipe. Test:
    // `a_pipe_is_not_waited_for`.
    let bytes = read_file(path, MAX_FILE_BYTES + 1)
        .map_err(|error| format!("{error}{}", rights::advice(&error, Need::Read, path)))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {MAX_FILE_BYTES} bytes"));
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
    // PKCS#8 says so in its first line, older forms in the one below.
    let is_encrypted = [
        &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
        b"Proc-Type: 4,ENCRYPTED",
    ]
    .iter()
    .any(|word| pem.windows(word.len()).any(|part| part == *word));
    if is_encrypted {
        return Err(
            "the key is encrypted, and txlb cannot ask for its password: \
             'openssl pkey -in FILE -out NEW' decrypts it"
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

/// Which file is wrong.
enum Problem {
    Certificate(String),
    Key(String),
    Both,
}

fn match_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertificateAndKey, Problem> {
    for (index, certificate) in chain.iter().enumerate() {
        ParsedCertificate::try_from(certificate).map_err(|error| {
            let number = index + 1;
            Problem::Certificate(format!(
                "certificate {number} in it cannot be read: {error}"
            ))
        })?;
    }
    let fits = CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider());
    match fits {
        Ok(_) => Ok(CertificateAndKey { chain, key }),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(Problem::Both),
        Err(Error::InvalidCertificate(error)) => Err(Problem::Certificate(format!(
            "the certificate cannot be used: {error}"
        ))),
        Err(error) => Err(Problem::Key(format!(
            "the key cannot be used (RSA of 2048 to 8192 bits, ECDSA P-256, P-384 and P-521 \
             and Ed25519 can be): {error}"
        ))),
    }
}

/// Whether the first certificate of `chain` has expired at `now`.
pub(super) fn has_expired(chain: &[CertificateDer<'static>], now: SystemTime) -> bool {
    use CertificateError::{Expired, ExpiredContext};
    matches!(problem(chain, now), Some(Expired | ExpiredContext { .. }))
}

/// What an operator should know about the validity of the first certificate of `chain`.
pub(super) fn validity_note(chain: &[CertificateDer<'static>], now: SystemTime) -> Option<String> {
    match problem(chain, now)? {
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

/// The first objection of a client that trusts no issuer: the dates are checked before the unknown
/// issuer.
fn problem(chain: &[CertificateDer<'static>], now: SystemTime) -> Option<CertificateError> {
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
        Err(Error::InvalidCertificate(problem)) => Some(problem),
        _ => None,
    }
}

fn iso(time: UnixTime) -> String {
    let since = Duration::from_secs(time.as_secs());
    UtcTime::of(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).iso()
}

/// The implementation of cryptography. It is passed explicitly: a process has one default
/// provider, which is not ours to set, as a program may embed several balancers.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(super) fn fingerprint(chain: &[CertificateDer<'static>]) -> String {
    let leaf = chain.first().map_or(&[][..], |leaf| leaf.as_ref());
    let bytes = Sha256::digest(leaf);
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    words.join(":")
}
