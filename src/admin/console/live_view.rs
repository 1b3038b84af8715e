//! Live view: `watch` shows a reply again at an interval, on the terminal's alternate screen.
//!
//! Time is an argument, in milliseconds since any moment.

use super::backend::{Backend, Reply, Size};
use crate::control::text::fitting;
use crate::non_printing::escape_non_printing;

/// A verb that is shown again and again.
#[derive(Debug)]
pub(super) struct LiveView {
    verb: &'static str,
    interval_ms: u64,
    /// When it is shown next; `None` before the first tick.
    due_ms: Option<u64>,
    /// It is to be shown at the next tick.
    needs_refresh: bool,
}

/// Alternate screen, cursor hidden.
const BEGIN: &[u8] = b"\x1b[?1049h\x1b[?25l";

/// Normal screen, cursor visible.
pub(super) const END: &[u8] = b"\x1b[?25h\x1b[?1049l";

impl LiveView {
    /// Switches to the alternate screen.
    pub(super) fn begin(verb: &'static str, interval_ms: u64, out: &mut Vec<u8>) -> LiveView {
        out.extend_from_slice(BEGIN);
        LiveView {
            verb,
            interval_ms,
            due_ms: None,
            needs_refresh: false,
        }
    }

    /// Has the next tick show it again, such as after a change of size.
    pub(super) fn refresh(&mut self) {
        self.needs_refresh = true;
    }

    /// Whether it is to be shown now. If so, it is due again after the interval.
    pub(super) fn is_due(&mut self, now_ms: u64) -> bool {
        let is_due = self.needs_refresh || self.due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        let next_ms = now_ms.saturating_add(self.interval_ms);
        match self.due_ms {
            // If the clock was set back, the next time is computed anew.
            Some(due_ms) if !is_due && due_ms <= next_ms => {}
            _ => self.due_ms = Some(next_ms),
        }
        is_due
    }

    /// Milliseconds until it is due.
    pub(super) fn remaining_ms(&self, now_ms: u64) -> u64 {
        let due_ms = self.due_ms.unwrap_or(now_ms);
        due_ms.saturating_sub(now_ms)
    }

    /// Asks the backend, and fills the screen with its reply.
    pub(super) fn show(
        &mut self,
        size: Size,
        colours: bool,
        backend: &mut impl Backend,
        out: &mut Vec<u8>,
    ) {
        self.needs_refresh = false;
        // The last column stays empty: see `LineDrawing::draw`.
        let width = size.width() - 1;
        let columns = size.columns.saturating_sub(1);
        let reply = backend.ask(self.verb, columns).unwrap_or(Reply {
            last: "error: txlb does not answer any more".to_owned(),
            ..Reply::default()
        });
        let interval = std::time::Duration::from_millis(self.interval_ms).as_secs_f64();
        let head = format!("{} every {interval} s: any key goes back", self.verb);
        let (strong, plain) = match colours {
            true => ("\x1b[7m", "\x1b[0m"),
            false => ("", ""),
        };
        let head = fitting(&head, width);
        let mut screen = format!("\x1b[H{strong}{head}{plain}\x1b[K");
        for line in lines_that_fit(&reply, usize::from(size.rows) - 1) {
            let clean = escape_non_printing(&line);
            screen += &format!("\r\n{}\x1b[K", fitting(&clean, width));
        }
        screen += "\x1b[J";
        out.extend_from_slice(screen.as_bytes());
    }
}

/// As many lines as there are rows. If some are left out, the last one says how many.
fn lines_that_fit(reply: &Reply, rows: usize) -> Vec<String> {
    let mut lines = reply.lines.clone();
    if !reply.ok || lines.is_empty() {
        lines.push(reply.last.clone());
    }
    if lines.len() > rows {
        let most = rows.saturating_sub(1);
        let left = lines.len() - most;
        lines.truncate(most);
        lines.push(format!("({left} more lines)"));
        lines.truncate(rows);
    }
    lines
}
