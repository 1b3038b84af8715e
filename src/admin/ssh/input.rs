//! Input queue of one SSH channel, with back-pressure.
//!
//! russh's loop reads, calls and writes in turn. If input waited for room while an answer waited
//! for the loop, neither would move. So input waits only while no answer is being sent.

use std::sync::Mutex;

use tokio::sync::Notify;

use crate::admin::console::Size;
use crate::sync::lock;

/// Input waits while more than this is queued, in bytes.
const HIGH_WATER: usize = 64 * 1024;

/// A client that sends more than this without taking the answers is disconnected.
/// Test: `input_waits_at_the_limit_unless_an_answer_is_being_sent`.
const MAX_QUEUED: usize = 1024 * 1024;

/// Most bytes taken at once, and never beyond the end of a line: the answers have to be held as
/// well.
const MAX_CHUNK: usize = 4096;

/// The queue of one channel.
#[derive(Default)]
pub(super) struct InputQueue {
    state: Mutex<State>,
    /// Input has arrived.
    arrived: Notify,
    /// There is room, or an answer is being sent.
    changed: Notify,
}

#[derive(Default)]
struct State {
    keys: Vec<u8>,
    size: Option<Size>,
    has_ended: bool,
    is_closing: bool,
    is_sending: bool,
    is_over: bool,
}

/// What the client did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Typed this.
    Keys(Vec<u8>),
    /// Changed the size of its terminal.
    Size(Size),
    /// Ended its input.
    End,
    /// Nothing: the server ends the connection, whatever was typed.
    Closing,
}

/// The client sends without end, and takes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuchInput;

impl InputQueue {
    /// Queues what was typed. Waits while too much is queued.
    ///
    /// # Errors
    /// More than [`MAX_QUEUED`] bytes are queued.
    pub(super) async fn push(&self, keys: &[u8]) -> Result<(), TooMuchInput> {
        self.change(|state| state.keys.extend_from_slice(keys));
        loop {
            let changed = self.changed.notified();
            {
                let state = lock(&self.state);
                if state.keys.len() > MAX_QUEUED {
                    return Err(TooMuchInput);
                }
                if state.keys.len() <= HIGH_WATER || state.is_sending || state.is_over {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// The terminal has another size.
    pub(super) fn resize(&self, size: Size) {
        self.change(|state| state.size = Some(size));
    }

    /// The input has ended.
    pub(super) fn end(&self) {
        self.change(|state| state.has_ended = true);
    }

    /// Ends the channel before the connection ends. Waits until nothing reads the queue any more.
    pub(super) async fn close_input(&self) {
        self.change(|state| state.is_closing = true);
        loop {
            let changed = self.changed.notified();
            if self.is_over() {
                return;
            }
            changed.await;
        }
    }

    /// Nothing reads the queue any more; further input is dropped.
    pub(super) fn close(&self) {
        lock(&self.state).is_over = true;
        self.changed.notify_waiters();
    }

    /// Whether nothing reads the queue any more.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.state).is_over
    }

    /// Sets whether an answer is being sent.
    pub(super) fn set_sending(&self, is_sending: bool) {
        lock(&self.state).is_sending = is_sending;
        self.changed.notify_waiters();
    }

    /// Waits for the next event.
    pub(super) async fn next(&self) -> Event {
        loop {
            // `notify_one` is remembered, if it comes before the wait.
            let arrived = self.arrived.notified();
            if let Some(event) = self.take() {
                self.changed.notify_waiters();
                return event;
            }
            arrived.await;
        }
    }

    fn take(&self) -> Option<Event> {
        let mut state = lock(&self.state);
        if state.is_closing {
            return Some(Event::Closing);
        }
        if let Some(size) = state.size.take() {
            return Some(Event::Size(size));
        }
        if state.keys.is_empty() {
            return state.has_ended.then_some(Event::End);
        }
        let piece = state.keys.iter().take(MAX_CHUNK);
        let is_end = |key: &u8| matches!(key, b'\r' | b'\n');
        let length = piece.clone().position(is_end).map(|at| at + 1);
        let length = length.unwrap_or(piece.len());
        Some(Event::Keys(state.keys.drain(..length).collect()))
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        if !state.is_over {
            how(&mut state);
        }
        drop(state);
        self.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        { runtime }.build().unwrap().block_on(test);
    }

    #[test]
    fn keys_come_line_by_line_and_the_end_comes_last() {
        run(async {
            let input = InputQueue::default();
            input.end();
            input.push(b"one\rtwo\nthr").await.unwrap();
            let size = Size {
                columns: 80,
                rows: 24,
            };
            input.resize(size);
            assert_eq!(input.next().await, Event::Size(size));
            for keys in ["one\r", "two\n", "thr"] {
                assert_eq!(input.next().await, Event::Keys(keys.into()));
            }
            assert_eq!(input.next().await, Event::End);
            input.push(&[b'x'; MAX_CHUNK + 1]).await.unwrap();
            assert_eq!(input.next().await, Event::Keys(vec![b'x'; MAX_CHUNK]));
            assert_eq!(input.next().await, Event::Keys(vec![b'x']));
        });
    }

    #[test]
    fn input_waits_at_the_limit_unless_an_answer_is_being_sent() {
        run(async {
            let input = Arc::new(InputQueue::default());
            let theirs = Arc::clone(&input);
            let pushing = tokio::spawn(async move { theirs.push(&[0; HIGH_WATER + 1]).await });
            tokio::task::yield_now().await;
            assert!(!pushing.is_finished());
            input.next().await;
            assert_eq!(pushing.await.unwrap(), Ok(()));

            let theirs = Arc::clone(&input);
            let pushing = tokio::spawn(async move { theirs.push(&[0; HIGH_WATER]).await });
            tokio::task::yield_now().await;
            assert!(!pushing.is_finished());
            input.set_sending(true);
            assert_eq!(pushing.await.unwrap(), Ok(()));
            assert_eq!(input.push(&[0; MAX_QUEUED]).await, Err(TooMuchInput));

            input.close();
            assert!(input.is_over());
        });
    }

    #[test]
    fn input_does_not_wait_for_a_session_that_is_over() {
        run(async {
            let input = Arc::new(InputQueue::default());
            let theirs = Arc::clone(&input);
            let pushing = tokio::spawn(async move { theirs.push(&[0; HIGH_WATER + 1]).await });
            tokio::task::yield_now().await;
            input.close();
            assert_eq!(pushing.await.unwrap(), Ok(()));
        });
    }

    #[test]
    fn a_parting_comes_before_all_that_was_typed_and_waits_for_the_end() {
        run(async {
            let input = Arc::new(InputQueue::default());
            input.push(b"stop\r").await.unwrap();
            let theirs = Arc::clone(&input);
            let parting = tokio::spawn(async move { theirs.close_input().await });
            tokio::task::yield_now().await;
            assert_eq!(input.next().await, Event::Closing);
            assert!(!parting.is_finished());
            input.close();
            parting.await.unwrap();
        });
    }
}
