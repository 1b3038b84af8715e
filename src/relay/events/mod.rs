//! Events: what happened, the bus that delivers them to programs that embed txlb, and the last 50 of
//! them for the page and the status. The log has all.
//!
//! Publishing never waits. Events for which a subscriber has no room are counted, and it is told
//! the number. Without subscribers no event is built.

pub(super) mod health_log;
pub(super) mod session_line;
pub(super) mod tcplog;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::relay::clock::Clock;
use crate::relay::failure::EndReason;
use crate::sync::lock;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A host has failed. It gets no new sessions while another host has not failed.
    HostDown {
        /// Which host.
        host: HostName,
        /// Why, for people.
        reason: String,
    },
    /// A failed host answers again.
    HostUp {
        /// Which host.
        host: HostName,
    },
    /// A host is suspect: it ends sessions quickly before its first byte, while others serve.
    HostSuspect {
        /// Which host.
        host: HostName,
    },
    /// A suspect host has said the first byte of a session.
    HostCleared {
        /// Which host.
        host: HostName,
    },
    /// A session has ended.
    SessionEnded(Box<SessionEnd>),
    /// The configuration was changed, reloaded or saved, or one of these failed.
    Recorded(RecentEvent),
    /// This many events were dropped because the subscriber had no room for them.
    Missed(u64),
    /// A thread of the balancer panicked, usually in a scheduler of the embedding program: the
    /// thread's name. The balancer stops, since nothing replaces the thread.
    Panicked(String),
}

/// One of the recent events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentEvent {
    /// When, in milliseconds since 1970.
    pub wall_ms: u64,
    /// What kind of event it was.
    pub topic: Topic,
    /// What happened, for people. Text from outside is escaped.
    pub text: String,
}

/// The kind of a recent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topic {
    /// A host has failed.
    HostDown,
    /// A failed host answers again.
    HostUp,
    /// The agent of a host says something else than before.
    Agent,
    /// A host is suspect.
    HostSuspect,
    /// A suspect host serves again.
    HostCleared,
    /// The last session of a host that is drained, down or removed has ended.
    HostEmpty,
    /// An operator has changed the configuration.
    Change,
    /// The configuration file was read again.
    Reload,
    /// The configuration file was written.
    Save,
    /// Something failed.
    Error,
}

impl Topic {
    /// Its name in JSON and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::HostDown => "host down",
            Topic::HostUp => "host up",
            Topic::Agent => "agent",
            Topic::HostSuspect => "host suspect",
            Topic::HostCleared => "host cleared",
            Topic::HostEmpty => "host empty",
            Topic::Change => "change",
            Topic::Reload => "reload",
            Topic::Save => "save",
            Topic::Error => "error",
        }
    }
}

/// A host's full name.
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
    /// As in the log: `service:group/host`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.service, self.group, self.host)
    }
}

/// The figures of a session that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEnd {
    /// No other session of this balancer has it.
    pub id: u64,
    /// The client's address; after a PROXY protocol header, the header's.
    pub client: SocketAddr,
    /// Where the connection itself comes from, if a header named another address as the client's.
    pub via: Option<SocketAddr>,
    /// The name that the client's TLS ClientHello asks for, where routes look at it.
    pub server_name: Option<String>,
    /// When the client was accepted, in milliseconds since 1970.
    pub accepted_wall_ms: u64,
    /// Its service's name.
    pub service: String,
    /// Its group's name.
    pub group: String,
    /// Its host's name; `None` if no host accepted.
    pub host: Option<String>,
    /// The host's address.
    pub host_address: Option<SocketAddr>,
    /// Milliseconds from accepting the client until the host accepted.
    pub connect_ms: Option<u64>,
    /// Milliseconds from accepting the client until the end.
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

/// Publishes events to all subscribers. Clones share the subscribers.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventBus(Arc<Subscribers>);

#[derive(Debug, Default)]
struct Subscribers {
    /// Whether there is a subscriber: sessions that end ask without the lock.
    any: AtomicBool,
    list: Mutex<SubscriberList>,
}

#[derive(Debug, Default)]
struct SubscriberList {
    subscribers: Vec<Arc<Subscriber>>,
    /// No more events will come.
    ended: bool,
}

#[derive(Debug)]
struct Subscriber {
    events: SyncSender<Event>,
    missed: AtomicU64,
    /// Dead once the [`Subscription`] is dropped.
    alive: Weak<()>,
}

/// The receiving end. The channel hangs up when no more events will come.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) events: Receiver<Event>,
    _alive: Arc<()>,
}

impl EventBus {
    /// Subscribes to all events from now on, with room for `room` events that wait.
    pub(crate) fn subscribe(&self, room: usize) -> Subscription {
        let (sender, events) = sync_channel(room);
        let alive = Arc::new(());
        let subscriber = Arc::new(Subscriber {
            events: sender,
            missed: AtomicU64::new(0),
            alive: Arc::downgrade(&alive),
        });
        let mut list = self.lock();
        // Only a send shows that the receiver is gone. Without events there is none, and
        // dropped subscriptions would keep their room for a thousand events.
        // Test: who_has_gone_is_forgotten_though_nothing_happens.
        list.subscribers
            .retain(|subscriber| subscriber.alive.strong_count() > 0);
        if !list.ended {
            list.subscribers.push(subscriber);
            self.0.any.store(true, Ordering::Release);
        }
        Subscription {
            events,
            _alive: alive,
        }
    }

    /// Hangs up on all subscribers, present and future.
    pub(crate) fn end(&self) {
        let mut list = self.lock();
        list.ended = true;
        list.subscribers.clear();
        self.0.any.store(false, Ordering::Release);
    }

    /// Builds an event and sends it to all subscribers, if there are any.
    pub(crate) fn publish(&self, event: impl FnOnce() -> Event) {
        if !self.0.any.load(Ordering::Acquire) {
            return;
        }
        // Sending may wake a thread, which is a system call: not under the lock.
        let subscribers = self.lock().subscribers.clone();
        let event = event();
        let gone: Vec<_> = subscribers
            .iter()
            .filter(|subscriber| !subscriber.deliver(event.clone()))
            .collect();
        if !gone.is_empty() {
            let mut list = self.lock();
            list.subscribers
                .retain(|it| !gone.iter().any(|gone| Arc::ptr_eq(it, gone)));
            let any = !list.subscribers.is_empty();
            self.0.any.store(any, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SubscriberList> {
        lock(&self.0.list)
    }
}

impl Subscriber {
    /// Delivers an event. Returns whether the subscriber still exists.
    fn deliver(&self, event: Event) -> bool {
        let missed = self.missed.swap(0, Ordering::AcqRel);
        if missed > 0 && !self.send(Event::Missed(missed), missed) {
            return false;
        }
        self.send(event, 1)
    }

    /// Sends an event, or counts it as `worth` missed ones. Returns whether the subscriber still
    /// exists.
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

/// How many events are kept.
const MAX_RECENT: usize = 50;

/// The last events, and the bus that delivers them. Clones share both.
#[derive(Debug, Clone)]
pub(crate) struct RecentEvents {
    clock: Clock,
    event_bus: EventBus,
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    at_ms: u64,
    topic: Topic,
    text: String,
}

impl RecentEvents {
    /// No events yet.
    pub(crate) fn new(clock: Clock) -> RecentEvents {
        RecentEvents {
            clock,
            event_bus: EventBus::default(),
            entries: Arc::default(),
        }
    }

    /// Records an event that happened now, and publishes it unless it is about a host.
    pub(crate) fn record(&self, topic: Topic, text: String) {
        let at_ms = self.clock.now_ms();
        // Events about hosts are published one by one by the health log, which limits only its
        // lines.
        let is_about_host = matches!(
            topic,
            Topic::HostUp | Topic::HostDown | Topic::HostSuspect | Topic::HostCleared
        );
        if !is_about_host {
            self.event_bus.publish(|| {
                let (wall_ms, text) = (self.clock.wall_ms(at_ms), text.clone());
                Event::Recorded(RecentEvent {
                    wall_ms,
                    topic,
                    text,
                })
            });
        }
        let mut entries = self.lock();
        if entries.len() == MAX_RECENT {
            entries.pop_front();
        }
        entries.push_back(Entry { at_ms, topic, text });
    }

    /// The bus for these and other events.
    pub(crate) fn event_bus(&self) -> &EventBus {
        &self.event_bus
    }

    /// The recorded events, the oldest first.
    pub(crate) fn list(&self) -> Vec<RecentEvent> {
        let entries = self.lock().clone();
        let recent_event = |Entry { at_ms, topic, text }| RecentEvent {
            wall_ms: self.clock.wall_ms(at_ms),
            topic,
            text,
        };
        entries.into_iter().map(recent_event).collect()
    }

    /// The lock is short, and no system call is made under it.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        lock(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(event_bus: &EventBus, number: u64) {
        event_bus.publish(|| Event::Missed(number));
    }

    #[test]
    fn without_subscribers_no_event_is_built() {
        let event_bus = EventBus::default();
        event_bus.publish(|| unreachable!("there is a subscriber"));
        let subscription = event_bus.subscribe(1);
        missed(&event_bus, 1);
        assert_eq!(subscription.events.try_recv(), Ok(Event::Missed(1)));
        drop(subscription);
        missed(&event_bus, 2);
        event_bus.publish(|| unreachable!("there is a subscriber"));
    }

    #[test]
    fn a_slow_subscriber_is_told_how_much_it_missed() {
        let event_bus = EventBus::default();
        let (slow, quick) = (event_bus.subscribe(2), event_bus.subscribe(9));
        for number in 0..6 {
            missed(&event_bus, number);
        }
        let told: Vec<_> = slow.events.try_iter().collect();
        assert_eq!(told, [0, 1].map(Event::Missed));
        missed(&event_bus, 6);
        let told: Vec<_> = slow.events.try_iter().collect();
        assert_eq!(told, [Event::Missed(4), Event::Missed(6)]);
        assert_eq!(quick.events.try_iter().count(), 7);
    }

    #[test]
    fn who_has_gone_is_forgotten_though_nothing_happens() {
        let event_bus = EventBus::default();
        let stays = event_bus.subscribe(1);
        for _ in 0..100 {
            event_bus.subscribe(1);
        }
        assert!(event_bus.lock().subscribers.len() <= 2);
        missed(&event_bus, 1);
        assert_eq!(stays.events.try_recv(), Ok(Event::Missed(1)));
    }

    #[test]
    fn at_the_end_all_subscribers_get_an_event() {
        let event_bus = EventBus::default();
        let before = event_bus.subscribe(1);
        missed(&event_bus, 1);
        event_bus.end();
        let after = event_bus.subscribe(1);
        event_bus.publish(|| unreachable!("there is a subscriber"));
        assert_eq!(before.events.iter().count(), 1);
        assert_eq!(after.events.iter().count(), 0);
    }

    #[test]
    fn the_last_fifty_are_remembered_in_order() {
        let recent_events = RecentEvents::new(Clock::start());
        let same = recent_events.clone();
        for number in 0..MAX_RECENT + 7 {
            recent_events.record(Topic::Change, number.to_string());
        }
        let texts: Vec<_> = same.list().into_iter().map(|it| it.text).collect();
        let expected: Vec<_> = (7..MAX_RECENT + 7).map(|it| it.to_string()).collect();
        assert_eq!(texts, expected);
    }
}
