//! What a client has typed and is yet to be looked at.
//!
//! A client that types faster than it is answered is made to wait, but never for itself:
//! while an answer is on its way to it, it is read on, or neither would get further.

use std::sync::Mutex;

use tokio::sync::Notify;

use crate::admin::console::Size;
use crate::admin::server::lock;

/// A client that has sent so much, in bytes, waits until less is left.
const ENOUGH: usize = 64 * 1024;

/// Who sends more than this without taking the answers is cut off.
const MOST: usize = 1024 * 1024;

/// What is looked at at once, in bytes, and never beyond the end of a line: what is
/// answered to it has to be held as well.
const PIECE: usize = 4096;

/// The queue of one channel.
#[derive(Default)]
pub(super) struct Intake {
    state: Mutex<State>,
    /// Something came.
    came: Notify,
    /// There is room, or an answer is on its way.
    moved: Notify,
}

#[derive(Default)]
struct State {
    keys: Vec<u8>,
    size: Option<Size>,
    has_ended: bool,
    is_parting: bool,
    is_telling: bool,
    is_over: bool,
}

/// What a client has done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Typed this.
    Keys(Vec<u8>),
    /// Made its terminal as large as this.
    Size(Size),
    /// Said that nothing more will come.
    End,
    /// Nothing: it is the door that ends the connection, whatever was typed.
    Parting,
}

/// A client sends and sends, and takes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl Intake {
    /// Takes what was typed; waits while there is enough already.
    ///
    /// # Errors
    /// There is far too much.
    pub(super) async fn push(&self, keys: &[u8]) -> Result<(), Flood> {
        self.change(|state| state.keys.extend_from_slice(keys));
        loop {
            let moved = self.moved.notified();
            {
                let state = lock(&self.state);
                if state.keys.len() > MOST {
                    return Err(Flood);
                }
                if state.keys.len() <= ENOUGH || state.is_telling || state.is_over {
                    return Ok(());
                }
            }
            moved.await;
        }
    }

    /// The terminal has another size now.
    pub(super) fn resize(&self, size: Size) {
        self.change(|state| state.size = Some(size));
    }

    /// Nothing more will be typed.
    pub(super) fn end(&self) {
        self.change(|state| state.has_ended = true);
    }

    /// The connection is about to end: waits until nobody looks any more.
    pub(super) async fn part(&self) {
        self.change(|state| state.is_parting = true);
        loop {
            let moved = self.moved.notified();
            if self.is_over() {
                return;
            }
            moved.await;
        }
    }

    /// Nobody looks any more; what still comes is dropped.
    pub(super) fn close(&self) {
        lock(&self.state).is_over = true;
        self.moved.notify_waiters();
    }

    /// Whether nobody looks any more.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.state).is_over
    }

    /// Whether something is on its way to the client.
    pub(super) fn tell(&self, is_telling: bool) {
        lock(&self.state).is_telling = is_telling;
        self.moved.notify_waiters();
    }

    /// The next event, which is waited for.
    pub(super) async fn next(&self) -> Event {
        loop {
            // Remembered, if it happens before it is waited for.
            let came = self.came.notified();
            if let Some(event) = self.take() {
                self.moved.notify_waiters();
                return event;
            }
            came.await;
        }
    }

    fn take(&self) -> Option<Event> {
        let mut state = lock(&self.state);
        if state.is_parting {
            return Some(Event::Parting);
        }
        if let Some(size) = state.size.take() {
            return Some(Event::Size(size));
        }
        if state.keys.is_empty() {
            return state.has_ended.then_some(Event::End);
        }
        let piece = state.keys.iter().take(PIECE);
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
        self.came.notify_one();
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
            let intake = Intake::default();
            intake.end();
            intake.push(b"one\rtwo\nthr").await.unwrap();
            let size = Size {
                columns: 80,
                rows: 24,
            };
            intake.resize(size);
            assert_eq!(intake.next().await, Event::Size(size));
            for keys in ["one\r", "two\n", "thr"] {
                assert_eq!(intake.next().await, Event::Keys(keys.into()));
            }
            assert_eq!(intake.next().await, Event::End);
            intake.push(&[b'x'; PIECE + 1]).await.unwrap();
            assert_eq!(intake.next().await, Event::Keys(vec![b'x'; PIECE]));
            assert_eq!(intake.next().await, Event::Keys(vec![b'x']));
        });
    }

    #[test]
    fn who_types_too_much_waits_unless_an_answer_is_on_its_way() {
        run(async {
            let intake = Arc::new(Intake::default());
            let theirs = Arc::clone(&intake);
            let pushing = tokio::spawn(async move { theirs.push(&[0; ENOUGH + 1]).await });
            tokio::task::yield_now().await;
            assert!(!pushing.is_finished());
            intake.next().await;
            assert_eq!(pushing.await.unwrap(), Ok(()));

            let theirs = Arc::clone(&intake);
            let pushing = tokio::spawn(async move { theirs.push(&[0; ENOUGH]).await });
            tokio::task::yield_now().await;
            assert!(!pushing.is_finished());
            intake.tell(true);
            assert_eq!(pushing.await.unwrap(), Ok(()));
            assert_eq!(intake.push(&[0; MOST]).await, Err(Flood));

            intake.close();
            assert!(intake.is_over());
        });
    }

    #[test]
    fn nobody_waits_for_a_talk_that_is_over() {
        run(async {
            let intake = Arc::new(Intake::default());
            let theirs = Arc::clone(&intake);
            let pushing = tokio::spawn(async move { theirs.push(&[0; ENOUGH + 1]).await });
            tokio::task::yield_now().await;
            intake.close();
            assert_eq!(pushing.await.unwrap(), Ok(()));
        });
    }

    #[test]
    fn a_parting_comes_before_all_that_was_typed_and_waits_for_the_end() {
        run(async {
            let intake = Arc::new(Intake::default());
            intake.push(b"stop\r").await.unwrap();
            let theirs = Arc::clone(&intake);
            let parting = tokio::spawn(async move { theirs.part().await });
            tokio::task::yield_now().await;
            assert_eq!(intake.next().await, Event::Parting);
            assert!(!parting.is_finished());
            intake.close();
            parting.await.unwrap();
        });
    }
}
