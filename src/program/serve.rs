//! Runs the balancer: start, signals, shutdown.
//!
//! The order of the start is that of ARCHITECTURE.md, "The start".

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{io, thread};

use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::low_level;
use txlb::balancer::{AdminInterface, AdminServerError, AdminServers};
use txlb::config::{Config, Reading};
use txlb::control::{
    Bound, ControllerThread, DataPlane, Error, File, Handle, LifecycleEvent, Liveness, Offer,
    Options, Predecessors, Signal, Status, processors,
};
use txlb::os::inherited::{InheritedSocket, take_inherited_sockets};
use txlb::os::resources;
use txlb::sync::lock;
use txlb::text::plural;

use crate::check;
use crate::cli::{ConfigSource, ServeOptions};
use crate::daemon::executable;
use crate::demo::Demo;
use crate::exit::{self, Exit};
use crate::logging::{ConfiguredLog, Log, open_syslog_early};
use crate::startup::{Running, Startup};
use crate::supervisor::Supervisor;
use crate::upgrade::{Helper, Takeover, Upgrades};

/// How long txlb may take to stop after SIGTERM: 5 s for sessions, and a margin. The controller
/// may hang in a save if the disk does.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

enum Event {
    /// An upgrade is to be carried out.
    Upgrade(Box<Offer>),
    Signal(Signal),
    /// A second signal to stop has come.
    EndNow,
    Lifecycle(LifecycleEvent),
}

/// Runs the balancer until a signal ends it.
///
/// There is one thread until all privileges are given up: on Linux each thread has its own. So
/// what starts threads comes in two halves, such as `bind` and `start`. Test:
/// nothing_of_root_is_left_in_any_thread_but_low_ports.
pub(crate) fn run(mut options: ServeOptions) -> Result<(), Exit> {
    limit_heaps();
    let shutdown = Shutdown::prepare().map_err(|error| Exit::from_io(&error))?;
    let takeover = Takeover::begin()?;
    let inherited = match takeover {
        Some(_) => InheritedSocket::take_handed_over(),
        None => take_inherited_sockets(),
    };
    let inherited =
        inherited.map_err(|error| Exit::new(Exit::CANNOT_BIND, &format!("txlb: {error}")))?;
    // Before anything of this process changes, which the next one is to be started with.
    let helper = match options.source {
        ConfigSource::Demo => Helper::none("--demo cannot be upgraded"),
        _ if std::process::id() == 1 => {
            Helper::none("process 1 cannot be replaced: start another container")
        }
        _ => Helper::start_early(),
    };
    let log = Log::start(options.level).map_err(|error| Exit::from_io(&error))?;
    log.log_panics();
    // Opened before chroot(2): afterwards the paths of both sockets may lead nowhere.
    let supervisor = Supervisor::from_environment();
    let predecessors = Predecessors::default();
    let process = Process {
        upgrades: Upgrades::new(helper, &supervisor, &predecessors),
        predecessors,
        supervisor,
        shutdown,
        takeover,
        log,
    };
    let result = open_syslog_early(options.log.as_deref()).and_then(|opened_early| {
        let startup = Startup::prepare(&mut options)?;
        let configured_log = ConfiguredLog::new(
            &process.log,
            options.log.take(),
            opened_early,
            options.startup.detach,
        );
        serve(options, startup, configured_log, inherited, &process)
    });
    if let (Err(exit), Some(takeover)) = (&result, &process.takeover) {
        takeover.fail(&exit.message);
    }
    process.log.flush();
    result
}

/// What the whole process has once.
struct Process {
    supervisor: Supervisor,
    shutdown: Shutdown,
    takeover: Option<Takeover>,
    upgrades: Upgrades,
    predecessors: Predecessors,
    log: Log,
}

fn serve(
    options: ServeOptions,
    startup: Startup,
    mut configured_log: ConfiguredLog,
    inherited: Vec<InheritedSocket>,
    process: &Process,
) -> Result<(), Exit> {
    let LoadedConfig {
        file,
        trusted,
        config,
        mut demo,
    } = load_config(options.source, &startup, process.takeover.as_ref())?;
    startup.prepare_folders(&config)?;
    configured_log.open_before(&config, startup.identity())?;
    let descriptors_before = raise_limit();
    let (events, incoming) = channel();
    let (signals, keys) = (events.clone(), events.clone());
    let options = process.options(options.workers, &events);
    let bound = DataPlane::bind(config, options, inherited).map_err(|error| start_exit(&error))?;
    let path = file.as_ref().map(|(file, _)| file.path());
    let destination = configured_log.destination(bound.config());
    startup.give_up(&bound, &trusted, path, destination)?;
    // This frame lasts as long as the process.
    drop(trusted);
    configured_log.open_after(bound.config())?;
    let started = process.log.start_writer();
    started.map_err(|error| Exit::from_io(&error))?;
    if let Some(demo) = &mut demo {
        demo.start().map_err(|error| Exit::from_io(&error))?;
    }
    // `running` holds the PID file and is dropped last: the next txlb takes that file and then
    // expects free addresses.
    let on_signal = process.shutdown.clone();
    let mut running = startup.into_running(move |signal| on_signal.pass_on(signal, &signals))?;
    let bound = match &process.takeover {
        Some(takeover) => continue_from(takeover, path, bound)?,
        None => bound,
    };
    process.shutdown.begin_graceful();
    let data_plane = bound.start().map_err(|error| start_exit(&error))?;
    process.shutdown.set_liveness(data_plane.liveness());
    log_descriptors(descriptors_before, data_plane.status().capacity);
    administer(
        data_plane,
        file,
        demo.as_mut(),
        configured_log,
        &mut running,
        (&incoming, keys, process),
    )
}

/// Opens the admin interfaces, and runs until the end.
fn administer(
    data_plane: DataPlane,
    file: Option<(File, Reading)>,
    demo: Option<&mut Demo>,
    configured_log: ConfiguredLog,
    running: &mut Running,
    (incoming, keys, process): (&Receiver<Event>, Sender<Event>, &Process),
) -> Result<(), Exit> {
    let supervisor = &process.supervisor;
    let admin_servers = AdminServers::open(&data_plane, AdminInterface::ALL)
        .map_err(|error| admin_server_exit(&error))?;
    let mut parts = admin_servers.reconfigurables();
    parts.push(supervisor.status_update());
    parts.push(Box::new(configured_log));
    parts.push(running.pid_file_release());
    let liveness = data_plane.liveness();
    process.shutdown.set_attended();
    let thread =
        ControllerThread::start(data_plane, file, parts).map_err(|error| Exit::from_io(&error))?;
    let handle = thread.handle();
    admin_servers.set_handle(&handle);
    let status = handle.status();
    log_start(&status);
    if let Some(demo) = demo {
        let on_key = process.shutdown.clone();
        demo.show(move || on_key.pass_on(Signal::Stop, &keys))?;
    }
    if let Some(takeover) = &process.takeover {
        takeover.ready(&handle, &process.predecessors)?;
    }
    supervisor
        .start(&handle, liveness)
        .map_err(|error| Exit::from_io(&error))?;
    running.detach(&process.log)?;
    wait(&handle, incoming, process)
}

impl Process {
    fn options(&self, workers: Option<usize>, events: &Sender<Event>) -> Options {
        // A process that takes over has as many as the one before it, or more: each socket of a
        // listener needs a worker.
        let former = self.takeover.as_ref().map(Takeover::workers);
        let workers = match (workers, former) {
            (Some(workers), former) => workers.max(former.unwrap_or_default()),
            (None, former) => former.filter(|it| *it > 0).unwrap_or_else(processors),
        };
        let (lifecycle, upgrades) = (events.clone(), events.clone());
        let mut options = Options::new(workers, move |event| {
            drop(lifecycle.send(Event::Lifecycle(event)));
        });
        options.predecessors = self.predecessors.clone();
        options.upgrader = Some(Arc::new(move |offer| {
            drop(upgrades.send(Event::Upgrade(Box::new(offer))));
        }));
        options
    }
}

/// Checks what would keep this process from serving beside the one that it replaces, and goes on
/// with what that knows.
fn continue_from(takeover: &Takeover, file: Option<&Path>, bound: Bound) -> Result<Bound, Exit> {
    if let Some(file) = file {
        check::check_secrets(file, bound.config())?;
    }
    let known = takeover.prepared()?;
    Ok(match known {
        Some(known) => bound.continuing(known),
        None => bound,
    })
}

/// The configuration, and where it is from.
struct LoadedConfig {
    /// That of the file or of the command line.
    trusted: Config,
    /// What is to be in force.
    config: Config,
    file: Option<(File, Reading)>,
    demo: Option<Demo>,
}

fn load_config(
    source: ConfigSource,
    startup: &Startup,
    takeover: Option<&Takeover>,
) -> Result<LoadedConfig, Exit> {
    let (trusted, file, demo) = match source {
        ConfigSource::File(path) => {
            let (file, reading) = startup.read(&path)?;
            (reading.config.clone(), Some((file, reading)), None)
        }
        ConfigSource::CommandLine(config) => (*config, None, None),
        ConfigSource::Demo => {
            let demo = Demo::prepare(startup.identity()).map_err(|error| Exit::from_io(&error))?;
            let (file, reading) = startup.read(demo.file())?;
            (reading.config.clone(), Some((file, reading)), Some(demo))
        }
    };
    let read = file.as_ref().map(|(file, _): &(File, Reading)| file);
    let config = match takeover {
        Some(takeover) => takeover.config(read, trusted.clone()),
        None => trusted.clone(),
    };
    Ok(LoadedConfig {
        trusted,
        config,
        file,
        demo,
    })
}

/// Forwards signals to the controller until it has stopped.
fn wait(handle: &Handle, events: &Receiver<Event>, process: &Process) -> Result<(), Exit> {
    let supervisor = &process.supervisor;
    let mut deadline = None;
    while let Some(event) = next_event(events, deadline) {
        match event {
            Event::Lifecycle(LifecycleEvent::Stopped) => {
                process.upgrades.wait_settled();
                supervisor.notify_stopping();
                return Ok(());
            }
            Event::Lifecycle(LifecycleEvent::Panicked(thread)) => {
                return Err(Exit::new(
                    Exit::OTHER,
                    &format!("txlb: the thread {thread} panicked"),
                ));
            }
            Event::Lifecycle(_) => {}
            Event::Upgrade(offer) => process.upgrades.start(*offer, handle),
            Event::EndNow => {
                log::warn!("a second signal to stop has come: txlb ends now");
                return Ok(());
            }
            Event::Signal(signal) => {
                if signal == Signal::Stop {
                    deadline = Some(Instant::now() + STOP_TIMEOUT);
                }
                supervisor.forward_signal(signal, handle);
            }
        }
    }
    log::warn!("txlb has not stopped in time, since the controller is busy: it ends now");
    Ok(())
}

/// The next event; `None` if there is none before the deadline.
fn next_event(events: &Receiver<Event>, deadline: Option<Instant>) -> Option<Event> {
    match deadline {
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            events.recv_timeout(left).ok()
        }
        None => events.recv().ok(),
    }
}

/// If the address space is limited, executes txlb again with one heap for all threads. glibc
/// reserves 64 MiB of addresses for each thread's heap, so a dozen of them can use up the
/// limit.
fn limit_heaps() {
    const HEAPS: &str = "MALLOC_ARENA_MAX";
    let is_gnu = cfg!(all(target_os = "linux", target_env = "gnu"));
    if !is_gnu || resources::address_space_limit().is_none() || std::env::var_os(HEAPS).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let error = Command::new(executable())
        .arg0(arguments.next().unwrap_or_default())
        .args(arguments)
        .env(HEAPS, "1")
        .exec();
    // txlb runs with many heaps, as it did without a limit.
    let _ = exit::print_error(&format!(
        "txlb: address space is limited, and the program cannot be started again to save some: {error}"
    ));
}

/// Raises the limit of descriptors to the maximum; returns what it was before.
fn raise_limit() -> Option<u64> {
    match resources::raise_descriptor_limit() {
        Ok(limit) => limit.before,
        Err(error) => {
            log::warn!("cannot raise the limit of descriptors: {error}");
            resources::descriptor_limit()
        }
    }
}

fn log_start(status: &Status) {
    let Status {
        version,
        name,
        process,
        workers,
        ..
    } = status;
    let (workers, name) = (plural(*workers, "worker"), name.escape_debug());
    log::info!("txlb {version} runs as process {process} with {workers}, named {name}");
}

fn log_descriptors(before: Option<u64>, sessions: usize) {
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

fn admin_server_exit(error: &AdminServerError) -> Exit {
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
        Error::Listen { .. }
        | Error::ListenName { .. }
        | Error::ListenTwice { .. }
        | Error::ListenDiffers { .. }
        | Error::ListenInherited { .. } => Exit::CANNOT_BIND,
        Error::ClientAddresses => Exit::NO_PERMISSION,
        Error::Descriptors { .. } => Exit::NO_DESCRIPTORS,
        _ => Exit::OTHER,
    };
    Exit::new(status, &format!("txlb: {error}"))
}

/// Time between cutting the sessions off and exiting: for resets to be sent, and for the PID
/// file and the control socket to be removed.
const CUT_OFF_TIME: Duration = Duration::from_millis(250);

/// Time for sessions after SIGTERM while the main thread is still starting.
const START_GRACE: Duration = Duration::from_secs(5);

/// How soon after the first one a signal to stop is the same: timeout(1) sends its signal to the
/// process and then to its group, and others do what amounts to that. People who lose their
/// patience take longer.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// What a signal is taken for.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// For what it is.
    Itself,
    /// For one that has come already.
    Repetition,
    /// The operator does not want to wait any longer.
    EndNow,
}

/// The signals to stop that have come. Time is an argument.
#[derive(Debug, Default)]
struct StopSignals {
    /// When the first one came, and which of them leaves sessions the least time.
    seen: Option<(Instant, Signal)>,
}

impl StopSignals {
    /// What a signal that comes now is taken for.
    fn meaning(&mut self, signal: Signal, now: Instant) -> Meaning {
        if !matches!(signal, Signal::Stop | Signal::Quit) {
            return Meaning::Itself;
        }
        match &mut self.seen {
            None => self.seen = Some((now, signal)),
            Some((first, _)) if now.saturating_duration_since(*first) >= SAME_SIGNAL => {
                return Meaning::EndNow;
            }
            Some((_, urgent)) if *urgent == Signal::Quit && signal == Signal::Stop => {
                *urgent = signal;
            }
            Some(_) => return Meaning::Repetition,
        }
        Meaning::Itself
    }
}

/// Takes signals, and ends the process on those that the main thread may not be able to handle.
/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shutdown(Arc<ShutdownState>);

struct ShutdownState {
    is_starting: Arc<AtomicBool>,
    stop_signals: Mutex<StopSignals>,
    is_attended: AtomicBool,
    workers: OnceLock<Liveness>,
}

impl Shutdown {
    /// From here on TERM, INT and QUIT end the process in the signal handler. The main thread may
    /// hang in a name lookup.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn prepare() -> io::Result<Shutdown> {
        let is_starting = Arc::new(AtomicBool::new(true));
        for signal in [SIGTERM, SIGINT, SIGQUIT] {
            let status = Exit::ENDED_EARLY.into();
            register_conditional_shutdown(signal, status, Arc::clone(&is_starting))?;
        }
        Ok(Shutdown(Arc::new(ShutdownState {
            is_starting,
            stop_signals: Mutex::default(),
            is_attended: AtomicBool::new(false),
            workers: OnceLock::new(),
        })))
    }

    /// From here on signals end sessions in order. Called before the first worker accepts: an exit
    /// in a handler would cut its client off.
    pub(crate) fn begin_graceful(&self) {
        self.0.is_starting.store(false, Ordering::Release);
    }

    /// Says which workers reset their sessions at the second signal.
    pub(crate) fn set_liveness(&self, workers: Liveness) {
        // It is called once.
        let _ = self.0.workers.set(workers);
    }

    /// From here on the main thread handles signals.
    pub(crate) fn set_attended(&self) {
        self.0.is_attended.store(true, Ordering::Release);
    }

    /// Passes a signal on to the main thread. Does not return from a second one to stop.
    fn pass_on(&self, signal: Signal, events: &Sender<Event>) {
        let meaning = lock(&self.0.stop_signals).meaning(signal, Instant::now());
        let event = match meaning {
            Meaning::Itself => Event::Signal(signal),
            Meaning::Repetition => return,
            Meaning::EndNow => Event::EndNow,
        };
        // The main thread may have ended.
        drop(events.send(event));
        if meaning == Meaning::EndNow {
            self.exit_now(0);
        }
        if signal == Signal::Stop && !self.0.is_attended.load(Ordering::Acquire) {
            let late = self.clone();
            // If no thread can be started, the main thread ends the process later.
            let _ = thread::Builder::new()
                .name("ending".to_owned())
                .spawn(move || late.exit_unless_attended());
        }
    }

    /// The main thread may hang in resolving the address of an admin interface.
    fn exit_unless_attended(&self) {
        thread::sleep(START_GRACE);
        if !self.0.is_attended.load(Ordering::Acquire) {
            self.exit_now(Exit::ENDED_EARLY.into());
        }
    }

    fn exit_now(&self, status: i32) -> ! {
        if let Some(workers) = self.0.workers.get() {
            workers.cut_sessions();
        }
        thread::sleep(CUT_OFF_TIME);
        low_level::exit(status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_stop_that_comes_twice_at_once_is_one_and_a_later_one_ends_txlb() {
        use Signal::{Quit, Reload, Stop};
        let start = Instant::now();
        for (signals, expected) in [
            (&[(Stop, 0), (Stop, 3)][..], Meaning::Repetition),
            (&[(Stop, 0), (Quit, 499)], Meaning::Repetition),
            (&[(Stop, 0), (Stop, 499), (Stop, 500)], Meaning::EndNow),
            (&[(Quit, 0), (Quit, 500)], Meaning::EndNow),
            // It leaves sessions less time.
            (&[(Quit, 0), (Stop, 3)], Meaning::Itself),
            (&[(Quit, 0), (Stop, 3), (Quit, 4)], Meaning::Repetition),
            (&[(Quit, 0), (Stop, 3), (Stop, 500)], Meaning::EndNow),
            (&[(Reload, 0), (Stop, 600)], Meaning::Itself),
            (&[(Stop, 0), (Reload, 600)], Meaning::Itself),
        ] {
            let mut seen = StopSignals::default();
            let last = signals.iter().fold(None, |_, (signal, ms)| {
                Some(seen.meaning(*signal, start + Duration::from_millis(*ms)))
            });
            assert_eq!(last, Some(expected), "{signals:?}");
        }
    }

    #[test]
    fn a_stop_is_not_waited_for_beyond_its_deadline() {
        let (events, incoming) = channel();
        assert!(next_event(&incoming, Some(Instant::now())).is_none());
        events.send(Event::Signal(Signal::Reload)).unwrap();
        let event = next_event(&incoming, Some(Instant::now() + STOP_TIMEOUT));
        assert!(matches!(event, Some(Event::Signal(Signal::Reload))));
    }
}
