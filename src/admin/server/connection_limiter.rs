//! Connection limiter: how many clients an admin server has at a time, in all and from one
//! subnet. When it is full, idle clients are closed for others.
//!
//! The order in which clients are served or closed is a pure function of what is known of them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rustix::net::{Shutdown, shutdown};

use super::client_address::{ClientAddress, Network};
use crate::sync::lock;

/// A socket that can be shut down while another thread reads and writes it.
pub(in crate::admin) type SharedSocket = Arc<dyn AsFd + Send + Sync>;

/// Idle time after which a client that has not sent a request may be closed, when others wait.
const MAX_IDLE_MS: u64 = 500;

/// The same for a client that is logging in: a person may be typing.
#[cfg(feature = "ssh")]
const MAX_LOGIN_IDLE_MS: u64 = 3000;

/// The connections of one server, and their limits.
pub(in crate::admin) struct ConnectionLimiter {
    max: usize,
    max_per_subnet: usize,
    tracked: Mutex<Tracked>,
    /// Called when a connection of a full server ends.
    on_capacity: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Tracked {
    connections: Vec<TrackedConnection>,
    last_id: u64,
}

struct TrackedConnection {
    id: u64,
    address: ClientAddress,
    is_known: bool,
    socket: SharedSocket,
    activity: Arc<Activity>,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Stage {
    /// It has not sent a request yet.
    AwaitingRequest = 0,
    /// It is logging in.
    #[cfg(feature = "ssh")]
    LoggingIn = 1,
    /// It gets what it asked for: never closed for others.
    Served = 2,
    /// It was closed for others, and its thread is about to end.
    Closed = 3,
}

/// What a client does, as its own thread records it. Counters are relaxed: nothing else is
/// ordered by them.
pub(in crate::admin) struct Activity {
    began: Instant,
    last_input_ms: AtomicU64,
    stage: AtomicU8,
}

impl Activity {
    fn begin() -> Activity {
        Activity {
            began: Instant::now(),
            last_input_ms: AtomicU64::new(0),
            stage: AtomicU8::new(Stage::AwaitingRequest as u8),
        }
    }

    /// Records that it has sent something.
    pub(in crate::admin) fn record_input(&self) {
        self.last_input_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Sets how far it has come.
    pub(in crate::admin) fn set_stage(&self, stage: Stage) {
        // A closed client stays closed.
        let closed = Stage::Closed as u8;
        let _ = self
            .stage
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now != closed).then_some(stage as u8)
            });
    }

    fn is(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::Relaxed) == stage as u8
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn idle_ms(&self) -> u64 {
        let last_input_ms = self.last_input_ms.load(Ordering::Relaxed);
        self.age_ms().saturating_sub(last_input_ms)
    }

    /// Whether it may be closed for others.
    fn is_evictable(&self) -> bool {
        #[cfg(feature = "ssh")]
        if self.is(Stage::LoggingIn) {
            return self.idle_ms() >= MAX_LOGIN_IDLE_MS;
        }
        self.is(Stage::AwaitingRequest) && self.idle_ms() >= MAX_IDLE_MS
    }
}

impl TrackedConnection {
    fn candidate(&self) -> Candidate {
        let last_input_ms = self.activity.last_input_ms.load(Ordering::Relaxed);
        Candidate {
            address: self.address,
            is_known: self.is_known,
            has_sent: last_input_ms > 0,
            idle_ms: self.activity.idle_ms(),
        }
    }

    fn close(&self) {
        self.activity.set_stage(Stage::Closed);
        // An error means that the client has gone.
        let _ = shutdown(&*self.socket, Shutdown::Both);
    }
}

/// A client's place in the limit, until it is dropped.
pub(in crate::admin) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    id: u64,
    activity: Arc<Activity>,
}

impl ConnectionPermit {
    /// Where its thread records what the client does.
    pub(in crate::admin) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}

impl ConnectionLimiter {
    /// At most `max` connections, and `max_per_subnet` from one subnet.
    pub(in crate::admin) fn new(
        max: usize,
        max_per_subnet: usize,
        on_capacity: impl Fn() + Send + Sync + 'static,
    ) -> ConnectionLimiter {
        ConnectionLimiter {
            max,
            max_per_subnet,
            tracked: Mutex::default(),
            on_capacity: Box::new(on_capacity),
        }
    }

    /// Whether another connection is allowed.
    pub(in crate::admin) fn has_room(&self) -> bool {
        self.lock().connections.len() < self.max
    }

    /// Whether more than half of the connections are taken.
    #[cfg(any(feature = "web", test))]
    pub(in crate::admin) fn is_busy(&self) -> bool {
        self.lock().connections.len() > self.max / 2
    }

    /// The limit for one subnet.
    pub(in crate::admin) fn max_per_subnet(&self) -> usize {
        self.max_per_subnet
    }

    /// The addresses of all connections.
    pub(in crate::admin) fn addresses(&self) -> Vec<ClientAddress> {
        self.lock()
            .connections
            .iter()
            .map(|it| it.address)
            .collect()
    }

    /// Takes a place for a client at `ip`. `None` if the server or the subnet is at its limit.
    pub(in crate::admin) fn acquire(
        self: &Arc<ConnectionLimiter>,
        ip: IpAddr,
        is_known: bool,
        socket: SharedSocket,
    ) -> Option<ConnectionPermit> {
        let address = ClientAddress::of(ip);
        let mut tracked = self.lock();
        let from_there = tracked.from(address).count();
        if tracked.connections.len() >= self.max || from_there >= self.max_per_subnet {
            return None;
        }
        tracked.last_id += 1;
        let (id, activity) = (tracked.last_id, Arc::new(Activity::begin()));
        tracked.connections.push(TrackedConnection {
            id,
            address,
            is_known,
            socket,
            activity: Arc::clone(&activity),
        });
        Some(ConnectionPermit {
            limiter: Arc::clone(self),
            id,
            activity,
        })
    }

    /// Closes idle clients until `wanted` are closed or about to end. With `only_silent`, only
    /// those that have never sent anything.
    pub(in crate::admin) fn evict_idle(&self, wanted: usize, only_silent: bool) {
        let tracked = self.lock();
        let leaving = tracked
            .connections
            .iter()
            .filter(|it| it.activity.is(Stage::Closed));
        let wanted = wanted.saturating_sub(leaving.count());
        let candidates: Vec<Candidate> = tracked
            .connections
            .iter()
            .map(TrackedConnection::candidate)
            .collect();
        let is_evictable = |at: usize, candidate: &Candidate| {
            tracked.connections[at].activity.is_evictable() && !(only_silent && candidate.has_sent)
        };
        for at in eviction_order(&candidates, is_evictable)
            .into_iter()
            .take(wanted)
        {
            tracked.connections[at].close();
        }
    }

    /// Closes the client of that subnet that was idle longest. Returns whether there is one that
    /// may be closed.
    pub(in crate::admin) fn evict_idle_from(&self, address: ClientAddress) -> bool {
        let tracked = self.lock();
        let idle = tracked
            .from(address)
            .filter(|it| it.activity.is_evictable());
        let longest = idle.max_by_key(|it| it.activity.idle_ms());
        longest.inspect(|it| it.close()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Tracked> {
        lock(&self.tracked)
    }
}

impl Tracked {
    fn from(&self, address: ClientAddress) -> impl Iterator<Item = &TrackedConnection> {
        let all = self.connections.iter();
        all.filter(move |it| it.address.subnet() == address.subnet())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut tracked = self.limiter.lock();
        let was_full = tracked.connections.len() == self.limiter.max;
        tracked.connections.retain(|it| it.id != self.id);
        drop(tracked);
        if was_full {
            (self.limiter.on_capacity)();
        }
    }
}

/// A client that has sent nothing for so long will hardly do so: it is the first to be closed.
pub(in crate::admin) const SILENT_MS: u64 = 1000;

/// What is known of a client, to choose who is served or closed.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) struct Candidate {
    pub(in crate::admin) address: ClientAddress,
    /// A user has logged in from this address before.
    pub(in crate::admin) is_known: bool,
    /// Whether it has sent anything yet.
    pub(in crate::admin) has_sent: bool,
    /// Time since it last sent something.
    pub(in crate::admin) idle_ms: u64,
}

/// Clients of each site and subnet.
struct NetworkCounts(HashMap<Network, usize>);

impl NetworkCounts {
    fn of(addresses: impl Iterator<Item = ClientAddress>) -> NetworkCounts {
        let mut counts = HashMap::new();
        for address in addresses {
            for network in [address.site(), address.subnet()] {
                *counts.entry(network).or_default() += 1;
            }
        }
        NetworkCounts(counts)
    }

    /// Those of its site, then of its subnet.
    fn count_of(&self, address: ClientAddress) -> (usize, usize) {
        let count = |network| self.0.get(&network).copied().unwrap_or(0);
        (count(address.site()), count(address.subnet()))
    }
}

/// The order in which candidates that are `is_evictable` are closed: those that have sent nothing
/// first, then those of the busiest site, of its busiest subnet, and those that are idle longest.
/// Known addresses are never closed.
pub(in crate::admin) fn eviction_order(
    candidates: &[Candidate],
    is_evictable: impl Fn(usize, &Candidate) -> bool,
) -> Vec<usize> {
    let counts = NetworkCounts::of(candidates.iter().map(|it| it.address));
    let rank = |at: &usize| {
        let it = &candidates[*at];
        let is_silent = !it.has_sent && it.idle_ms >= SILENT_MS;
        Reverse((is_silent, counts.count_of(it.address), it.idle_ms))
    };
    let all = candidates.iter().enumerate();
    let order = all.filter(|(at, it)| !it.is_known && is_evictable(*at, it));
    let mut order: Vec<usize> = order.map(|(at, _)| at).collect();
    order.sort_by_cached_key(rank);
    order
}

/// The order in which waiting clients are served: known addresses first, then those whose site
/// and subnet have the fewest connections, then those that have sent something, then the oldest.
pub(in crate::admin) fn service_order(
    waiting: &[Candidate],
    served: impl Iterator<Item = ClientAddress>,
) -> Vec<usize> {
    let counts = NetworkCounts::of(served);
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    // They are in the order of arrival, and the sort is stable.
    order.sort_by_cached_key(|at| {
        let it = &waiting[*at];
        (!it.is_known, counts.count_of(it.address), !it.has_sent)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicUsize;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn socket() -> (SharedSocket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Arc::new(ours), theirs)
    }

    #[test]
    fn no_address_has_more_than_its_share_and_a_freed_slot_wakes_the_acceptor() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wakes);
        let limiter = Arc::new(ConnectionLimiter::new(3, 2, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let acquire = |ip| limiter.acquire(ip, false, socket().0);
        let mut tracked: Vec<_> = (0..3).filter_map(|_| acquire(ONE)).collect();
        assert_eq!(tracked.len(), 2);
        assert!(limiter.has_room() && limiter.is_busy());
        tracked.extend(acquire(TWO));
        assert!(!limiter.has_room() && acquire(TWO).is_none());
        assert_eq!(limiter.addresses().len(), 3);

        assert_eq!(wakes.load(Ordering::Relaxed), 0);
        tracked.pop();
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        tracked.clear();
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        assert!(limiter.lock().connections.is_empty());
    }

    #[test]
    fn an_idle_client_is_closed_for_others_unless_it_is_being_served() {
        let limiter = Arc::new(ConnectionLimiter::new(3, 3, || {}));
        let (mut clients, mut tracked) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (ours, theirs) = socket();
            tracked.extend(limiter.acquire(ONE, false, ours));
            theirs.set_nonblocking(true).unwrap();
            clients.push(theirs);
        }
        let mut close = || {
            let is_cut = |client: &mut UnixStream| matches!(client.read(&mut [0]), Ok(0));
            clients.iter_mut().map(is_cut).collect::<Vec<_>>()
        };
        // They have only just come.
        limiter.evict_idle(3, false);
        assert_eq!(close(), [false; 3]);
        // As if they had come long ago.
        let age = |ms| {
            Arc::new(Activity {
                began: Instant::now()
                    .checked_sub(std::time::Duration::from_millis(ms))
                    .unwrap(),
                ..Activity::begin()
            })
        };
        for (connections, ms) in limiter
            .lock()
            .connections
            .iter_mut()
            .zip([9000, 8000, 7000])
        {
            connections.activity = age(ms);
        }
        let activity = |at: usize| Arc::clone(&limiter.lock().connections[at].activity);
        activity(0).set_stage(Stage::Served);
        activity(1).record_input();
        limiter.evict_idle(2, false);
        assert_eq!(close(), [false, false, true]);
        // A closed one stays closed.
        activity(2).set_stage(Stage::Served);
        assert!(activity(2).is(Stage::Closed));
        assert!(!limiter.evict_idle_from(ClientAddress::of(TWO)));
        assert!(!limiter.evict_idle_from(ClientAddress::of(ONE)));
        assert_eq!(close(), [false, false, true]);
    }

    fn candidate(ip: [u8; 4], idle_ms: u64) -> Candidate {
        Candidate {
            address: ClientAddress::of(ip.into()),
            is_known: false,
            has_sent: true,
            idle_ms,
        }
    }

    fn go(candidates: &[Candidate]) -> Option<usize> {
        eviction_order(candidates, |_, _| true).first().copied()
    }

    #[test]
    fn a_client_that_has_sent_nothing_for_long_goes_first() {
        let silent = |ms| Candidate {
            has_sent: false,
            ..candidate([10, 0, 0, 1], ms)
        };
        let busy = [
            candidate([10, 0, 1, 1], 9000),
            candidate([10, 0, 1, 1], 9000),
        ];
        assert_eq!(go(&[busy[0], busy[1], silent(1000), silent(2000)]), Some(3));
        // A client that has just come counts as one that sends.
        assert_eq!(go(&[busy[0], busy[1], silent(10)]), Some(0));
        assert_eq!(go(&[]), None);
    }

    #[test]
    fn the_busiest_network_and_in_it_the_busiest_address_is_evicted() {
        let candidates = [
            candidate([10, 0, 0, 1], 9000),
            candidate([10, 0, 1, 1], 100),
            candidate([10, 0, 1, 2], 100),
            candidate([10, 0, 1, 2], 200),
        ];
        assert_eq!(go(&candidates), Some(3));
        assert_eq!(go(&candidates[..2]), Some(0));
        assert_eq!(eviction_order(&candidates, |at, _| at < 2), [1, 0]);
    }

    #[test]
    fn known_clients_are_not_evicted() {
        let known = Candidate {
            is_known: true,
            ..candidate([10, 0, 0, 1], 9000)
        };
        assert_eq!(go(&[known, known]), None);
        assert_eq!(go(&[known, known, candidate([10, 0, 1, 1], 1)]), Some(2));
    }

    #[test]
    fn known_addresses_and_those_with_the_fewest_clients_are_served_first() {
        let known = Candidate {
            is_known: true,
            ..candidate([10, 0, 9, 1], 0)
        };
        let silent = Candidate {
            has_sent: false,
            ..candidate([10, 0, 3, 1], 0)
        };
        let waiting = [
            candidate([10, 0, 1, 1], 0),
            candidate([10, 0, 1, 2], 0),
            silent,
            candidate([10, 0, 2, 1], 0),
            candidate([10, 0, 2, 2], 0),
            known,
        ];
        let served = [[10, 0, 1, 1], [10, 0, 1, 7], [10, 0, 9, 1]];
        let served = served.into_iter().map(|ip| ClientAddress::of(ip.into()));
        assert_eq!(service_order(&waiting, served), [5, 3, 4, 2, 1, 0]);
    }
}
