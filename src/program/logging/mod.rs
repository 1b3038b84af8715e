//! Logging: a bounded queue, and one thread that writes its lines.
//!
//! No thread waits for the log. If lines come faster than they are written, they are dropped,
//! counted, and the count is logged. So a slow disk holds up no worker, and a log that nobody
//! reads holds up no signal.

mod format;
mod output;
mod syslog;
mod writer;

use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use std::{env, io, thread};

use env_logger::Builder;
use log::{LevelFilter, Metadata, Record};
use txlb::calendar::since_1970_ms;
use txlb::config::Config;
use txlb::control::{Commit, Reconfigure};
use txlb::log_targets;
use txlb::os::rights::{self, Need};

use format::{Entry, Layout};
use output::{LogOutput, named_descriptor};
use writer::Queue;

use crate::exit::Exit;
use crate::folders;
use crate::privileges::Identity;

pub(crate) use output::LogDestination;

/// How long `flush` waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Log {
    queue: Arc<Queue>,
    is_writing: Arc<AtomicBool>,
}

impl Log {
    /// Installs the logger. Lines wait in the queue until `start_writer`, and go to standard error until
    /// `switch`. `RUST_LOG` adds to `level`.
    ///
    /// # Errors
    /// If there is a logger already.
    pub(crate) fn start(level: LevelFilter) -> io::Result<Log> {
        let rust_log = env::var_os("RUST_LOG").unwrap_or_default();
        let (filter, ignored) = build_filter(level, &rust_log.to_string_lossy());
        let level = filter.filter();
        let queue = Arc::new(Queue::default());
        let logger = Logger {
            filter,
            queue: Arc::clone(&queue),
        };
        log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
        log::set_max_level(level);
        for directive in ignored {
            log::warn!(
                "RUST_LOG: {directive:?} is ignored: a filter is LEVEL, TARGET or TARGET=LEVEL"
            );
        }
        Ok(Log {
            queue,
            is_writing: Arc::default(),
        })
    }

    /// Starts the writer thread, unless it runs.
    ///
    /// # Errors
    /// The system's, if it has no thread left.
    pub(crate) fn start_writer(&self) -> io::Result<()> {
        if !self.is_writing.swap(true, Ordering::AcqRel) {
            let work = Arc::clone(&self.queue);
            thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || writer::run(&work, LogOutput::standard_error()))?;
        }
        Ok(())
    }

    /// Logs panics, too: standard error may lead nowhere. It says which thread panicked and where.
    pub(crate) fn log_panics(&self) {
        let log = self.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("without a name").to_owned();
            log::error!("the thread {name} panicked: {}", panic_text(info));
            log.flush();
            before(info);
        }));
    }

    /// Writes later lines to `output`.
    pub(crate) fn switch(&self, output: LogOutput) {
        self.queue.switch(output);
    }

    /// Writes all lines that are not yet written to `output`.
    pub(crate) fn switch_all(&self, output: LogOutput) {
        self.queue.switch_all(output);
    }

    /// Waits until everything is written, for a second at most. Also writes the counts of repeated
    /// lines. Call it at the end.
    pub(crate) fn flush(&self) {
        // An early error may end the program before `start_writer`.
        if self.start_writer().is_ok() {
            self.queue.flush(FLUSH_TIMEOUT);
        }
    }
}

/// The level filter of `-q` or `-v`, and on top of that the directives of `RUST_LOG`. Also returns
/// the directives that are wrong.
fn build_filter(level: LevelFilter, rust_log: &str) -> (env_logger::Logger, Vec<String>) {
    let (directives, ignored) = check_directives(rust_log);
    let filter = Builder::new()
        .filter_level(level)
        // SSH clients decide what russh logs, so they could fill the log. `admin` logs what
        // matters.
        .filter_module("russh", LevelFilter::Off)
        .parse_filters(&directives)
        // The configuration decides whether sessions are logged.
        .filter_module(log_targets::SESSIONS, LevelFilter::Info)
        .build();
    (filter, ignored)
}

/// Splits `RUST_LOG` into its valid directives and those that are wrong. env_logger would print a
/// warning for those with `eprintln!`, which panics if standard error cannot be written to.
fn check_directives(rust_log: &str) -> (String, Vec<String>) {
    let (directives, text) = match rust_log.split_once('/') {
        Some((_, text)) if text.contains('/') => return (String::new(), vec![rust_log.to_owned()]),
        Some((directives, text)) => (directives, Some(text)),
        None => (rust_log, None),
    };
    let is_valid = |directive: &&str| match directive.split_once('=') {
        Some((_, level)) => level.trim().is_empty() || level.trim().parse::<LevelFilter>().is_ok(),
        None => true,
    };
    let (valid, wrong): (Vec<&str>, Vec<&str>) = directives.split(',').partition(is_valid);
    let mut accepted = valid.join(",");
    if let Some(text) = text {
        accepted.push('/');
        accepted.push_str(text);
    }
    (accepted, wrong.into_iter().map(str::to_owned).collect())
}

/// The panic's message and place, on one line.
fn panic_text(info: &PanicHookInfo<'_>) -> String {
    let location = info
        .location()
        .map_or_else(String::new, |it| format!(" ({it})"));
    let payload = info.payload();
    let why = payload.downcast_ref::<&str>().copied();
    let why = why.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let why = why.unwrap_or("for a reason unknown");
    format!("{why}{location}")
}

/// The logger behind the macros of the crate `log`.
struct Logger {
    /// Used as a level filter only. The queue's thread writes.
    filter: env_logger::Logger,
    queue: Arc<Queue>,
}

impl log::Log for Logger {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        self.filter.enabled(about)
    }

    fn log(&self, record: &Record<'_>) {
        // A text behind `/` in `RUST_LOG` must not filter sessions.
        if record.target() == log_targets::SESSIONS || self.filter.matches(record) {
            let wall_ms = since_1970_ms(SystemTime::now());
            self.queue.push(Entry::of(record, wall_ms));
        }
    }

    fn flush(&self) {}
}

/// The log of the configuration: opens it, and reopens or changes it later.
pub(crate) struct ConfiguredLog {
    log: Log,
    /// `-l`, which overrides the configuration.
    option: Option<PathBuf>,
    /// An output that was opened before chroot(2).
    opened_early: Option<LogOutput>,
    /// The output is that of `-l` or of the configuration.
    is_open: bool,
    /// With `-D`: standard output leads to the first process.
    detached: bool,
}

/// Opens syslog if `-l` names it: after chroot(2) there may be no path to its socket.
///
/// # Errors
/// That it cannot be opened.
pub(crate) fn open_syslog_early(option: Option<&Path>) -> Result<Option<LogOutput>, Exit> {
    match LogDestination::named(option) {
        LogDestination::Syslog => open(LogDestination::Syslog)
            .map(Some)
            .map_err(|why| cannot_create(&why)),
        LogDestination::StandardError | LogDestination::File(_) => Ok(None),
    }
}

impl ConfiguredLog {
    /// `option` is what `-l` says, `opened_early` what was opened because of it.
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
            is_open: false,
            detached,
        }
    }

    /// The destination with this configuration.
    pub(crate) fn destination<'a>(&'a self, config: &'a Config) -> LogDestination<'a> {
        LogDestination::named(self.option.as_deref().or(config.logging.file.as_deref()))
    }

    /// Opens the log of `-l` as root, before txlb becomes `owner`. Without an owner there is no
    /// change of user, so the log of the configuration is opened as well.
    pub(crate) fn open_before(
        &mut self,
        config: &Config,
        owner: Option<&Identity>,
    ) -> Result<(), Exit> {
        self.log.queue.set_layout(layout(config));
        let output = match (self.opened_early.take(), owner) {
            (Some(output), _) => Some(output),
            (None, None) => Some(
                self.open(self.destination(config))
                    .map_err(|why| cannot_create(&why))?,
            ),
            (None, Some(owner)) => self.open_as_root(owner)?,
        };
        if let Some(output) = output {
            self.log.switch_all(output);
            self.is_open = true;
        }
        Ok(())
    }

    /// Opens the file of `-l` as root, unless that is not safe: then `owner` opens it later.
    fn open_as_root(&self, owner: &Identity) -> Result<Option<LogOutput>, Exit> {
        let destination = LogDestination::named(self.option.as_deref());
        let Some(file) = destination.file() else {
            return Ok(None);
        };
        if named_descriptor(file).is_some() {
            let opened = self.open(destination).map(Some);
            return opened.map_err(|why| cannot_create(&why));
        }
        let opened = folders::open_log(file, owner).map_err(|error| {
            cannot_create(&format!("cannot log to {}: {error}", file.display()))
        })?;
        Ok(opened.map(LogOutput::file))
    }

    /// Opens the log, unless `open_before` did.
    pub(crate) fn open_after(&mut self, config: &Config) -> Result<(), Exit> {
        if !self.is_open {
            let output = self
                .open(self.destination(config))
                .map_err(|why| cannot_create(&why))?;
            self.log.switch_all(output);
            self.is_open = true;
        }
        Ok(())
    }

    fn open(&self, destination: LogDestination<'_>) -> Result<LogOutput, String> {
        if self.detached && destination.file().and_then(named_descriptor) == Some(1) {
            let why = "in the background there is no standard output: name a file, or /dev/stderr";
            return Err(format!("cannot log to {destination}: {why}"));
        }
        open(destination)
    }

    /// Opens the log of `config`. The result switches to it.
    fn prepare_switch(&self, config: &Config) -> Result<Commit, String> {
        let output = self.open(self.destination(config))?;
        let log = self.log.clone();
        Ok(Box::new(move || log.switch(output)))
    }
}

impl Reconfigure for ConfiguredLog {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        let moves = self.option.is_none() && now.logging.file != next.logging.file;
        let switch = moves.then(|| self.prepare_switch(next)).transpose()?;
        if switch.is_none() && layout(now) == layout(next) {
            return Ok(None);
        }
        let (log, layout) = (self.log.clone(), layout(next));
        Ok(Some(Box::new(move || {
            log.queue.set_layout(layout);
            if let Some(switch) = switch {
                switch();
            }
        })))
    }

    fn is_log(&self) -> bool {
        true
    }

    /// Opens the file again: logrotate may have moved it.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        let stays = match self.destination(now) {
            // `Syslog` reconnects by itself. After chroot(2) the path may lead nowhere.
            LogDestination::Syslog => true,
            // A descriptor cannot be moved away, and may not be opened again without root's rights.
            LogDestination::File(file) => named_descriptor(file).is_some(),
            LogDestination::StandardError => false,
        };
        if stays {
            return Ok(());
        }
        let switch = self.prepare_switch(now);
        switch.map_err(|error| format!("{error}; the log stays where it was"))?();
        Ok(())
    }
}

fn layout(config: &Config) -> Layout {
    Layout::of(&config.logging.format)
}

/// Opens a destination; an error says what to do.
fn open(destination: LogDestination<'_>) -> Result<LogOutput, String> {
    LogOutput::open(destination).map_err(|error| {
        let advice = match destination {
            LogDestination::File(path) => rights::advice(&error, Need::Append, path),
            LogDestination::StandardError | LogDestination::Syslog => String::new(),
        };
        format!("cannot log to {destination}: {error}{advice}")
    })
}

fn cannot_create(why: &str) -> Exit {
    Exit::new(Exit::CANNOT_CREATE, &format!("txlb: {why}"))
}

#[cfg(test)]
mod tests;
