//! Keys and the status line of `--demo` at a terminal.
//!
//! The status line is the last row. The rows above scroll without it, so what txlb logs goes
//! there.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetpgrp, tcgetwinsize,
};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};

use super::folder::Folder;
use super::hosts::{Hosts, NAMES};
use super::traffic::Traffic;
use crate::exit;
use crate::terminal::{Terminal, Woken, is_interactive};

/// How often the status line is drawn.
const INTERVAL: Duration = Duration::from_millis(200);

/// Fewer rows than that have no status line.
const FEWEST_ROWS: u16 = 6;

/// The thread that reads keys. Dropping this ends it and restores the terminal.
pub(super) struct Keys {
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// What keys act on.
pub(super) struct Targets {
    pub(super) hosts: Hosts,
    pub(super) traffic: Traffic,
    /// What stays when txlb ends, if that is wanted.
    pub(super) folder: Arc<Folder>,
    /// Ends txlb.
    pub(super) stop: Box<dyn Fn() + Send>,
}

/// Whether keys can be read. In the background of a shell, the system would stop the process.
pub(super) fn are_possible() -> bool {
    let owner = tcgetpgrp(io::stdin());
    is_interactive() && owner.map_or(true, |owner| owner == getpgrp())
}

impl Keys {
    /// # Errors
    /// The system's; the terminal is as it was then.
    pub(super) fn start(targets: Targets) -> io::Result<Keys> {
        let (end, ended) = UnixStream::pair()?;
        // SIGHUP is no end: txlb reads its configuration then.
        let signals = [SIGINT, SIGQUIT, SIGTERM];
        let terminal = Terminal::until(&signals, OptionalActions::Now, set_modes)?;
        let thread = thread::Builder::new().name("demo-keys".to_owned());
        let thread = thread.spawn(move || targets.attend(&terminal, &ended))?;
        Ok(Keys {
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        drop(self.end.take());
        // If the thread panicked, that is reported already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Passes on keys one by one, without echo. Signals of the terminal stay, but for the one that
/// suspends: the status line would stay behind.
fn set_modes(modes: &mut Termios) {
    modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
}

impl Targets {
    /// Reads keys until one of them, a signal or `ended` ends it.
    fn attend(&self, terminal: &Terminal, ended: &UnixStream) {
        let mut line = StatusLine::default();
        loop {
            line.draw(&self.status());
            match terminal.wait(Some(ended), Some(INTERVAL)) {
                Ok(Woken::TimedOut) => {}
                Ok(Woken::Ready) => {
                    let mut keys = [0; 64];
                    // An error means that the terminal is gone.
                    let length = terminal.read(&mut keys).unwrap_or(0);
                    if length == 0 || keys[..length].iter().any(|key| self.is_last(*key)) {
                        break;
                    }
                }
                Ok(Woken::Signalled | Woken::Other) | Err(_) => break,
            }
        }
        line.remove();
    }

    /// Does what the key says; returns whether it is the one that ends txlb.
    fn is_last(&self, key: u8) -> bool {
        match key {
            b'1'..=b'3' => self.hosts.toggle(usize::from(key - b'1')),
            b'k' => self.folder.keep(),
            b'q' => (self.stop)(),
            _ => {}
        }
        key == b'q'
    }

    fn status(&self) -> String {
        let mut text = format!("{}", self.traffic);
        for (number, name) in NAMES.iter().enumerate() {
            let state = match self.hosts.is_up(number) {
                true => self.traffic.answered_by(number).to_string(),
                false => "stopped".to_owned(),
            };
            text += &format!("  {}:{name} {state}", number + 1);
        }
        let keep = match self.folder.is_kept() {
            true => "kept",
            false => "k:keep",
        };
        text + &format!("  {keep}  q:end")
    }
}

/// The last row, which does not scroll.
#[derive(Default)]
struct StatusLine {
    /// The rows of the terminal that the scrolling part was made for.
    rows: Option<u16>,
}

impl StatusLine {
    /// Draws the text, as much of it as there are columns.
    fn draw(&mut self, text: &str) {
        let Some(size) = tcgetwinsize(io::stdout()).ok() else {
            return;
        };
        let rows = Some(size.ws_row).filter(|rows| *rows >= FEWEST_ROWS);
        let mut out = match rows == self.rows {
            true => String::new(),
            false => self.removal() + &rows.map(scroll_above).unwrap_or_default(),
        };
        self.rows = rows;
        if let Some(rows) = rows {
            let text: String = text.chars().take(size.ws_col.into()).collect();
            out += &format!("\x1b7\x1b[{rows};1H{text}\x1b[K\x1b8");
        }
        show(&out);
    }

    /// Clears the row, and has all rows scroll again.
    fn remove(&mut self) {
        show(&self.removal());
        self.rows = None;
    }

    fn removal(&self) -> String {
        let clear = |rows: u16| format!("\x1b7\x1b[r\x1b[{rows};1H\x1b[K\x1b8");
        self.rows.map(clear).unwrap_or_default()
    }
}

/// Has the rows above the last one scroll. To set that moves the cursor, which is kept; the line
/// feed makes room if it is in the last row.
fn scroll_above(rows: u16) -> String {
    format!("\n\x1b7\x1b[1;{}r\x1b8\x1b[1A", rows - 1)
}

fn show(text: &str) {
    if !text.is_empty() {
        // The terminal may be gone. txlb goes on.
        let _ = exit::print(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_counts_and_names_keys() {
        let (hosts, _listeners) = Hosts::bind().unwrap();
        let (_, address) = hosts.addresses().next().unwrap();
        let (stop, stopped) = std::sync::mpsc::channel();
        let targets = Targets {
            hosts,
            traffic: Traffic::to(address),
            folder: Arc::new(Folder::make(None).unwrap()),
            stop: Box::new(move || stop.send(()).unwrap()),
        };
        assert!(!targets.is_last(b'2') && !targets.is_last(b'x'));
        let text = "0 requests, 0 failed  1:one 0  2:two stopped  3:three 0";
        assert_eq!(targets.status(), format!("{text}  k:keep  q:end"));
        assert!(!targets.is_last(b'k'));
        assert_eq!(targets.status(), format!("{text}  kept  q:end"));
        std::fs::remove_dir(targets.folder.file("")).unwrap();
        assert!(targets.is_last(b'q'));
        assert_eq!(stopped.try_iter().count(), 1);
    }
}
