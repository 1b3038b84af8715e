//! Runs a balancer until it is told to stop, and does what the signals ask for.
//!
//! Everything happens on the main thread, one event after the other; what
//! moves the bytes is behind the director.

use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use txlb::config::{Config, Warning};
use txlb::director::{
    Changed, Director, Error, Event as DirectorEvent, File, FileError, Options, ServiceStatus,
    Signal, forward_signals,
};
use txlb::os::descriptors;

use crate::cli::{Job, Source};
use crate::demo::Demo;
use crate::exit::Exit;
use crate::logging::{Log, Target};
use crate::pidfile::PidFile;

/// What open sessions get after TERM.
const GRACE: Duration = Duration::from_secs(5);

enum Event {
    Signal(Signal),
    Director(DirectorEvent),
}

/// Balances until a signal ends it.
pub(crate) fn run(job: Job) -> Result<(), Exit> {
    let log = Log::start(job.level).map_err(|error| other(&error))?;
    let result = serve(job, &log);
    log.flush();
    result
}

fn serve(job: Job, log: &Log) -> Result<(), Exit> {
    let mut demo = None;
    let (file, config, warnings) = match job.source {
        Source::File(path) => {
            let (file, reading) = File::read(&path).map_err(|error| file_exit(&error))?;
            (Some(file), reading.config, reading.warnings)
        }
        Source::CommandLine(config) => (None, *config, Vec::new()),
        Source::Demo => {
            let (started, config) = Demo::start().map_err(|error| other(&error))?;
            demo = Some(started);
            (None, config, Vec::new())
        }
    };
    let log_path = job.log.as_deref().or(config.logging.file.as_deref());
    log.switch(Target::open(log_path).map_err(|error| {
        let message = format!("txlb: {}", cannot_log(log_path, &error));
        Exit::new(Exit::CANNOT_CREATE, &message)
    })?);
    let (events, incoming) = channel();
    let signals = events.clone();
    forward_signals(move |signal| drop(signals.send(Event::Signal(signal))))
        .map_err(|error| other(&error))?;
    // Who reads our number there may send what would have ended us before.
    let _pid_file = job.pid_file.as_deref().map(PidFile::take).transpose()?;
    let descriptors_before = raise_limit();
    let options = Options {
        workers: job.workers.unwrap_or_else(processors),
        on_event: Arc::new(move |event| drop(events.send(Event::Director(event)))),
    };
    warn_of_doors(&config, None);
    let director = Director::start(config, &options).map_err(|error| start_exit(&error))?;
    warn(file.as_ref(), &warnings);
    announce(&director, options.workers, descriptors_before);
    if let Some(demo) = &demo {
        demo.invite(&director.status())?;
    }
    Server {
        director,
        file,
        log: log.clone(),
        fixed_log: job.log,
        stopping: false,
    }
    .run(&incoming)
}

/// What runs, and how to change it.
struct Server {
    director: Director,
    file: Option<File>,
    log: Log,
    /// What `-l` said: it beats the configuration.
    fixed_log: Option<PathBuf>,
    stopping: bool,
}

impl Server {
    fn run(mut self, events: &Receiver<Event>) -> Result<(), Exit> {
        for event in events {
            match event {
                Event::Director(DirectorEvent::Stopped) => return Ok(()),
                Event::Director(DirectorEvent::WorkerPanicked(number)) => {
                    return Err(Exit::new(
                        Exit::OTHER,
                        &format!("txlb: worker {number} panicked"),
                    ));
                }
                Event::Director(_) => {}
                Event::Signal(signal) => {
                    if self.obey(signal) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Does what a signal asks for; says whether all ends here and now.
    fn obey(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Stop | Signal::Quit if self.stopping => {
                log::warn!("told to stop again: ending now");
                return true;
            }
            Signal::Stop => self.stop(Some(GRACE)),
            Signal::Quit => self.stop(None),
            Signal::Reload if !self.stopping => self.reload(),
            Signal::Reload | Signal::Reopen => self.reopen_log(),
            _ => log::warn!("USR2 is not used yet: it will replace the program while it runs"),
        }
        false
    }

    fn stop(&mut self, grace: Option<Duration>) {
        self.stopping = true;
        let open = self.director.status().open;
        match grace {
            Some(grace) => log::info!("stopping: {open} sessions have {} s left", grace.as_secs()),
            None => log::info!("stopping once the last of {open} sessions is over"),
        }
        self.director.stop(grace);
    }

    fn reload(&mut self) {
        self.reopen_log();
        let Some(file) = &self.file else {
            log::info!("there is no configuration file to read again");
            self.director.resolve_again();
            return;
        };
        match file.read_again() {
            Ok(Changed::No) => {
                log::info!("{} is unchanged", file.path().display());
                self.director.resolve_again();
            }
            Ok(Changed::Yes(news)) => {
                let (file, reading) = *news;
                self.replace(file, reading.config, &reading.warnings);
            }
            Err(error) => log::error!("{error}; the running configuration stays"),
        }
    }

    /// Puts a new configuration in force, its log included, or none of it.
    fn replace(&mut self, file: File, config: Config, warnings: &[Warning]) {
        let before = self.director.config().clone();
        let services = self.director.status().services;
        let outcome = self.new_log(&config).and_then(|log| {
            self.director
                .apply(config)
                .map_err(|error| error.to_string())?;
            Ok(log)
        });
        let path = file.path().display();
        let new_log = match outcome {
            Ok(new_log) => new_log,
            Err(error) => {
                log::error!("{path}: {error}; the running configuration stays");
                return;
            }
        };
        warn(Some(&file), warnings);
        warn_of_doors(self.director.config(), Some(&before));
        announce_listeners(&self.director, &services);
        log::info!("{path} is in force");
        self.file = Some(file);
        // Whoever reads the old one has been told.
        if let Some(target) = new_log {
            self.log.switch(target);
        }
    }

    /// The log that `next` wants, unless that is the one there is.
    fn new_log(&self, next: &Config) -> Result<Option<Target>, String> {
        let path = next.logging.file.as_deref();
        if self.fixed_log.is_some() || path == self.director.config().logging.file.as_deref() {
            return Ok(None);
        }
        let opened = Target::open(path).map_err(|error| cannot_log(path, &error))?;
        Ok(Some(opened))
    }

    /// Opens the log again: somebody may have moved the file away.
    fn reopen_log(&self) {
        let path = self.fixed_log.as_deref();
        let path = path.or(self.director.config().logging.file.as_deref());
        match Target::open(path) {
            Ok(target) => self.log.switch(target),
            Err(error) => log::error!("{}; the log stays where it was", cannot_log(path, &error)),
        }
    }
}

fn cannot_log(path: Option<&Path>, error: &io::Error) -> String {
    let path = path.unwrap_or(Path::new("standard error"));
    format!("cannot log to {}: {error}", path.display())
}

/// Lets this process have as many descriptors as it may; returns how many it
/// had.
fn raise_limit() -> Option<u64> {
    match descriptors::raise_limit() {
        Ok(limit) => limit.before,
        Err(error) => {
            log::warn!("cannot raise the limit of descriptors: {error}");
            descriptors::limit()
        }
    }
}

/// How many processors this process may use.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn announce(director: &Director, workers: usize, descriptors_before: Option<u64>) {
    announce_descriptors(descriptors_before, director.status().capacity);
    announce_listeners(director, &[]);
    let version = env!("CARGO_PKG_VERSION");
    log::info!(
        "txlb {version} runs as process {} with {workers} workers",
        process::id()
    );
}

fn announce_descriptors(before: Option<u64>, sessions: usize) {
    let Some(now) = descriptors::limit() else {
        log::info!("descriptors: no limit");
        return;
    };
    let raised = match before {
        Some(before) if before != now => format!(" (raised from {before})"),
        _ => String::new(),
    };
    log::info!("descriptors: {now}{raised}: enough for {sessions} sessions");
}

/// Says of each service where it listens, unless that was said before.
fn announce_listeners(director: &Director, before: &[ServiceStatus]) {
    for ServiceStatus {
        name, addresses, ..
    } in director.status().services
    {
        let is_news = |old: &ServiceStatus| old.name != name || old.addresses != addresses;
        if before.iter().all(is_news) {
            let places: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            log::info!("service {name} listens at {}", places.join(", "));
        }
    }
}

fn warn(file: Option<&File>, warnings: &[Warning]) {
    let Some(file) = file else { return };
    for Warning { position, text } in warnings {
        log::warn!("{}:{position}: {text}", file.path().display());
    }
}

/// Says once of each door that it is configured but cannot be opened yet.
fn warn_of_doors(config: &Config, before: Option<&Config>) {
    let had: Vec<_> = before.map(doors).unwrap_or_default();
    for door in doors(config).into_iter().filter(|door| !had.contains(door)) {
        log::warn!("{door} is configured, but this version of txlb does not have it yet");
    }
}

fn doors(config: &Config) -> Vec<&'static str> {
    let admin = config.admin.as_ref();
    let web = admin
        .and_then(|admin| admin.web.as_ref())
        .is_some_and(|web| web.enable);
    let ssh = admin
        .and_then(|admin| admin.ssh.as_ref())
        .is_some_and(|ssh| ssh.enable);
    let doors = [
        (web, "the admin page (<web>)"),
        (ssh, "the console (<ssh>)"),
        (config.control.is_some(), "the control socket (<control>)"),
        (
            config.manager.config_check.enable,
            "writing changes back (<configCheck>)",
        ),
    ];
    doors
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, door)| door)
        .collect()
}

/// The exit status of a configuration file that is of no use.
pub(crate) fn file_exit(error: &FileError) -> Exit {
    let status = match error {
        FileError::Unreadable(_, error) => match error.kind() {
            io::ErrorKind::NotFound => Exit::NO_FILE,
            io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
            _ => Exit::OTHER,
        },
        _ => Exit::CONFIG,
    };
    Exit::new(status, error)
}

fn start_exit(error: &Error) -> Exit {
    let status = match error {
        Error::Listen { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Exit::NO_PERMISSION
        }
        Error::Listen { .. } | Error::ListenName { .. } | Error::ListenTwice { .. } => {
            Exit::CANNOT_BIND
        }
        _ => Exit::OTHER,
    };
    Exit::new(status, &format!("txlb: {error}"))
}

fn other(error: &io::Error) -> Exit {
    Exit::new(Exit::OTHER, &format!("txlb: {error}"))
}
