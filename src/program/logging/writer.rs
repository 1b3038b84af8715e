//! What the log's thread does: it takes lines from the queue and writes them, the only
//! one that may have to wait.
//!
//! It counts what could not be written, and says so as soon as it can.

use std::io;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use txlb::calendar::since_1970_ms;

use super::entry::{Entry, EntryKind};
use super::format::{Lines, WriteError};
use super::output::LogOutput;
use super::repeats::RepeatLimiter;

/// Bytes that are gathered to be written at once; lines are not cut for it.
const BUFFER: usize = 16 * 1024;

/// How soon a log that took nothing is tried again if nobody has anything to say.
const RETRY: Duration = Duration::from_secs(1);

/// Writes what comes, for ever.
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

/// Where lines go. While there are more, they are gathered.
struct Writer {
    output: LogOutput,
    gathered: Lines,
    repeats: RepeatLimiter,
    /// Lines that were not written, since that was last said.
    lost: u64,
    /// That it cannot be written to was said.
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
            old.for_each(|entry| self.say(&entry, now_ms));
            self.switch(output);
        }
        entries.for_each(|entry| self.say(&entry, now_ms));
        self.lost += pending.lost;
        while pending.finish
            && let Some((level, text)) = self.repeats.last()
        {
            self.put(&own_entry(level, text));
        }
    }

    /// How soon there is something to be done without being asked.
    fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let due = self.repeats.due_ms().map(|due| due.saturating_sub(now_ms));
        let retry = (self.lost > 0).then_some(RETRY.as_millis());
        let retry = retry.and_then(|retry| u64::try_from(retry).ok());
        due.into_iter().chain(retry).min()
    }

    fn say(&mut self, entry: &Entry, now_ms: u64) {
        self.write_due_summaries(now_ms);
        let again = entry.kind == EntryKind::Repeatable
            && !self.repeats.admit(entry.level, &entry.text, now_ms);
        if !again {
            self.put(entry);
        }
    }

    fn write_due_summaries(&mut self, now_ms: u64) {
        while let Some((level, text)) = self.repeats.summary(now_ms) {
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
                // The last one says how many were lost before.
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

    /// The last resort, once until it works again; where this fails too, nobody
    /// is listening.
    fn report_failure(&mut self, error: &io::Error) {
        if !self.failing && has_room(&io::stderr()) {
            let _ = writeln!(io::stderr(), "txlb: cannot write to the log: {error}");
        }
        self.failing = true;
    }
}

/// Whether a short line can be written there without waiting.
fn has_room(to: &io::Stderr) -> bool {
    let mut asked = [PollFd::new(to, PollFlags::OUT)];
    let at_once = Timespec::default();
    let answered = poll(&mut asked, Some(&at_once));
    answered.is_ok() && asked[0].revents().contains(PollFlags::OUT)
}

/// What the log has to say itself.
fn own_entry(level: Level, text: String) -> Entry {
    Entry::own(level, text, since_1970_ms(SystemTime::now()))
}

/// Lines that may wait to be written; as many again may be in the thread's hand.
pub(super) const MAX_QUEUED: usize = 8192;

/// Bytes that these may have; one more line may go beyond them.
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

/// What there is to be done.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) entries: Vec<Entry>,
    bytes: usize,
    /// Where to write after so many of the entries; the last word counts.
    pub(super) output: Option<(usize, LogOutput)>,
    /// How many more there was no room for.
    pub(super) lost: u64,
    /// Nothing is to be held back any more.
    pub(super) finish: bool,
}

impl Pending {
    /// Lines are lost only where there are many.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, what: impl FnOnce(&mut Pending)) {
        let mut state = self.lock();
        what(&mut state.pending);
        let was_idle = std::mem::take(&mut state.idle);
        drop(state);
        // A call of the system: only where somebody waits.
        if was_idle {
            self.changed.notify_all();
        }
    }

    pub(super) fn say(&self, entry: Entry) {
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

    /// Waits until there is work, or for so long.
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

    /// Has everything said that is held back, and waits until it is written, for so
    /// long at most; says whether it came to that.
    pub(super) fn finish(&self, patience: Duration) -> bool {
        self.add(|pending| pending.finish = true);
        self.wait_idle(patience)
    }

    /// Waits until there is no work, for so long at most; says whether it came to that.
    pub(super) fn wait_idle(&self, patience: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !state.idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.idle
    }
}
