//! sd_notify: notifies systemd or another supervisor of start, reload, stop and liveness.
//!
//! Without `NOTIFY_SOCKET` it does nothing.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use txlb::config::Config;
use txlb::control::{Commit, Handle, Liveness, Reconfigure, Signal, Status};
use txlb::os::notify::{Message, Notifier, watchdog_interval};
use txlb::sync::lock;
use txlb::text::plural;

/// How often the status is sent without a change, since it counts open sessions.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

/// The supervisor, if there is one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Supervisor(Option<Arc<Notifications>>);

/// The socket, and what is yet to be sent.
struct Notifications {
    notifier: Notifier,
    pending: Mutex<Pending>,
    /// It listens to another process.
    is_over: AtomicBool,
    /// Signalled when `pending` changes.
    changed: Condvar,
}

/// What is yet to be sent.
#[derive(Default)]
struct Pending {
    /// The status has changed.
    has_status: bool,
    /// A reload has begun, which the supervisor knows of.
    has_reload: bool,
}

impl Supervisor {
    /// Connects to `NOTIFY_SOCKET`. Call it early: after chroot(2) the path may lead nowhere.
    pub(crate) fn from_environment() -> Supervisor {
        let notifier = Notifier::from_environment().unwrap_or_else(|error| {
            log::warn!("cannot use NOTIFY_SOCKET: {error}");
            None
        });
        let notifications = |notifier| Notifications {
            notifier,
            pending: Mutex::default(),
            is_over: AtomicBool::new(false),
            changed: Condvar::new(),
        };
        Supervisor(notifier.map(notifications).map(Arc::new))
    }

    /// Sends the status again after each change of the configuration.
    pub(crate) fn status_update(&self) -> Box<dyn Reconfigure> {
        Box::new(self.clone())
    }

    /// Reports that txlb is ready, and starts the threads that report its status and feed the
    /// watchdog.
    ///
    /// # Errors
    /// The system's, if it has no thread left.
    pub(crate) fn start(&self, handle: &Handle, liveness: Liveness) -> io::Result<()> {
        let Some(notifications) = &self.0 else {
            return Ok(());
        };
        notifications.send(&Message::ready().with_status(&summary(&handle.status())));
        let (reporter, handle) = (Arc::clone(notifications), handle.clone());
        thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || reporter.report_status(|| handle.status()))?;
        let Some(limit) = watchdog_interval() else {
            return Ok(());
        };
        let feeder = Arc::clone(notifications);
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                feeder.feed_watchdog(limit / 2, |timeout| liveness.none_hangs(timeout));
            })?;
        Ok(())
    }

    /// Forwards a signal to the controller, and reports what it begins.
    pub(crate) fn forward_signal(&self, signal: Signal, handle: &Handle) {
        let Some(notifications) = &self.0 else {
            return handle.signal(signal);
        };
        match signal {
            Signal::Reload => notifications.send(&Message::reloading()),
            Signal::Stop => notifications.send(&Message::stopping()),
            // systemd kills the service TimeoutStopSec after STOPPING=1. So QUIT does not send it
            // here but at the end: it lasts as long as the sessions do. EXTEND_TIMEOUT_USEC would
            // get past a limit that an administrator has set. Test:
            // after_quit_it_is_alive_until_the_last_session_is_over.
            _ => {}
        }
        handle.signal(signal);
        // After the signal: the controller obeys signals between requests, so the status is
        // answered after the reload. Test:
        // a_reload_is_told_from_its_beginning_to_its_end_however_it_ends.
        notifications.wake(signal == Signal::Reload);
    }

    /// Reports that another process is the main one from now on, and nothing after that.
    pub(crate) fn hand_over(&self, process: u32) {
        if let Some(notifications) = &self.0 {
            notifications.send(&Message::main_process(process));
            notifications.is_over.store(true, Ordering::Release);
        }
    }

    /// Reports that txlb stops, if that was not sent before.
    pub(crate) fn notify_stopping(&self) {
        if let Some(notifications) = &self.0 {
            notifications.send(&Message::stopping());
        }
    }
}

impl Reconfigure for Supervisor {
    fn prepare(&mut self, _now: &Config, _next: &Config) -> Result<Option<Commit>, String> {
        let notifications = self.0.clone();
        Ok(notifications
            .map(|notifications| -> Commit { Box::new(move || notifications.wake(false)) }))
    }
}

impl Notifications {
    /// Whether the supervisor listens to another process now.
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn send(&self, message: &Message) {
        if self.is_over() {
            return;
        }
        if let Err(error) = self.notifier.send(message) {
            log::warn!("cannot notify the supervisor: {error}");
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Two flags are consistent even after a panic.
        lock(&self.pending)
    }

    fn wake(&self, has_reload: bool) {
        let mut pending = self.pending();
        pending.has_status = true;
        pending.has_reload |= has_reload;
        self.changed.notify_one();
    }

    /// Waits for a change, or for the interval.
    fn wait_pending(&self) -> Pending {
        let waited = self
            .changed
            .wait_timeout_while(self.pending(), STATUS_INTERVAL, |pending| {
                !pending.has_status
            });
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut pending)
    }

    /// Sends the status when it changes and when a reload is over. `status` waits for the
    /// controller to finish what came before.
    fn report_status(&self, status: impl Fn() -> Status) {
        let mut reported = String::new();
        loop {
            let pending = self.wait_pending();
            if self.is_over() {
                return;
            }
            let summary = summary(&status());
            if pending.has_reload {
                self.send(&Message::ready().with_status(&summary));
            } else if summary != reported {
                self.send(&Message::default().with_status(&summary));
            }
            reported = summary;
        }
    }

    /// Feeds the watchdog every `period` while all workers answer.
    fn feed_watchdog(&self, period: Duration, go_on: impl Fn(Duration) -> bool) {
        while !self.is_over() {
            // A late answer is still in time: systemd expects one in two periods.
            if go_on(period / 2) {
                self.send(&Message::alive());
            } else {
                log::error!("a worker gives no sign of life: the watchdog is not fed");
            }
            thread::sleep(period);
        }
    }
}

/// The status in one line.
fn summary(status: &Status) -> String {
    let sessions = plural(status.open, "session");
    if status.stopping {
        return format!("stopping: {sessions} open");
    }
    let services = plural(status.services.len(), "service");
    let generation = status.generation;
    let serving = format!("serving {services}, {sessions} open, generation {generation}");
    match &status.stored.last_reload {
        Some(outcome) => match &outcome.result {
            Ok(()) => serving,
            Err(why) => format!("{serving}; the last reload failed: {why}"),
        },
        None => serving,
    }
}
