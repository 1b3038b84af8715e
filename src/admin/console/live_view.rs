//! Something that is shown again and again, on a screen of its own.
//!
//! When it is time is known by the numbers of whoever has a clock.

use super::backend::{Partner, Size, Told};
use crate::control::width::fitting;
use crate::non_printing::spelled_out;

/// What is watched.
#[derive(Debug)]
pub(super) struct Watch {
    question: &'static str,
    interval_ms: u64,
    /// When it is shown next; not known before the first look at a clock.
    due_ms: Option<u64>,
    /// It is to be shown as soon as may be.
    stale: bool,
}

/// Another screen, without a cursor.
const BEGIN: &[u8] = b"\x1b[?1049h\x1b[?25l";

/// Back from there.
pub(super) const END: &[u8] = b"\x1b[?25h\x1b[?1049l";

impl Watch {
    /// Goes to another screen.
    pub(super) fn begin(question: &'static str, interval_ms: u64, out: &mut Vec<u8>) -> Watch {
        out.extend_from_slice(BEGIN);
        Watch {
            question,
            interval_ms,
            due_ms: None,
            stale: false,
        }
    }

    /// What is shown is not right any more.
    pub(super) fn renew(&mut self) {
        self.stale = true;
    }

    /// Whether it is to be shown now; then it is not for another interval.
    pub(super) fn is_due(&mut self, now_ms: u64) -> bool {
        let is_due = self.stale || self.due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        let next_ms = now_ms.saturating_add(self.interval_ms);
        match self.due_ms {
            // A clock that was put back keeps nobody waiting.
            Some(due_ms) if !is_due && due_ms <= next_ms => {}
            _ => self.due_ms = Some(next_ms),
        }
        is_due
    }

    /// In how many milliseconds it is to be shown.
    pub(super) fn left_ms(&self, now_ms: u64) -> u64 {
        let due_ms = self.due_ms.unwrap_or(now_ms);
        due_ms.saturating_sub(now_ms)
    }

    /// Asks, and fills the screen with what is answered.
    pub(super) fn show(
        &mut self,
        size: Size,
        colours: bool,
        partner: &mut impl Partner,
        out: &mut Vec<u8>,
    ) {
        self.stale = false;
        // The last column stays empty: see `drawing`.
        let width = size.width() - 1;
        let columns = size.columns.saturating_sub(1);
        let told = partner.ask(self.question, columns).unwrap_or(Told {
            last: "error: nobody answers any more".to_owned(),
            ..Told::default()
        });
        let interval = std::time::Duration::from_millis(self.interval_ms).as_secs_f64();
        let head = format!("{} every {interval} s: any key goes back", self.question);
        let (strong, plain) = match colours {
            true => ("\x1b[7m", "\x1b[0m"),
            false => ("", ""),
        };
        let head = fitting(&head, width);
        let mut screen = format!("\x1b[H{strong}{head}{plain}\x1b[K");
        for line in fitted(&told, usize::from(size.rows) - 1) {
            let clean = spelled_out(&line);
            screen += &format!("\r\n{}\x1b[K", fitting(&clean, width));
        }
        screen += "\x1b[J";
        out.extend_from_slice(screen.as_bytes());
    }
}

/// As many lines as there is room for, the last of which says how many are not there.
fn fitted(told: &Told, rows: usize) -> Vec<String> {
    let mut lines = told.lines.clone();
    if !told.ok || lines.is_empty() {
        lines.push(told.last.clone());
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
