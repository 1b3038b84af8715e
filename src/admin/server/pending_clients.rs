//! Pending clients: accepted, and waiting for a place in the connection limit. Each takes a
//! descriptor and no thread.
//!
//! Also the rate limit of handshakes, which cost a processor much and a client next to nothing.
//! It is a pure table; time is an argument, in milliseconds since an arbitrary start.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::client_address::{ClientAddress, Network, evict_from_busiest};
use super::connection_limiter::{
    Candidate, ConnectionLimiter, SILENT_MS, eviction_order, service_order,
};
use crate::os::resources;

/// Clients that may wait at one listener.
const MAX_PENDING: u64 = 128;

/// They may have this part (one in 64) of all descriptors.
const DESCRIPTOR_SHARE: u64 = 64;

/// How often to look again for a free place or a handshake that is allowed.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What a server requires of its clients.
pub(in crate::admin) struct AdmissionRules {
    /// Whether a client must send something before it gets a place.
    pub(in crate::admin) client_speaks_first: bool,
    /// How long a client may wait.
    pub(in crate::admin) max_wait: Duration,
    /// Whether a user has logged in from there before.
    pub(in crate::admin) is_known_address: Box<dyn Fn(IpAddr) -> bool + Send>,
}

/// The clients that wait at one listener.
pub(in crate::admin) struct PendingClients {
    rules: AdmissionRules,
    limiter: Arc<ConnectionLimiter>,
    max: usize,
    started: Instant,
    handshakes: HandshakeRateLimit,
    /// In the order of arrival.
    waiting: Vec<PendingClient>,
}

/// A client that waits.
pub(in crate::admin) struct PendingClient {
    pub(in crate::admin) stream: TcpStream,
    pub(in crate::admin) peer: SocketAddr,
    pub(in crate::admin) is_known: bool,
    has_sent: bool,
    since: Instant,
}

impl PendingClient {
    fn address(&self) -> ClientAddress {
        ClientAddress::of(self.peer.ip())
    }

    fn candidate(&self, now: Instant) -> Candidate {
        let silent = now.saturating_duration_since(self.since);
        Candidate {
            address: self.address(),
            is_known: self.is_known,
            has_sent: self.has_sent,
            idle_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// What to poll its socket for: data until it has sent some, then only a lost connection.
    fn poll_fd(&self) -> PollFd<'_> {
        let interest = match self.has_sent {
            true => PollFlags::empty(),
            false => PollFlags::IN,
        };
        PollFd::new(&self.stream, interest)
    }

    /// Takes what poll(2) said. Returns whether the client is still there.
    fn update(&mut self, event: PollFlags) -> bool {
        if event.is_empty() {
            return true;
        }
        if self.has_sent {
            // Only errors and hang-ups were polled for.
            return false;
        }
        match self.stream.peek(&mut [0]) {
            Ok(length) => {
                self.has_sent = length > 0;
                self.has_sent
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl PendingClients {
    pub(in crate::admin) fn new(
        limiter: &Arc<ConnectionLimiter>,
        rules: AdmissionRules,
    ) -> PendingClients {
        let limit =
            resources::descriptor_limit().map_or(MAX_PENDING, |limit| limit / DESCRIPTOR_SHARE);
        PendingClients {
            rules,
            limiter: Arc::clone(limiter),
            max: usize::try_from(limit.clamp(8, MAX_PENDING)).unwrap_or(8),
            started: Instant::now(),
            handshakes: HandshakeRateLimit::default(),
            waiting: Vec::new(),
        }
    }

    /// Sockets to poll, in the order of arrival.
    pub(in crate::admin) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.waiting.iter().map(PendingClient::poll_fd)
    }

    /// Takes what poll(2) said of them, in the same order, and drops clients that have gone.
    pub(in crate::admin) fn update(&mut self, events: &[PollFlags]) {
        let mut events = events.iter();
        // A client that was added since was not polled.
        let nothing = PollFlags::empty();
        self.waiting
            .retain_mut(|client| client.update(*events.next().unwrap_or(&nothing)));
    }

    /// Adds a client. Returns those that are rejected for lack of room, which may include this
    /// one.
    ///
    /// # Errors
    /// The system's, of the socket.
    pub(in crate::admin) fn add(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<Vec<PendingClient>> {
        stream.set_nonblocking(true)?;
        let client = PendingClient {
            stream,
            peer,
            is_known: (self.rules.is_known_address)(peer.ip()),
            has_sent: false,
            since: Instant::now(),
        };
        if self.is_over_share(client.address()) {
            let Some(at) = self.silent_from(client.address()) else {
                return Ok(vec![client]);
            };
            let rejected = self.waiting.remove(at);
            self.waiting.push(client);
            return Ok(vec![rejected]);
        }
        self.waiting.push(client);
        Ok(match self.waiting.len() > self.max {
            true => self.evict(),
            false => Vec::new(),
        })
    }

    /// Removes an eighth of them at once, so that not every new client is compared with all
    /// others.
    fn evict(&mut self) -> Vec<PendingClient> {
        let now = Instant::now();
        let candidates: Vec<Candidate> = self.waiting.iter().map(|it| it.candidate(now)).collect();
        let mut evicted = eviction_order(&candidates, |_, _| true);
        evicted.truncate(self.max.div_ceil(8));
        if evicted.is_empty() {
            // All are known: the newest goes.
            evicted.push(candidates.len() - 1);
        }
        evicted.sort_unstable();
        let removed = evicted.into_iter().rev().map(|at| self.waiting.remove(at));
        removed.collect()
    }

    /// Whether its subnet is at its limit, and none of its connections can be closed.
    fn is_over_share(&self, address: ClientAddress) -> bool {
        let is_same_subnet = |other: &ClientAddress| other.subnet() == address.subnet();
        let waiting = self
            .waiting
            .iter()
            .map(PendingClient::address)
            .filter(is_same_subnet);
        let connected = self.limiter.addresses().into_iter().filter(is_same_subnet);
        waiting.count() + connected.count() >= self.limiter.max_per_subnet()
            && !self.limiter.evict_idle_from(address)
    }

    /// A client of that subnet that has sent nothing for long.
    fn silent_from(&self, address: ClientAddress) -> Option<usize> {
        let now = Instant::now();
        self.waiting.iter().position(|it| {
            let is_silent = !it.has_sent && it.candidate(now).idle_ms >= SILENT_MS;
            is_silent && it.address().subnet() == address.subnet()
        })
    }

    /// Removes and returns the client that is served next, if there is a place for one. With
    /// `is_last`, clients need not have sent anything.
    pub(in crate::admin) fn next_ready(
        &mut self,
        cost: ConnectionCost,
        is_last: bool,
    ) -> Option<PendingClient> {
        if !self.limiter.has_room() {
            return None;
        }
        let now = Instant::now();
        let candidates: Vec<Candidate> = self.waiting.iter().map(|it| it.candidate(now)).collect();
        let served = self.limiter.addresses();
        let order = service_order(&candidates, served.iter().copied());
        let now_ms = self.now_ms(now);
        let at = order.into_iter().find(|at| {
            let client = &self.waiting[*at];
            let from_there = |it: &&ClientAddress| it.subnet() == client.address().subnet();
            (is_last || self.is_ready(client))
                && self.may_shake_hands(client, now_ms)
                && served.iter().filter(from_there).count() < self.limiter.max_per_subnet()
        })?;
        let client = self.waiting.remove(at);
        self.handshakes.record(client.address(), cost, now_ms);
        Some(client)
    }

    fn may_shake_hands(&self, client: &PendingClient, now_ms: u64) -> bool {
        let handshakes = &self.handshakes;
        handshakes.allows(client.address(), client.is_known, now_ms)
    }

    fn is_ready(&self, client: &PendingClient) -> bool {
        client.has_sent || !self.rules.client_speaks_first
    }

    fn now_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Closes idle connections if the server is full and clients wait. Returns when to look
    /// again.
    pub(in crate::admin) fn make_capacity(&self) -> Option<Duration> {
        let ready = self.waiting.iter().filter(|it| self.is_ready(it)).count();
        if ready > 0 {
            if !self.limiter.has_room() {
                let sent = self.waiting.iter().filter(|it| it.has_sent).count();
                self.limiter.evict_idle(sent, false);
                self.limiter.evict_idle(ready, true);
            }
            return Some(RETRY_INTERVAL);
        }
        let oldest = self.waiting.iter().map(|it| it.since).min()?;
        let left = (oldest + self.rules.max_wait).saturating_duration_since(Instant::now());
        Some(left.max(Duration::from_millis(1)))
    }

    /// Removes and returns a client that has waited too long.
    pub(in crate::admin) fn pop_expired(&mut self) -> Option<PendingClient> {
        let now = Instant::now();
        let max_wait = self.rules.max_wait;
        let is_over = |it: &PendingClient| now.saturating_duration_since(it.since) >= max_wait;
        let at = self.waiting.iter().position(is_over)?;
        Some(self.waiting.remove(at))
    }
}

/// What a connection costs, in tenths of a handshake.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) enum ConnectionCost {
    /// Without encryption.
    #[cfg(any(feature = "web", test))]
    Plain = 1,
    /// With a handshake of TLS or SSH.
    Handshake = 10,
}

/// For one subnet: 20 handshakes a second, and a burst of 60.
const SUBNET_RATE: Rate = Rate {
    cost_us: 5000,
    burst_us: 3_000_000,
};

/// For one site: 80 handshakes a second, and a burst of 240.
const SITE_RATE: Rate = Rate {
    cost_us: 1250,
    burst_us: 3_000_000,
};

/// Networks that are remembered.
const MAX_NETWORKS: usize = 4096;

struct Rate {
    cost_us: u64,
    burst_us: u64,
}

/// Rate limit of handshakes: when each network will have paid for its last one, in microseconds.
#[derive(Default)]
pub(in crate::admin) struct HandshakeRateLimit(HashMap<Network, u64>);

impl HandshakeRateLimit {
    /// Whether a client may have a handshake now. A known address does not wait for others of its
    /// site.
    pub(in crate::admin) fn allows(
        &self,
        address: ClientAddress,
        is_known: bool,
        now_ms: u64,
    ) -> bool {
        let may = |network, rate: Rate| {
            let busy_until_us = self.0.get(&network).copied().unwrap_or(0);
            busy_until_us <= now_ms * 1000 + rate.burst_us
        };
        may(address.subnet(), SUBNET_RATE) && (is_known || may(address.site(), SITE_RATE))
    }

    /// Counts one.
    pub(in crate::admin) fn record(
        &mut self,
        address: ClientAddress,
        cost: ConnectionCost,
        now_ms: u64,
    ) {
        let now_us = now_ms * 1000;
        if self.0.len() + 2 > MAX_NETWORKS {
            self.0.retain(|_, busy_until_us| *busy_until_us > now_us);
        }
        if self.0.len() + 2 > MAX_NETWORKS {
            evict_from_busiest(
                &mut self.0,
                MAX_NETWORKS / 2,
                |network| *network,
                |busy_until_us| *busy_until_us,
            );
        }
        for (network, rate) in [(address.subnet(), SUBNET_RATE), (address.site(), SITE_RATE)] {
            let busy_until_us = self.0.entry(network).or_default();
            *busy_until_us = (*busy_until_us).max(now_us) + rate.cost_us * cost as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of many tries in a minute are allowed.
    fn in_a_minute(sources: impl Fn(u64) -> ClientAddress) -> usize {
        let mut handshakes = HandshakeRateLimit::default();
        let try_at = |now_ms| {
            let address = sources(now_ms);
            let may = handshakes.allows(address, false, now_ms);
            if may {
                handshakes.record(address, ConnectionCost::Handshake, now_ms);
            }
            may
        };
        (1..60_000).map(try_at).filter(|may| *may).count()
    }

    #[test]
    fn an_address_has_twenty_a_second_and_its_network_eighty() {
        let one = in_a_minute(|_| ClientAddress::of([10, 0, 0, 1].into()));
        assert!((1200..1300).contains(&one), "{one}");
        let last = |ms: u64| u8::try_from(ms % 250).unwrap();
        let many = in_a_minute(|ms| ClientAddress::of([10, 0, 0, last(ms)].into()));
        assert!((4900..5200).contains(&many), "{many}");
        let sites = in_a_minute(|ms| ClientAddress::of([10, 0, last(ms), last(ms)].into()));
        assert!(sites > 59_000, "{sites}");
    }

    #[test]
    fn a_known_address_waits_only_for_its_own_handshakes() {
        let mut handshakes = HandshakeRateLimit::default();
        for last in 1..=250 {
            handshakes.record(
                ClientAddress::of([10, 0, 0, last].into()),
                ConnectionCost::Handshake,
                1,
            );
        }
        let one = ClientAddress::of([10, 0, 0, 251].into());
        assert!(!handshakes.allows(one, false, 1) && handshakes.allows(one, true, 1));
        for _ in 0..62 {
            handshakes.record(one, ConnectionCost::Handshake, 1);
        }
        assert!(!handshakes.allows(one, true, 1));
    }

    #[test]
    fn there_is_a_limit_and_a_flood_frees_nobody_else() {
        let mut handshakes = HandshakeRateLimit::default();
        let one = ClientAddress::of([192, 0, 2, 1].into());
        while handshakes.allows(one, false, 1) {
            handshakes.record(one, ConnectionCost::Handshake, 1);
        }
        for number in 0..20_000_u128 {
            let bits = (0x2001_0db8_u128 << 96) | (number << 64);
            let address = ClientAddress::of(std::net::Ipv6Addr::from_bits(bits).into());
            handshakes.record(address, ConnectionCost::Plain, 1);
            assert!(handshakes.0.len() <= MAX_NETWORKS);
        }
        assert!(!handshakes.allows(one, false, 1));
    }
}
