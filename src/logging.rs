//! Where log lines go: through a bounded queue to one thread that writes them.
//!
//! Who logs never waits, least of all a worker: when the disk is slower than
//! the lines come, lines are dropped, counted, and the number is logged. Nor
//! does the main thread: with a log that nobody reads, signals are still obeyed.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target as LoggerTarget};
use log::{Level, LevelFilter, Record};
use rustix::fs::{OFlags, fcntl_setfl};
use txlb::calendar::{Moment, since_1970_ms};
use txlb::relay::SESSION_LOG;

/// Lines that may wait to be written; as many again may be in the writer's hand.
const QUEUE: usize = 8192;

/// Bytes that are gathered to be written at once; lines are not cut for it.
const BUFFER: usize = 16 * 1024;

/// How long the last lines are waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log, as the main thread holds it.
#[derive(Clone)]
pub(crate) struct Log {
    queue: Arc<Queue>,
    begun: Arc<AtomicBool>,
}

impl Log {
    /// Logs everything from `level` up to standard error; `switch` changes where. Lines
    /// wait until it has `begun`.
    ///
    /// # Errors
    /// If there is a logger already.
    pub(crate) fn start(level: LevelFilter) -> io::Result<Log> {
        let queue = Arc::new(Queue::default());
        let lines = Lines(Arc::clone(&queue));
        Builder::new()
            .filter_level(level)
            // Whether sessions are logged is for the configuration to say.
            .filter_module(SESSION_LOG, LevelFilter::Info)
            // Whatever a client of the console does would be a line; the door has its own.
            .filter_module("russh", LevelFilter::Off)
            .format(line)
            .target(LoggerTarget::Pipe(Box::new(lines)))
            .try_init()
            .map_err(io::Error::other)?;
        Ok(Log {
            queue,
            begun: Arc::default(),
        })
    }

    /// Starts the thread that writes, if there is none.
    ///
    /// # Errors
    /// The system's, if it has no thread for it.
    pub(crate) fn begin(&self) -> io::Result<()> {
        if !self.begun.swap(true, Ordering::AcqRel) {
            let work = Arc::clone(&self.queue);
            thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || write(&work, Target::standard_error()))?;
        }
        Ok(())
    }

    /// Logs there from now on.
    pub(crate) fn switch(&self, target: Target) {
        self.queue.switch(target);
    }

    /// Waits until everything that was logged is written, but not for longer
    /// than a second.
    pub(crate) fn flush(&self) {
        // The end may come before the beginning.
        if self.begin().is_ok() {
            self.queue.settle(PATIENCE);
        }
    }
}

/// Something to log to, open already.
pub(crate) struct Target(Box<dyn Write + Send>);

impl Target {
    pub(crate) fn standard_error() -> Target {
        Target(Box::new(io::stderr()))
    }

    /// Opens a file to add to; `None` is standard error.
    ///
    /// # Errors
    /// The system's. A named pipe without a reader is one: it is not waited for.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Target> {
        let Some(path) = path else {
            return Ok(Target::standard_error());
        };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)?;
        // The log thread may wait as long as it likes.
        fcntl_setfl(&file, OFlags::APPEND)?;
        Ok(Target(Box::new(file)))
    }
}

/// What the logger writes to: one line a call.
struct Lines(Arc<Queue>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let copy = line.to_vec();
        self.0.add(|work| match work.lines.len() {
            QUEUE.. => work.lost += 1,
            _ => work.lines.push(copy),
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line: when, how bad, what. What came from outside cannot break it.
fn line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let date = date();
    let mut message = record.args().to_string();
    if message.contains(char::is_control) {
        let escape = |character: char| match character.is_control() {
            true => character.escape_default().to_string(),
            false => character.to_string(),
        };
        message = message.chars().map(escape).collect();
    }
    match record.target() {
        SESSION_LOG => writeln!(out, "{date} {message}"),
        _ => writeln!(out, "{date} {:5} {message}", record.level()),
    }
}

/// The moment, as every line begins.
fn date() -> String {
    Moment::of(since_1970_ms(SystemTime::now())).iso()
}

/// What waits for the thread, and whether the thread waits for it.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    work: Work,
    /// Everything is written, and the thread waits.
    idle: bool,
}

#[derive(Default)]
struct Work {
    lines: Vec<Vec<u8>>,
    /// Where to write after so many of the lines; the last word counts.
    target: Option<(usize, Target)>,
    /// How many more there was no room for.
    lost: u64,
}

impl Work {
    /// Lines are lost only where there are many.
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.target.is_none()
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

    fn switch(&self, target: Target) {
        self.add(|work| work.target = Some((work.lines.len(), target)));
    }

    fn take(&self) -> Work {
        std::mem::take(&mut self.lock().work)
    }

    /// Waits until there is work.
    fn wait(&self) {
        let mut state = self.lock();
        if !state.work.is_empty() {
            return;
        }
        state.idle = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| state.idle));
    }

    /// Waits until there is none, for so long at most; says whether it came to that.
    fn settle(&self, patience: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !state.idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.idle
    }
}

/// What the thread does.
fn write(queue: &Queue, target: Target) {
    let mut sink = Sink {
        target,
        gathered: Vec::with_capacity(BUFFER),
        lines: 0,
        lost: 0,
        failing: false,
    };
    loop {
        let work = queue.take();
        if work.is_empty() {
            sink.flush();
            queue.wait();
        } else {
            sink.serve(work);
        }
    }
}

/// Where lines go. While there are more, they are gathered.
struct Sink {
    target: Target,
    gathered: Vec<u8>,
    /// How many lines that is.
    lines: u64,
    /// Lines that were not written, since that was last said.
    lost: u64,
    /// That it cannot be written to was said.
    failing: bool,
}

impl Sink {
    fn serve(&mut self, work: Work) {
        let mut lines = work.lines.into_iter();
        if let Some((before, target)) = work.target {
            lines
                .by_ref()
                .take(before)
                .for_each(|line| self.line(&line));
            self.switch(target);
        }
        lines.for_each(|line| self.line(&line));
        self.lost += work.lost;
    }

    fn line(&mut self, line: &[u8]) {
        self.gathered.extend_from_slice(line);
        self.lines += 1;
        if self.gathered.len() >= BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.lost > 0 {
            let (date, level, lost) = (date(), Level::Warn, self.lost);
            let line = format!("{date} {level:5} {lost} log lines were lost\n");
            self.gathered.extend_from_slice(line.as_bytes());
        }
        match self.target.0.write_all(&self.gathered) {
            Ok(()) => (self.lost, self.failing) = (0, false),
            Err(error) => {
                self.lost += self.lines;
                self.complain(&error);
            }
        }
        self.gathered.clear();
        self.lines = 0;
    }

    fn switch(&mut self, target: Target) {
        self.flush();
        self.target = target;
        self.failing = false;
    }

    /// The last resort, once until it works again; where this fails too, nobody
    /// is listening.
    fn complain(&mut self, error: &io::Error) {
        if !self.failing {
            self.failing = true;
            let _ = writeln!(io::stderr(), "txlb: cannot write to the log: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
