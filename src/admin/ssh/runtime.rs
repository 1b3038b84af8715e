//! SSH runtime: one thread with tokio and russh for all clients, the host key, and the
//! algorithms.
//!
//! Its thread waits only for sockets and timers. The controller and passwords are waited for on
//! blocking threads, one for each client.

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

use crate::admin::server::acceptor::{STACK_BYTES, spawn_thread};
use crate::admin::server::reconfigure::AdminListenError;
use crate::os::state;
use crate::sync::lock;

/// Clients at a time; others wait a moment and are then rejected.
pub(super) const MAX_CLIENTS: usize = 16;

/// Time for clients to take note of the end.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// Blocking threads stay: there must always be one, see `serve`.
const KEEP_ALIVE: Duration = Duration::from_secs(u32::MAX as u64);

/// How long the end of the thread is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What all clients need.
pub(super) struct SshRuntime {
    pub(super) protocol: Arc<Config>,
    pub(super) fingerprint: String,
    tokio_handle: Handle,
    shutdown_sender: watch::Sender<bool>,
    /// Each client holds a clone; without any, all clients have gone.
    client_guard: mpsc::WeakSender<Infallible>,
    /// Disconnects when the thread has ended.
    thread_ended: Mutex<Receiver<()>>,
}

impl SshRuntime {
    /// Starts it with the key in the state folder.
    ///
    /// # Errors
    /// There is no key, or the system has no thread.
    pub(super) fn start() -> Result<SshRuntime, AdminListenError> {
        let folder = state::folder("txlb").map_err(|error| {
            AdminListenError::Other(format!(
                "the ssh interface: there is no state folder: {error}"
            ))
        })?;
        let key = host_key(&folder).map_err(AdminListenError::Other)?;
        let fingerprint = fingerprint(&key);
        SshRuntime::with(Arc::new(config(key)), fingerprint).map_err(|error| {
            AdminListenError::Other(format!(
                "the ssh interface: the system has no thread: {error}"
            ))
        })
    }

    fn with(protocol: Arc<Config>, fingerprint: String) -> io::Result<SshRuntime> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(MAX_CLIENTS)
            .thread_stack_size(STACK_BYTES)
            .thread_keep_alive(KEEP_ALIVE)
            .thread_name("ssh-desk")
            .build()?;
        let handle = runtime.handle().clone();
        let (shutdown_sender, shutdown) = watch::channel(false);
        let (client_guard, clients_gone) = mpsc::channel(1);
        let weak = client_guard.downgrade();
        let (running, thread_ended) = sync_channel(0);
        spawn_thread("ssh-clients", move || {
            let _running: std::sync::mpsc::SyncSender<()> = running;
            serve(runtime, shutdown, client_guard, clients_gone);
        })?;
        Ok(SshRuntime {
            protocol,
            fingerprint,
            tokio_handle: handle,
            shutdown_sender,
            client_guard: weak,
            thread_ended: Mutex::new(thread_ended),
        })
    }

    /// Runs a task for a client.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Without it the thread is about to end.
        let Some(client_guard) = self.client_guard.upgrade() else {
            return;
        };
        self.tokio_handle.spawn(async move {
            work.await;
            drop(client_guard);
        });
    }

    /// The handle of tokio, to register sockets.
    pub(super) fn tokio_handle(&self) -> &Handle {
        &self.tokio_handle
    }

    /// Turns true when the server shuts down.
    pub(super) fn shutdown(&self) -> watch::Receiver<bool> {
        self.shutdown_sender.subscribe()
    }

    /// Disconnects all clients, and waits for a second at most.
    pub(super) fn shut_down(&self) {
        self.shutdown_sender.send_replace(true);
        // Nobody sends: this waits until the thread has ended.
        let _ = lock(&self.thread_ended).recv_timeout(TIMEOUT);
    }
}

/// Serves clients until the server shuts down.
fn serve(
    runtime: Runtime,
    mut shutdown: watch::Receiver<bool>,
    client_guard: mpsc::Sender<Infallible>,
    mut clients_gone: mpsc::Receiver<Infallible>,
) {
    // Starts a first blocking thread. tokio panics if it needs one and the system has none; as
    // long as there is one, work waits for it.
    runtime.spawn_blocking(|| ());
    runtime.block_on(async move {
        // Without a sender it has shut down as well.
        let _ = shutdown.wait_for(|is_over| *is_over).await;
        drop(client_guard);
        let _ = timeout(GOODBYE_TIMEOUT, clients_gone.recv()).await;
    });
    // Blocking work may still wait for the controller.
    runtime.shutdown_background();
}

/// The file in the state folder, in the format of ssh-keygen.
const NAME: &str = "ssh_host_ed25519_key";

/// Reads the host key in `folder`, or makes it if there is none. Unlike a certificate, a damaged
/// one is not replaced: clients would warn, and people would learn to delete the entry.
/// Tests: `a_damaged_one_is_reported_and_stays`, `the_key_stays_and_a_damaged_one_is_an_error`.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn host_key(folder: &Path) -> Result<PrivateKey, String> {
    let bytes =
        state::load_or_create(folder, NAME, |_| true, make).map_err(|error| error.to_string())?;
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

/// The fingerprint that clients show, as in `ssh-keygen -l`.
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

/// The server's identification.
pub(super) const IDENTIFICATION: &str = "SSH-2.0-txlb";

/// Tries to log in. The first one, `none`, asks for the methods and does not count.
const MAX_TRIES: usize = 6;

/// A rejection takes at least this long.
const REJECTION: Duration = Duration::from_millis(250);

/// After this silence the client is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Questions without an answer before the client is disconnected.
const MAX_KEEPALIVES: usize = 3;

/// How long a client may take none of what it is sent.
const MAX_STALL: Duration = Duration::from_secs(120);

/// The receive window of a channel, in bytes.
const WINDOW: u32 = 64 * 1024;

const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    // No algorithms: markers of extensions, above all of strict key exchange.
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
];

/// The ciphers authenticate by themselves; some clients want to agree on a MAC all the same.
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];

/// Signature algorithms for keys of users and of the server; without RSA with SHA-1. All these
/// algorithms have been in OpenSSH since 2014.
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

/// Whether a client's key may sign with this algorithm.
pub(super) fn is_accepted(signature: &Algorithm) -> bool {
    SIGNATURES.contains(signature)
}

/// Login methods, the same for all names, known or not.
pub(super) fn methods() -> MethodSet {
    MethodSet::from(&[MethodKind::PublicKey, MethodKind::Password][..])
}

/// russh's settings for a server with this key.
pub(super) fn config(key: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(IDENTIFICATION)),
        methods: methods(),
        auth_rejection_time: REJECTION,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        window_size: WINDOW,
        max_auth_attempts: MAX_TRIES + 1,
        inactivity_timeout: Some(MAX_STALL),
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

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
