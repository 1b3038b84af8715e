//! Whose the connections to the hosts are, by their local addresses: a host sees
//! nothing else of its client, and may ask.
//!
//! Kept only where somebody can ask, and by each worker for itself: nobody who
//! works waits for another. Who asks, and how, is not known here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a question waits for connects that are under way: each is one
/// system call, unless its worker is kept from the processor.
const PATIENCE: Duration = Duration::from_millis(250);

/// What the workers have noted of their connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientLookup(Arc<[Arc<ClientTable>]>);

impl ClientLookup {
    pub(crate) fn new(workers: usize) -> ClientLookup {
        ClientLookup((0..workers).map(|_| Arc::default()).collect())
    }

    /// Those of one worker.
    pub(crate) fn of_worker(&self, number: usize) -> &Arc<ClientTable> {
        &self.0[number]
    }

    /// The client whose connection to a host has this local address.
    ///
    /// Connections to different hosts may have the same local address: where
    /// they are of different clients it is not known which one is meant, and
    /// nobody is named. Nor is anybody of a connection that was made before
    /// there was somebody to ask.
    pub fn client_of(&self, local: SocketAddr) -> Option<SocketAddr> {
        let (ip, port) = (local.ip().to_canonical(), local.port());
        let clients = self.0.iter().flat_map(|notes| notes.clients(ip, port));
        let clients: Vec<_> = clients.collect();
        let first = clients.first()?;
        clients
            .iter()
            .all(|client| client == first)
            .then_some(*first)
    }
}

/// A local address, and the session's number: one address may be there twice.
type Key = (IpAddr, u16, u64);

/// What one worker has noted.
#[derive(Debug, Default)]
pub(crate) struct ClientTable {
    clients: Mutex<BTreeMap<Key, SocketAddr>>,
    /// Odd while the worker connects: a host may accept, and ask, before
    /// connect(2) has returned.
    connects: AtomicU64,
}

impl ClientTable {
    /// To be called before a connect: who asks meanwhile waits for its note.
    pub(crate) fn expect(self: &Arc<ClientTable>) -> PendingEntry<'_> {
        self.connects.fetch_add(1, Ordering::SeqCst);
        PendingEntry(self)
    }

    /// All that have a connection with this local address that was begun before.
    fn clients(&self, ip: IpAddr, port: u16) -> Vec<SocketAddr> {
        self.settle();
        let clients = self.lock();
        let found = clients.range((ip, port, 0)..=(ip, port, u64::MAX));
        found.map(|(_, client)| *client).collect()
    }

    /// Waits until a connect that is under way has been noted.
    fn settle(&self) {
        let connect = self.connects.load(Ordering::SeqCst);
        let start = Instant::now();
        while connect % 2 == 1
            && self.connects.load(Ordering::SeqCst) == connect
            && start.elapsed() < PATIENCE
        {
            thread::yield_now();
        }
    }

    /// The lock is short, and no system call is made under it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, SocketAddr>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connect that is under way.
pub(crate) struct PendingEntry<'a>(&'a Arc<ClientTable>);

impl PendingEntry<'_> {
    /// Its local address is known now, and so whose it is.
    pub(crate) fn note(
        self,
        local: SocketAddr,
        client: SocketAddr,
        session: u64,
    ) -> Box<ClientEntry> {
        let key = (local.ip().to_canonical(), local.port(), session);
        self.0.lock().insert(key, client);
        Box::new(ClientEntry {
            notes: Arc::clone(self.0),
            key,
        })
    }
}

impl Drop for PendingEntry<'_> {
    fn drop(&mut self) {
        self.0.connects.fetch_add(1, Ordering::SeqCst);
    }
}

/// A note, for as long as this is kept. To be dropped before the connection is
/// closed: its local address may be another's at once.
#[derive(Debug)]
pub(crate) struct ClientEntry {
    notes: Arc<ClientTable>,
    key: Key,
}

impl Drop for ClientEntry {
    fn drop(&mut self) {
        self.notes.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn note(
        origins: &ClientLookup,
        worker: usize,
        local: &str,
        client: &str,
        id: u64,
    ) -> Box<ClientEntry> {
        let expected = origins.of_worker(worker).expect();
        expected.note(at(local), at(client), id)
    }

    #[test]
    fn a_client_is_known_for_as_long_as_its_connection_is_there() {
        let origins = ClientLookup::new(2);
        let one = note(&origins, 0, "10.0.0.1:5", "192.0.2.1:80", 1);
        let _two = note(&origins, 1, "[::1]:5", "[2001:db8::1]:81", 2);
        let whose = |local: &str| origins.client_of(at(local));
        assert_eq!(whose("10.0.0.1:5"), Some(at("192.0.2.1:80")));
        assert_eq!(whose("[::ffff:10.0.0.1]:5"), Some(at("192.0.2.1:80")));
        assert_eq!(whose("[::1]:5"), Some(at("[2001:db8::1]:81")));
        assert_eq!(whose("10.0.0.1:6"), None);
        assert_eq!(whose("10.0.0.2:5"), None);
        drop(one);
        assert_eq!(whose("10.0.0.1:5"), None);
    }

    #[test]
    fn nobody_is_named_where_it_might_be_one_or_the_other() {
        let origins = ClientLookup::new(2);
        let _one = note(&origins, 0, "10.0.0.1:5", "192.0.2.1:80", 1);
        let two = note(&origins, 0, "10.0.0.1:5", "192.0.2.2:80", 2);
        let three = note(&origins, 1, "10.0.0.1:5", "192.0.2.3:80", 3);
        let whose = || origins.client_of(at("10.0.0.1:5"));
        assert_eq!(whose(), None);
        drop(two);
        assert_eq!(whose(), None);
        drop(three);
        assert_eq!(whose(), Some(at("192.0.2.1:80")));
    }

    #[test]
    fn a_question_waits_for_the_connect_that_it_may_be_about() {
        let origins = ClientLookup::new(1);
        let notes = origins.of_worker(0);
        let expected = notes.expect();
        let asked = thread::scope(|scope| {
            let asks = scope.spawn(|| origins.client_of(at("10.0.0.1:5")));
            // However long it takes until the question is there.
            thread::yield_now();
            let origin = expected.note(at("10.0.0.1:5"), at("192.0.2.1:80"), 1);
            let answer = asks.join().unwrap();
            drop(origin);
            answer
        });
        assert_eq!(asked, Some(at("192.0.2.1:80")));
    }

    #[test]
    fn a_connect_that_does_not_return_holds_nobody_up_for_long() {
        let origins = ClientLookup::new(1);
        let _expected = origins.of_worker(0).expect();
        assert_eq!(origins.client_of(at("10.0.0.1:5")), None);
    }
}
