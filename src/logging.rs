//! What is logged, and that nobody waits for it: lines go through a bounded queue to
//! one thread that writes them.
//!
//! Who logs never waits, least of all a worker: when the disk is slower than
//! the lines come, lines are dropped, counted, and the number is logged. Nor
//! does the main thread: with a log that nobody reads, signals are still obeyed.
//! Where lines go is `target`'s business, how they look there `form`'s.

mod entry;
mod form;
mod queue;
mod repeats;
mod syslog;
mod target;
mod writer;

use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use env_logger::Builder;
use log::{LevelFilter, Metadata, Record};
use txlb::calendar::since_1970_ms;
use txlb::log_targets;

use entry::Entry;
use queue::Queue;

pub(crate) use target::{Place, Target, descriptor};

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
        let filter = Builder::new()
            .filter_level(level)
            // Whether sessions are logged is for the configuration to say, not for `-q`.
            .filter_module(log_targets::SESSIONS, LevelFilter::Info)
            // Whatever a client of the console does would be a line; the door has its own.
            .filter_module("russh", LevelFilter::Off)
            .build();
        let level = filter.filter();
        let logger = Logger {
            filter,
            queue: Arc::clone(&queue),
        };
        log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
        log::set_max_level(level);
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
                .spawn(move || writer::run(&work, Target::standard_error()))?;
        }
        Ok(())
    }

    /// Has panics told to the log too: standard error may be nobody's. Which thread it
    /// was, and where, is told; what comes of it is not for the log to say.
    pub(crate) fn tell_of_panics(&self) {
        let log = self.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("without a name").to_owned();
            log::error!("the thread {name} panicked: {}", words(info));
            log.flush();
            before(info);
        }));
    }

    /// Logs there from now on.
    pub(crate) fn switch(&self, target: Target) {
        self.queue.switch(target);
    }

    /// Logs there from now on, also what is yet to be written.
    pub(crate) fn switch_from_the_start(&self, target: Target) {
        self.queue.switch_from_the_start(target);
    }

    /// Waits until everything that was logged is written, but not for longer
    /// than a second. To be called in the end: what was held back as a repetition
    /// is said as well.
    pub(crate) fn flush(&self) {
        // The end may come before the beginning.
        if self.begin().is_ok() {
            self.queue.finish(PATIENCE);
        }
    }
}

/// Where it was and why, on one line.
fn words(info: &PanicHookInfo<'_>) -> String {
    let place = info
        .location()
        .map_or_else(String::new, |it| format!(" ({it})"));
    let payload = info.payload();
    let why = payload.downcast_ref::<&str>().copied();
    let why = why.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let why = why.unwrap_or("for a reason unknown");
    format!("{why}{place}")
}

/// What the macros of the crate `log` speak to.
struct Logger {
    /// Knows what is wanted. It writes nothing: that is for the queue's thread to do.
    filter: env_logger::Logger,
    queue: Arc<Queue>,
}

impl log::Log for Logger {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        self.filter.enabled(about)
    }

    fn log(&self, record: &Record<'_>) {
        if self.filter.matches(record) {
            let wall_ms = since_1970_ms(SystemTime::now());
            self.queue.say(Entry::of(record, wall_ms));
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests;
