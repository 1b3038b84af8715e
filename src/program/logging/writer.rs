//! What the log's thread does: it takes lines from the queue and writes them, the only
//! one that may have to wait.
//!
//! It counts what could not be written, and says so as soon as it can.

use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use txlb::calendar::since_1970_ms;

use super::entry::{Entry, Kind};
use super::queue::{Queue, Work};
use super::repeats::Repeats;
use super::target::{Lines, Target, Unwritten};

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
