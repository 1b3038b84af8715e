//! Upgrade: another process takes over the listeners and what is known, and this one drains.
//!
//! The program starts that process and talks to it; the controller says what is handed over, lets
//! nothing change meanwhile, and drains once the other one serves. Decision 0034 says why.

use std::collections::HashMap;
use std::fmt;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{SyncSender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::controller::Controller;
use super::data_plane::DataPlane;
use super::draining::MAX_DRAINING;
use super::handle::{Actor, Response};
use super::history::{GroupHistory, History, Line, MAX_BYTES, ServiceHistory};
use crate::config;
use crate::log_targets;
use crate::os::handed_over::{self, Shared};
use crate::os::listen::ListenPlace;
use crate::os::socket_file::SocketFile;
use crate::relay::{ListenKey, ServiceStats, Topic, WorkerMessage, crc32c};
use crate::sync::lock;
use crate::text::plural;

/// How long workers may take to hand out their listeners.
const DUPLICATE_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts another process that takes over, and says what becomes of it by
/// [`Handle::upgrade_ended`](super::Handle::upgrade_ended). Called on the controller's thread: it
/// must not wait.
pub type Upgrader = Arc<dyn Fn(Offer) + Send + Sync>;

/// What this process offers to another one.
pub struct Offer {
    /// Number of workers. Each has a socket of each listener.
    pub workers: usize,
    /// The running configuration as XML, if it is not that of the file, with passwords.
    pub config: Option<String>,
    /// A checksum of the file as it was last read or saved.
    pub file_checksum: Option<u32>,
    /// Descriptors by name.
    pub descriptors: Vec<(String, Shared)>,
    /// Whether the upgrade is still wanted.
    pub consent: Consent,
}

/// Whether an upgrade is still wanted: until the other process is let serve, a stop cancels it.
/// Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Consent(Arc<Mutex<ConsentState>>);

#[derive(Debug, Default)]
struct ConsentState {
    is_given: bool,
    is_cancelled: bool,
    channel: Option<UnixStream>,
}

impl Consent {
    /// Has reads from `channel`, the connection to the other process, end once the upgrade is
    /// cancelled. Returns whether it is not.
    pub fn cover(&self, channel: UnixStream) -> bool {
        let mut state = lock(&self.0);
        state.channel = Some(channel);
        !state.is_cancelled
    }

    /// Lets the other process serve: the upgrade cannot be cancelled any more. Returns whether it
    /// was not before.
    pub fn give(&self) -> bool {
        let mut state = lock(&self.0);
        state.channel = None;
        state.is_given = !state.is_cancelled;
        state.is_given
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        lock(&self.0).is_cancelled
    }

    /// Cancels the upgrade. Returns whether that was possible.
    fn cancel(&self) -> bool {
        let mut state = lock(&self.0);
        if state.is_given {
            return false;
        }
        state.is_cancelled = true;
        if let Some(channel) = state.channel.take() {
            // The other direction stays open, to say no.
            let _ = channel.shutdown(Shutdown::Read);
        }
        true
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.descriptors.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

/// The process that has taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// Its process id.
    pub process: u32,
    /// The names of descriptors that it has no use for.
    pub unwanted: Vec<String>,
}

/// An upgrade that is under way: another process starts, and nothing may change.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// Gets the outcome.
    waiter: Option<SyncSender<Response>>,
    /// A reload was asked for meanwhile.
    reload: bool,
    /// By which it is cancelled.
    consent: Consent,
}

impl Controller {
    /// Refuses changes while another process takes over: it would not know of them.
    ///
    /// # Errors
    /// There is an upgrade under way.
    pub(super) fn refuse_while_upgrading(&self) -> Result<(), String> {
        match self.upgrade {
            None => Ok(()),
            Some(_) => Err("an upgrade is under way: try again once it is over".to_owned()),
        }
    }

    /// Begins an upgrade on behalf of `actor`. `waiter` gets the outcome.
    ///
    /// # Errors
    /// Why it cannot begin, in words for an operator.
    pub(super) fn begin_upgrade(
        &mut self,
        actor: &Actor,
        waiter: Option<SyncSender<Response>>,
    ) -> Result<(), String> {
        let Some(upgrader) = self.data_plane.upgrader.clone() else {
            return Err("this program does not know how to start its successor".to_owned());
        };
        if self.stopping {
            return Err("txlb is stopping".to_owned());
        }
        self.refuse_while_upgrading()?;
        let draining = self.data_plane.predecessors.list();
        if draining.len() >= MAX_DRAINING {
            let oldest = draining.first().map_or(0, |it| it.process);
            return Err(format!(
                "{MAX_DRAINING} earlier processes still serve their last sessions: wait, or end the \
                 oldest by 'kill {oldest}'"
            ));
        }
        let offer = self.offer()?;
        log::info!(target: log_targets::CONTROL, "an upgrade begins; by {actor}");
        self.upgrade = Some(Upgrade {
            waiter,
            reload: false,
            consent: offer.consent.clone(),
        });
        upgrader(offer);
        Ok(())
    }

    fn offer(&mut self) -> Result<Offer, String> {
        let mut descriptors = self.data_plane.duplicate_listeners()?;
        for part in &mut self.reconfigurables {
            descriptors.extend(part.hand_over());
        }
        descriptors.extend(self.data_plane.predecessors.hand_over());
        let is_unsaved = self.stored.is_none() || !self.unsaved().is_empty();
        let stored = self.stored.as_ref();
        Ok(Offer {
            workers: self.data_plane.workers.len(),
            config: is_unsaved.then(|| config::encode(self.data_plane.config())),
            file_checksum: stored.map(|stored| stored.file.checksum()),
            descriptors,
            consent: Consent::default(),
        })
    }

    /// What is known, for the process that takes over.
    pub(super) fn history(&self) -> String {
        let history = self.data_plane.history();
        history.encode()
    }

    /// Has a reload wait until the upgrade is over, if there is one.
    pub(super) fn postpone_reload(&mut self) -> bool {
        match &mut self.upgrade {
            None => false,
            Some(upgrade) => {
                upgrade.reload = true;
                true
            }
        }
    }

    /// txlb stops: cancels the upgrade that is under way, if it still can be.
    pub(super) fn cancel_upgrade(&mut self) {
        let Some(upgrade) = &mut self.upgrade else {
            return;
        };
        if !upgrade.consent.cancel() {
            return;
        }
        let waiter = upgrade.waiter.take();
        let text = "the upgrade is cancelled: txlb is stopping";
        log::info!(target: log_targets::CONTROL, "{text}");
        if let Some(waiter) = waiter {
            // The client may have gone.
            let _ = waiter.send(self.answer(Err(text.to_owned())));
        }
    }

    /// The upgrade is over: process `outcome` serves, or the reason why none does. Drains if one
    /// does. Returns whether that one is to read the file again.
    pub(super) fn end_upgrade(&mut self, outcome: Result<Successor, String>) -> bool {
        let Some(Upgrade {
            waiter,
            reload,
            consent,
        }) = self.upgrade.take()
        else {
            return false;
        };
        if consent.is_cancelled() {
            // The new process is gone, and with it its listeners.
            if self.is_draining {
                self.release();
            }
            return false;
        }
        let serves = outcome.is_ok();
        let answer = match outcome {
            Ok(successor) => Ok(self.drain_for(&successor)),
            Err(why) => {
                let text = format!("the upgrade has failed, and nothing has changed: {why}");
                self.record(Topic::Error, &text);
                Err(text)
            }
        };
        if let Some(waiter) = waiter {
            // The client may have gone.
            let _ = waiter.send(self.answer(answer).with_message());
        }
        if !serves && self.is_draining {
            self.release();
        } else if reload && !serves && !self.stopping {
            self.handle_hup();
        }
        reload
    }

    fn drain_for(&mut self, successor: &Successor) -> String {
        let Successor { process, unwanted } = successor;
        for part in &mut self.reconfigurables {
            part.disown(unwanted);
        }
        let open = plural(self.data_plane.open(), "session");
        let own = std::process::id();
        let text = format!("upgraded to process {process}; process {own} drains {open}");
        self.record(Topic::Reload, &text);
        // The files of the others go when this process stops to listen.
        self.data_plane.listeners.disown_files(unwanted);
        self.is_replaced = true;
        self.drain(None);
        text
    }
}

impl DataPlane {
    /// Second descriptors of all listeners, by name.
    ///
    /// # Errors
    /// A worker does not answer, or the system has no descriptors left.
    fn duplicate_listeners(&self) -> Result<Vec<(String, Shared)>, String> {
        let (answer, answers) = channel();
        for worker in &self.workers {
            let _ = worker
                .mailbox
                .try_post(WorkerMessage::Duplicate(answer.clone()));
        }
        drop(answer);
        let deadline = Instant::now() + DUPLICATE_TIMEOUT;
        let mut all = self.listeners.inheritance.hand_over();
        for _ in &self.workers {
            let left = deadline.saturating_duration_since(Instant::now());
            let sockets = answers
                .recv_timeout(left)
                .map_err(|_| "a worker does not answer".to_owned())?;
            for (key, socket) in sockets {
                let socket = socket.map_err(|error| format!("a listener: {error}"))?;
                all.push((listener_name(&key), Arc::new(socket)));
            }
        }
        match all.len() > handed_over::MAX_DESCRIPTORS {
            true => Err("there are too many listeners".to_owned()),
            false => Ok(all),
        }
    }

    fn history(&self) -> History {
        let shared = &self.shared;
        let now_ms = shared.clock.now_ms();
        let ended = crate::relay::EndReason::ALL.map(|reason| {
            let all = shared.stats.iter().map(|stats| stats.ended(reason));
            (reason, all.sum())
        });
        let mut history = History {
            now_ms,
            started_wall_ms: shared.clock.wall_ms(0),
            generation: self.generation,
            resigned: self.resigned,
            ended: ended.to_vec(),
            events: shared.recent_events.history(),
            names: self.known_names(),
            services: HashMap::new(),
        };
        for service in &self.config.services {
            let total = self
                .running
                .stats(&service.name)
                .map_or(0, ServiceStats::total);
            let groups = service.groups.iter().filter_map(|group| {
                let running = self.running.group(&service.name, &group.name)?;
                let pool = running.pool();
                let known = GroupHistory {
                    hosts: pool.history(now_ms),
                    clients: pool.client_history(now_ms),
                };
                Some((group.name.clone(), known))
            });
            let known = ServiceHistory {
                total,
                groups: groups.collect(),
            };
            history.services.insert(service.name.clone(), known);
        }
        history
    }

    /// Goes on with what another process knew, in the groups that get new sessions or in the others.
    pub(super) fn restore(&self, history: &History, serving: bool) {
        let now_ms = self.shared.clock.now_ms();
        for (running, _) in self.running.with_config(&self.config, serving) {
            let service = history.services.get(&running.service);
            if let Some(known) = service.and_then(|it| it.groups.get(&running.name)) {
                running.pool().restore(&known.hosts, &known.clients, now_ms);
            }
        }
    }

    /// The same for what belongs to no group.
    pub(super) fn restore_counts(&self, history: &History) {
        for (name, known) in &history.services {
            if let Some(stats) = self.running.stats(name) {
                stats.add_total(known.total);
            }
        }
        if let Some(stats) = self.shared.stats.first() {
            for (reason, sessions) in &history.ended {
                stats.add_ended(*reason, *sessions);
            }
        }
        for (at_ms, topic, text) in &history.events {
            self.shared
                .recent_events
                .restore(*at_ms, *topic, text.clone());
        }
    }
}

/// The name of a listener that is handed over. What it lacks is the same there.
pub(super) fn listener_name(key: &ListenKey) -> String {
    if let ListenPlace::Unix(path) = &key.place {
        return SocketFile::handed_over_name(path);
    }
    let options = &key.options;
    Line::new("listener")
        .with("place", &key.place)
        .with("service", key.service.as_deref().unwrap_or_default())
        .with("mptcp", options.mptcp)
        .with(
            "interface",
            options.interface.as_deref().unwrap_or_default(),
        )
        .into_text()
}

/// What another process knew, checked and ready to go on with.
#[derive(Debug, Clone, Default)]
pub struct Known(pub(super) History);

impl Known {
    /// The longest that is taken, in bytes.
    pub const MAX_BYTES: usize = MAX_BYTES;

    /// Reads what [`Handle::history`](super::Handle::history) returned in another process.
    ///
    /// # Errors
    /// It is no such thing, or not whole.
    pub fn decode(text: &[u8]) -> Result<Known, String> {
        History::decode(text).map(Known)
    }
}

/// The checksum by which two processes compare a file.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c(&[bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_cancelled_until_the_other_process_may_serve() {
        use std::io::{Read, Write};
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let consent = Consent::default();
        assert!(consent.cover(ours.try_clone().unwrap()));
        assert!(consent.cancel() && consent.is_cancelled());
        // Reading ends, and it can still be told.
        assert_eq!((&ours).read(&mut [0]).unwrap(), 0);
        (&ours).write_all(b"n").unwrap();
        theirs.read_exact(&mut [0]).unwrap();
        assert!(!consent.give() && !consent.cover(ours));

        let consent = Consent::default();
        assert!(consent.give());
        assert!(!consent.cancel() && !consent.is_cancelled());
    }
}
