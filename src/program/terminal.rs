//! Terminal modes of standard input, restored at the end and after signals.
//!
//! After SIGKILL, and after ^Z where it stops the process, the shell restores the modes.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

/// The terminal. Dropping this restores its modes.
pub(crate) struct Terminal {
    before: Termios,
    /// Readable when a signal came that ends the program.
    end_signals: UnixStream,
}

/// Why `wait` returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is input.
    Ready,
    /// A signal came that ends the program.
    Signalled,
    /// The caller's other stream is readable.
    Other,
    /// The timeout has passed.
    TimedOut,
}

impl Terminal {
    /// Changes the modes. `when` says what happens to input that is already there.
    ///
    /// # Errors
    /// The system's; the modes are unchanged then.
    pub(crate) fn with_modes(
        when: OptionalActions,
        change: impl FnOnce(&mut Termios),
    ) -> io::Result<Terminal> {
        Terminal::until(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM], when, change)
    }

    /// As [`Terminal::with_modes`], where only these signals end the program.
    ///
    /// # Errors
    /// The system's; the modes are unchanged then.
    pub(crate) fn until(
        signals: &[i32],
        when: OptionalActions,
        change: impl FnOnce(&mut Termios),
    ) -> io::Result<Terminal> {
        let end_signals = catch_signals(signals)?;
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        change(&mut modes);
        // From here on `Drop` restores the modes, also if tcsetattr(3) sets only some.
        let terminal = Terminal {
            before,
            end_signals,
        };
        tcsetattr(io::stdin(), when, &modes)?;
        Ok(terminal)
    }

    /// Changes the modes, beginning from the original ones; keeps pending input.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn set_modes(&self, change: impl FnOnce(&mut Termios)) -> io::Result<()> {
        let mut modes = self.before.clone();
        change(&mut modes);
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
    }

    /// Waits for input, a signal, `other` or the timeout.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn wait(
        &self,
        other: Option<&UnixStream>,
        timeout: Option<Duration>,
    ) -> io::Result<Woken> {
        self.wait_for(io::stdin(), other, timeout)
    }

    /// As [`Terminal::wait`], for input from `source`.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn wait_for(
        &self,
        source: impl AsFd,
        other: Option<&UnixStream>,
        timeout: Option<Duration>,
    ) -> io::Result<Woken> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut waits = vec![
            PollFd::new(&self.end_signals, PollFlags::IN),
            PollFd::new(&source, PollFlags::IN),
        ];
        waits.extend(other.map(|other| PollFd::new(other, PollFlags::IN)));
        loop {
            match poll(&mut waits, timeout.as_ref()) {
                Ok(0) => return Ok(Woken::TimedOut),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let came = |index: usize| waits.get(index).is_some_and(|it| !it.revents().is_empty());
        Ok(match (came(0), came(2)) {
            (true, _) => Woken::Signalled,
            (false, true) => Woken::Other,
            (false, false) => Woken::Ready,
        })
    }

    /// Reads input; returns its length in bytes, 0 at the end. It bypasses std's buffer, of which
    /// poll(2) does not know.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(io::stdin(), &mut *buffer) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nothing to do about an error here.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Whether standard input and output are a terminal that can move its cursor.
pub(crate) fn is_interactive() -> bool {
    let both = io::stdin().is_terminal() && io::stdout().is_terminal();
    let term = std::env::var_os("TERM").unwrap_or_default();
    both && !term.is_empty() && term != "dumb"
}

/// Catches these signals; each makes the returned stream readable.
///
/// # Errors
/// The system's.
pub(crate) fn catch_signals(which: &[i32]) -> io::Result<UnixStream> {
    let (signals, caught) = UnixStream::pair()?;
    for signal in which {
        pipe::register(*signal, caught.try_clone()?)?;
    }
    Ok(signals)
}
