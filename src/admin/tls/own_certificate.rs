//! txlb's own, self-signed certificate: made once and kept in one file.
//!
//! People compare its fingerprint or install the certificate in their clients. So it is kept as
//! long as it can be used.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, date_time_ymd,
};
use sha2::{Digest, Sha256};

use super::certificate::{self, CertificateAndKey, fingerprint, has_expired};
use crate::os::state;

/// The file in the state folder: certificate, then key, as PEM. In one file they always fit.
const NAME: &str = "web.pem";

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
pub(super) fn load_or_create(
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
    let pem =
        state::load_or_create(folder, NAME, is_usable, make).map_err(|error| error.to_string())?;
    let path = folder.join(NAME);
    let path = path.display();
    let identity = certificate::parse(&pem).map_err(|error| format!("{path}: {error}"))?;
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
    match certificate::parse(pem) {
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
