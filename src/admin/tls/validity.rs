//! When a certificate is valid.
//!
//! Whether anybody trusts it is not asked: whoever connects does that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use crate::calendar::UtcTime;

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
        super::provider().signature_verification_algorithms.all,
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
