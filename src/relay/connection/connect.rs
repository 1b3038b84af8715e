//! Connects a session to the host that was picked, from one source address after the other.

use super::{Connection, Context};
use crate::balance::{Failure, HostId, SourceTurn};
use crate::relay::client_lookup::ClientTable;
use crate::relay::failure::{ConnectError, Shortage};
use crate::relay::session::Side;
use crate::relay::slab::encode_token;
use crate::relay::source::sources;
use crate::relay::timer_wheel::TICK_MS;
use crate::relay::transport::Transport;

/// How many source addresses without a free port one run tries. Each search takes as long as there
/// are ports, and many addresses may run out at the same time.
const MOST_SEARCHES: usize = 4;

/// Which failures of a connect say nothing of its host: checks and other sessions judge it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Excuse {
    /// It comes from the client's own address: what the host answers may go astray.
    own_address: bool,
    /// It goes to a port that the client chose, and at which the host is not checked.
    unchecked_port: bool,
}

impl Excuse {
    /// Whether this failure says nothing of the host.
    pub(super) fn covers(self, failure: &Failure) -> bool {
        match failure {
            Failure::Refused => self.unchecked_port,
            _ => self.own_address,
        }
    }
}

impl<T: Transport> Connection<T> {
    /// Starts a connect to the picked host. A source address without a free port, or that this
    /// machine does not have, is passed over to the next one.
    pub(super) fn connect_picked(
        &mut self,
        source: Option<&SourceTurn>,
        context: &mut Context<'_, T>,
    ) {
        if !self.choose_port() {
            return self.pass_over_host(context.now_ms);
        }
        let Some(picked) = &self.picked else { return };
        let (to, now_ms) = (&picked.address.clone(), context.now_ms);
        let token = encode_token(context.slot, self.generation, Side::Host);
        let (mut retry_ms, mut was_tried, mut searches) = (u64::MAX, false, 0);
        for options in sources(source, self.client_address.socket_address(), to) {
            let from = options.source;
            self.excuse.own_address = from.is_some_and(|it| it.is_transparent);
            if searches == MOST_SEARCHES {
                retry_ms = retry_ms.min(now_ms + TICK_MS);
                break;
            }
            if let Err(until_ms) = context.port_gates.may_try(from, to, now_ms) {
                retry_ms = retry_ms.min(until_ms);
                continue;
            }
            // Before connect(2): on loopback the host may accept and ask before it returns.
            // Test: a_host_may_ask_as_soon_as_it_has_accepted.
            let pending = context.client_table.map(ClientTable::begin_connect);
            match self
                .transport
                .connect(picked, options, context.registry, token)
            {
                Ok(()) => {
                    if let Some(pending) = pending
                        && let Some(local) = self.transport.local_address()
                    {
                        let entry = pending.insert(local, self.client_address.clone(), self.id);
                        self.client_entry = Some(entry);
                    }
                    context.port_gates.open(from, to);
                    return self.session.handle_picked(now_ms);
                }
                Err(ConnectError::Local(shortage)) if shortage.is_of_address() => {
                    log::debug!("session {:#x}: no connection to {to}: {shortage}", self.id);
                    context.stats.count_error(shortage.resource_error());
                    *context.shortage = Some((shortage, to.clone()));
                    retry_ms = retry_ms.min(context.port_gates.close(from, to, now_ms));
                    was_tried = true;
                    searches += usize::from(shortage == Shortage::Ports);
                }
                Err(error) => return self.connect_failed(error, context),
            }
        }
        self.give_back_host(was_tried, retry_ms, now_ms);
    }

    /// Gives a picked host without a port the one that the client asked for. Returns whether it has
    /// one now.
    fn choose_port(&mut self) -> bool {
        self.excuse = Excuse::default();
        let Some(picked) = self.picked.as_mut().filter(|it| it.address.lacks_port()) else {
            return true;
        };
        let asked = self.first_bytes.as_ref().and_then(|it| it.asked);
        let asked = asked.or_else(|| self.transport.asked_address());
        let port = asked.map_or(0, |asked| asked.port());
        let checked_at = self.group.check_address(&picked.address);
        picked.address = picked.address.with_port(port);
        self.excuse.unchecked_port = checked_at.as_ref() != Some(&picked.address);
        port != 0
    }

    /// Passes over the picked host: it has no port, and this client asked for none. It came to a Unix
    /// socket, or a header says that it asked for port 0.
    fn pass_over_host(&mut self, now_ms: u64) {
        if let Some(picked) = self.picked.take() {
            self.leave_host(picked.id, false, now_ms);
        }
    }

    /// Leaves a host to others, through no fault of its own, and goes on with another.
    pub(super) fn leave_host(&mut self, host: HostId, timed_out: bool, now_ms: u64) {
        let client = self.client_address.ip();
        self.group.pool().release(host, client, now_ms);
        self.log_emptied();
        self.session.handle_connect_failed(host, timed_out, now_ms);
    }

    /// Gives the picked host back to the pool: none of the sources can be used before `retry_ms`,
    /// which is no fault of the host.
    fn give_back_host(&mut self, was_tried: bool, retry_ms: u64, now_ms: u64) {
        let Some(picked) = self.picked.take() else {
            return;
        };
        let client = self.client_address.ip();
        let mut pool = self.group.pool();
        match was_tried {
            true => pool.release(picked.id, client, now_ms),
            false => pool.withdraw(&picked, client, now_ms),
        }
        drop(pool);
        self.session.handle_no_port(picked.id, retry_ms, now_ms);
        if was_tried {
            self.log_emptied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_that_refuses_a_clients_own_address_is_to_blame() {
        let from_client = Excuse {
            own_address: true,
            unchecked_port: false,
        };
        for failure in [
            Failure::TimedOut,
            Failure::Unreachable,
            Failure::Other(String::new()),
        ] {
            assert!(from_client.covers(&failure), "{failure:?}");
            assert!(!Excuse::default().covers(&failure), "{failure:?}");
        }
        assert!(!from_client.covers(&Failure::Refused));
    }

    #[test]
    fn a_port_at_which_a_host_is_not_checked_may_refuse() {
        let elsewhere = Excuse {
            own_address: false,
            unchecked_port: true,
        };
        assert!(elsewhere.covers(&Failure::Refused));
        assert!(!elsewhere.covers(&Failure::TimedOut));
    }
}
