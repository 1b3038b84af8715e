//! A talk without a terminal: lines come in and are answered as on the control socket.
//!
//! What a line means is `director`'s to know.

use crate::config::Access;
use crate::control::{Actor, Handle, LineProtocol};

/// As on the control socket: twenty large keys of a user fit in.
const MAX_LINE: usize = 64 * 1024;

/// The talk, and the line whose end is yet to come.
pub(super) struct Lines {
    conversation: LineProtocol,
    held: Vec<u8>,
    is_too_long: bool,
    has_failed: bool,
    has_ended: bool,
}

impl Lines {
    pub(super) fn new(access: Access) -> Lines {
        Lines {
            conversation: LineProtocol::new(access),
            held: Vec::new(),
            is_too_long: false,
            has_failed: false,
            has_ended: false,
        }
    }

    /// How the talk went, once it is over: 1 if there was an error.
    pub(super) fn status(&self) -> Option<u8> {
        self.has_ended.then_some(u8::from(self.has_failed))
    }

    /// Takes bytes that end with a line or within one; the answer, if there is one.
    pub(super) fn take(&mut self, bytes: &[u8], desk: &Handle, by: &Actor) -> String {
        let (bytes, is_whole) = match bytes {
            [line @ .., b'\n'] => (line, true),
            part => (part, false),
        };
        self.is_too_long |= self.held.len() + bytes.len() > MAX_LINE;
        match self.is_too_long {
            true => self.held.clear(),
            false => self.held.extend_from_slice(bytes),
        }
        if !is_whole {
            return String::new();
        }
        let line = String::from_utf8(std::mem::take(&mut self.held));
        match line {
            _ if std::mem::take(&mut self.is_too_long) => self.refuse(&format!(
                "the line is too long: {MAX_LINE} bytes are possible"
            )),
            Err(_) => self.refuse("the line is not UTF-8"),
            Ok(line) if matches!(line.trim(), "exit" | "quit") => self.end(),
            Ok(line) => {
                let answer = self.conversation.reply_text(&line, desk, by);
                self.has_failed |= answer.lines().any(|line| line.starts_with("error:"));
                answer
            }
        }
    }

    /// No more lines will come; what there is to say to that.
    pub(super) fn end(&mut self) -> String {
        self.has_ended = true;
        if !self.held.is_empty() || self.is_too_long {
            self.refuse("the last line has no end: it is ignored")
        } else if self.conversation.is_in_batch() {
            self.refuse("the batch was not committed: nothing of it is done")
        } else {
            String::new()
        }
    }

    fn refuse(&mut self, why: &str) -> String {
        self.conversation.reject_line(why);
        self.has_failed = true;
        format!("error: {why}\n")
    }
}
