//! `passwd`: makes the hash of a password, for a `<user>` of the configuration.
//!
//! Changes no file, and neither shows nor keeps the password. What a hash is made of
//! is the library's business.

#[cfg(feature = "logins")]
mod terminal;

use crate::exit::Exit;

/// Prints the hash of a password that is typed at the terminal or, without one, is
/// the first line of standard input.
#[cfg(feature = "logins")]
pub(crate) fn run() -> Result<(), Exit> {
    use std::io::{self, IsTerminal};

    let password = match io::stdin().is_terminal() {
        true => terminal::ask_twice()?,
        false => first_line(io::stdin().lock()).map_err(|error| trouble(&error))?,
    };
    let password = String::from_utf8(password).map_err(|_| trouble("the password is not UTF-8"))?;
    let hash = txlb::admin::hash_password(&password).map_err(|error| trouble(&error))?;
    crate::output::print(&format!("{hash}\n"))
}

#[cfg(not(feature = "logins"))]
pub(crate) fn run() -> Result<(), Exit> {
    let message = "txlb: this txlb was built without logins, and makes no hashes";
    Err(Exit::new(Exit::OTHER, message))
}

/// A line without its end. Of one that is too long, enough to see that it is.
#[cfg(feature = "logins")]
fn first_line(input: impl std::io::BufRead) -> std::io::Result<Vec<u8>> {
    use std::io::BufRead;

    let mut line = Vec::new();
    let most = txlb::admin::MAX_PASSWORD as u64 + 2;
    input.take(most).read_until(b'\n', &mut line)?;
    without_end(&mut line);
    Ok(line)
}

#[cfg(feature = "logins")]
fn without_end(line: &mut Vec<u8>) {
    line.pop_if(|last| *last == b'\n');
}

#[cfg(feature = "logins")]
fn trouble(what: &(impl ToString + ?Sized)) -> Exit {
    Exit::new(Exit::OTHER, &format!("txlb: {}", what.to_string()))
}
