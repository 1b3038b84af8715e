//! TLS for the admin page: who the server is, and a handshake that ends in time.
//!
//! What is said over it is the page's business; clients show no certificate here,
//! they log in.

mod files;
mod own;
mod stream;
mod validity;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection};
use sha2::{Digest, Sha256};

use self::files::Identity;
pub(super) use self::stream::TlsStream;
use super::deadline::Timed;

/// What is needed to speak TLS: cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: Arc<ServerConfig>,
    fingerprint: Arc<str>,
}

impl Tls {
    /// With the operator's own certificate, its chain behind it, and its key, both
    /// PEM. One file may hold both.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(super) fn from_files(cert: &Path, key: &Path) -> Result<Tls, String> {
        Tls::new(files::read(cert, key)?)
    }

    /// With a certificate of txlb's own, which is made once and kept in the state
    /// folder. A new one has `names` in it, DNS names and addresses. One that is
    /// there stays even if it has others, for its fingerprint is what people have
    /// accepted; it is made anew if it has expired or is damaged.
    ///
    /// # Errors
    /// If it can neither be used nor made; with the file's path.
    pub(super) fn self_signed(folder: &Path, names: &[String]) -> Result<Tls, String> {
        Tls::new(own::identity(folder, names, SystemTime::now())?)
    }

    fn new(identity: Identity) -> Result<Tls, String> {
        let fingerprint = fingerprint(&identity.chain).into();
        let config = config(identity.chain, identity.key).map_err(|error| error.to_string())?;
        Ok(Tls {
            config: Arc::new(config),
            fingerprint,
        })
    }

    /// The SHA-256 of the certificate as browsers and openssl show it: `AA:BB:...`.
    pub(super) fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }

    /// The handshake over `timed`, and then the stream: all of it, its reads and
    /// writes too, before its deadline.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `InvalidData` if it is not TLS or cannot be agreed
    /// upon, `UnexpectedEof` if the client leaves, or the system's.
    pub(super) fn accept(&self, timed: Timed) -> io::Result<TlsStream> {
        let connection = ServerConnection::new(Arc::clone(&self.config));
        let connection = connection.map_err(io::Error::other)?;
        TlsStream::shake_hands(connection, timed)
    }
}

/// Whether a certificate and its key, both PEM, can be used and fit each other; and
/// what is to be said of them all the same, such as that it has expired.
///
/// # Errors
/// What is wrong with which file.
pub fn check_certificate(cert: &Path, key: &Path) -> Result<Option<String>, String> {
    let identity = files::read(cert, key)?;
    let remark = validity::remark(&identity.chain, SystemTime::now());
    Ok(remark.map(|remark| format!("{}: {remark}", cert.display())))
}

/// What encrypts. It is handed to whoever needs it: a process has but one default,
/// and that is not ours to choose, as several balancers may live in it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A page for a few operators: no session is resumed, so none is kept.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn fingerprint(chain: &[CertificateDer<'static>]) -> String {
    let leaf = chain.first().map_or(&[][..], |leaf| leaf.as_ref());
    let bytes = Sha256::digest(leaf);
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    words.join(":")
}

#[cfg(test)]
mod tests;
