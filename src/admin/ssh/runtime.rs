//! The one thread in which all of SSH is spoken, and the key that the door is known by.
//!
//! The runtime is for this thread alone. It waits for nothing but sockets and time: the
//! desk, and passwords, are waited for on plain threads of which there are as many as
//! clients.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::admin::server::acceptor::{STACK, spawn};
use crate::admin::server::lock;
use crate::admin::server::reconfigure::AdminListenError;
use crate::os::state;

/// Clients that are there at the same time; others wait for a moment, and are turned away.
pub(super) const MAX_CLIENTS: usize = 16;

/// How long clients have to hear that it is over.
const FAREWELL: Duration = Duration::from_millis(500);

/// Threads that wait for the desk stay: there must always be one.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How long the end of the thread is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What clients need.
pub(super) struct House {
    pub(super) protocol: Arc<Config>,
    pub(super) fingerprint: String,
    runtime: Handle,
    closing: watch::Sender<bool>,
    /// Each client has one, for as long as it is there.
    staying: mpsc::WeakSender<Infallible>,
    /// Hangs up when the thread is over.
    over: Mutex<Receiver<()>>,
}

impl House {
    /// With the key of the state folder.
    ///
    /// # Errors
    /// There is no key to be had, or the system has no thread for it.
    pub(super) fn start() -> Result<House, AdminListenError> {
        let folder = state::folder("txlb").map_err(|error| {
            AdminListenError::Other(format!("the ssh door: there is no state folder: {error}"))
        })?;
        let key = host_key(&folder).map_err(AdminListenError::Other)?;
        let fingerprint = fingerprint(&key);
        House::with(Arc::new(config(key)), fingerprint).map_err(|error| {
            AdminListenError::Other(format!("the ssh door: the system has no thread: {error}"))
        })
    }

    fn with(protocol: Arc<Config>, fingerprint: String) -> io::Result<House> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(MAX_CLIENTS)
            .thread_stack_size(STACK)
            .thread_keep_alive(FOR_EVER)
            .thread_name("ssh-desk")
            .build()?;
        let handle = runtime.handle().clone();
        let (closing, closes) = watch::channel(false);
        let (staying, stay) = mpsc::channel(1);
        let weak = staying.downgrade();
        let (running, over) = sync_channel(0);
        spawn("ssh-clients", move || {
            let _running: std::sync::mpsc::SyncSender<()> = running;
            serve(runtime, closes, staying, stay);
        })?;
        Ok(House {
            protocol,
            fingerprint,
            runtime: handle,
            closing,
            staying: weak,
            over: Mutex::new(over),
        })
    }

    /// Has something done for a client.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Without it the thread is about to end.
        let Some(staying) = self.staying.upgrade() else {
            return;
        };
        self.runtime.spawn(async move {
            work.await;
            drop(staying);
        });
    }

    /// The runtime, for what makes sockets known to it.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Tells when it is over.
    pub(super) fn closes(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Has all clients leave; those that do not are left behind.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
        // Nobody sends: this waits for the hanging up.
        let _ = lock(&self.over).recv_timeout(PATIENCE);
    }
}

/// Serves clients until it is over.
fn serve(
    runtime: Runtime,
    mut closes: watch::Receiver<bool>,
    staying: mpsc::Sender<Infallible>,
    mut stay: mpsc::Receiver<Infallible>,
) {
    // From now on there is a thread for passwords and the desk. tokio panics where it needs
    // the first one and the system has none; with one, work waits for it.
    runtime.spawn_blocking(|| ());
    runtime.block_on(async move {
        // Without a sender it is over as well.
        let _ = closes.wait_for(|is_over| *is_over).await;
        drop(staying);
        let _ = timeout(FAREWELL, stay.recv()).await;
    });
    // Somebody may wait for the desk still.
    runtime.shutdown_background();
}

/// The file in the state folder, in the form of ssh-keygen.
const NAME: &str = "ssh_host_ed25519_key";

/// The key in `folder`, made if there is none.
///
/// # Errors
/// In words that name the file.
pub(super) fn host_key(folder: &Path) -> Result<PrivateKey, String> {
    let bytes = state::secret(folder, NAME, |_| true, make).map_err(|error| error.to_string())?;
    let key = PrivateKey::from_openssh(&bytes).map_err(|error| error.to_string());
    let trouble = match key {
        Ok(key) if key.is_encrypted() => "it has a passphrase".to_owned(),
        Ok(key) if key.algorithm() != Algorithm::Ed25519 => "it is of another type".to_owned(),
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    Err(format!(
        "{}: no Ed25519 key of a host: {trouble}; once the file is moved away, a new one is \
         made, and clients will warn of it",
        folder.join(NAME).display()
    ))
}

/// What clients show of it, as `ssh-keygen -l` does.
pub(super) fn fingerprint(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}

fn make() -> io::Result<Vec<u8>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    Ok(text.as_bytes().to_vec())
}

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
mod host_key_tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("txlb-host-key-{}-{name}", std::process::id());
            Folder(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let folder = Folder::new("once");
        let first = host_key(&folder.0).unwrap();
        let mode = fs::metadata(folder.0.join(NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = host_key(&folder.0).unwrap();
        assert_eq!(fingerprint(&first), fingerprint(&again));
        let hash = fingerprint(&first);
        let digits = hash.strip_prefix("SHA256:").unwrap();
        assert_eq!(digits.len(), 43, "{hash}");
    }

    #[test]
    fn a_damaged_one_is_reported_and_stays() {
        let folder = Folder::new("damaged");
        host_key(&folder.0).unwrap();
        let file = folder.0.join(NAME);
        let whole = fs::read(&file).unwrap();
        for bytes in [&b""[..], b"rubbish", &whole[..whole.len() / 2]] {
            fs::write(&file, bytes).unwrap();
            let error = host_key(&folder.0).unwrap_err();
            assert!(
                error.contains("ssh_host_ed25519_key: no Ed25519"),
                "{error}"
            );
            assert_eq!(fs::read(&file).unwrap(), bytes);
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(host_key(&folder.0).is_err());
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
