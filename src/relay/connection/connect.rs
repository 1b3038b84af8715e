//! Connects a session to the host that was picked, from one source address after the other.

use super::{Connection, Context};
use crate::balance::SourceTurn;
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
        let (to, now_ms) = (picked.address, context.now_ms);
        let token = encode_token(context.slot, self.generation, Side::Host);
        let (mut retry_ms, mut was_tried, mut searches) = (u64::MAX, false, 0);
        for options in sources(source, Some(self.client_address), to) {
            let from = options.source;
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
                        let entry = pending.insert(local, self.client_address, self.id);
                        self.client_entry = Some(entry);
                    }
                    context.port_gates.open(from, to);
                    return self.session.handle_picked(now_ms);
                }
                Err(ConnectError::Local(shortage)) if shortage.is_of_address() => {
                    log::debug!("session {:#x}: no connection to {to}: {shortage}", self.id);
                    context.stats.count_error(shortage.resource_error());
                    *context.shortage = Some((shortage, to));
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
        let Some(picked) = self.picked.as_mut().filter(|it| it.address.port() == 0) else {
            return true;
        };
        let asked = self.first_bytes.as_ref().and_then(|it| it.asked);
        let asked = asked.or_else(|| self.transport.asked_address());
        let port = asked.map_or(0, |asked| asked.port());
        picked.address.set_port(port);
        port != 0
    }

    /// Leaves the picked host to others, through no fault of its own: it has no port, and a header
    /// says that this client asked for port 0.
    fn pass_over_host(&mut self, now_ms: u64) {
        if let Some(picked) = self.picked.take() {
            let client = self.client_address.ip();
            self.group.pool().release(picked.id, client, now_ms);
            self.log_emptied();
            self.session.handle_connect_failed(picked.id, false, now_ms);
        }
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
