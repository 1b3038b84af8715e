//! Descriptors that a predecessor has handed over to this process, by name, until those who open
//! such things take them.
//!
//! They belong to the process, as inherited sockets do: what binds asks here first. Until the
//! predecessor lets go, this process is on trial: it may end any time, and must leave the
//! predecessor's files alone.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::inherited::check_listening;
use crate::sync::lock;

/// Something that another process may be given.
pub type Shared = Arc<dyn AsFd + Send + Sync>;

/// The most descriptors that one process hands over.
pub const MAX_DESCRIPTORS: usize = 1 << 20;

/// Descriptors by name. There may be thousands of names, and each is taken by itself.
type ByName = BTreeMap<String, Vec<OwnedFd>>;

static KEPT: Mutex<ByName> = Mutex::new(ByName::new());

static IS_ON_TRIAL: AtomicBool = AtomicBool::new(false);

/// Keeps what a predecessor has handed over. From now on this process is on trial.
pub fn keep(descriptors: Vec<(String, OwnedFd)>) {
    IS_ON_TRIAL.store(true, Ordering::Release);
    let mut kept = ByName::new();
    for (name, descriptor) in descriptors {
        kept.entry(name).or_default().push(descriptor);
    }
    *lock(&KEPT) = kept;
}

/// Takes all descriptors of this name, in the order in which they were handed over.
pub fn take(name: &str) -> Vec<OwnedFd> {
    lock(&KEPT).remove(name).unwrap_or_default()
}

/// Takes all descriptors with a name like that, in the order of their names.
pub fn take_where(is_meant: impl Fn(&str) -> bool) -> Vec<(String, OwnedFd)> {
    let mut kept = lock(&KEPT);
    let (taken, left): (ByName, ByName) = std::mem::take(&mut *kept)
        .into_iter()
        .partition(|(name, _)| is_meant(name));
    *kept = left;
    let of_name =
        |(name, all): (String, Vec<OwnedFd>)| all.into_iter().map(move |it| (name.clone(), it));
    taken.into_iter().flat_map(of_name).collect()
}

/// Takes the listening TCP sockets of this name. Those that listen no more are left out.
pub fn take_listeners(name: &str) -> Vec<TcpListener> {
    let taken = take(name).into_iter().map(TcpListener::from);
    taken
        .filter(|listener| listener.local_addr().is_ok() && check_listening(listener).is_ok())
        .collect()
}

/// The names of what is not taken.
pub fn not_taken() -> Vec<String> {
    lock(&KEPT).keys().cloned().collect()
}

/// Whether this process may still end in favour of its predecessor, whose files it must not remove.
pub fn is_on_trial() -> bool {
    IS_ON_TRIAL.load(Ordering::Acquire)
}

/// The predecessor has let go. Closes what is not taken; returns the name of each descriptor.
pub fn end_trial() -> Vec<String> {
    IS_ON_TRIAL.store(false, Ordering::Release);
    let left = std::mem::take(&mut *lock(&KEPT));
    left.into_iter()
        .flat_map(|(name, all)| vec![name; all.len()])
        .collect()
}
