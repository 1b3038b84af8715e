//! Signals: catches them, passes them on from a thread, and holds those that the controller has not
//! handled yet. The signal handler itself only wakes the thread.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// HUP: reload the configuration, and reopen the logs.
    Reload,
    /// USR1: reopen the logs.
    Reopen,
    /// TERM, INT: stop after a grace.
    Stop,
    /// QUIT: stop after the last session.
    Quit,
    /// USR2: have the program at the same path take over.
    Replace,
}

/// Caught signals, which wait until they are forwarded.
#[derive(Debug)]
pub struct CaughtSignals(Signals);

impl CaughtSignals {
    /// Catches signals from now on, without a thread. For a program: a library leaves the signals
    /// of its process alone.
    ///
    /// # Errors
    /// The system's.
    pub fn catch() -> io::Result<CaughtSignals> {
        let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
        Ok(CaughtSignals(Signals::new(all)?))
    }

    /// Passes signals to `on_signal` on a new thread: those that wait, then those that come.
    ///
    /// # Errors
    /// The system's.
    pub fn forward(self, on_signal: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
        let CaughtSignals(mut signals) = self;
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for number in signals.forever() {
                    match number {
                        SIGHUP => on_signal(Signal::Reload),
                        SIGUSR1 => on_signal(Signal::Reopen),
                        SIGUSR2 => on_signal(Signal::Replace),
                        SIGQUIT => on_signal(Signal::Quit),
                        _ => on_signal(Signal::Stop),
                    }
                }
            })?;
        Ok(())
    }
}

/// Catches signals, and passes them to `on_signal` on a new thread.
///
/// # Errors
/// The system's.
pub fn forward_signals(on_signal: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    CaughtSignals::catch()?.forward(on_signal)
}

/// Signals that the controller has not handled yet. Each counts once, however often it came.
#[derive(Debug, Default)]
pub(super) struct PendingSignals {
    bits: AtomicU8,
    /// When the first signal to stop came.
    pub(super) stop: OnceLock<Instant>,
}

/// Bit of no signal: the controller is to end.
pub(super) const CLOSE: u8 = 1 << 7;

impl PendingSignals {
    pub(super) fn add(&self, bit: u8) {
        self.bits.fetch_or(bit, Ordering::AcqRel);
    }

    /// Whether a signal to stop waits.
    pub(super) fn has_stop(&self) -> bool {
        let stop = bit(Signal::Stop) | bit(Signal::Quit);
        self.bits.load(Ordering::Acquire) & stop != 0
    }

    pub(super) fn take(&self) -> u8 {
        self.bits.swap(0, Ordering::AcqRel)
    }
}

pub(super) fn bit(signal: Signal) -> u8 {
    1 << signal as u8
}
