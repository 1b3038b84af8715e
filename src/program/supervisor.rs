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
use txlb::os::notify::{Message, Notifier, watchdog_interval};

/// How often the status is told again without anything having happened: it counts
/// sessions.
const RENEWAL: Duration = Duration::from_secs(30);

/// The supervisor. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Supervisor(Option<Arc<Line>>);

/// A line to it.
struct Line {
    notifier: Notifier,
    news: Mutex<News>,
    /// Rings when there is news.
    bell: Condvar,
}

/// What has happened that it is yet to be told of.
#[derive(Default)]
struct News {
    /// Something that the status tells.
    any: bool,
    /// A reload that it knows to have begun.
    reload: bool,
}

impl Supervisor {
    /// The one this process has, if it has one. Should come early: the socket may be out
    /// of sight later.
    pub(crate) fn from_environment() -> Supervisor {
        let notifier = Notifier::from_environment().unwrap_or_else(|error| {
            log::warn!("cannot tell NOTIFY_SOCKET anything: {error}");
            None
        });
        let line = |notifier| Line {
            notifier,
            news: Mutex::default(),
            bell: Condvar::new(),
        };
        Supervisor(notifier.map(line).map(Arc::new))
    }

    /// Has the status told again after changes.
    pub(crate) fn fixture(&self) -> Box<dyn Reconfigure> {
        Box::new(self.clone())
    }

    /// Says that txlb is ready, and from now on what becomes of it.
    ///
    /// # Errors
    /// The system's, if it has no thread for it.
    pub(crate) fn attend(&self, desk: &Handle, liveness: Liveness) -> io::Result<()> {
        let Some(line) = &self.0 else { return Ok(()) };
        line.tell(&Message::ready().with_status(&summary(&desk.status())));
        let (teller, desk) = (Arc::clone(line), desk.clone());
        thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || teller.follow(|| desk.status()))?;
        let Some(limit) = watchdog_interval() else {
            return Ok(());
        };
        let feeder = Arc::clone(line);
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || feeder.feed(limit / 2, |patience| liveness.none_hangs(patience)))?;
        Ok(())
    }

    /// Passes a signal on to the desk, and tells what it begins.
    pub(crate) fn pass_on(&self, signal: Signal, desk: &Handle) {
        let Some(line) = &self.0 else {
            return desk.signal(signal);
        };
        match signal {
            Signal::Reload => line.tell(&Message::reloading()),
            Signal::Stop => line.tell(&Message::stopping()),
            // Whoever is told that txlb stops gives it a time to end in, and then kills
            // it: QUIT is to last as long as the sessions do.
            _ => {}
        }
        desk.signal(signal);
        // Only now: whoever asks the desk from here on gets its turn after the reload.
        line.ring(signal == Signal::Reload);
    }

    /// Says that txlb ends, if it has not been said.
    pub(crate) fn over(&self) {
        if let Some(line) = &self.0 {
            line.tell(&Message::stopping());
        }
    }
}

impl Reconfigure for Supervisor {
    fn prepare(&mut self, _now: &Config, _next: &Config) -> Result<Option<Commit>, String> {
        let line = self.0.clone();
        Ok(line.map(|line| -> Commit { Box::new(move || line.ring(false)) }))
    }
}

impl Line {
    fn tell(&self, message: &Message) {
        if let Err(error) = self.notifier.send(message) {
            log::warn!("the supervisor cannot be told: {error}");
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        // Two flags are never half changed.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, reload: bool) {
        let mut news = self.news();
        news.any = true;
        news.reload |= reload;
        self.bell.notify_one();
    }

    /// Waits for news, or until it is time to look in any case.
    fn listen(&self) -> News {
        let waited = self
            .bell
            .wait_timeout_while(self.news(), RENEWAL, |news| !news.any);
        let (mut news, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut news)
    }

    /// Tells how everything is, whenever that has changed, and that a reload is over.
    /// `status` is what the desk says when it is done with what came before.
    fn follow(&self, status: impl Fn() -> Status) {
        let mut told = String::new();
        loop {
            let news = self.listen();
            let summary = summary(&status());
            if news.reload {
                self.tell(&Message::ready().with_status(&summary));
            } else if summary != told {
                self.tell(&Message::default().with_status(&summary));
            }
            told = summary;
        }
    }

    /// Feeds the watchdog every `period`, for as long as the workers go round.
    fn feed(&self, period: Duration, none_hangs: impl Fn(Duration) -> bool) {
        loop {
            // Even a late answer is in time: it is due once in two periods.
            if none_hangs(period / 2) {
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
