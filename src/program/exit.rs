//! Exit statuses, and output to standard output and standard error.

use std::io;
use std::io::{ErrorKind, Write};

use txlb::non_printing::escape_non_printing;

/// Why the program fails: an exit status and a message.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: u8,
    pub(crate) message: String,
}

impl Exit {
    /// Any failure without a status of its own.
    pub(crate) const OTHER: u8 = 1;
    /// The numbers of sysexits(3).
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const CONFIG: u8 = 65;
    pub(crate) const NO_FILE: u8 = 66;
    pub(crate) const CANNOT_BIND: u8 = 69;
    pub(crate) const NO_SOCKET: u8 = 69;
    pub(crate) const NO_DESCRIPTORS: u8 = 71;
    pub(crate) const CANNOT_CREATE: u8 = 73;
    pub(crate) const NO_ANSWER: u8 = 75;
    pub(crate) const NO_PERMISSION: u8 = 77;
    /// 128 + 15, as shells report a process that SIGTERM ended.
    pub(crate) const ENDED_EARLY: u8 = 143;

    pub(crate) fn new(status: u8, message: &(impl ToString + ?Sized)) -> Exit {
        Exit {
            status,
            message: message.to_string(),
        }
    }

    /// A system error without an exit status of its own.
    pub(crate) fn from_io(error: &io::Error) -> Exit {
        Exit::new(Exit::OTHER, &format!("txlb: {error}"))
    }
}

/// Prints to standard output.
///
/// # Errors
/// If it cannot be written to, for example on a full disk. A closed pipe is no error.
pub(crate) fn print(text: &str) -> Result<(), Exit> {
    let mut out = io::stdout();
    let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    check_written(result, "standard output")
}

/// Prints a line to standard error. Non-printing characters are spelled out, since names and
/// paths in it come from others.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_error(line: &str) -> Result<(), Exit> {
    let mut text = String::new();
    for line in line.split('\n') {
        text += &escape_non_printing(line);
        text.push('\n');
    }
    check_written(io::stderr().write_all(text.as_bytes()), "standard error")
}

fn check_written(result: io::Result<()>, stream: &str) -> Result<(), Exit> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let message = format!("txlb: cannot write to {stream}: {error}");
            Err(Exit::new(Exit::OTHER, &message))
        }
        _ => Ok(()),
    }
}
