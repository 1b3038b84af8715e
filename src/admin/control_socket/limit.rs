//! The connection limit of the control socket. Some slots are reserved for root and txlb's own
//! user, and clients that have sent nothing are evicted for them.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Clients that are connected at the same time.
pub(super) const MAX_CLIENTS: usize = 32;

/// Clients of users other than root and txlb's own.
pub(super) const MAX_OTHER_USERS: usize = 28;

/// After this time a client that has sent nothing can be evicted for any other.
const MAX_SILENCE: Duration = Duration::from_secs(1);

/// The connected clients.
#[derive(Default)]
pub(super) struct ConnectionLimit(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// In the order in which they connected.
    clients: Vec<Client>,
    last_id: u64,
}

struct Client {
    id: u64,
    is_own: bool,
    since: Instant,
    has_spoken: Arc<AtomicBool>,
    stream: Arc<UnixStream>,
}

/// A client's slot, until it is dropped.
pub(super) struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    id: u64,
    has_spoken: Arc<AtomicBool>,
}

impl ConnectionSlot {
    /// The client has sent something, so it is not evicted.
    pub(super) fn mark_spoken(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }
}

impl ConnectionLimit {
    /// Takes a slot; `is_own` means root or txlb's own user. Also returns the client that was
    /// evicted for it.
    ///
    /// # Errors
    /// All slots are taken: the limit that was reached.
    pub(super) fn take(
        self: &Arc<ConnectionLimit>,
        stream: &Arc<UnixStream>,
        is_own: bool,
    ) -> Result<(ConnectionSlot, Option<Arc<UnixStream>>), usize> {
        let mut taken = self.lock();
        let others = taken.clients.iter().filter(|it| !it.is_own).count();
        let is_full = taken.clients.len() >= MAX_CLIENTS || (!is_own && others >= MAX_OTHER_USERS);
        let evicted = match taken.eviction_candidate(is_own) {
            _ if !is_full => None,
            Some(at) => Some(taken.clients.remove(at).stream),
            None if is_own => return Err(MAX_CLIENTS),
            None => return Err(MAX_OTHER_USERS),
        };
        taken.last_id += 1;
        let (id, has_spoken) = (taken.last_id, Arc::default());
        taken.clients.push(Client {
            id,
            is_own,
            since: Instant::now(),
            has_spoken: Arc::clone(&has_spoken),
            stream: Arc::clone(stream),
        });
        let limit = Arc::clone(self);
        let slot = ConnectionSlot {
            limit,
            id,
            has_spoken,
        };
        Ok((slot, evicted))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        lock(&self.0)
    }
}

impl Taken {
    /// The client to evict, of those that have sent nothing: other users first, then the oldest.
    /// A client of another user evicts only other users, after [`MAX_SILENCE`].
    fn eviction_candidate(&self, is_own: bool) -> Option<usize> {
        let silent = self.clients.iter().enumerate().filter(|(_, it)| {
            let may_go = is_own || (!it.is_own && it.since.elapsed() >= MAX_SILENCE);
            may_go && !it.has_spoken.load(Ordering::Relaxed)
        });
        silent
            .min_by_key(|(at, it)| (it.is_own, *at))
            .map(|(at, _)| at)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limit.lock().clients.retain(|it| it.id != self.id);
    }
}

/// AMP clients that are served at the same time, on each socket. Hosts stay connected, and
/// operators need slots, too.
pub(super) const MAX_AMP_CLIENTS: usize = 24;

/// Ends a connection, also for the thread that reads from it.
pub(super) fn disconnect(stream: &UnixStream) {
    // Fails only if the client has gone.
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Arc<UnixStream> {
        Arc::new(UnixStream::pair().unwrap().0)
    }

    /// Takes `count` slots.
    fn take_slots(limit: &Arc<ConnectionLimit>, count: usize, is_own: bool) -> Vec<ConnectionSlot> {
        let take = |_| limit.take(&stream(), is_own);
        (0..count).filter_map(take_only(take)).collect()
    }

    fn take_only(
        take: impl Fn(usize) -> Result<(ConnectionSlot, Option<Arc<UnixStream>>), usize>,
    ) -> impl Fn(usize) -> Option<ConnectionSlot> {
        move |number| take(number).ok().map(|(slot, _)| slot)
    }

    #[test]
    fn slots_are_reserved_for_root() {
        let limit = Arc::new(ConnectionLimit::default());
        let others = take_slots(&limit, 40, false);
        assert_eq!(others.len(), MAX_OTHER_USERS);
        others.iter().for_each(ConnectionSlot::mark_spoken);
        let own = take_slots(&limit, 4, true);
        assert_eq!(own.len(), 4);
        own.iter().for_each(ConnectionSlot::mark_spoken);
        assert_eq!(limit.take(&stream(), true).err(), Some(MAX_CLIENTS));
        assert_eq!(limit.take(&stream(), false).err(), Some(MAX_OTHER_USERS));
        drop(others);
        assert!(limit.take(&stream(), false).is_ok());
        drop(own);
        assert_eq!(limit.lock().clients.len(), 0);
    }

    #[test]
    fn who_has_said_nothing_makes_room_for_root_and_others_before_root() {
        let limit = Arc::new(ConnectionLimit::default());
        let own = take_slots(&limit, 10, true);
        let others = take_slots(&limit, 22, false);
        others[0].mark_spoken();
        let (first, evicted) = limit.take(&stream(), true).unwrap();
        assert!(evicted.is_some());
        let is_there =
            |slot: &ConnectionSlot| limit.lock().clients.iter().any(|it| it.id == slot.id);
        assert!(is_there(&others[0]) && !is_there(&others[1]) && is_there(&own[0]));
        others.iter().for_each(ConnectionSlot::mark_spoken);
        let second = limit.take(&stream(), true);
        assert!(second.is_ok() && !is_there(&own[0]) && is_there(&first));
        // Other users evict no client that has only just connected.
        assert_eq!(limit.take(&stream(), false).err(), Some(MAX_OTHER_USERS));
    }

    #[test]
    fn who_has_been_silent_makes_room_for_others() {
        let limit = Arc::new(ConnectionLimit::default());
        let others = take_slots(&limit, MAX_OTHER_USERS, false);
        let long_ago = Instant::now().checked_sub(MAX_SILENCE).unwrap();
        limit.lock().clients[3].since = long_ago;
        assert!(limit.take(&stream(), false).is_ok());
        assert_eq!(limit.lock().clients.len(), MAX_OTHER_USERS - 1);
        assert!(!limit.lock().clients.iter().any(|it| it.id == others[3].id));
    }
}
