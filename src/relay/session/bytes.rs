//! What a session is told of its bytes: read, kept, in a pipe, gone out, ended.
//!
//! Each of these concerns one direction, and `flow` knows what follows for it;
//! here is what follows for the session.

use super::super::action::Direction;
use super::Session;

impl Session {
    /// Bytes were read; `all` says that the socket had no more.
    pub(crate) fn handle_read(&mut self, direction: Direction, all: bool, now_ms: u64) {
        self.active_ms = now_ms;
        self.heard = direction.source();
        let flow = self.flow_mut(direction);
        if all {
            flow.handle_short_read();
        } else {
            flow.handle_full_read();
        }
    }

    /// Bytes were read into a pipe: few of them, or `richly`.
    pub(crate) fn handle_filled(
        &mut self,
        direction: Direction,
        bytes: usize,
        richly: bool,
        now_ms: u64,
    ) {
        self.active_ms = now_ms;
        self.heard = direction.source();
        self.flow_mut(direction).handle_filled(bytes, richly);
    }

    /// There is no pipe to be had.
    pub(crate) fn handle_no_pipe(&mut self, direction: Direction) {
        self.flow_mut(direction).handle_no_pipe();
    }

    /// Bytes went out of the pipe; the sink would not take what is left in it.
    pub(crate) fn handle_piped_out(&mut self, direction: Direction, bytes: usize, now_ms: u64) {
        if bytes > 0 {
            self.active_ms = now_ms;
        }
        self.flow_mut(direction).handle_piped_out(bytes);
    }

    /// There was nothing to read.
    pub(crate) fn handle_drained(&mut self, direction: Direction) {
        self.flow_mut(direction).handle_drained();
    }

    /// The source has ended its half.
    pub(crate) fn handle_end(&mut self, direction: Direction) {
        self.flow_mut(direction).handle_end();
        self.settle_end();
    }

    /// Of what was just read, `sent` bytes went out; `rest` did not, and is kept.
    pub(crate) fn handle_sent(&mut self, direction: Direction, sent: usize, rest: &[u8]) {
        self.flow_mut(direction).handle_sent(sent, rest);
        self.settle_end();
    }

    /// As `handle_sent`, for what was kept.
    pub(crate) fn handle_sent_kept(&mut self, direction: Direction, sent: usize, now_ms: u64) {
        if sent > 0 {
            self.active_ms = now_ms;
        }
        self.flow_mut(direction).handle_sent_kept(sent);
        self.settle_end();
    }

    /// The sink's writing half has been ended.
    pub(crate) fn handle_shut(&mut self, direction: Direction) {
        self.flow_mut(direction).handle_shut();
    }
}
