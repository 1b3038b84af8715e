//! Runs a balancer until it is told to stop.
//!
//! Signals are passed on to the director's desk, which does what they ask for. What it
//! stands on is `ground`'s business, how the log follows the configuration `log_file`'s.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use txlb::balancer::{AdminInterface, AdminServerError, AdminServers};
use txlb::control::{
    ControllerThread, DataPlane, Error, FileError, Handle, LifecycleEvent as DirectorEvent,
    Options, Signal, Status, processors,
};
use txlb::os::inherited::{InheritedSocket, take_inherited_sockets};
use txlb::os::resources;

use crate::cli::{DEFAULT_FILE, Job, Source};
use crate::daemon::program;
use crate::demo::Demo;
use crate::ending::Ending;
use crate::exit::Exit;
use crate::ground::Ground;
use crate::log_file::{LogFile, open_early};
use crate::logging::Log;
use crate::output;
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
    let inherited = take_inherited_sockets()
        .map_err(|error| Exit::new(Exit::CANNOT_BIND, &format!("txlb: {error}")))?;
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
    inherited: Vec<InheritedSocket>,
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
    let descriptors_before = raise_descriptor_limit();
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
    ending.serves(director.liveness());
    announce_descriptors(descriptors_before, director.status().capacity);
    let doors =
        AdminServers::open(&director, AdminInterface::ALL).map_err(|error| door_exit(&error))?;
    let mut fixtures = doors.reconfigurables();
    fixtures.push(supervisor.fixture());
    fixtures.push(Box::new(log_file));
    fixtures.push(standing.fixture());
    let liveness = director.liveness();
    ending.is_attended();
    let thread =
        ControllerThread::start(director, file, fixtures).map_err(|error| Exit::other(&error))?;
    let desk = thread.handle();
    doors.set_handle(&desk);
    let status = desk.status();
    announce(&status);
    if let Some(demo) = &demo {
        demo.invite(&status)?;
    }
    supervisor
        .attend(&desk, liveness)
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
    if !is_gnu || resources::address_space_limit().is_none() || std::env::var_os(HEAPS).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let error = Command::new(program())
        .arg0(arguments.next().unwrap_or_default())
        .args(arguments)
        .env(HEAPS, "1")
        .exec();
    // It goes without, as it did before.
    let _ = output::note(&format!(
        "txlb: address space is limited, and the program cannot be started again to save some: {error}"
    ));
}

/// Lets this process have as many descriptors as it may; returns how many it
/// had.
fn raise_descriptor_limit() -> Option<u64> {
    match resources::raise_descriptor_limit() {
        Ok(limit) => limit.before,
        Err(error) => {
            log::warn!("cannot raise the limit of descriptors: {error}");
            resources::descriptor_limit()
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
    let Some(now) = resources::descriptor_limit() else {
        log::info!("descriptors: no limit");
        return;
    };
    let raised = match before {
        Some(before) if before != now => format!(" (raised from {before})"),
        _ => String::new(),
    };
    log::info!("descriptors: {now}{raised}: enough for {sessions} sessions");
}

/// The exit status of a configuration file that is of no use.
pub(crate) fn file_exit(error: &FileError) -> Exit {
    let status = match error {
        FileError::Unreadable(_, error) => match error.kind() {
            io::ErrorKind::NotFound => Exit::NO_FILE,
            io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
            // Something else than a file.
            io::ErrorKind::InvalidInput => Exit::CONFIG,
            _ => Exit::OTHER,
        },
        _ => Exit::CONFIG,
    };
    let advice = match error {
        FileError::Unreadable(path, _) if status == Exit::NO_FILE && *path == *DEFAULT_FILE => {
            " (-f names another; txlb --demo needs none)"
        }
        _ => "",
    };
    Exit::new(status, &format!("{error}{advice}"))
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
