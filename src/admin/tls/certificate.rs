//! Certificates: the operator's, a chain and its key out of PEM files, and txlb's own, self-signed,
//! which is made once and kept in one file.
//!
//! Errors say what is wrong with which file. People compare the fingerprint of txlb's own
//! certificate or install it in their clients. So it is kept as long as it can be used.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, date_time_ymd,
};
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
use crate::os::state;

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

/// The file in the state folder: certificate, then key, as PEM. In one file they always fit.
const OWN_FILE: &str = "web.pem";

/// Most names in one certificate.
const MAX_NAMES: usize = 100;

/// Longest common name that X.509 allows.
const MAX_COMMON_NAME_BYTES: usize = 64;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a new certificate is valid: ten years.
///
/// A new one makes people accept a fingerprint again. The less often, the better they look at it.
const VALIDITY: Duration = Duration::from_secs(3653 * DAY.as_secs());

/// The certificate in `folder`. It is made if it is missing, damaged, or expired at `now`.
pub(super) fn load_or_create_own(
    folder: &Path,
    names: &[String],
    now: SystemTime,
) -> Result<CertificateAndKey, String> {
    let mut problem = None;
    let is_usable = |pem: &[u8]| {
        problem = problem_of(pem, now);
        problem.is_none()
    };
    let mut made = false;
    let make = || {
        made = true;
        pem(names, now).map_err(io::Error::other)
    };
    let pem = state::load_or_create(folder, OWN_FILE, is_usable, make)
        .map_err(|error| error.to_string())?;
    let path = folder.join(OWN_FILE);
    let path = path.display();
    let identity = parse(&pem).map_err(|error| format!("{path}: {error}"))?;
    if made {
        let why = problem.map_or_else(String::new, |problem| format!(", for {problem}"));
        let fingerprint = fingerprint(&identity.chain);
        log::warn!("{path} is a new certificate{why}; its SHA-256 fingerprint is {fingerprint}");
    }
    Ok(identity)
}

/// Why the existing certificate cannot be used. "Not valid yet" is no reason: clocks may be wrong
/// until they are set.
fn problem_of(pem: &[u8], now: SystemTime) -> Option<String> {
    match parse(pem) {
        Ok(identity) if has_expired(&identity.chain, now) => {
            Some("the one there was has expired".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(format!("the one there was is damaged: {error}")),
    }
}

/// A new certificate and its key, as PEM.
fn pem(names: &[String], now: SystemTime) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params(names, &key, now)?.self_signed(&key)?;
    Ok((certificate.pem() + &key.serialize_pem()).into_bytes())
}

fn params(
    names: &[String],
    key: &KeyPair,
    now: SystemTime,
) -> Result<CertificateParams, rcgen::Error> {
    let names = alternative_names(names);
    let common = names
        .iter()
        .find(|name| name.len() <= MAX_COMMON_NAME_BYTES);
    let common = common.map_or("localhost", String::as_str).to_owned();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let subject = &mut params.distinguished_name;
    subject.push(DnType::OrganizationName, "txlb");
    // Browsers that have accepted several must be able to tell them apart.
    subject.push(DnType::OrganizationalUnitName, key_id(key));
    subject.push(DnType::CommonName, common);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    // A day earlier, for clients whose clocks are slow.
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970.saturating_sub(DAY);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970 + VALIDITY;
    Ok(params)
}

fn key_id(key: &KeyPair) -> String {
    let hash = Sha256::digest(key.der_bytes());
    hash.iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Configured names first, as the first one is shown; then those of this machine to itself.
fn alternative_names(names: &[String]) -> Vec<String> {
    let given = names.iter().filter_map(|name| alternative_name(name));
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut all: Vec<String> = Vec::new();
    for name in given.take(MAX_NAMES).chain(own) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// A name as it goes into a certificate; `None` if no client could use it.
fn alternative_name(name: &str) -> Option<String> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = name.parse::<IpAddr>() {
        return (!address.is_unspecified()).then(|| address.to_string());
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || b"-._".contains(&letter);
    (!name.is_empty() && name.bytes().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_clients_may_use() {
        let names = [
            "LB.example.org.",
            "*",
            "0.0.0.0",
            "[::]",
            "[fe80::1]",
            "10.0.0.1",
            "",
            "ä",
        ];
        let names = names.map(str::to_owned);
        let expected = [
            "lb.example.org",
            "fe80::1",
            "10.0.0.1",
            "localhost",
            "127.0.0.1",
            "::1",
        ];
        assert_eq!(alternative_names(&names), expected);
        let twice = ["localhost", "::1", "localhost"].map(str::to_owned);
        assert_eq!(alternative_names(&twice), ["localhost", "::1", "127.0.0.1"]);
        let many: Vec<_> = (0..200).map(|number| format!("h{number}")).collect();
        assert_eq!(alternative_names(&many).len(), MAX_NAMES + 3);
    }

    #[test]
    fn it_is_used_until_it_has_expired_and_also_before_its_time() {
        let made = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let pem = pem(&[], made).unwrap();
        let after = |days: u32| problem_of(&pem, made + DAY * days);
        assert_eq!(after(0), None);
        assert_eq!(after(3652), None);
        assert_eq!(
            after(3654).as_deref(),
            Some("the one there was has expired")
        );
        // A clock that has lost its battery.
        assert_eq!(problem_of(&pem, UNIX_EPOCH), None);
        // And made by one: that must not be an error.
        assert!(super::pem(&[], UNIX_EPOCH).is_ok());
    }

    #[test]
    fn two_have_different_subjects() {
        let now = UNIX_EPOCH + DAY;
        let subject = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            params(&[], &key, now).unwrap().distinguished_name
        };
        assert_ne!(subject(), subject());
    }
}
