//! `passwd`: reads a password without echo, and prints its hash for a `<user>` element.

#[cfg(feature = "logins")]
use std::io::{self, BufRead, IsTerminal, Write};

#[cfg(feature = "logins")]
use rustix::termios::{InputModes, LocalModes, OptionalActions};
#[cfg(feature = "logins")]
use txlb::admin::{MAX_PASSWORD, hash_password};

#[cfg(feature = "logins")]
use crate::exit;
use crate::exit::Exit;
#[cfg(feature = "logins")]
use crate::terminal::{Terminal, Woken};

/// Prints the hash of a password: typed twice at a terminal, else the first line of standard
/// input.
#[cfg(feature = "logins")]
pub(crate) fn run() -> Result<(), Exit> {
    let password = match io::stdin().is_terminal() {
        true => ask_twice()?,
        false => read_first_line(io::stdin().lock()).map_err(|error| failure(&error))?,
    };
    let password = String::from_utf8(password).map_err(|_| failure("the password is not UTF-8"))?;
    let hash = hash_password(&password).map_err(|error| failure(&error))?;
    exit::print(&format!("{hash}\n"))
}

#[cfg(not(feature = "logins"))]
pub(crate) fn run() -> Result<(), Exit> {
    let message = "txlb: this txlb was built without logins, and makes no hashes";
    Err(Exit::new(Exit::OTHER, message))
}

/// Reads one line. A line that is too long is cut one byte behind the maximum, so that the
/// length check sees it.
#[cfg(feature = "logins")]
fn read_first_line(input: impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let most = MAX_PASSWORD as u64 + 2;
    input.take(most).read_until(b'\n', &mut line)?;
    strip_newline(&mut line);
    Ok(line)
}

#[cfg(feature = "logins")]
fn strip_newline(line: &mut Vec<u8>) {
    line.pop_if(|last| *last == b'\n');
}

#[cfg(feature = "logins")]
fn failure(what: &(impl ToString + ?Sized)) -> Exit {
    Exit::new(Exit::OTHER, &format!("txlb: {}", what.to_string()))
}

/// Asks for the password twice.
#[cfg(feature = "logins")]
fn ask_twice() -> Result<Vec<u8>, Exit> {
    let terminal = SilentTerminal::new().map_err(|error| {
        let message = format!("cannot keep the terminal from showing the password: {error}");
        failure(&message)
    })?;
    let first = terminal.ask("Password: ")?;
    // An empty password is refused anyway.
    if !first.is_empty() && terminal.ask("Again: ")? != first {
        return Err(failure("the passwords are not the same: no hash is made"));
    }
    Ok(first)
}

/// The terminal at standard input without echo, until this is dropped.
#[cfg(feature = "logins")]
struct SilentTerminal(Terminal);

#[cfg(feature = "logins")]
impl SilentTerminal {
    fn new() -> io::Result<SilentTerminal> {
        let terminal = Terminal::with_modes(OptionalActions::Flush, |modes| {
            modes.input_modes |= InputModes::ICRNL;
            modes.local_modes |= LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL;
            modes.local_modes -= LocalModes::ECHO;
        })?;
        Ok(SilentTerminal(terminal))
    }

    fn ask(&self, prompt: &str) -> Result<Vec<u8>, Exit> {
        // The password can be typed even if the prompt cannot be shown.
        let _ = io::stderr().write_all(prompt.as_bytes());
        match self.line() {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                let _ = io::stderr().write_all(b"\n");
                Err(failure("interrupted: no hash is made"))
            }
            Err(error) => Err(failure(&format!("cannot read the password: {error}"))),
        }
    }

    /// Reads a line; `None` if a signal comes first.
    fn line(&self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut buffer = [0; MAX_PASSWORD + 2];
        while self.0.wait(None, None)? == Woken::Ready {
            let length = self.0.read(&mut buffer)?;
            line.extend_from_slice(&buffer[..length]);
            if length == 0 || line.ends_with(b"\n") || line.len() >= buffer.len() {
                strip_newline(&mut line);
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}
