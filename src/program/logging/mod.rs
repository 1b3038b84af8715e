//! What is logged, and that nobody waits for it: lines go through a bounded queue to
//! one thread that writes them.
//!
//! Who logs never waits, least of all a worker: when the disk is slower than
//! the lines come, lines are dropped, counted, and the number is logged. Nor
//! does the main thread: with a log that nobody reads, signals are still obeyed.
//! Where lines go is `target`'s business, how they look there `form`'s.

mod entry;
mod format;
mod output;
mod repeats;
mod syslog;
mod writer;

use std::io;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use env_logger::Builder;
use log::{LevelFilter, Metadata, Record};
use txlb::calendar::since_1970_ms;
use txlb::config::Config;
use txlb::control::{Commit, Reconfigure};
use txlb::log_targets;
use txlb::os::rights::{self, Need};

use entry::Entry;
use output::{LogOutput, named_descriptor};
use writer::Queue;

use crate::exit::Exit;
use crate::folders;
use crate::privileges::Identity;

pub(crate) use output::LogDestination;

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
                .spawn(move || writer::run(&work, LogOutput::standard_error()))?;
        }
        Ok(())
    }

    /// Has panics told to the log too: standard error may be nobody's. Which thread it
    /// was, and where, is told; what comes of it is not for the log to say.
    pub(crate) fn log_panics(&self) {
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
    pub(crate) fn switch(&self, output: LogOutput) {
        self.queue.switch(output);
    }

    /// Logs there from now on, also what is yet to be written.
    pub(crate) fn switch_all(&self, output: LogOutput) {
        self.queue.switch_all(output);
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

/// The log, as it follows the configuration.
pub(crate) struct ConfiguredLog {
    log: Log,
    /// What `-l` said: it beats the configuration.
    option: Option<PathBuf>,
    /// What is open already.
    opened_early: Option<LogOutput>,
    /// It is logged to where it is to be.
    begun: bool,
    /// In the background: standard output is not the user's.
    detached: bool,
}

/// The system's log, if `-l` said that: opened while there is still a way to it.
///
/// # Errors
/// There is none.
pub(crate) fn open_syslog_early(option: Option<&Path>) -> Result<Option<LogOutput>, Exit> {
    match LogDestination::named(option) {
        LogDestination::Syslog => open(LogDestination::Syslog)
            .map(Some)
            .map_err(|why| cannot_create(&why)),
        LogDestination::StandardError | LogDestination::File(_) => Ok(None),
    }
}

impl ConfiguredLog {
    /// The log of which `-l` said this, if anything, and what was opened because of it.
    pub(crate) fn new(
        log: &Log,
        option: Option<PathBuf>,
        opened_early: Option<LogOutput>,
        detached: bool,
    ) -> ConfiguredLog {
        ConfiguredLog {
            log: log.clone(),
            option,
            opened_early,
            begun: false,
            detached,
        }
    }

    /// Where `config` has it.
    pub(crate) fn place<'a>(&'a self, config: &'a Config) -> LogDestination<'a> {
        LogDestination::named(self.option.as_deref().or(config.logging.file.as_deref()))
    }

    /// Opens the log before `owner` takes over, if `-l` named it: root's own word. Without an
    /// owner nothing changes later, and it is opened whoever named it.
    pub(crate) fn begin_before(
        &mut self,
        config: &Config,
        owner: Option<&Identity>,
    ) -> Result<(), Exit> {
        let output = match (self.opened_early.take(), owner) {
            (Some(output), _) => Some(output),
            (None, None) => Some(
                self.open(self.place(config))
                    .map_err(|why| cannot_create(&why))?,
            ),
            (None, Some(owner)) => self.open_as_root(owner)?,
        };
        if let Some(output) = output {
            self.log.switch_all(output);
            self.begun = true;
        }
        Ok(())
    }

    /// Opens the file of `-l`, unless that is for `owner` to do.
    fn open_as_root(&self, owner: &Identity) -> Result<Option<LogOutput>, Exit> {
        let place = LogDestination::named(self.option.as_deref());
        let Some(file) = place.file() else {
            return Ok(None);
        };
        if named_descriptor(file).is_some() {
            let opened = self.open(place).map(Some);
            return opened.map_err(|why| cannot_create(&why));
        }
        let opened = folders::open_log(file, owner).map_err(|error| {
            cannot_create(&format!("cannot log to {}: {error}", file.display()))
        })?;
        Ok(opened.map(LogOutput::file))
    }

    /// Logs where `config` wants it, as whoever txlb is by now, unless it does already.
    pub(crate) fn begin(&mut self, config: &Config) -> Result<(), Exit> {
        if !self.begun {
            let output = self
                .open(self.place(config))
                .map_err(|why| cannot_create(&why))?;
            self.log.switch_all(output);
            self.begun = true;
        }
        Ok(())
    }

    fn open(&self, place: LogDestination<'_>) -> Result<LogOutput, String> {
        if self.detached && place.file().and_then(named_descriptor) == Some(1) {
            let why = "in the background there is no standard output: name a file, or /dev/stderr";
            return Err(format!("cannot log to {place}: {why}"));
        }
        open(place)
    }

    /// Opens the log that `config` wants. What is returned switches to it.
    fn prepared(&self, config: &Config) -> Result<Commit, String> {
        let output = self.open(self.place(config))?;
        let log = self.log.clone();
        Ok(Box::new(move || log.switch(output)))
    }
}

impl Reconfigure for ConfiguredLog {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        if self.option.is_some() || now.logging.file == next.logging.file {
            return Ok(None);
        }
        self.prepared(next).map(Some)
    }

    fn is_log(&self) -> bool {
        true
    }

    /// Somebody may have moved the file away.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        let stays = match self.place(now) {
            // It finds its daemon itself; in another root, the way to it would be gone by now.
            LogDestination::Syslog => true,
            // Nobody moves a descriptor away, and who gave up rights cannot open it again.
            LogDestination::File(file) => named_descriptor(file).is_some(),
            LogDestination::StandardError => false,
        };
        if stays {
            return Ok(());
        }
        let switch = self.prepared(now);
        switch.map_err(|error| format!("{error}; the log stays where it was"))?();
        Ok(())
    }
}

/// Opens a log, or says in words why that cannot be.
fn open(place: LogDestination<'_>) -> Result<LogOutput, String> {
    LogOutput::open(place).map_err(|error| {
        let advice = match place {
            LogDestination::File(path) => rights::advice(&error, Need::Append, path),
            LogDestination::StandardError | LogDestination::Syslog => String::new(),
        };
        format!("cannot log to {place}: {error}{advice}")
    })
}

fn cannot_create(why: &str) -> Exit {
    Exit::new(Exit::CANNOT_CREATE, &format!("txlb: {why}"))
}

#[cfg(test)]
mod tests;
