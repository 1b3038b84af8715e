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

use super::entry::{Entry, Kind};
use super::format::{Lines, Unwritten};
use super::repeats::Repeats;
use super::target::Target;

/// Bytes that are gathered to be written at once; lines are not cut for it.
const BUFFER: usize = 16 * 1024;

/// How soon a log that took nothing is tried again if nobody has anything to say.
const RETRY: Duration = Duration::from_secs(1);

/// Writes what comes, for ever.
pub(super) fn run(queue: &Queue, target: Target) {
    let (start, mut writer) = (Instant::now(), Writer::new(target));
    loop {
        let now_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let work = queue.take();
        if work.is_empty() {
            writer.say_what_is_due(now_ms);
            writer.flush();
            queue.wait(writer.next_ms(now_ms).map(Duration::from_millis));
        } else {
            writer.serve(work, now_ms);
        }
    }
}

/// Where lines go. While there are more, they are gathered.
struct Writer {
    target: Target,
    gathered: Lines,
    repeats: Repeats,
    /// Lines that were not written, since that was last said.
    lost: u64,
    /// That it cannot be written to was said.
    failing: bool,
}

impl Writer {
    fn new(target: Target) -> Writer {
        Writer {
            target,
            gathered: Lines::default(),
            repeats: Repeats::default(),
            lost: 0,
            failing: false,
        }
    }

    fn serve(&mut self, work: Work, now_ms: u64) {
        let mut entries = work.entries.into_iter();
        if let Some((before, target)) = work.target {
            let old = entries.by_ref().take(before);
            old.for_each(|entry| self.say(&entry, now_ms));
            self.switch(target);
        }
        entries.for_each(|entry| self.say(&entry, now_ms));
        self.lost += work.lost;
        while work.finish
            && let Some((level, text)) = self.repeats.last()
        {
            self.put(&own(level, text));
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
        self.say_what_is_due(now_ms);
        let again =
            entry.kind == Kind::Complaint && !self.repeats.admit(entry.level, &entry.text, now_ms);
        if !again {
            self.put(entry);
        }
    }

    fn say_what_is_due(&mut self, now_ms: u64) {
        while let Some((level, text)) = self.repeats.summary(now_ms) {
            self.put(&own(level, text));
        }
    }

    fn put(&mut self, entry: &Entry) {
        self.gathered.put(self.target.form, entry);
        if self.gathered.bytes() >= BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let had_lost = self.lost > 0;
        if had_lost {
            let text = format!("{} log lines were lost", self.lost);
            self.gathered.put(self.target.form, &own(Level::Warn, text));
        }
        if self.gathered.is_empty() {
            return;
        }
        match self.target.outlet.write(&self.gathered) {
            Ok(()) => (self.lost, self.failing) = (0, false),
            Err(Unwritten { lines, error }) => {
                // The last one says how many were lost before.
                let lost = lines.saturating_sub(usize::from(had_lost));
                self.lost += u64::try_from(lost).unwrap_or(u64::MAX);
                self.complain(&error);
            }
        }
        self.gathered.clear();
    }

    fn switch(&mut self, target: Target) {
        self.flush();
        self.target = target;
        self.failing = false;
    }

    /// The last resort, once until it works again; where this fails too, nobody
    /// is listening.
    fn complain(&mut self, error: &io::Error) {
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
fn own(level: Level, text: String) -> Entry {
    Entry::own(level, text, since_1970_ms(SystemTime::now()))
}

/// Lines that may wait to be written; as many again may be in the thread's hand.
pub(super) const QUEUE: usize = 8192;

/// Bytes that these may have; one more line may go beyond them.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    work: Work,
    /// Everything is written, and the thread waits.
    idle: bool,
}

/// What there is to be done.
#[derive(Default)]
pub(super) struct Work {
    pub(super) entries: Vec<Entry>,
    bytes: usize,
    /// Where to write after so many of the entries; the last word counts.
    pub(super) target: Option<(usize, Target)>,
    /// How many more there was no room for.
    pub(super) lost: u64,
    /// Nothing is to be held back any more.
    pub(super) finish: bool,
}

impl Work {
    /// Lines are lost only where there are many.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.target.is_none() && !self.finish
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() >= QUEUE || self.bytes >= QUEUE_BYTES {
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

    fn add(&self, what: impl FnOnce(&mut Work)) {
        let mut state = self.lock();
        what(&mut state.work);
        let was_idle = std::mem::take(&mut state.idle);
        drop(state);
        // A call of the system: only where somebody waits.
        if was_idle {
            self.changed.notify_all();
        }
    }

    pub(super) fn say(&self, entry: Entry) {
        self.add(|work| work.push(entry));
    }

    pub(super) fn switch(&self, target: Target) {
        self.add(|work| work.target = Some((work.entries.len(), target)));
    }

    pub(super) fn switch_from_the_start(&self, target: Target) {
        self.add(|work| work.target = Some((0, target)));
    }

    pub(super) fn take(&self) -> Work {
        std::mem::take(&mut self.lock().work)
    }

    /// Waits until there is work, or for so long.
    pub(super) fn wait(&self, most: Option<Duration>) {
        let mut state = self.lock();
        if !state.work.is_empty() {
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
        self.add(|work| work.finish = true);
        self.settle(patience)
    }

    /// Waits until there is no work, for so long at most; says whether it came to that.
    pub(super) fn settle(&self, patience: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !state.idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.idle
    }
}
