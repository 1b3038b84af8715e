//! Runs a balancer until it is told to stop.
//!
//! Signals are passed on to the director's desk, which does what they ask for. What it
//! stands on is `ground`'s business, how the log follows the configuration `log_file`'s.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{io, thread};

use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::low_level;
use txlb::balancer::{AdminInterface, AdminServerError, AdminServers};
use txlb::control::{
    ControllerThread, DataPlane, Error, Handle, Liveness, Notice as DirectorEvent, Options, Signal,
    Status, processors,
};
use txlb::os::inherited::{Inherited, inherited};
use txlb::os::{descriptors, memory};

use crate::cli::{Job, Source};
use crate::daemon::program;
use crate::demo::Demo;
use crate::exit::{self, Exit};
use crate::logging::{Log, LogFile, open_early};
use crate::startup::Ground;
use crate::supervisor::Supervisor;

/// How long the director may take to stop after a TERM: the 5 s that sessions have left,
/// and some more. It waits without end where it is saving and the disk does not answer.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

enum Event {
    Signal(Signal),
    DataPlane(DirectorEvent),
}

/// Balances until a signal ends it.
///
/// Until all privileges are given up there is but one thread: on Linux they are each
/// thread's own.
pub(crate) fn run(mut job: Job) -> Result<(), Exit> {
    spare_address_space();
    let ending = Ending::prepare().map_err(|error| Exit::other(&error))?;
    let inherited =
        inherited().map_err(|error| Exit::new(Exit::CANNOT_BIND, &format!("txlb: {error}")))?;
    let log = Log::start(job.level).map_err(|error| Exit::other(&error))?;
    log.tell_of_panics();
    // Its socket may be out of sight later, and that of the system's log.
    let supervisor = Supervisor::from_environment();
    let result = open_early(job.log.as_deref()).and_then(|early| {
        let ground = Ground::prepare(&mut job)?;
        let log_file = LogFile::new(&log, job.log.take(), early, job.footing.detach);
        serve(
            job,
            ground,
            log_file,
            &log,
            inherited,
            (&supervisor, &ending),
        )
    });
    log.flush();
    result
}

fn serve(
    job: Job,
    ground: Ground,
    mut log_file: LogFile,
    log: &Log,
    inherited: Vec<Inherited>,
    (supervisor, ending): (&Supervisor, &Ending),
) -> Result<(), Exit> {
    let mut demo = None;
    let (file, config) = match job.source {
        Source::File(path) => {
            let (file, reading) = ground.read(&path)?;
            let config = reading.config.clone();
            (Some((file, reading)), config)
        }
        Source::CommandLine(config) => (None, *config),
        Source::Demo => {
            let (made, config) = Demo::new().map_err(|error| Exit::other(&error))?;
            demo = Some(made);
            (None, config)
        }
    };
    ground.prepare_folders(&config)?;
    log_file.begin_before(&config, ground.identity())?;
    let descriptors_before = raise_limit();
    let workers = job.workers.unwrap_or_else(processors);
    let (events, incoming) = channel();
    let signals = events.clone();
    let options = Options::new(workers, move |event| {
        drop(events.send(Event::DataPlane(event)));
    });
    let bound = DataPlane::bind(config, options, inherited).map_err(|error| start_exit(&error))?;
    let path = file.as_ref().map(|(file, _)| file.path());
    ground.give_up(&bound, path, log_file.place(bound.config()))?;
    log_file.begin(bound.config())?;
    log.begin().map_err(|error| Exit::other(&error))?;
    if let Some(demo) = &mut demo {
        demo.start().map_err(|error| Exit::other(&error))?;
    }
    // Dropped last: whoever has the PID file next may listen.
    let ears = ending.clone();
    let mut standing = ground.stand(move |signal| {
        drop(signals.send(Event::Signal(signal)));
        ears.hear(signal);
    })?;
    ending.in_order();
    let director = bound.start().map_err(|error| start_exit(&error))?;
    ending.serves(director.pulses());
    announce_descriptors(descriptors_before, director.status().capacity);
    let doors =
        AdminServers::open(&director, AdminInterface::ALL).map_err(|error| door_exit(&error))?;
    let mut fixtures = doors.fixtures();
    fixtures.push(supervisor.fixture());
    fixtures.push(Box::new(log_file));
    fixtures.push(standing.fixture());
    let pulses = director.pulses();
    ending.is_attended();
    let thread =
        ControllerThread::start(director, file, fixtures).map_err(|error| Exit::other(&error))?;
    let desk = thread.desk();
    doors.attend(&desk);
    let status = desk.status();
    announce(&status);
    if let Some(demo) = &demo {
        demo.invite(&status)?;
    }
    supervisor
        .attend(&desk, pulses)
        .map_err(|error| Exit::other(&error))?;
    standing.detach(log)?;
    wait(&desk, &incoming, supervisor)
}

/// Passes signals on until all is over.
fn wait(desk: &Handle, events: &Receiver<Event>, supervisor: &Supervisor) -> Result<(), Exit> {
    let (mut stopping, mut deadline) = (false, None);
    while let Some(event) = next_event(events, deadline) {
        match event {
            Event::DataPlane(DirectorEvent::Stopped) => {
                supervisor.over();
                return Ok(());
            }
            Event::DataPlane(DirectorEvent::Panicked(thread)) => {
                return Err(Exit::new(
                    Exit::OTHER,
                    &format!("txlb: the thread {thread} panicked"),
                ));
            }
            Event::DataPlane(_) => {}
            Event::Signal(Signal::Stop | Signal::Quit) if stopping => {
                log::warn!("told to stop again: ending now");
                return Ok(());
            }
            Event::Signal(signal) => {
                stopping |= matches!(signal, Signal::Stop | Signal::Quit);
                if signal == Signal::Stop {
                    deadline = Some(Instant::now() + STOP_PATIENCE);
                }
                supervisor.pass_on(signal, desk);
            }
        }
    }
    log::warn!("told to stop, and still busy with something else: ending now");
    Ok(())
}

/// What happens next; `None` if nothing does until the deadline.
fn next_event(events: &Receiver<Event>, deadline: Option<Instant>) -> Option<Event> {
    match deadline {
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            events.recv_timeout(left).ok()
        }
        None => events.recv().ok(),
    }
}

/// Where address space is limited, starts the program again with one heap for all threads.
/// The GNU library gives each thread one of its own, of 64 MiB of addresses: a dozen of them
/// leave nothing for what cannot do without.
fn spare_address_space() {
    const HEAPS: &str = "MALLOC_ARENA_MAX";
    let is_gnu = cfg!(all(target_os = "linux", target_env = "gnu"));
    if !is_gnu || memory::address_space().is_none() || std::env::var_os(HEAPS).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let error = Command::new(program())
        .arg0(arguments.next().unwrap_or_default())
        .args(arguments)
        .env(HEAPS, "1")
        .exec();
    // It goes without, as it did before.
    let _ = exit::note(&format!(
        "txlb: address space is limited, and the program cannot be started again to save some: {error}"
    ));
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

fn announce(status: &Status) {
    let Status {
        version,
        process,
        workers,
        ..
    } = status;
    let workers = match workers {
        1 => "1 worker".to_owned(),
        _ => format!("{workers} workers"),
    };
    log::info!("txlb {version} runs as process {process} with {workers}");
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

fn door_exit(error: &AdminServerError) -> Exit {
    let status = match error.cause {
        Some(io::ErrorKind::PermissionDenied) => Exit::NO_PERMISSION,
        Some(_) => Exit::CANNOT_BIND,
        None => Exit::CONFIG,
    };
    Exit::new(status, &format!("txlb: {}", error.text))
}

fn start_exit(error: &Error) -> Exit {
    let status = match error {
        Error::Listen { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Exit::NO_PERMISSION
        }
        Error::Listen { .. } | Error::ListenName { .. } | Error::ListenTwice { .. } => {
            Exit::CANNOT_BIND
        }
        Error::Descriptors { .. } => Exit::NO_DESCRIPTORS,
        _ => Exit::OTHER,
    };
    Exit::new(status, &format!("txlb: {error}"))
}

/// How long the end in order may still take once it is to be at once: sessions are cut such that both
/// sides see it, and the PID file and the control socket go, if nothing hangs.
const MOMENT: Duration = Duration::from_millis(250);

/// What sessions have after TERM while nobody attends to it.
const GRACE: Duration = Duration::from_secs(5);

/// What has been told so far. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ending(Arc<Shared>);

struct Shared {
    starting: Arc<AtomicBool>,
    told: AtomicBool,
    attended: AtomicBool,
    workers: OnceLock<Liveness>,
}

impl Ending {
    /// From now on TERM, INT and QUIT end the process in their handler, as they did before: it may be
    /// that the main thread waits for a name server.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn prepare() -> io::Result<Ending> {
        let starting = Arc::new(AtomicBool::new(true));
        for signal in [SIGTERM, SIGINT, SIGQUIT] {
            let status = Exit::ENDED_EARLY.into();
            register_conditional_shutdown(signal, status, Arc::clone(&starting))?;
        }
        Ok(Ending(Arc::new(Shared {
            starting,
            told: AtomicBool::new(false),
            attended: AtomicBool::new(false),
            workers: OnceLock::new(),
        })))
    }

    /// From now on there may be sessions, which are to be ended in order. Called before the first worker
    /// accepts anybody: a signal in between would cut that client off.
    pub(crate) fn in_order(&self) {
        self.0.starting.store(false, Ordering::Release);
    }

    /// Whose sessions the second signal resets.
    pub(crate) fn serves(&self, workers: Liveness) {
        // There is no second time.
        let _ = self.0.workers.set(workers);
    }

    /// From now on the main thread does what signals ask for.
    pub(crate) fn is_attended(&self) {
        self.0.attended.store(true, Ordering::Release);
    }

    /// Hears of a signal that has been passed on. Does not return from the second one.
    pub(crate) fn hear(&self, signal: Signal) {
        if !matches!(signal, Signal::Stop | Signal::Quit) {
            return;
        }
        if self.0.told.swap(true, Ordering::AcqRel) {
            self.end(0);
        }
        if signal == Signal::Stop && !self.0.attended.load(Ordering::Acquire) {
            let late = self.clone();
            // Without a thread it ends when the main thread gets there.
            let _ = thread::Builder::new()
                .name("ending".to_owned())
                .spawn(move || late.end_unless_attended());
        }
    }

    /// The main thread may be at a door whose name is not resolved.
    fn end_unless_attended(&self) {
        thread::sleep(GRACE);
        if !self.0.attended.load(Ordering::Acquire) {
            self.end(Exit::ENDED_EARLY.into());
        }
    }

    fn end(&self, status: i32) -> ! {
        if let Some(workers) = self.0.workers.get() {
            workers.cut_off();
        }
        thread::sleep(MOMENT);
        low_level::exit(status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_not_waited_for_beyond_its_deadline() {
        let (events, incoming) = channel();
        assert!(next_event(&incoming, Some(Instant::now())).is_none());
        events.send(Event::Signal(Signal::Reload)).unwrap();
        let event = next_event(&incoming, Some(Instant::now() + STOP_PATIENCE));
        assert!(matches!(event, Some(Event::Signal(Signal::Reload))));
    }
}
