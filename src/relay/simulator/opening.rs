//! What simulated clients say first, where their service looks at it: PROXY protocol headers and
//! ClientHellos, whole, cut, wrong or too long.

use std::net::SocketAddr;

use super::super::client_hello;
use super::super::proxy_protocol::{self, ProxyHeader};
use super::peer::Peer;
use super::socket::Socket;
use super::transport::{ASKED, AttemptEnd, Outcome, SimulatedTransport};
use crate::balance::Random;
use crate::config::ProxyVersion;

/// What is looked at in a client's first bytes, for how long, and how many.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wants {
    pub(super) header: bool,
    pub(super) hello: bool,
    pub(super) timeout_ms: u64,
    pub(super) limit: usize,
}

impl Wants {
    /// Mostly nothing.
    pub(super) fn any(random: &mut Random, limit: usize) -> Wants {
        Wants {
            header: random.below(3) == 0,
            hello: random.below(3) == 0,
            timeout_ms: [50, 1000, 5000][random.index(3)],
            limit,
        }
    }
}

/// The first bytes of a client that `wants` are looked at of.
pub(super) fn any_opening(wants: Wants, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    if wants.header || random.below(32) == 0 {
        bytes = any_header(random);
        let mut spoilt = bytes.clone();
        spoil(&mut spoilt, random);
        // Hosts are only where clients ask for.
        let is_elsewhere = matches!(
            proxy_protocol::parse(&spoilt),
            Ok(Some((ProxyHeader::Proxied { asked, .. }, _))) if asked != ASKED
        );
        if !is_elsewhere {
            bytes = spoilt;
        }
    }
    if wants.hello && random.below(4) > 0 {
        let mut hello = any_hello(random);
        spoil(&mut hello, random);
        bytes.extend(hello);
    }
    bytes
}

/// Cuts or changes one of eight.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    let place = random.index(bytes.len().max(1));
    match random.below(16) {
        0 => bytes.truncate(place),
        1 if !bytes.is_empty() => bytes[place] ^= 1 << random.below(8),
        _ => {}
    }
}

fn any_header(random: &mut Random) -> Vec<u8> {
    let version = [ProxyVersion::V1, ProxyVersion::V2][random.index(2)];
    let mut header = Vec::new();
    let last = u8::try_from(random.below(3)).unwrap();
    let addresses = (
        SocketAddr::from(([10, 9, 1, last], 1000 + u16::from(last))),
        ASKED,
    );
    let id = vec![b'x'; random.index(100)];
    match random.below(4) {
        0 => proxy_protocol::write_local(version, &mut header),
        1 => proxy_protocol::write_header(version, None, &id, &mut header),
        _ => proxy_protocol::write_header(version, Some(addresses), &id, &mut header),
    }
    header
}

/// A ClientHello with a name, in one record or in several.
fn any_hello(random: &mut Random) -> Vec<u8> {
    let name = b"a.example.org";
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut extension = vec![0, 0];
    extension.extend(length(name.len() + 5));
    extension.extend(length(name.len() + 3));
    extension.push(0);
    extension.extend(length(name.len()));
    extension.extend(name);
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    hello.extend(length(extension.len()));
    hello.extend(extension);
    let mut message = vec![1, 0];
    message.extend(length(hello.len()));
    message.extend(hello);
    let most = [message.len(), 1, 20][random.index(3)];
    message
        .chunks(most)
        .flat_map(|chunk| {
            let mut record = vec![22, 3, 1];
            record.extend(length(chunk.len()));
            record.extend(chunk);
            record
        })
        .collect()
}

impl SimulatedTransport {
    /// The client's header, once so many of its bytes are known: `None` while it is not.
    fn header_in(&self, bytes: &[u8]) -> Option<Option<(ProxyHeader, usize)>> {
        match proxy_protocol::parse(bytes) {
            Ok(None) => None,
            Ok(Some(header)) => Some(Some(header)),
            Err(_) => Some(None),
        }
    }

    /// What txlb has read of its client.
    fn read_so_far(&self) -> Vec<u8> {
        (0..self.client.read)
            .map(|at| self.client.byte(at))
            .collect()
    }

    /// Whether txlb has read enough of its client to pick a host.
    pub(super) fn has_read_enough(&self) -> bool {
        let bytes = self.read_so_far();
        let mut rest = bytes.as_slice();
        if self.wants.header {
            match self.header_in(rest) {
                Some(Some((_, length))) => rest = &rest[length..],
                _ => return false,
            }
        }
        !self.wants.hello
            || self.client.is_read_out()
            || !matches!(client_hello::parse(rest), Ok(None))
    }

    /// Whether txlb may take it that its client sends no header.
    pub(super) fn has_bad_header(&self) -> bool {
        let header = self.header_in(&self.read_so_far());
        self.wants.header && (header == Some(None) || header.is_none() && self.client.ended)
    }

    /// A host that had accepted was given up for another one.
    pub(super) fn replay(&mut self, host: &Socket) {
        let picked = self.connected_to.take().expect("replays without a host");
        assert!(picked.replay > 0, "replays unasked");
        assert!(
            host.read == 0 && host.said == 0,
            "replays what was answered"
        );
        assert!(host.reset || host.ended, "gives up a host that lives");
        assert!(!self.client.reset_known, "replays for nobody");
        let kept = self.client.read - self.header().0;
        let has_more = self.client.has_something() || self.client.ended;
        assert!(kept > 0 || has_more, "replays nothing");
        assert!(kept <= picked.replay as usize, "replays what is too long");
        self.refused.push(picked.id);
        self.timed_out = false;
        (self.broken, self.watches_peers) = (false, false);
        (self.half_closes, self.half_closed_ms) = (0, None);
        self.waits_since_ms = self.loop_ms;
        let all = host.wrote.saturating_sub(self.lead.len()) as u64;
        self.lead.clear();
        self.replays += 1;
        let to_host = std::mem::take(&mut self.bytes[0]);
        self.replayed += all - to_host;
        let end = AttemptEnd::Replayed { to_host };
        self.outcomes.push(Outcome {
            picked,
            from: None,
            end,
        });
    }

    /// How many of the client's bytes are not for its host, and the address that they tell.
    pub(super) fn header(&self) -> (usize, Option<SocketAddr>) {
        if !self.wants.header {
            return (0, None);
        }
        match self.header_in(&self.read_so_far()).flatten() {
            Some((ProxyHeader::Proxied { client, .. }, length)) => (length, Some(client)),
            Some((ProxyHeader::Own, length)) => (length, None),
            None => (0, None),
        }
    }
}

impl Peer {
    /// A client that says this first.
    pub(super) fn with_opening(mut self, opening: Vec<u8>) -> Peer {
        // Some say nothing else.
        let alone = self.to_say.is_multiple_of(4);
        self.to_say = opening.len() + if alone { 0 } else { self.to_say };
        self.opening = opening;
        self
    }
}
