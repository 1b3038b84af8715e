//! Descriptors that a predecessor has handed over to this process, by name, until those who open
//! such things take them.
//!
//! They belong to the process, as inherited sockets do: whoever binds asks here first. Until the
//! predecessor lets go, this process is on trial: it may end any time, and must leave the
//! predecessor's files alone.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// Something that another process may be given.
pub type Shared = Arc<dyn AsFd + Send + Sync>;

/// The most descriptors that one process hands over.
pub const MAX_DESCRIPTORS: usize = 1 << 20;

static KEPT: Mutex<Vec<(String, OwnedFd)>> = Mutex::new(Vec::new());

static IS_ON_TRIAL: AtomicBool = AtomicBool::new(false);

/// Keeps what a predecessor has handed over. From now on this process is on trial.
pub fn keep(descriptors: Vec<(String, OwnedFd)>) {
    IS_ON_TRIAL.store(true, Ordering::Release);
    *lock(&KEPT) = descriptors;
}

/// Takes all descriptors of this name, in the order in which they were handed over.
pub fn take(name: &str) -> Vec<OwnedFd> {
    take_where(|it| it == name)
        .into_iter()
        .map(|(_, descriptor)| descriptor)
        .collect()
}

/// Takes all descriptors with a name like that.
pub fn take_where(is_meant: impl Fn(&str) -> bool) -> Vec<(String, OwnedFd)> {
    let mut kept = lock(&KEPT);
    // Mostly there are none.
    if kept.is_empty() {
        return Vec::new();
    }
    let (taken, left) = std::mem::take(&mut *kept)
        .into_iter()
        .partition(|(name, _)| is_meant(name));
    *kept = left;
    taken
}

/// Takes the listening TCP sockets of this name. Those that listen no more are left out.
pub fn take_listeners(name: &str) -> Vec<TcpListener> {
    let taken = take(name).into_iter().map(TcpListener::from);
    taken
        .filter(|listener| listener.local_addr().is_ok() && is_listening(listener))
        .collect()
}

/// Apple's system does not tell.
fn is_listening(listener: &TcpListener) -> bool {
    #[cfg(not(target_vendor = "apple"))]
    return rustix::net::sockopt::socket_acceptconn(listener).unwrap_or(false);
    #[cfg(target_vendor = "apple")]
    return listener.as_fd().try_clone_to_owned().is_ok();
}

/// Whether this process may still end in favour of its predecessor, whose files it must not remove.
pub fn is_on_trial() -> bool {
    IS_ON_TRIAL.load(Ordering::Acquire)
}

/// The predecessor has let go. Closes what nobody has taken; returns the names of that.
pub fn end_trial() -> Vec<String> {
    IS_ON_TRIAL.store(false, Ordering::Release);
    let left = std::mem::take(&mut *lock(&KEPT));
    left.into_iter().map(|(name, _)| name).collect()
}
