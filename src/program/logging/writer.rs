//! The log's thread and its queue: takes entries, limits repetitions, and writes lines.
//!
//! Only this thread may wait for a disk. It counts lines that were lost, and logs the count.

use std::io;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use txlb::calendar::since_1970_ms;
use txlb::sync::lock;

use super::format::{Entry, EntryKind, Lines, WriteError};
use super::output::LogOutput;
use super::repeats::RepeatLimiter;

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
        self.lost += pending.lost;
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
        self.gathered.put(self.output.format, entry);
        if self.gathered.bytes() >= BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let had_lost = self.lost > 0;
        if had_lost {
            let text = format!("{} log lines were lost", self.lost);
            self.gathered
                .put(self.output.format, &own_entry(Level::Warn, text));
        }
        if self.gathered.is_empty() {
            return;
        }
        match self.output.writer.write(&self.gathered) {
            Ok(()) => (self.lost, self.failing) = (0, false),
            Err(WriteError { lines, error }) => {
                // One of the lines is the report itself.
                let lost = lines.saturating_sub(usize::from(had_lost));
                self.lost += u64::try_from(lost).unwrap_or(u64::MAX);
                self.report_failure(&error);
            }
        }
        self.gathered.clear();
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
