//! The terminal at standard input, in other modes for a while.
//!
//! Also when the program is interrupted, it is left as it was. What cannot be caught,
//! and ^Z where that does something, leave that to the shell. What is shown is for
//! others to say.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

/// The terminal, which is as it was again once this is dropped.
pub(crate) struct Terminal {
    before: Termios,
    /// Something to be read is a signal that ends the program.
    end_signals: UnixStream,
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something to read.
    Ready,
    /// A signal came that is to end the program.
    Signalled,
    /// There is something to read where the caller looks as well.
    Other,
    /// Nothing came in time.
    TimedOut,
}

impl Terminal {
    /// Changes its modes, and does with what was typed before what `when` says.
    ///
    /// # Errors
    /// The system's; it is as it was then.
    pub(crate) fn with_modes(
        when: OptionalActions,
        change: impl FnOnce(&mut Termios),
    ) -> io::Result<Terminal> {
        let end_signals = catch_signals(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        change(&mut modes);
        // Dropping it from here on is right even if only a part of it was done.
        let terminal = Terminal {
            before,
            end_signals,
        };
        tcsetattr(io::stdin(), when, &modes)?;
        Ok(terminal)
    }

    /// Changes its modes as they were at first; what was typed stays.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn set_modes(&self, change: impl FnOnce(&mut Termios)) -> io::Result<()> {
        let mut modes = self.before.clone();
        change(&mut modes);
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
    }

    /// Waits until something is typed, or something else comes first.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn wait(
        &self,
        other: Option<&UnixStream>,
        most: Option<Duration>,
    ) -> io::Result<Woken> {
        self.wait_for(io::stdin(), other, most)
    }

    /// As [`Terminal::wait`], until there is something to read from `source`.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn wait_for(
        &self,
        source: impl AsFd,
        other: Option<&UnixStream>,
        most: Option<Duration>,
    ) -> io::Result<Woken> {
        let most = most.and_then(|most| Timespec::try_from(most).ok());
        let mut waits = vec![
            PollFd::new(&self.end_signals, PollFlags::IN),
            PollFd::new(&source, PollFlags::IN),
        ];
        waits.extend(other.map(|other| PollFd::new(other, PollFlags::IN)));
        loop {
            match poll(&mut waits, most.as_ref()) {
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

    /// What was typed; its length, 0 at the end. Not through std's buffer, which poll(2)
    /// knows nothing of.
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
        // There is nothing else to try.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Where these signals are read from now on, instead of what they do otherwise.
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
