//! The one thread in which all of SSH is spoken, and the key that the door is known by.
//!
//! The runtime is for this thread alone. It waits for nothing but sockets and time: the
//! desk, and passwords, are waited for on plain threads of which there are as many as
//! clients.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::server::Config;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::host_key::{fingerprint, host_key};
use super::{MAX_CLIENTS, protocol};
use crate::admin::hinge::lock;
use crate::admin::listeners::AdminListenError;
use crate::admin::watch::{STACK, spawn};
use crate::os::state;

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
        House::with(Arc::new(protocol::config(key)), fingerprint).map_err(|error| {
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
