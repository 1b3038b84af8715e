//! Asks for a password at the terminal, which does not show what is typed.
//!
//! Also when it is interrupted, the terminal is left as it was. What cannot be caught
//! and ^Z leave that to the shell.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;
use txlb::admin::MAX_PASSWORD;

use super::{trouble, without_end};
use crate::exit::Exit;

/// Asks for it until it has been typed twice.
pub(super) fn ask_twice() -> Result<Vec<u8>, Exit> {
    let terminal = Silent::new().map_err(|error| {
        let message = format!("cannot keep the terminal from showing the password: {error}");
        trouble(&message)
    })?;
    let first = terminal.ask("Password: ")?;
    // An empty one will not do, so there is no need to ask for it again.
    if !first.is_empty() && terminal.ask("Again: ")? != first {
        return Err(trouble("the passwords are not the same: no hash is made"));
    }
    Ok(first)
}

/// The terminal at standard input, which shows nothing until this is dropped.
struct Silent {
    before: Termios,
    /// Something to be read is a signal.
    signals: UnixStream,
}

impl Silent {
    fn new() -> io::Result<Silent> {
        let (signals, caught) = UnixStream::pair()?;
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            pipe::register(signal, caught.try_clone()?)?;
        }
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.input_modes |= InputModes::ICRNL;
        modes.local_modes |= LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL;
        modes.local_modes -= LocalModes::ECHO;
        // Dropping it from here on is right even if only a part of it was done.
        let silent = Silent { before, signals };
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(silent)
    }

    fn ask(&self, prompt: &str) -> Result<Vec<u8>, Exit> {
        // Where the prompt cannot be shown, a password can still be typed.
        let _ = io::stderr().write_all(prompt.as_bytes());
        match self.line() {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                let _ = io::stderr().write_all(b"\n");
                Err(trouble("interrupted: no hash is made"))
            }
            Err(error) => Err(trouble(&format!("cannot read the password: {error}"))),
        }
    }

    /// What is typed, without its end; `None` if a signal comes first.
    fn line(&self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut piece = [0; MAX_PASSWORD + 2];
        while self.is_typed()? {
            // Not through std's buffer, which poll(2) knows nothing of.
            let length = rustix::io::read(io::stdin(), &mut piece)?;
            line.extend_from_slice(&piece[..length]);
            if length == 0 || line.ends_with(b"\n") || line.len() >= piece.len() {
                without_end(&mut line);
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// Waits for something to read; whether that comes before a signal.
    fn is_typed(&self) -> io::Result<bool> {
        let stdin = io::stdin();
        loop {
            let mut waits = [
                PollFd::new(&stdin, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            match poll(&mut waits, None) {
                Ok(_) => return Ok(waits[1].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // There is nothing else to try.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
