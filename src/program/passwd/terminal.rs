//! Asks for a password at the terminal, which does not show what is typed.
//!
//! That the terminal is left as it was is `crate::terminal`'s business.

use std::io::{self, Write};

use rustix::termios::{InputModes, LocalModes, OptionalActions};
use txlb::admin::MAX_PASSWORD;

use super::{trouble, without_end};
use crate::exit::Exit;
use crate::terminal::{Terminal, Woken};

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
struct Silent(Terminal);

impl Silent {
    fn new() -> io::Result<Silent> {
        let terminal = Terminal::with_modes(OptionalActions::Flush, |modes| {
            modes.input_modes |= InputModes::ICRNL;
            modes.local_modes |= LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL;
            modes.local_modes -= LocalModes::ECHO;
        })?;
        Ok(Silent(terminal))
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
        while self.0.wait(None, None)? == Woken::Ready {
            let length = self.0.read(&mut piece)?;
            line.extend_from_slice(&piece[..length]);
            if length == 0 || line.ends_with(b"\n") || line.len() >= piece.len() {
                without_end(&mut line);
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}
