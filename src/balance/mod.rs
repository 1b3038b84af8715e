//! Who gets the next session.
//!
//! Pure: no socket, thread or clock, and no randomness of its own. Time and
//! chance are arguments, and so is everything that is seen of a host: whoever
//! connects (`relay`) and probes (`director`) tells the [`Tracker`], which
//! keeps what is known and asks a [`Scheduler`] to pick.

mod counters;
mod cursor;
mod health;
mod host;
mod hosts;
mod left;
mod random;
mod ranked;
mod recent;
mod schedulers;
mod sticky;
mod tracker;

mod leastc;
mod leastcrr;
mod maglev;
mod p2c;
mod rand;
mod roundr;
mod weightlc;
mod weightr;
mod weightrr;

pub use counters::{Counters, HISTOGRAM_MS, Totals};
pub use health::{Change, Failure, Health};
pub use host::{Host, HostStatus, Member};
pub use hosts::Hosts;
pub use random::Random;
pub use recent::{MINUTES, Recent};
pub use schedulers::Schedulers;
pub use tracker::{Picked, Tracker};

use std::fmt::Debug;
use std::net::IpAddr;

/// Names a host of one group for as long as it is known there: until it is
/// removed and its last session has ended. After that another host may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) u32);

impl HostId {
    /// A small number, for a `Vec` with a place for every host: ids are handed
    /// out from 0 on, and freed ones first.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A way to pick the host for a new session.
///
/// A group has one, behind its lock, so a scheduler sees every session of the
/// group in order and need not synchronise anything. It is asked for each
/// session: its methods should be quick, allocate nothing, and never
/// look at a clock ([`Ask::now_ms`] and [`Ask::random`] are there for that).
///
/// It is called on threads of the balancer: by workers, and by those that make changes and
/// probe hosts. One that asked its own balancer for something there would wait for
/// itself, for ever. What it knows it shares with its program by an `Arc` that both have.
pub trait Scheduler: Send + Debug {
    /// Hosts came, went, moved, or changed in weight, state or health: renew
    /// what was derived from them.
    ///
    /// Called once before the first pick, then after every such change, and now and then
    /// without one.
    /// Positions (whose turn it is) should be kept for the hosts that stay.
    fn renew(&mut self, hosts: &Hosts);

    /// Who gets this client: one of [`Hosts::candidates`] that is not in
    /// [`Ask::tried`]. Anything else is taken as [`Pick::None`].
    ///
    /// Does not count the session: that is done for it, and told by `picked`.
    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick;

    /// `host` has been given a session, whose count `hosts` has already.
    ///
    /// It may be another than `pick` said: a sticky client goes where it went before.
    fn picked(&mut self, _hosts: &Hosts, _host: HostId) {}

    /// A session has ended, whose count `hosts` has no more. Each that was told by
    /// `picked` is told here once.
    ///
    /// Its host may be any that was known: one that has failed since, or that was
    /// removed; with the last session of such a one, [`Hosts::get`] has it no more.
    fn ended(&mut self, _hosts: &Hosts, _end: &End) {}
}

/// A session that has ended, as schedulers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// The host that it was counted on.
    pub host: HostId,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the host failed it: it did not accept, or broke off before anything was
    /// said. The client may have gone on to another host.
    pub failed: bool,
    /// When, in milliseconds of the clock of [`Ask::now_ms`].
    pub now_ms: u64,
}

/// What a scheduler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pick {
    /// This one.
    Host(HostId),
    /// Nobody is left to try.
    None,
}

impl From<Option<HostId>> for Pick {
    fn from(host: Option<HostId>) -> Self {
        host.map_or(Pick::None, Pick::Host)
    }
}

/// A question to a scheduler: who gets this client?
#[derive(Debug)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The hosts that have failed this client already: at most
    /// [`Ask::MAX_TRIED`]. After more, nobody is picked.
    pub tried: &'a [HostId],
    /// Milliseconds of a monotonic clock.
    pub now_ms: u64,
    /// Where chance comes from.
    pub random: &'a mut Random,
}

impl<'a> Ask<'a> {
    /// A question, of a client that `tried` have failed.
    pub fn new(
        client: IpAddr,
        tried: &'a [HostId],
        now_ms: u64,
        random: &'a mut Random,
    ) -> Ask<'a> {
        Ask {
            client,
            tried,
            now_ms,
            random,
        }
    }

    /// How many hosts are tried for one client.
    pub const MAX_TRIED: usize = 16;

    /// Whether `host` has failed this client already.
    pub fn has_tried(&self, host: HostId) -> bool {
        self.tried.contains(&host)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod tests;
