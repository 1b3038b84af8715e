//! The log's thread and its queue: takes entries, limits repetitions, and writes lines.
//!
//! Only this thread may wait for a disk. It counts lines that were lost, and logs the count.

use std::collections::VecDeque;
use std::io;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use txlb::calendar::since_1970_ms;
use txlb::log_targets::LOST_LINES;
use txlb::sync::lock;

use super::format::{Entry, EntryKind, Layout, Lines, WriteError};
use super::output::LogOutput;

/// Bytes that are gathered before a write; a line is never split for it.
const BUFFER: usize = 16 * 1024;

/// Pause before a failed output is tried again if no line comes.
const RETRY: Duration = Duration::from_secs(1);

/// Writes entries, for ever.
pub(super) fn run(queue: &Queue, output: LogOutput) {
    let (start, mut writer) = (Instant::now(), Writer::new(output));
    loop {
        let now_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pending = queue.take();
        writer.layout = queue.lock().layout;
        if pending.is_empty() {
            writer.write_due_summaries(now_ms);
            writer.flush();
            queue.wait(writer.next_ms(now_ms).map(Duration::from_millis));
        } else {
            writer.serve(pending, now_ms);
        }
    }
}

/// The output, and lines that are gathered for it.
struct Writer {
    output: LogOutput,
    layout: Layout,
    gathered: Lines,
    repeats: RepeatLimiter,
    /// Lines that were lost since the last report.
    lost: u64,
    /// The failure was reported on standard error.
    failing: bool,
}

impl Writer {
    fn new(output: LogOutput) -> Writer {
        Writer {
            output,
            layout: Layout::default(),
            gathered: Lines::default(),
            repeats: RepeatLimiter::default(),
            lost: 0,
            failing: false,
        }
    }

    fn serve(&mut self, pending: Pending, now_ms: u64) {
        let mut entries = pending.entries.into_iter();
        if let Some((before, output)) = pending.output {
            let old = entries.by_ref().take(before);
            old.for_each(|entry| self.write_entry(&entry, now_ms));
            self.switch(output);
        }
        entries.for_each(|entry| self.write_entry(&entry, now_ms));
        self.lose(pending.lost);
        while pending.finish
            && let Some((level, text)) = self.repeats.take_summary()
        {
            self.put(&own_entry(level, text));
        }
    }

    /// Milliseconds until there is something to do without a new entry.
    fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let due = self.repeats.due_ms().map(|due| due.saturating_sub(now_ms));
        let retry = (self.lost > 0).then_some(RETRY.as_millis());
        let retry = retry.and_then(|retry| u64::try_from(retry).ok());
        due.into_iter().chain(retry).min()
    }

    fn write_entry(&mut self, entry: &Entry, now_ms: u64) {
        self.write_due_summaries(now_ms);
        let again = entry.kind == EntryKind::Repeatable
            && !self.repeats.admit(entry.level, &entry.text, now_ms);
        if !again {
            self.put(entry);
        }
    }

    fn write_due_summaries(&mut self, now_ms: u64) {
        while let Some((level, text)) = self.repeats.due_summary(now_ms) {
            self.put(&own_entry(level, text));
        }
    }

    fn put(&mut self, entry: &Entry) {
        self.gathered.put(self.output.format, self.layout, entry);
        if self.gathered.bytes() >= BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let had_lost = self.lost > 0;
        if had_lost {
            let text = format!("{} log lines were lost", self.lost);
            let entry = own_entry(Level::Warn, text);
            self.gathered.put(self.output.format, self.layout, &entry);
        }
        if self.gathered.is_empty() {
            return;
        }
        match self.output.writer.write(&self.gathered) {
            Ok(()) => (self.lost, self.failing) = (0, false),
            Err(WriteError { lines, error }) => {
                // One of the lines is the report itself.
                let lost = lines.saturating_sub(usize::from(had_lost));
                self.lose(u64::try_from(lost).unwrap_or(u64::MAX));
                self.report_failure(&error);
            }
        }
        self.gathered.clear();
    }

    fn lose(&mut self, lines: u64) {
        self.lost = self.lost.saturating_add(lines);
        LOST_LINES.fetch_add(lines, Ordering::Relaxed);
    }

    fn switch(&mut self, output: LogOutput) {
        self.flush();
        self.output = output;
        self.failing = false;
    }

    /// Reports a failing output on standard error, once until it works again.
    fn report_failure(&mut self, error: &io::Error) {
        if !self.failing && has_room(&io::stderr()) {
            let _ = writeln!(io::stderr(), "txlb: cannot write to the log: {error}");
        }
        self.failing = true;
    }
}

/// Whether a short line can be written without waiting.
fn has_room(to: &io::Stderr) -> bool {
    let mut asked = [PollFd::new(to, PollFlags::OUT)];
    let at_once = Timespec::default();
    let answered = poll(&mut asked, Some(&at_once));
    answered.is_ok() && asked[0].revents().contains(PollFlags::OUT)
}

/// An entry of the log itself, with the current time.
fn own_entry(level: Level, text: String) -> Entry {
    Entry::own(level, text, since_1970_ms(SystemTime::now()))
}

/// Milliseconds for which repetitions are counted: spares a disk, and still shows that they go
/// on.
const WINDOW_MS: u64 = 10_000;

/// Lines that are remembered. One more pushes the oldest out.
const MAX_LINES: usize = 64;

/// Rate limit for repeated warnings and errors: the first is logged, the others are counted.
///
/// Every 10 s the count is logged. Lines are equal if level and text are: another host, port or
/// line number makes another line. Time is an argument.
#[derive(Debug, Default)]
struct RepeatLimiter {
    /// In the order in which their windows end.
    recent: VecDeque<RecentLine>,
}

#[derive(Debug)]
struct RecentLine {
    level: Level,
    text: String,
    until_ms: u64,
    /// Repetitions that are not yet logged.
    more: u64,
}

impl RepeatLimiter {
    /// Whether to log the line now; if not, it is counted. Take all summaries that are due first.
    fn admit(&mut self, level: Level, text: &str, now_ms: u64) -> bool {
        let mut lately = self.recent.iter_mut();
        if let Some(recent) = lately.find(|recent| recent.level == level && recent.text == text) {
            recent.more += 1;
            return false;
        }
        self.recent.push_back(RecentLine {
            level,
            text: text.to_owned(),
            until_ms: now_ms + WINDOW_MS,
            more: 0,
        });
        true
    }

    /// The next summary that is due. Counting begins again.
    fn due_summary(&mut self, now_ms: u64) -> Option<(Level, String)> {
        loop {
            let is_full = self.recent.len() > MAX_LINES;
            let oldest = self.recent.front()?;
            if oldest.until_ms > now_ms && !is_full {
                return None;
            }
            let mut recent = self.recent.pop_front()?;
            let summary = recent.summary();
            if summary.is_some() {
                if !is_full {
                    recent.until_ms = now_ms + WINDOW_MS;
                    recent.more = 0;
                    self.recent.push_back(recent);
                }
                return summary;
            }
        }
    }

    /// The next summary, due or not. Its line is forgotten.
    fn take_summary(&mut self) -> Option<(Level, String)> {
        std::iter::from_fn(|| self.recent.pop_front()).find_map(|recent| recent.summary())
    }

    /// When the next summary is due, in milliseconds.
    fn due_ms(&self) -> Option<u64> {
        let counted = self.recent.iter().find(|recent| recent.more > 0);
        counted.map(|recent| recent.until_ms)
    }
}

impl RecentLine {
    fn summary(&self) -> Option<(Level, String)> {
        let RecentLine { level, text, .. } = self;
        match self.more {
            0 => None,
            1 => Some((*level, format!("said once more: {text}"))),
            more => Some((*level, format!("said {more} more times: {text}"))),
        }
    }
}

/// Maximum entries in the queue. The thread may hold as many again.
pub(super) const MAX_QUEUED: usize = 8192;

/// Maximum bytes of these entries; the last one may exceed them.
pub(super) const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pending: Pending,
    /// Of all lines that are not written yet.
    layout: Layout,
    /// Everything is written, and the thread waits.
    idle: bool,
}

/// What the thread has to do.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) entries: Vec<Entry>,
    bytes: usize,
    /// The output to switch to after this many entries. A later switch replaces it.
    pub(super) output: Option<(usize, LogOutput)>,
    /// Entries that were dropped since the queue was full.
    pub(super) lost: u64,
    /// Write all counts of repeated lines now.
    pub(super) finish: bool,
}

impl Pending {
    /// `lost` needs no check: it is not 0 only if the queue is full.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.output.is_none() && !self.finish
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() >= MAX_QUEUED || self.bytes >= MAX_QUEUED_BYTES {
            self.lost += 1;
            return;
        }
        self.bytes += entry.text.len();
        self.entries.push(entry);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Sets how lines are written, also those that wait.
    pub(super) fn set_layout(&self, layout: Layout) {
        self.lock().layout = layout;
    }

    fn add(&self, what: impl FnOnce(&mut Pending)) {
        let mut state = self.lock();
        what(&mut state.pending);
        let was_idle = std::mem::take(&mut state.idle);
        drop(state);
        // A system call, so only if a thread waits.
        if was_idle {
            self.changed.notify_all();
        }
    }

    pub(super) fn push(&self, entry: Entry) {
        self.add(|pending| pending.push(entry));
    }

    pub(super) fn switch(&self, output: LogOutput) {
        self.add(|pending| pending.output = Some((pending.entries.len(), output)));
    }

    pub(super) fn switch_all(&self, output: LogOutput) {
        self.add(|pending| pending.output = Some((0, output)));
    }

    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut self.lock().pending)
    }

    /// Waits for something to do, for `most` at most.
    pub(super) fn wait(&self, most: Option<Duration>) {
        let mut state = self.lock();
        if !state.pending.is_empty() {
            return;
        }
        state.idle = true;
        self.changed.notify_all();
        let is_idle = |state: &mut State| state.idle;
        let Some(most) = most else {
            drop(self.changed.wait_while(state, is_idle));
            return;
        };
        let waited = self.changed.wait_timeout_while(state, most, is_idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.idle = false;
    }

    /// Writes all counts, and waits until everything is written. Returns whether that came within
    /// `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        self.add(|pending| pending.finish = true);
        self.wait_idle(timeout)
    }

    /// Waits until everything is written. Returns whether that came within `timeout`.
    pub(super) fn wait_idle(&self, timeout: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !state.idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is logged of these lines, and in which second.
    fn written(complaints: impl IntoIterator<Item = (u64, &'static str)>) -> Vec<(u64, String)> {
        let (mut repeats, mut written) = (RepeatLimiter::default(), Vec::new());
        let mut complaints = complaints.into_iter().peekable();
        for second in 0..=100 {
            let now_ms = second * 1000;
            while let Some((_, text)) = repeats.due_summary(now_ms) {
                written.push((second, text));
            }
            while let Some((_, text)) = complaints.next_if(|(at, _)| *at == second) {
                if repeats.admit(Level::Error, text, now_ms) {
                    written.push((second, text.to_owned()));
                }
            }
        }
        assert!(repeats.recent.is_empty() && complaints.next().is_none());
        written
    }

    fn lines(written: &[(u64, String)]) -> Vec<(u64, &str)> {
        written
            .iter()
            .map(|(at, text)| (*at, text.as_str()))
            .collect()
    }

    #[test]
    fn repetitions_are_logged_once_and_counted() {
        let complaints = (0..25).chain([60]).map(|second| (second, "no room"));
        assert_eq!(
            lines(&written(complaints)),
            [
                (0, "no room"),
                (10, "said 9 more times: no room"),
                (20, "said 10 more times: no room"),
                (30, "said 5 more times: no room"),
                (60, "no room"),
            ]
        );
    }

    #[test]
    fn a_new_line_is_logged_at_once_between_repetitions() {
        let complaints = [
            (1, "no room"),
            (1, "no room"),
            (2, "no port 80"),
            (2, "no port 81"),
            (3, "no room"),
            (5, "no port 80"),
        ];
        assert_eq!(
            lines(&written(complaints)),
            [
                (1, "no room"),
                (2, "no port 80"),
                (2, "no port 81"),
                (11, "said 2 more times: no room"),
                (12, "said once more: no port 80"),
            ]
        );
    }

    #[test]
    fn a_line_that_comes_rarely_is_logged_each_time() {
        let seldom = [(0, "no room"), (10, "no room"), (25, "no room")];
        assert_eq!(lines(&written(seldom)), seldom);
    }

    #[test]
    fn another_level_is_another_complaint() {
        let mut repeats = RepeatLimiter::default();
        assert!(repeats.admit(Level::Error, "x", 0));
        assert!(repeats.admit(Level::Warn, "x", 0));
        assert!(!repeats.admit(Level::Warn, "x", 1));
        assert_eq!(repeats.due_ms(), Some(WINDOW_MS));
        assert_eq!(
            repeats.take_summary(),
            Some((Level::Warn, "said once more: x".to_owned()))
        );
        assert_eq!((repeats.take_summary(), repeats.due_ms()), (None, None));
    }

    #[test]
    fn a_summary_is_due_only_after_a_repetition() {
        let mut repeats = RepeatLimiter::default();
        assert!(repeats.admit(Level::Error, "x", 5));
        assert_eq!(repeats.due_ms(), None);
        assert!(!repeats.admit(Level::Error, "x", 7));
        assert_eq!(repeats.due_ms(), Some(5 + WINDOW_MS));
        assert_eq!(repeats.due_summary(4 + WINDOW_MS), None);
        assert!(repeats.due_summary(5 + WINDOW_MS).is_some());
        assert_eq!(repeats.due_ms(), None);
    }

    #[test]
    fn many_different_lines_are_all_logged_and_few_remembered() {
        let mut repeats = RepeatLimiter::default();
        assert!(repeats.admit(Level::Error, "first", 0));
        assert!(!repeats.admit(Level::Error, "first", 0));
        let mut summaries = Vec::new();
        for number in 0..1000 {
            assert!(repeats.admit(Level::Error, &number.to_string(), 1));
            summaries.extend(repeats.due_summary(1));
            assert!(repeats.recent.len() <= MAX_LINES);
        }
        // The line that was pushed out keeps its count.
        let first = (Level::Error, "said once more: first".to_owned());
        assert_eq!(summaries, [first]);
    }
}
