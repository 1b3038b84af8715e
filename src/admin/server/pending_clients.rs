//! Clients that have been accepted and wait for a seat: they take a descriptor, and no
//! thread.
//!
//! Of those who come, whoever is served next or makes room is `crowd`'s to say, and what
//! becomes of them the door's.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::client_address::{Net, Source, thin_out};
use super::connection_limiter::{Member, QUIET_MS, Seats, first_to_go, order};
use crate::os::descriptors;

/// Clients that may wait at one listener.
const MOST: u64 = 128;

/// The share of all descriptors that they may have.
const SHARE: u64 = 64;

/// How often it is looked again whether a seat can be had, or a handshake afforded.
const AGAIN: Duration = Duration::from_millis(100);

/// What holds at a door.
pub(in crate::admin) struct Rules {
    /// Whether clients have to say something before they get a seat.
    pub(in crate::admin) client_speaks_first: bool,
    /// How long a client waits for a seat.
    pub(in crate::admin) patience: Duration,
    /// Whether somebody has logged in from there before.
    pub(in crate::admin) knows: Box<dyn Fn(IpAddr) -> bool + Send>,
}

/// Those who wait at one listener.
pub(in crate::admin) struct Entrance {
    rules: Rules,
    seats: Arc<Seats>,
    most: usize,
    began: Instant,
    handshakes: Handshakes,
    /// In the order of their coming.
    waiting: Vec<Client>,
}

/// One of them.
pub(in crate::admin) struct Client {
    pub(in crate::admin) stream: TcpStream,
    pub(in crate::admin) peer: SocketAddr,
    pub(in crate::admin) is_known: bool,
    has_spoken: bool,
    since: Instant,
}

impl Client {
    fn source(&self) -> Source {
        Source::of(self.peer.ip())
    }

    fn member(&self, now: Instant) -> Member {
        let silent = now.saturating_duration_since(self.since);
        Member {
            source: self.source(),
            is_known: self.is_known,
            has_spoken: self.has_spoken,
            silent_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// What the system is asked of its socket: whether anything was said, and then no more than
    /// whether it is lost.
    fn poll_fd(&self) -> PollFd<'_> {
        let interest = match self.has_spoken {
            true => PollFlags::empty(),
            false => PollFlags::IN,
        };
        PollFd::new(&self.stream, interest)
    }

    /// Takes note of what the system said; whether it is still there.
    fn note(&mut self, event: PollFlags) -> bool {
        if event.is_empty() {
            return true;
        }
        if self.has_spoken {
            // It was asked for nothing but this.
            return false;
        }
        match self.stream.peek(&mut [0]) {
            Ok(length) => {
                self.has_spoken = length > 0;
                self.has_spoken
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl Entrance {
    pub(in crate::admin) fn new(seats: &Arc<Seats>, rules: Rules) -> Entrance {
        let limit = descriptors::limit().map_or(MOST, |limit| limit / SHARE);
        Entrance {
            rules,
            seats: Arc::clone(seats),
            most: usize::try_from(limit.clamp(8, MOST)).unwrap_or(8),
            began: Instant::now(),
            handshakes: Handshakes::default(),
            waiting: Vec::new(),
        }
    }

    /// What the system is asked of those who wait, in their order.
    pub(in crate::admin) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.waiting.iter().map(Client::poll_fd)
    }

    /// What the system said, in the same order. Who has gone is forgotten.
    pub(in crate::admin) fn note(&mut self, events: &[PollFlags]) {
        let mut events = events.iter();
        // Who has come since was not asked for.
        let nothing = PollFlags::empty();
        self.waiting
            .retain_mut(|client| client.note(*events.next().unwrap_or(&nothing)));
    }

    /// Lets somebody wait. The answer is who is turned away for that, be it themselves.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::admin) fn admit(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<Vec<Client>> {
        stream.set_nonblocking(true)?;
        let client = Client {
            stream,
            peer,
            is_known: (self.rules.knows)(peer.ip()),
            has_spoken: false,
            since: Instant::now(),
        };
        if self.has_its_share(client.source()) {
            let Some(at) = self.quiet_at(client.source()) else {
                return Ok(vec![client]);
            };
            let turned_away = self.waiting.remove(at);
            self.waiting.push(client);
            return Ok(vec![turned_away]);
        }
        self.waiting.push(client);
        Ok(match self.waiting.len() > self.most {
            true => self.make_room(),
            false => Vec::new(),
        })
    }

    /// Has some leave at once, so that not each newcomer is compared with all others.
    fn make_room(&mut self) -> Vec<Client> {
        let now = Instant::now();
        let members: Vec<Member> = self.waiting.iter().map(|it| it.member(now)).collect();
        let mut going = first_to_go(&members, |_, _| true);
        going.truncate(self.most.div_ceil(8));
        if going.is_empty() {
            // All are known.
            going.push(members.len() - 1);
        }
        going.sort_unstable();
        let leaving = going.into_iter().rev().map(|at| self.waiting.remove(at));
        leaving.collect()
    }

    /// Whether as many are there from that place as may be, and none of them at a seat can be
    /// made to leave it.
    fn has_its_share(&self, newcomer: Source) -> bool {
        let is_there = |source: &Source| source.place() == newcomer.place();
        let waiting = self.waiting.iter().map(Client::source).filter(is_there);
        let seated = self.seats.sources().into_iter().filter(is_there);
        waiting.count() + seated.count() >= self.seats.most_from_one()
            && !self.seats.make_room_at(newcomer)
    }

    /// Who of that place waits in silence.
    fn quiet_at(&self, newcomer: Source) -> Option<usize> {
        let now = Instant::now();
        self.waiting.iter().position(|it| {
            let is_quiet = !it.has_spoken && it.member(now).silent_ms >= QUIET_MS;
            is_quiet && it.source().place() == newcomer.place()
        })
    }

    /// Whose turn it is to be served, and for whom there is a seat; `is_last` says that
    /// nobody is to speak first any more.
    pub(in crate::admin) fn next(&mut self, cost: Cost, is_last: bool) -> Option<Client> {
        if !self.seats.has_room() {
            return None;
        }
        let now = Instant::now();
        let members: Vec<Member> = self.waiting.iter().map(|it| it.member(now)).collect();
        let served = self.seats.sources();
        let order = order(&members, served.iter().copied());
        let now_ms = self.now_ms(now);
        let at = order.into_iter().find(|at| {
            let client = &self.waiting[*at];
            let from_there = |it: &&Source| it.place() == client.source().place();
            (is_last || self.is_ready(client))
                && self.may_begin(client, now_ms)
                && served.iter().filter(from_there).count() < self.seats.most_from_one()
        })?;
        let client = self.waiting.remove(at);
        self.handshakes.begin(client.source(), cost, now_ms);
        Some(client)
    }

    fn may_begin(&self, client: &Client, now_ms: u64) -> bool {
        let handshakes = &self.handshakes;
        handshakes.may_begin(client.source(), client.is_known, now_ms)
    }

    fn is_ready(&self, client: &Client) -> bool {
        client.has_spoken || !self.rules.client_speaks_first
    }

    fn now_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Where nobody else can be served now, but somebody waits for that: has others make room.
    /// The answer is when to look again.
    pub(in crate::admin) fn press(&self) -> Option<Duration> {
        let ready = self.waiting.iter().filter(|it| self.is_ready(it)).count();
        if ready > 0 {
            if !self.seats.has_room() {
                let spoken = self.waiting.iter().filter(|it| it.has_spoken).count();
                self.seats.make_room(spoken, false);
                self.seats.make_room(ready, true);
            }
            return Some(AGAIN);
        }
        let oldest = self.waiting.iter().map(|it| it.since).min()?;
        let left = (oldest + self.rules.patience).saturating_duration_since(Instant::now());
        Some(left.max(Duration::from_millis(1)))
    }

    /// Who has waited for too long.
    pub(in crate::admin) fn expired(&mut self) -> Option<Client> {
        let now = Instant::now();
        let patience = self.rules.patience;
        let is_over = |it: &Client| now.saturating_duration_since(it.since) >= patience;
        let at = self.waiting.iter().position(is_over)?;
        Some(self.waiting.remove(at))
    }
}

/// What a connection costs, in shares of a handshake.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) enum Cost {
    /// One in the clear.
    #[cfg(any(feature = "web", test))]
    Plain = 1,
    /// One with a handshake of TLS or SSH.
    Handshake = 10,
}

/// One address, or a /64 of IPv6: 20 handshakes a second, and 60 at once after a quiet time.
const OF_A_PLACE: Rate = Rate {
    share_us: 5000,
    burst_us: 3_000_000,
};

/// A /24 of IPv4, or a /48 of IPv6: 80 a second, and 240 at once.
const OF_A_SITE: Rate = Rate {
    share_us: 1250,
    burst_us: 3_000_000,
};

/// Networks that are remembered.
const MAX_NETWORKS: usize = 4096;

struct Rate {
    share_us: u64,
    burst_us: u64,
}

/// When each network will have nothing to wait for, if nobody else comes from there, in
/// microseconds.
#[derive(Default)]
pub(in crate::admin) struct Handshakes(HashMap<Net, u64>);

impl Handshakes {
    /// Whether somebody from there may have one now. Who is known does not wait for others of
    /// their network.
    pub(in crate::admin) fn may_begin(&self, source: Source, is_known: bool, now_ms: u64) -> bool {
        let may = |net, rate: Rate| {
            let paid_us = self.0.get(&net).copied().unwrap_or(0);
            paid_us <= now_ms * 1000 + rate.burst_us
        };
        may(source.place(), OF_A_PLACE) && (is_known || may(source.site(), OF_A_SITE))
    }

    /// They have one.
    pub(in crate::admin) fn begin(&mut self, source: Source, cost: Cost, now_ms: u64) {
        let now_us = now_ms * 1000;
        if self.0.len() + 2 > MAX_NETWORKS {
            self.0.retain(|_, paid_us| *paid_us > now_us);
        }
        if self.0.len() + 2 > MAX_NETWORKS {
            thin_out(
                &mut self.0,
                MAX_NETWORKS / 2,
                |net| *net,
                |paid_us| *paid_us,
            );
        }
        for (net, rate) in [(source.place(), OF_A_PLACE), (source.site(), OF_A_SITE)] {
            let paid_us = self.0.entry(net).or_default();
            *paid_us = (*paid_us).max(now_us) + rate.share_us * cost as u64;
        }
    }
}

#[cfg(test)]
mod rate_tests {
    use super::*;

    /// How many of many tries in a minute may be.
    fn in_a_minute(sources: impl Fn(u64) -> Source) -> usize {
        let mut handshakes = Handshakes::default();
        let try_at = |now_ms| {
            let source = sources(now_ms);
            let may = handshakes.may_begin(source, false, now_ms);
            if may {
                handshakes.begin(source, Cost::Handshake, now_ms);
            }
            may
        };
        (1..60_000).map(try_at).filter(|may| *may).count()
    }

    #[test]
    fn a_place_has_twenty_a_second_and_its_network_eighty() {
        let one = in_a_minute(|_| Source::of([10, 0, 0, 1].into()));
        assert!((1200..1300).contains(&one), "{one}");
        let last = |ms: u64| u8::try_from(ms % 250).unwrap();
        let many = in_a_minute(|ms| Source::of([10, 0, 0, last(ms)].into()));
        assert!((4900..5200).contains(&many), "{many}");
        let sites = in_a_minute(|ms| Source::of([10, 0, last(ms), last(ms)].into()));
        assert!(sites > 59_000, "{sites}");
    }

    #[test]
    fn who_is_known_waits_for_their_own_alone() {
        let mut handshakes = Handshakes::default();
        for last in 1..=250 {
            handshakes.begin(Source::of([10, 0, 0, last].into()), Cost::Handshake, 1);
        }
        let one = Source::of([10, 0, 0, 251].into());
        assert!(!handshakes.may_begin(one, false, 1) && handshakes.may_begin(one, true, 1));
        for _ in 0..62 {
            handshakes.begin(one, Cost::Handshake, 1);
        }
        assert!(!handshakes.may_begin(one, true, 1));
    }

    #[test]
    fn there_is_a_limit_and_a_flood_frees_nobody_else() {
        let mut handshakes = Handshakes::default();
        let one = Source::of([192, 0, 2, 1].into());
        while handshakes.may_begin(one, false, 1) {
            handshakes.begin(one, Cost::Handshake, 1);
        }
        for number in 0..20_000_u128 {
            let bits = (0x2001_0db8_u128 << 96) | (number << 64);
            let source = Source::of(std::net::Ipv6Addr::from_bits(bits).into());
            handshakes.begin(source, Cost::Plain, 1);
            assert!(handshakes.0.len() <= MAX_NETWORKS);
        }
        assert!(!handshakes.may_begin(one, false, 1));
    }
}
