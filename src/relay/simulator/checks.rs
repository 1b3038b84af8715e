//! What must hold of a session on simulated sockets.

use super::super::connection::Connection;
use super::super::failure::EndReason;
use super::super::port_gate::PortGates;
use super::super::session::{Action, Direction, Side};
use super::super::transport::Transport;
use super::host_farm::HostFarm;
use super::socket::Socket;
use super::transport::{AttemptEnd, Outcome, SimulatedTransport};
use crate::balance::{HostId, PickContext, Picked};
use crate::config::Source;
use crate::os::address::Address;
use crate::os::outgoing::SourceAddress;

/// What must hold.
impl Connection<SimulatedTransport> {
    /// Checks that it ended for the reason that it gives. `awake_ms` says how long workers were
    /// awake since a time.
    pub(super) fn check_end(&self, reason: EndReason, awake_ms: impl Fn(u64) -> u64) {
        let connected = self.session.connected_ms().is_some();
        let client = &self.transport.client;
        let host = self.transport.host.as_ref();
        let holds = match reason {
            EndReason::Finished => self.is_complete(Side::Client) && self.is_complete(Side::Host),
            EndReason::ClientReset => connected && client.reset && !client.given_up,
            EndReason::HostReset => {
                let has_reset = |it: &Socket| it.reset && !it.given_up && self.has_last_words(it);
                connected && host.is_some_and(has_reset)
            }
            EndReason::ClientSilent if client.given_up => connected,
            EndReason::HostSilent if host.is_some_and(|it| it.given_up) => connected,
            EndReason::ClientGone => {
                let says_nothing = client.ended && client.said == 0;
                !connected && (client.reset || says_nothing && self.transport.wants.header)
            }
            EndReason::BadProxyHeader => !connected && self.transport.has_bad_header(),
            EndReason::FirstBytesTooLong => {
                let SimulatedTransport { ref wants, .. } = self.transport;
                !self.transport.has_read_enough() && client.read >= wants.limit
            }
            EndReason::FirstBytesLate => {
                let SimulatedTransport {
                    wants, started_ms, ..
                } = &self.transport;
                !self.transport.has_read_enough() && awake_ms(*started_ms) >= wants.timeout_ms
            }
            EndReason::ClientSilent | EndReason::HostSilent => {
                let progress_ms = self.transport.progress_ms();
                connected
                    && self.may_end_after(awake_ms(progress_ms))
                    && !self.transport.each().any(|it| it.stale_event)
            }
            EndReason::MaxDuration => {
                let SimulatedTransport {
                    timeouts,
                    started_ms,
                    ..
                } = self.transport;
                timeouts.max_duration > 0 && awake_ms(started_ms) >= timeouts.max_duration
            }
            EndReason::NoHost => !connected && !self.transport.timed_out,
            EndReason::ConnectTimedOut => !connected && self.transport.timed_out,
            EndReason::LocalError => !connected,
            _ => true,
        };
        assert!(
            holds,
            "ends as {reason:?}, but did not: {:#?} {:#?}",
            self.session, self.transport
        );
    }

    /// Whether what a host sent before it broke has reached the client.
    fn has_last_words(&self, host: &Socket) -> bool {
        let client = &self.transport.client;
        client.reset || client.wrote == host.said
    }

    /// Whether all that `side` was to get has arrived, with an orderly end, and
    /// nothing is known of a reset.
    fn is_complete(&self, side: Side) -> bool {
        self.transport.pair(side).is_some_and(|(sink, source)| {
            let passed = self.transport.passed(side);
            source.is_read_out() && passed == source.said && !sink.reset_known
        })
    }

    /// Whether its host's part is over, after a run. Then the host has ended its side, and the
    /// client was written all that it said; or the host is known to be gone.
    pub(super) fn is_host_done(&self) -> bool {
        let connected = self.session.connected_ms().is_some();
        let client = &self.transport.client;
        let host = self.transport.host.as_ref().filter(|_| connected);
        let done = self.session.is_host_done();
        let has_ended = |it: &Socket| it.reset_known || (it.ended && client.wrote == it.said);
        assert!(!done || host.is_some_and(has_ended), "a host that lives");
        done
    }

    fn may_end_after(&self, silent_ms: u64) -> bool {
        let is_half_closed = self
            .transport
            .each()
            .any(|socket| socket.shut || socket.reset_known);
        let passed = |timeout_ms: u64| timeout_ms > 0 && silent_ms >= timeout_ms;
        let timeouts = self.transport.timeouts;
        passed(timeouts.idle) || (is_half_closed && passed(timeouts.half_closed))
    }

    /// Checks that it has given up only if no host was left. Call it after a run that has picked.
    pub(super) fn check_picks(&mut self, host_farm: &HostFarm) {
        let is_first = matches!(
            self.session.next(),
            Action::Close(
                EndReason::ClientGone
                    | EndReason::BadProxyHeader
                    | EndReason::FirstBytesLate
                    | EndReason::FirstBytesTooLong
                    | EndReason::MaxDuration
            )
        );
        let transport = &mut self.transport;
        if transport.host.is_some() || is_first || self.session.awaits_first_bytes() {
            return;
        }
        let (refused, no_port) = (&transport.refused, &transport.no_port);
        let held_up = &transport.held_up;
        let last = transport.outcomes.last().map(|outcome| &outcome.end);
        let has_reason = matches!(last, Some(AttemptEnd::NoDescriptor))
            || transport.client.reset_known
            || refused.len() + no_port.len() + held_up.len() >= PickContext::MAX_TRIED
            || transport.has_waited_out();
        let was_tried = |id| [refused, no_port, held_up].iter().any(|it| it.contains(id));
        assert!(
            has_reason || host_farm.eligible().iter().all(|(id, _)| was_tried(id)),
            "no host was picked, though one was left: {:#?} {transport:#?}",
            self.session
        );
        // All of them may be tried again after a pause.
        transport.no_port.clear();
        transport.held_up.clear();
    }

    /// Checks that it waits for an event that will come.
    pub(super) fn check_waiting(&self) {
        assert_eq!(
            self.session.next(),
            Action::Wait,
            "forgotten: {:#?} {:#?}",
            self.session,
            self.transport
        );
        if self.session.awaits_first_bytes() {
            let client = &self.transport.client;
            assert!(!self.transport.has_read_enough(), "knows all, and waits");
            let gives = client.has_something() || client.ended || client.reset;
            assert!(
                !gives,
                "does not look: {:#?} {:#?}",
                self.session, self.transport
            );
        }
        if self.session.connected_ms().is_none() {
            return;
        }
        let client = &self.transport.client;
        assert!(!client.reset_known, "waits for a client that is gone");
        let host = self.transport.host.as_ref();
        let is_over = host.is_some_and(|it| it.is_read_out() && client.wrote == it.said);
        assert!(!is_over || self.is_host_done(), "a host that is over");
        for direction in [Direction::ToHost, Direction::ToClient] {
            let Some((sink, source)) = self.transport.pair(direction.sink()) else {
                continue;
            };
            let takes = sink.has_room() && !sink.reset && !sink.shut;
            let gives = !self.session.half_stream(direction).buffered().is_empty()
                || source.has_something()
                || source.ended
                || source.reset;
            assert!(
                !(takes && gives),
                "stuck {direction:?}: {:#?} {:#?}",
                self.session,
                self.transport
            );
        }
    }

    /// Checks that it buffers no more than it may.
    pub(super) fn check_memory(&self, buffer: usize) {
        let SimulatedTransport {
            wants,
            lead,
            most_kept,
            ..
        } = &self.transport;
        let first = lead.len() + buffer.max(wants.limit).max(*most_kept as usize);
        for (direction, most) in [(Direction::ToHost, first), (Direction::ToClient, buffer)] {
            let buffered = self.session.half_stream(direction).buffered().len();
            assert!(buffered <= most, "keeps more than it ever reads");
        }
    }

    /// Checks that it does not outlast its timeouts.
    pub(super) fn check_time(
        &self,
        now_ms: u64,
        [resumed_ms, stalled_ms]: [u64; 2],
        slack_ms: u64,
    ) {
        let SimulatedTransport {
            timeouts,
            started_ms,
            paused_ms,
            ..
        } = self.transport;
        let late = |since_ms: u64, timeout_ms: u64| {
            timeout_ms > 0 && now_ms > since_ms + timeout_ms + slack_ms
        };
        // What a stalled iteration did counts as done at its end.
        let progress_ms = self.transport.progress_ms().max(stalled_ms);
        // What is acknowledged twice looks like progress, once.
        let looks = 1 + u64::from(self.transport.each().any(|socket| socket.peer.repeats));
        let progress_ms = match looks {
            1 => progress_ms,
            _ => progress_ms.max(resumed_ms),
        };
        let overdue = match self.session.connected_ms() {
            Some(connected_ms) => {
                let half_closed_ms = self.transport.half_closed_ms;
                let watch_ms = timeouts.watch_peers_ms(started_ms);
                let watch_ms = watch_ms.map(|watch_ms| watch_ms.max(connected_ms));
                late(progress_ms, looks * timeouts.idle)
                    || half_closed_ms.is_some_and(|since_ms| {
                        late(since_ms.max(progress_ms), looks * timeouts.half_closed)
                    })
                    || (watch_ms.is_some_and(|watch_ms| now_ms > watch_ms + slack_ms)
                        && !self.transport.watches_peers)
            }
            None if self.session.awaits_first_bytes() => {
                late(started_ms + paused_ms, self.transport.wants.timeout_ms)
            }
            None => {
                let since_ms = self.transport.waits_since_ms.max(started_ms);
                late(since_ms + paused_ms, 3 * timeouts.connect)
            }
        };
        let overdue = overdue || late(started_ms + paused_ms, timeouts.max_duration);
        assert!(
            !overdue,
            "outlasts its time: {:#?} {:#?}",
            self.session, self.transport
        );
    }
}

impl SimulatedTransport {
    /// Excludes the host of the last attempt if it must not be tried again.
    fn exclude_last(&mut self, host_farm: &HostFarm) {
        let Some(Outcome { picked, end, .. }) = self.outcomes.last() else {
            return;
        };
        let may_be_again = match end {
            AttemptEnd::Failed(_) => host_farm.group.pool().has_moved(picked.id, &picked.address),
            AttemptEnd::ResetByHost
            | AttemptEnd::Abandoned
            | AttemptEnd::Excused { .. }
            | AttemptEnd::Replayed { .. } => false,
            AttemptEnd::Connected { .. } | AttemptEnd::NoPort | AttemptEnd::NoDescriptor => true,
        };
        if !may_be_again {
            self.excluded.push(picked.id);
        }
    }

    /// Checks that it was given a host that may be picked; a backup only if no other was left.
    fn check_pick(&self, farm: &HostFarm, to: &Picked, was_tried: impl Fn(HostId) -> bool) {
        assert!(
            farm.eligible()
                .iter()
                .any(|(id, it)| is_place_of((*id, it), to)),
            "picked one that is not to be picked: {to:?}"
        );
        let candidates = farm.candidates();
        let mut others = candidates.iter();
        assert!(
            candidates.iter().any(|(id, _)| *id == to.id)
                || others.all(|(id, _)| was_tried(*id))
                || farm.lacked_ports(),
            "picked a backup though another host was left: {to:?}, {candidates:?}"
        );
    }

    /// Checks a host that was picked just now.
    pub(super) fn check_new_host(&mut self, farm: &HostFarm, to: &Picked) {
        self.exclude_last(farm);
        assert!(!self.excluded.contains(&to.id), "tried twice");
        assert!(
            self.refused.len() < PickContext::MAX_TRIED,
            "tries too many hosts"
        );
        let was_tried = |id| {
            let lists = [&self.refused, &self.no_port, &self.held_up];
            lists.iter().any(|list| list.contains(&id))
        };
        farm.set_picking(Some(to.id));
        self.check_pick(farm, to, was_tried);
        farm.visit(self.address.ip(), to, was_tried, self.loop_ms);
        farm.set_picking(None);
    }

    /// Notes hosts that may be skipped from now on.
    pub(super) fn hold_up(&mut self, farm: &HostFarm, port_gates: &PortGates) {
        if port_gates.is_empty() {
            return;
        }
        for (id, address) in farm.eligible() {
            let address = self.with_asked_port(address);
            if port_gates.contains(&address) && !self.held_up.contains(&id) {
                self.held_up.push(id);
            }
        }
    }

    /// The address of a host, with the port that this client asked for if it has none.
    fn with_asked_port(&self, address: Address) -> Address {
        match address.lacks_port() {
            true => address.with_port(self.asked_address().map_or(0, |asked| asked.port())),
            false => address,
        }
    }

    /// Whether the last connect was to the same host, and found no port.
    pub(super) fn goes_on_with(&self, to: &Picked) -> bool {
        self.outcomes
            .last()
            .is_some_and(|Outcome { picked, end, .. }| {
                let same = (picked.id, &picked.address) == (to.id, &to.address);
                same && matches!(end, AttemptEnd::NoPort)
            })
    }

    /// The sources that were tried in vain for a host in this run.
    fn tried_in_vain(&self, to: &Picked) -> impl Iterator<Item = &Outcome> {
        let last = self.outcomes.iter().rev();
        last.take_while(move |it| it.picked.id == to.id && matches!(it.end, AttemptEnd::NoPort))
    }

    /// Checks that a connect comes from where it must, and from nowhere twice.
    pub(super) fn check_source(&self, farm: &HostFarm, to: &Picked, from: Option<SourceAddress>) {
        let host = to.address.ip();
        let is_one = match (farm.source(), from) {
            (Source::Any, from) => from.is_none(),
            (_, from) if host.is_none() => from.is_none(),
            (Source::Addresses(addresses), Some(from)) => {
                let is_theirs = host.is_some_and(|ip| ip.is_ipv4() == from.address.is_ipv4());
                is_theirs && !from.is_transparent && addresses.contains(&from.address.ip())
            }
            (Source::Client, Some(from)) => {
                from.is_transparent && Some(from.address.ip()) == self.address.ip()
            }
            (Source::Client, None) => self.address.ip().is_none(),
            (Source::Addresses(_), None) => false,
        };
        assert!(is_one, "connects from {from:?}");
        let mut tried = self.tried_in_vain(to);
        assert!(tried.all(|it| it.from != from), "tries a source twice");
    }

    /// Checks that no source was left for the hosts for which no port was: all have been tried, now
    /// or by another session, or as many as one run may try.
    pub(super) fn check_sources(&self, farm: &HostFarm, port_gates: &PortGates) {
        const MOST_TRIED: usize = 4;
        let Source::Addresses(addresses) = farm.source() else {
            return;
        };
        let all = addresses.iter().filter(|ip| ip.is_ipv4()).count();
        let had_no_port = self.outcomes.iter().filter(|it| {
            let is_without = matches!(it.end, AttemptEnd::NoPort);
            is_without && self.no_port.contains(&it.picked.id) && it.picked.address.ip().is_some()
        });
        for Outcome { picked, .. } in had_no_port {
            let known = port_gates.count(&picked.address);
            assert!(
                known >= all.min(MOST_TRIED),
                "a source was left: {picked:?}"
            );
        }
    }

    /// Whether this machine lacked a descriptor or port in this run.
    pub(super) fn was_short(&self) -> bool {
        let short = |outcome: &Outcome| {
            matches!(outcome.end, AttemptEnd::NoDescriptor | AttemptEnd::NoPort)
        };
        self.outcomes.iter().any(short)
    }

    pub(super) fn check_bytes(&self, side: Side, bytes: &[u8]) {
        let (sink, source) = self.pair(side).expect("writes without a host");
        let (lead, skip) = match side {
            Side::Host => (self.lead.as_slice(), self.skip),
            Side::Client => (&[][..], 0),
        };
        for (byte, position) in bytes.iter().zip(sink.wrote..) {
            let expected = lead.get(position).copied().unwrap_or_else(|| {
                let position = position - lead.len() + skip;
                assert!(position < source.read, "writes bytes that were never read");
                source.byte(position)
            });
            assert_eq!(
                *byte, expected,
                "a byte is lost, doubled or out of place at {position}"
            );
        }
    }
}

/// Whether this host at its configured address, which may have no port, is the one that was picked.
pub(super) fn is_place_of((id, address): (HostId, &Address), picked: &Picked) -> bool {
    let is_at = match (address.lacks_port(), picked.address.port()) {
        (true, Some(port)) => address.with_port(port) == picked.address,
        _ => *address == picked.address,
    };
    id == picked.id && is_at
}
