//! What the program says on standard output and standard error, log aside.
//!
//! Nobody there to listen is no error: `txlb -T | head` ends as usual. Not being
//! able to say it is one, and a reason to end.

use std::io::{self, ErrorKind, Write};

use txlb::non_printing::escape_non_printing;

use crate::exit::Exit;

/// Writes to standard output.
///
/// # Errors
/// If it is not taken, a full disk say; a reader who has left is none.
pub(crate) fn print(text: &str) -> Result<(), Exit> {
    let mut out = io::stdout();
    let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said(result, "standard output")
}

/// Writes a line to standard error, with what cannot be seen in it spelled out: names and
/// paths are in it that others have chosen.
///
/// # Errors
/// As [`print`].
pub(crate) fn note(line: &str) -> Result<(), Exit> {
    let mut text = String::new();
    for line in line.split('\n') {
        text += &escape_non_printing(line);
        text.push('\n');
    }
    said(io::stderr().write_all(text.as_bytes()), "standard error")
}

fn said(result: io::Result<()>, place: &str) -> Result<(), Exit> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let message = format!("txlb: cannot write to {place}: {error}");
            Err(Exit::new(Exit::OTHER, &message))
        }
        _ => Ok(()),
    }
}
