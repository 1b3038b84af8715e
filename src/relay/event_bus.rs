//! What happens, told to whoever listens: a program that txlb is part of.
//!
//! Nobody waits for a listener: what it has no room for is counted, and it is told how
//! much that was. While nobody listens, nothing is made up to be told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::end::EndReason;
use super::recent_events::RecentEvent;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A host has failed: it gets no new sessions while another has not.
    HostDown {
        /// Which.
        host: HostName,
        /// Why, in words.
        reason: String,
    },
    /// A host that had failed is back.
    HostUp {
        /// Which.
        host: HostName,
    },
    /// A session is over.
    SessionEnded(Box<SessionEnd>),
    /// The configuration was changed, read again or saved, or that could not be done.
    Noted(RecentEvent),
    /// So many events were not told, as there was no room for them.
    Missed(u64),
    /// A thread of the balancer's panicked, as a rule in a scheduler of the program's
    /// own: the thread's name. Nobody does its work any more, so the balancer stops.
    Panicked(String),
}

/// A host, by the names it has from its service on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName {
    /// Its service's name.
    pub service: String,
    /// Its group's name.
    pub group: String,
    /// Its own name.
    pub host: String,
}

impl fmt::Display for HostName {
    /// As the log has it: `service:group/host`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.service, self.group, self.host)
    }
}

/// A session that is over, with its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEnd {
    /// No other session of this balancer has it.
    pub id: u64,
    /// Where the client was.
    pub client: SocketAddr,
    /// When the client came, in milliseconds since 1970.
    pub accepted_wall_ms: u64,
    /// Its service's name.
    pub service: String,
    /// The group it was given to.
    pub group: String,
    /// Its host's name; `None` if it found none.
    pub host: Option<String>,
    /// Where that is.
    pub host_address: Option<SocketAddr>,
    /// From the client's coming until its host accepted, in milliseconds.
    pub connect_ms: Option<u64>,
    /// From the client's coming until the end, in milliseconds.
    pub total_ms: u64,
    /// Bytes sent to the host.
    pub bytes_to_host: u64,
    /// Bytes sent to the client.
    pub bytes_to_client: u64,
    /// Hosts that failed this client.
    pub retries: usize,
    /// Why it ended.
    pub reason: EndReason,
}

/// Where it is told, to all who listen. Clones tell the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventBus(Arc<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    /// Whether there is anybody: asked by sessions that end.
    any: AtomicBool,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    listeners: Vec<Arc<Listener>>,
    /// Nothing will happen any more.
    over: bool,
}

#[derive(Debug)]
struct Listener {
    events: SyncSender<Event>,
    missed: AtomicU64,
    /// Gone when nobody listens any more: a channel tells that only to who sends.
    there: Weak<()>,
}

/// What a listener has: hangs up when nothing will happen any more.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) events: Receiver<Event>,
    _there: Arc<()>,
}

impl EventBus {
    /// Tells somebody of everything from now on: as many events as there is `room` for
    /// while nobody takes them.
    pub(crate) fn listen(&self, room: usize) -> Subscription {
        let (sender, events) = sync_channel(room);
        let there = Arc::new(());
        let listener = Arc::new(Listener {
            events: sender,
            missed: AtomicU64::new(0),
            there: Arc::downgrade(&there),
        });
        let mut all = self.lock();
        // Those who have gone since the last event, of which there may never be one.
        all.listeners.retain(|it| it.there.strong_count() > 0);
        if !all.over {
            all.listeners.push(listener);
            self.0.any.store(true, Ordering::Release);
        }
        Subscription {
            events,
            _there: there,
        }
    }

    /// Nothing will happen any more: all who listen hear so, now and later.
    pub(crate) fn end(&self) {
        let mut all = self.lock();
        all.over = true;
        all.listeners.clear();
        self.0.any.store(false, Ordering::Release);
    }

    /// Tells everybody what `event` makes up, if there is anybody.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if !self.0.any.load(Ordering::Acquire) {
            return;
        }
        // Sending may wake somebody: not under the lock.
        let listeners = self.lock().listeners.clone();
        let event = event();
        let left: Vec<_> = listeners
            .iter()
            .filter(|listener| !listener.hear(event.clone()))
            .collect();
        if !left.is_empty() {
            let mut all = self.lock();
            all.listeners
                .retain(|it| !left.iter().any(|left| Arc::ptr_eq(it, left)));
            let any = !all.listeners.is_empty();
            self.0.any.store(any, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Whether it is still there.
    fn hear(&self, event: Event) -> bool {
        let missed = self.missed.swap(0, Ordering::AcqRel);
        if missed > 0 && !self.send(Event::Missed(missed), missed) {
            return false;
        }
        self.send(event, 1)
    }

    /// Whether it is still there; an event that it has no room for counts as so many.
    fn send(&self, event: Event, worth: u64) -> bool {
        match self.events.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed.fetch_add(worth, Ordering::AcqRel);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(news: &EventBus, number: u64) {
        news.tell(|| Event::Missed(number));
    }

    #[test]
    fn nothing_is_made_up_while_nobody_listens() {
        let news = EventBus::default();
        news.tell(|| unreachable!("somebody listens"));
        let heard = news.listen(1);
        missed(&news, 1);
        assert_eq!(heard.events.try_recv(), Ok(Event::Missed(1)));
        drop(heard);
        missed(&news, 2);
        news.tell(|| unreachable!("somebody listens"));
    }

    #[test]
    fn who_does_not_take_what_is_told_is_told_how_much_was_missed() {
        let news = EventBus::default();
        let (slow, quick) = (news.listen(2), news.listen(9));
        for number in 0..6 {
            missed(&news, number);
        }
        let told: Vec<_> = slow.events.try_iter().collect();
        assert_eq!(told, [0, 1].map(Event::Missed));
        missed(&news, 6);
        let told: Vec<_> = slow.events.try_iter().collect();
        assert_eq!(told, [Event::Missed(4), Event::Missed(6)]);
        assert_eq!(quick.events.try_iter().count(), 7);
    }

    #[test]
    fn who_has_gone_is_forgotten_though_nothing_happens() {
        let news = EventBus::default();
        let stays = news.listen(1);
        for _ in 0..100 {
            news.listen(1);
        }
        assert!(news.lock().listeners.len() <= 2);
        missed(&news, 1);
        assert_eq!(stays.events.try_recv(), Ok(Event::Missed(1)));
    }

    #[test]
    fn at_the_end_all_who_listen_hear_so() {
        let news = EventBus::default();
        let before = news.listen(1);
        missed(&news, 1);
        news.end();
        let after = news.listen(1);
        news.tell(|| unreachable!("somebody listens"));
        assert_eq!(before.events.iter().count(), 1);
        assert_eq!(after.events.iter().count(), 0);
    }
}
