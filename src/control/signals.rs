//! What the signals mean, and a thread that passes them on.
//!
//! Nothing here is done in a signal handler: that only wakes the thread. What
//! follows from a signal is up to who asked for them.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// What an operator asks for by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// HUP: read the configuration again, and reopen the logs.
    Reload,
    /// USR1: reopen the logs.
    Reopen,
    /// TERM, INT: stop soon.
    Stop,
    /// QUIT: stop when the last session is over.
    Quit,
    /// USR2: kept for replacing the binary.
    Replace,
}

/// The signals, caught: they wait until they are passed on.
#[derive(Debug)]
pub struct CaughtSignals(Signals);

impl CaughtSignals {
    /// Catches them from now on, without a thread.
    ///
    /// For a program; a library leaves the signals of its host alone.
    ///
    /// # Errors
    /// The system's.
    pub fn catch() -> io::Result<CaughtSignals> {
        let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
        Ok(CaughtSignals(Signals::new(all)?))
    }

    /// Passes them to `on_signal` on a thread of its own: those that came before, then
    /// those that come.
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

/// Catches the signals from now on, and passes them to `on_signal` on a thread
/// of its own: both steps of [`CaughtSignals`].
///
/// # Errors
/// The system's.
pub fn forward_signals(on_signal: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    CaughtSignals::catch()?.forward(on_signal)
}
