//! Undoes what exec(2) passes on from the parent process: blocked signals, ignored ones,
//! and a umask that would shut txlb out of its own files.
//!
//! Closed standard descriptors are opened by Rust's runtime, which also ignores SIGPIPE.
//! Limits stay as they are, but for that of descriptors, which is raised later.

use std::io;
use std::sync::Arc;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::process::umask;
use signal_hook::consts::{SIGCHLD, SIGXFSZ};

/// Starts the process afresh. To be called while there is one thread: others have the
/// signal mask of the one that made them.
///
/// # Errors
/// The system's.
pub(crate) fn start_afresh() -> io::Result<()> {
    // What was blocked comes now, and does what it would have done.
    SigSet::empty().thread_set_mask()?;
    // A handler that does nothing, since to set the default is unsafe code. An ignored
    // SIGCHLD leaves no exit status to wait for (`-D`). SIGXFSZ ends a process that writes
    // past the limit of a file's size: with a handler, write(2) fails as on a full disk.
    for signal in [SIGCHLD, SIGXFSZ] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    let before = umask(Mode::RWXG | Mode::RWXO);
    umask(usable(before));
    Ok(())
}

/// The owner may use what is made, and not everybody may write to it.
fn usable(mask: Mode) -> Mode {
    (mask - Mode::RWXU) | Mode::WOTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;

    #[test]
    fn no_signal_stays_blocked() {
        SigSet::all().thread_block().unwrap();
        start_afresh().unwrap();
        let blocked = SigSet::thread_get_mask().unwrap();
        assert_eq!(blocked.iter().collect::<Vec<Signal>>(), []);
    }

    #[test]
    fn the_umask_is_kept_where_it_does_no_harm() {
        let mask = |bits| usable(Mode::from_raw_mode(bits)).as_raw_mode();
        assert_eq!([0o027, 0o022, 0o077].map(mask), [0o027, 0o022, 0o077]);
        assert_eq!([0o777, 0o700, 0].map(mask), [0o077, 0o002, 0o002]);
    }
}
