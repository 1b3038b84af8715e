//! A pseudo-terminal for a program under test.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Opens one: the test's end, which types and reads, and the program's end. Programs that other
/// tests start meanwhile inherit neither.
pub(crate) fn open() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let keyboard = openpt(flags).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let line = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    (File::from(keyboard), line)
}

/// Sets the size, at either end.
pub(crate) fn set_size(end: &impl AsFd, columns: u16, rows: u16) {
    let size = Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(end, size).unwrap();
}

/// Has a program read from its end, and print everything there.
pub(crate) fn attach(command: &mut Command, line: &OwnedFd) {
    command.stdin(line.try_clone().unwrap());
    command.stdout(line.try_clone().unwrap());
    command.stderr(line.try_clone().unwrap());
}

/// What is printed, in pieces, until the program's end is closed.
pub(crate) fn pieces(mut screen: File) -> Receiver<Vec<u8>> {
    let (sender, pieces) = channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = screen.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    pieces
}
