//! The controller thread: owns the configuration, serves one request after the other, and handles
//! signals in between.
//!
//! Its handle is in `handle`; how it changes the configuration is in `changes`.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use log::Level;

use super::apply::Reconfigure;
use super::config_file::File;
use super::data_plane::{DataPlane, RetryOutcome};
use super::ending::Ending;
use super::handle::{
    Actor, CAPACITY, GRACE, Handle, Message, QueuedRequest, Request, Response, push_clean,
};
use super::ready_verbs::RESIGNED;
use super::save::Autosave;
use super::signals::{CLOSE, PendingSignals, Signal, bit};
use super::status::Outcome;
use super::undo::UndoHistory;
use super::upgrade::Upgrade;
use super::watch::FileWatch;
use crate::calendar::since_1970_ms;
use crate::config::verb::{Action, Batch, Command, HostKey, Verb, diff};
use crate::config::{Config, Reading};
use crate::log_targets;
use crate::relay::{HostName, Topic};

/// Name of the thread.
const THREAD: &str = "director";

/// How long a drop waits for the thread to end. The thread may take longer.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The same while a signal to stop has not been handled: the controller waits for a name server or
/// a disk, and the sender of the signal must not.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// How long workers may take to close their listeners. They take a second where clients come
/// faster than they are accepted.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long workers may take to list sessions.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// Error text where txlb has no configuration file.
pub(super) const NO_FILE: &str = "there is no configuration file: txlb was started without one";

/// The configuration file and its contents.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) file: File,
    pub(super) config: Config,
}

impl Stored {
    pub(super) fn new(file: File, config: Config) -> Stored {
        Stored { file, config }
    }
}

/// The controller's thread. Dropping it ends the thread, the data plane and all sessions.
#[derive(Debug)]
pub struct ControllerThread {
    handle: Handle,
    /// Hangs up when the thread has ended. In a lock, so that threads can share this type.
    over: Mutex<Receiver<()>>,
}

impl ControllerThread {
    /// Starts the controller of a data plane that has just started. `file` is the one that its
    /// configuration was read from.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(
        data_plane: DataPlane,
        file: Option<(File, Reading)>,
        reconfigurables: Vec<Box<dyn Reconfigure>>,
    ) -> io::Result<ControllerThread> {
        let (requests, incoming) = sync_channel(CAPACITY);
        let (running, over) = sync_channel(0);
        let signals = Arc::<PendingSignals>::default();
        let theirs = Arc::clone(&signals);
        let watch = data_plane.panic_guard.watch(THREAD);
        let workers = data_plane.liveness();
        let controller = Controller::new(data_plane, file, reconfigurables);
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                let _running: SyncSender<()> = running;
                let mut controller = controller;
                // Dropped before the data plane, which ends all subscriptions.
                let _watch = watch;
                controller.run(&incoming, &theirs);
            })?;
        Ok(ControllerThread {
            handle: Handle {
                requests,
                signals,
                workers,
            },
            over: Mutex::new(over),
        })
    }

    /// A handle to the controller.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for ControllerThread {
    fn drop(&mut self) {
        self.handle.send_signal(CLOSE);
        // Nothing is sent: this waits for the thread to hang up.
        let over = self.over.get_mut().unwrap_or_else(PoisonError::into_inner);
        let hung = over.recv_timeout(BUSY_TIMEOUT) == Err(RecvTimeoutError::Timeout);
        if hung && !self.handle.signals.has_stop() {
            let _ = over.recv_timeout(END_TIMEOUT.saturating_sub(BUSY_TIMEOUT));
        }
    }
}

/// State of the controller thread.
pub(super) struct Controller {
    pub(super) data_plane: DataPlane,
    /// The configuration file, if there is one.
    pub(super) stored: Option<Stored>,
    pub(super) reconfigurables: Vec<Box<dyn Reconfigure>>,
    pub(super) autosave: Autosave,
    pub(super) watch: FileWatch,
    pub(super) stopping: bool,
    /// What only one process can have is released, at once or after the upgrade that is under way.
    pub(super) is_draining: bool,
    /// Another process has taken over.
    pub(super) is_replaced: bool,
    pub(super) ending: Ending,
    pub(super) history: UndoHistory,
    pub(super) last_reload: Option<Outcome>,
    pub(super) last_save: Option<Outcome>,
    /// The upgrade that is under way.
    pub(super) upgrade: Option<Upgrade>,
    /// Changes that are not in the file; `None` while not computed.
    unsaved: Option<Vec<Verb>>,
}

impl Controller {
    pub(super) fn new(
        data_plane: DataPlane,
        file: Option<(File, Reading)>,
        reconfigurables: Vec<Box<dyn Reconfigure>>,
    ) -> Controller {
        let autosave = Autosave::new(data_plane.config().manager.config_check, Instant::now());
        let mut controller = Controller {
            data_plane,
            stored: None,
            reconfigurables,
            autosave,
            watch: FileWatch::default(),
            stopping: false,
            is_draining: false,
            is_replaced: false,
            ending: Ending::default(),
            history: UndoHistory::default(),
            last_reload: None,
            last_save: None,
            upgrade: None,
            unsaved: None,
        };
        if let Some((file, reading)) = file {
            controller.warn(&file, &reading.warnings);
            controller.stored = Some(Stored::new(file, reading.config));
        }
        controller.set_tasks();
        controller.announce_listeners(&[]);
        controller
    }

    /// Serves requests until the controller is closed.
    pub(super) fn run(&mut self, requests: &Receiver<Message>, signals: &PendingSignals) {
        loop {
            let pending = signals.take();
            if pending & CLOSE != 0 {
                // A drop may overtake a signal to stop.
                let to_stop = bit(Signal::Stop) | bit(Signal::Quit);
                return self.handle_signals(pending & to_stop, signals);
            }
            self.handle_signals(pending, signals);
            // A process that takes over would not know of it.
            let may_change = self.upgrade.is_none();
            if may_change {
                if self.autosave.is_due(Instant::now()) {
                    self.autosave_if_changed();
                }
                self.look_at_file();
            }
            self.ending.run(&self.data_plane);
            let now = Instant::now();
            let timeouts = [
                self.autosave.poll_timeout(now).filter(|_| may_change),
                self.watch.poll_timeout(now).filter(|_| may_change),
                self.ending.poll_timeout(self.data_plane.now_ms()),
            ];
            let request = match timeouts.into_iter().flatten().min() {
                Some(timeout) => requests.recv_timeout(timeout),
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(Message::Execute(request)) => self.execute_if_current(*request),
                Ok(Message::Look) | Err(RecvTimeoutError::Timeout) => {}
                // Who asked may have given up.
                Ok(Message::History(answer)) => drop(answer.send(self.history())),
                Ok(Message::Open(answer)) => drop(answer.send(self.data_plane.open())),
                Ok(Message::UpgradeEnded(outcome, done)) => {
                    let _ = done.send(self.end_upgrade(outcome));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn handle_signals(&mut self, pending: u8, signals: &PendingSignals) {
        let came = |signal| pending & bit(signal) != 0;
        let stops = self.stopping || came(Signal::Stop) || came(Signal::Quit);
        if came(Signal::Replace) {
            let begun = self.begin_upgrade(&Actor::Signal("USR2"), None);
            if let Err(why) = begun {
                self.record(
                    Topic::Error,
                    &format!("the upgrade by USR2 is refused: {why}"),
                );
            }
        }
        if came(Signal::Reload) && self.postpone_reload() {
            log::info!(target: log_targets::CONTROL, "the reload waits until the upgrade is over");
        } else if came(Signal::Reload) && !stops {
            self.handle_hup();
        } else if came(Signal::Reload) || came(Signal::Reopen) {
            self.reopen_or_complain();
        }
        if came(Signal::Quit) {
            self.drain(None);
        }
        if came(Signal::Stop) {
            // Workers got their message when the signal came. The grace counts from then.
            let since = signals.stop.get().map_or(Duration::ZERO, Instant::elapsed);
            let since = Duration::from_secs(since.as_secs());
            self.stop(Some(GRACE.saturating_sub(since)));
        }
    }

    /// Executes a request, unless another configuration than the expected one is in force.
    fn execute_if_current(&mut self, request: QueuedRequest) {
        let QueuedRequest {
            actor,
            request,
            expected_generation,
            response,
        } = request;
        let generation = self.data_plane.generation();
        let wait = match &request {
            Request::Command(Command::Change(verb)) => {
                verb.drain_wait().map(|(host, wait)| (Some(host), wait))
            }
            Request::Command(Command::Action(Action::Resign { wait: Some(wait) })) => {
                Some((None, *wait))
            }
            _ => None,
        };
        let answer = match expected_generation {
            Some(expected_generation) if expected_generation != generation => self.answer(Err(format!(
                "the configuration has changed meanwhile (generation {generation}, not {expected_generation}): \
                 look again before you change it"
            ))),
            _ if let Request::Command(Command::Action(Action::Upgrade)) = request => {
                let Err(why) = self.begin_upgrade(&actor, Some(response.clone())) else {
                    return;
                };
                self.answer(Err(why))
            }
            _ if changes(&request) && let Err(why) = self.refuse_while_upgrading() => {
                self.answer(Err(why))
            }
            _ if wait.is_some() && let Err(why) = self.ending.may_wait() => self.answer(Err(why)),
            _ => self.execute(&actor, request),
        };
        if let Some((host, wait)) = wait
            && answer.outcome.is_ok()
            && let Some(waiter) = match &host {
                Some(host) => self.waiter(host, wait, &response),
                None => Some(self.wait_for(Vec::new(), wait, RESIGNED, &response)),
            }
        {
            return self.ending.wait(waiter);
        }
        // The client may have gone: what was done stays done.
        let _ = response.send(answer);
    }

    fn execute(&mut self, actor: &Actor, request: Request) -> Response {
        match request {
            Request::Change(verbs) => self.change(actor, &verbs),
            Request::Command(Command::Change(verb)) => self.change(actor, &[verb]),
            Request::Command(Command::Action(action)) => self.act(actor, &action),
            Request::Command(Command::Question(question)) => self.answer_question(&question),
            Request::Command(Command::Batch(batch)) => self.answer(Err(no_batch(batch))),
        }
    }

    pub(super) fn answer(&self, outcome: Result<String, String>) -> Response {
        Response::new(outcome, self.data_plane.generation())
    }

    fn act(&mut self, actor: &Actor, action: &Action) -> Response {
        let shown = Command::Action(action.clone()).to_string();
        let answer = match action {
            Action::RetryHost { host } => {
                let outcome = self.retry(host);
                self.answer(outcome)
            }
            Action::Undo { change, force } => self.undo(actor, *change, *force),
            Action::SaveConfig { force } => self.save(*force),
            Action::Reload { force } => self.reload(actor, *force),
            Action::EndSession { id } => {
                let outcome = self.end_session(*id);
                self.answer(outcome).with_message()
            }
            Action::EndSessions {
                selection,
                rate,
                force,
            } => {
                let outcome = self.end_selected(selection, *rate, *force);
                self.answer(outcome).with_message()
            }
            Action::Rebalance {
                service,
                group,
                rate,
            } => {
                let outcome = self.rebalance(service, group.as_deref(), *rate);
                self.answer(outcome).with_message()
            }
            Action::Resign { .. } => self.resign(true),
            Action::Resume => self.resign(false),
            // Answered by `execute_if_current`, later.
            Action::Upgrade => self.answer(Err("an upgrade is no part of this".to_owned())),
            Action::ReopenLog => {
                let outcome = self.reopen();
                self.answer(outcome.map(|()| String::new()))
            }
            Action::Shutdown { grace } => {
                let message = match grace {
                    Some(grace) => self.drain(Some(*grace)),
                    None => self.stop(Some(GRACE)),
                };
                self.answer(Ok(message))
            }
        };
        let generation = answer.generation;
        match &answer.outcome {
            Ok(_) => {
                let text = format!("generation {generation}: {shown}; by {actor}");
                match action {
                    // These have recorded what they did themselves.
                    Action::Reload { .. } | Action::Undo { .. } => {
                        log::info!(target: log_targets::CONTROL, "{text}");
                    }
                    Action::SaveConfig { .. } => self.record(Topic::Save, &text),
                    _ => self.record(Topic::Change, &text),
                }
            }
            Err(why) => {
                log::info!(target: log_targets::CONTROL, "refused: {shown}; by {actor}: {why}");
            }
        }
        answer
    }

    fn retry(&mut self, host: &HostKey) -> Result<String, String> {
        let config = self.data_plane.config();
        if !self.data_plane.members.has(host) {
            host.check(config).map_err(|error| error.to_string())?;
        }
        let name = HostName {
            service: host.group.service.clone(),
            group: host.group.group.clone(),
            host: host.name.clone(),
        };
        let name = name.to_string().escape_debug().to_string();
        Ok(match self.data_plane.retry_host(host) {
            RetryOutcome::Untried(why) => {
                let why = why.to_string();
                let why = why.escape_debug();
                format!("host {name} is reset to untried (was failed: {why})")
            }
            RetryOutcome::Resolving => {
                format!("host {name} has no address: its name is resolved again")
            }
            RetryOutcome::NotFailed => format!("host {name} has not failed"),
        })
    }

    /// Stops, and releases what a successor needs: listeners, control socket and PID file.
    pub(super) fn drain(&mut self, grace: Option<Duration>) -> String {
        let (message, closed) = self.start_stop(grace);
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        // Each worker hangs up once; nothing is sent.
        while closed
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
        // The file belongs to the successor now.
        self.autosave.disable();
        self.is_draining = true;
        // The new process of an upgrade has the listeners until it is ended.
        if self.upgrade.is_none() {
            self.release();
        }
        message
    }

    /// Releases what only one process can have.
    pub(super) fn release(&mut self) {
        let before = self.reconfigurables.len();
        self.reconfigurables
            .retain_mut(|reconfigurable| reconfigurable.release());
        if self.reconfigurables.len() < before && !self.is_replaced {
            log::info!(
                target: log_targets::CONTROL,
                "process {} listens nowhere any more, and has released its control socket and \
                 PID file: another txlb can start",
                std::process::id()
            );
        }
    }

    fn stop(&mut self, grace: Option<Duration>) -> String {
        self.start_stop(grace).0
    }

    /// Stops. The receiver hangs up when all listeners are closed.
    fn start_stop(&mut self, grace: Option<Duration>) -> (String, Receiver<()>) {
        self.stopping = true;
        self.cancel_upgrade();
        self.watch.set(false, Instant::now());
        self.ending.stop();
        let open = self.data_plane.open();
        let message = match (open, grace.map(|grace| grace.as_secs_f64())) {
            (0, _) => "stopping: no session is open".to_owned(),
            (1, Some(left)) => format!("stopping: 1 session has {left} s left"),
            (_, Some(left)) => format!("stopping: {open} sessions have {left} s left"),
            (1, None) => "stopping once the open session is over".to_owned(),
            (_, None) => format!("stopping once the last of {open} sessions is over"),
        };
        log::info!(target: log_targets::CONTROL, "{message}");
        let closed = self.data_plane.stop_listening(grace);
        (message, closed)
    }

    /// The verbs that lead from the stored configuration to the running one; none without a file.
    pub(super) fn unsaved(&mut self) -> &[Verb] {
        let unsaved = self.unsaved.take().unwrap_or_else(|| {
            let stored = self.stored.as_ref();
            stored.map_or_else(Vec::new, |stored| {
                diff(&stored.config, self.data_plane.config())
            })
        });
        self.unsaved.insert(unsaved)
    }

    /// Call this when the running or the stored configuration has changed.
    pub(super) fn forget_unsaved(&mut self) {
        self.unsaved = None;
    }

    fn reopen(&mut self) -> Result<(), String> {
        let config = self.data_plane.config();
        let failed = self
            .reconfigurables
            .iter_mut()
            .filter_map(|it| it.reopen(config).err());
        let mut errors: Vec<String> = failed.collect();
        if !self.stopping && self.upgrade.is_none() {
            let listened = self.data_plane.listen_at_lost_files();
            errors.extend(listened.err().map(|error| error.to_string()));
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors.join("; ")),
        }
    }

    /// Logs an event, and adds it to the recent events.
    pub(super) fn record(&self, topic: Topic, text: &str) {
        let level = match topic {
            Topic::Error => Level::Error,
            _ => Level::Info,
        };
        log::log!(target: log_targets::CONTROL, level, "{text}");
        let mut noted = String::new();
        push_clean(text, &mut noted);
        self.data_plane.record_event(topic, noted);
    }

    pub(super) fn reopen_or_complain(&mut self) {
        if let Err(error) = self.reopen() {
            self.record(Topic::Error, &error);
        }
    }
}

/// The outcome of an operation that just ended.
pub(super) fn outcome<T>(result: &Result<T, String>) -> Outcome {
    Outcome {
        wall_ms: since_1970_ms(SystemTime::now()),
        result: result.as_ref().map(drop).map_err(Clone::clone),
    }
}

/// Whether a request changes something that another process would have to know.
fn changes(request: &Request) -> bool {
    match request {
        Request::Change(_) | Request::Command(Command::Change(_)) => true,
        Request::Command(Command::Action(action)) => match action {
            Action::Undo { .. }
            | Action::SaveConfig { .. }
            | Action::Reload { .. }
            | Action::Resign { .. }
            | Action::Resume
            | Action::Shutdown { .. } => true,
            Action::RetryHost { .. }
            | Action::EndSession { .. }
            | Action::EndSessions { .. }
            | Action::Rebalance { .. }
            | Action::Upgrade
            | Action::ReopenLog => false,
        },
        Request::Command(Command::Question(_) | Command::Batch(_)) => false,
    }
}

fn no_batch(batch: Batch) -> String {
    let name = Command::Batch(batch).name();
    format!("{name} is understood only between lines of one conversation")
}
