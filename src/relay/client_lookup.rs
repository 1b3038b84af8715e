//! Which client a connection to a host belongs to, by the connection's local address, for AMP.
//!
//! Kept only where hosts can ask, with one table for each worker, so that workers never wait for
//! one another.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::os::address::Address;
use crate::sync::lock;

/// How long a question waits for a connect in progress. A connect is one system call, unless its
/// worker gets no processor.
const MAX_CONNECT_WAIT: Duration = Duration::from_millis(250);

/// The clients of all workers' connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientLookup(Arc<[Arc<ClientTable>]>);

impl ClientLookup {
    pub(crate) fn new(workers: usize) -> ClientLookup {
        ClientLookup((0..workers).map(|_| Arc::default()).collect())
    }

    /// The table of one worker.
    pub(crate) fn of_worker(&self, number: usize) -> &Arc<ClientTable> {
        &self.0[number]
    }

    /// The client whose connection to a host has this local address, if exactly one client has.
    /// `None` also for connections that were made before hosts could ask.
    // Linux gives connections to different hosts the same local port, and the question has only
    // that port. If two clients match, the answer is "not known": better none than another's.
    // Test: nobody_is_named_where_it_might_be_one_or_the_other.
    pub fn client_of(&self, local: SocketAddr) -> Option<Address> {
        let (ip, port) = (local.ip().to_canonical(), local.port());
        let clients = self.0.iter().flat_map(|table| table.clients(ip, port));
        let clients: Vec<_> = clients.collect();
        let first = clients.first()?;
        clients
            .iter()
            .all(|client| client == first)
            .then(|| first.clone())
    }
}

/// A local address with the session's id, since several sessions may have the same address.
type Key = (IpAddr, u16, u64);

/// The clients of one worker's connections.
#[derive(Debug, Default)]
pub(crate) struct ClientTable {
    clients: Mutex<BTreeMap<Key, Address>>,
    /// Odd while the worker is in connect(2). On loopback a host may accept, and ask, before
    /// connect(2) has returned, so a question waits until this has changed.
    /// Test: `a_question_waits_for_the_connect_that_it_may_be_about`.
    connects: AtomicU64,
}

impl ClientTable {
    /// Marks a connect as in progress. Call it before connect(2).
    pub(crate) fn begin_connect(self: &Arc<ClientTable>) -> PendingEntry<'_> {
        // SeqCst: the host's question must not see the number before it.
        self.connects.fetch_add(1, Ordering::SeqCst);
        PendingEntry(self)
    }

    /// The clients of all connections with this local address, those in progress included.
    fn clients(&self, ip: IpAddr, port: u16) -> Vec<Address> {
        self.wait_for_connect();
        let clients = self.lock();
        let found = clients.range((ip, port, 0)..=(ip, port, u64::MAX));
        found.map(|(_, client)| client.clone()).collect()
    }

    /// Waits until a connect in progress has its entry, or has failed.
    fn wait_for_connect(&self) {
        let connect = self.connects.load(Ordering::SeqCst);
        let start = Instant::now();
        while connect % 2 == 1
            && self.connects.load(Ordering::SeqCst) == connect
            && start.elapsed() < MAX_CONNECT_WAIT
        {
            thread::yield_now();
        }
    }

    /// The lock is short, and no system call is made under it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Address>> {
        lock(&self.clients)
    }
}

/// A connect in progress. Dropping it ends the wait of questions.
pub(crate) struct PendingEntry<'a>(&'a Arc<ClientTable>);

impl PendingEntry<'_> {
    /// Enters the connection once its local address is known.
    pub(crate) fn insert(
        self,
        local: SocketAddr,
        client: Address,
        session: u64,
    ) -> Box<ClientEntry> {
        let key = (local.ip().to_canonical(), local.port(), session);
        self.0.lock().insert(key, client);
        Box::new(ClientEntry {
            table: Arc::clone(self.0),
            key,
        })
    }
}

impl Drop for PendingEntry<'_> {
    fn drop(&mut self) {
        self.0.connects.fetch_add(1, Ordering::SeqCst);
    }
}

/// An entry of a table, which it leaves when this is dropped. Drop it before the connection is
/// closed: another connection may have the local address at once.
#[derive(Debug)]
pub(crate) struct ClientEntry {
    table: Arc<ClientTable>,
    key: Key,
}

impl Drop for ClientEntry {
    fn drop(&mut self) {
        self.table.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn insert(
        client_lookup: &ClientLookup,
        worker: usize,
        local: &str,
        client: &str,
        id: u64,
    ) -> Box<ClientEntry> {
        let pending = client_lookup.of_worker(worker).begin_connect();
        pending.insert(at(local), at(client).into(), id)
    }

    #[test]
    fn a_client_is_known_for_as_long_as_its_connection_is_there() {
        let client_lookup = ClientLookup::new(2);
        let one = insert(&client_lookup, 0, "10.0.0.1:5", "192.0.2.1:80", 1);
        let _two = insert(&client_lookup, 1, "[::1]:5", "[2001:db8::1]:81", 2);
        let whose = |local: &str| client_lookup.client_of(at(local));
        assert_eq!(whose("10.0.0.1:5"), Some(at("192.0.2.1:80").into()));
        assert_eq!(
            whose("[::ffff:10.0.0.1]:5"),
            Some(at("192.0.2.1:80").into())
        );
        assert_eq!(whose("[::1]:5"), Some(at("[2001:db8::1]:81").into()));
        assert_eq!(whose("10.0.0.1:6"), None);
        assert_eq!(whose("10.0.0.2:5"), None);
        drop(one);
        assert_eq!(whose("10.0.0.1:5"), None);
    }

    #[test]
    fn nobody_is_named_where_it_might_be_one_or_the_other() {
        let client_lookup = ClientLookup::new(2);
        let _one = insert(&client_lookup, 0, "10.0.0.1:5", "192.0.2.1:80", 1);
        let two = insert(&client_lookup, 0, "10.0.0.1:5", "192.0.2.2:80", 2);
        let three = insert(&client_lookup, 1, "10.0.0.1:5", "192.0.2.3:80", 3);
        let whose = || client_lookup.client_of(at("10.0.0.1:5"));
        assert_eq!(whose(), None);
        drop(two);
        assert_eq!(whose(), None);
        drop(three);
        assert_eq!(whose(), Some(at("192.0.2.1:80").into()));
    }

    #[test]
    fn a_question_waits_for_the_connect_that_it_may_be_about() {
        let client_lookup = ClientLookup::new(1);
        let table = client_lookup.of_worker(0);
        let pending = table.begin_connect();
        let asked = thread::scope(|scope| {
            let asks = scope.spawn(|| client_lookup.client_of(at("10.0.0.1:5")));
            // However long it takes until the question is there.
            thread::yield_now();
            let client_entry = pending.insert(at("10.0.0.1:5"), at("192.0.2.1:80").into(), 1);
            let answer = asks.join().unwrap();
            drop(client_entry);
            answer
        });
        assert_eq!(asked, Some(at("192.0.2.1:80").into()));
    }

    #[test]
    fn a_connect_that_does_not_return_holds_nobody_up_for_long() {
        let client_lookup = ClientLookup::new(1);
        let _expected = client_lookup.of_worker(0).begin_connect();
        assert_eq!(client_lookup.client_of(at("10.0.0.1:5")), None);
    }
}
