//! What the supervisor, systemd say, is told: when txlb is ready, reloads, stops, and
//! that its workers go round. Without `NOTIFY_SOCKET` nobody is told anything.
//!
//! How a message gets there is `os::notify`'s business.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use txlb::config::Config;
use txlb::control::{Commit, Handle, Liveness, Reconfigure, Signal, Status};
use txlb::os::notify::{Message, Notifier, watchdog};

/// How often the status is told again without anything having happened: it counts
/// sessions.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

/// The supervisor. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Supervisor(Option<Arc<Notifications>>);

/// A line to it.
struct Notifications {
    notifier: Notifier,
    pending: Mutex<Pending>,
    /// Rings when there is news.
    changed: Condvar,
}

/// What has happened that it is yet to be told of.
#[derive(Default)]
struct Pending {
    /// Something that the status tells.
    has_status: bool,
    /// A reload that it knows to have begun.
    has_reload: bool,
}

impl Supervisor {
    /// The one this process has, if it has one. Should come early: the socket may be out
    /// of sight later.
    pub(crate) fn from_environment() -> Supervisor {
        let notifier = Notifier::from_environment().unwrap_or_else(|error| {
            log::warn!("cannot tell NOTIFY_SOCKET anything: {error}");
            None
        });
        let notifications = |notifier| Notifications {
            notifier,
            pending: Mutex::default(),
            changed: Condvar::new(),
        };
        Supervisor(notifier.map(notifications).map(Arc::new))
    }

    /// Has the status told again after changes.
    pub(crate) fn fixture(&self) -> Box<dyn Reconfigure> {
        Box::new(self.clone())
    }

    /// Says that txlb is ready, and from now on what becomes of it.
    ///
    /// # Errors
    /// The system's, if it has no thread for it.
    pub(crate) fn start(&self, handle: &Handle, liveness: Liveness) -> io::Result<()> {
        let Some(notifications) = &self.0 else {
            return Ok(());
        };
        notifications.tell(&Message::ready().with_status(&summary(&handle.status())));
        let (reporter, handle) = (Arc::clone(notifications), handle.clone());
        thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || reporter.report_status(|| handle.status()))?;
        let Some(limit) = watchdog() else {
            return Ok(());
        };
        let feeder = Arc::clone(notifications);
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || feeder.feed_watchdog(limit / 2, |patience| liveness.go_on(patience)))?;
        Ok(())
    }

    /// Passes a signal on to the desk, and tells what it begins.
    pub(crate) fn forward_signal(&self, signal: Signal, handle: &Handle) {
        let Some(notifications) = &self.0 else {
            return handle.signal(signal);
        };
        match signal {
            Signal::Reload => notifications.tell(&Message::reloading()),
            Signal::Stop => notifications.tell(&Message::stopping()),
            // Whoever is told that txlb stops gives it a time to end in, and then kills
            // it: QUIT is to last as long as the sessions do.
            _ => {}
        }
        handle.signal(signal);
        // Only now: whoever asks the desk from here on gets its turn after the reload.
        notifications.wake(signal == Signal::Reload);
    }

    /// Says that txlb ends, if it has not been said.
    pub(crate) fn notify_stopping(&self) {
        if let Some(notifications) = &self.0 {
            notifications.tell(&Message::stopping());
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
    fn tell(&self, message: &Message) {
        if let Err(error) = self.notifier.tell(message) {
            log::warn!("the supervisor cannot be told: {error}");
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Two flags are never half changed.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, has_reload: bool) {
        let mut pending = self.pending();
        pending.has_status = true;
        pending.has_reload |= has_reload;
        self.changed.notify_one();
    }

    /// Waits for news, or until it is time to look in any case.
    fn wait_pending(&self) -> Pending {
        let waited = self
            .changed
            .wait_timeout_while(self.pending(), STATUS_INTERVAL, |pending| {
                !pending.has_status
            });
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut pending)
    }

    /// Tells how everything is, whenever that has changed, and that a reload is over.
    /// `status` is what the desk says when it is done with what came before.
    fn report_status(&self, status: impl Fn() -> Status) {
        let mut told = String::new();
        loop {
            let pending = self.wait_pending();
            let summary = summary(&status());
            if pending.has_reload {
                self.tell(&Message::ready().with_status(&summary));
            } else if summary != told {
                self.tell(&Message::default().with_status(&summary));
            }
            told = summary;
        }
    }

    /// Feeds the watchdog every `period`, for as long as the workers go round.
    fn feed_watchdog(&self, period: Duration, go_on: impl Fn(Duration) -> bool) {
        loop {
            // Even a late answer is in time: it is due once in two periods.
            if go_on(period / 2) {
                self.tell(&Message::alive());
            } else {
                log::error!("a worker gives no sign of life: the watchdog is not fed");
            }
            thread::sleep(period);
        }
    }
}

/// How everything is, in a line.
fn summary(status: &Status) -> String {
    let sessions = number(status.open, "session");
    if status.stopping {
        return format!("stopping: {sessions} open");
    }
    let services = number(status.services.len(), "service");
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

fn number(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
