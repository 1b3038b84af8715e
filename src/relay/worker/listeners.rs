//! A worker's listeners: which may have clients waiting, which are paused, and which are
//! to be closed.
//!
//! A turn looks at these lists alone, however many listeners there are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::relay::listener::Listener;
use crate::relay::plan::ServiceStats;

/// How long a listener that is to be closed goes on accepting: clients that come
/// faster than they are let in could keep it open for ever.
const CLOSE_WITHIN_MS: u64 = 1000;

/// How long a service is paused whose share of the sessions is used up.
const PAUSE_MS: u64 = 100;

/// The listeners by their places, and lists of some of them.
#[derive(Default)]
pub(super) struct Listeners {
    slots: Vec<Option<Listener>>,
    free: Vec<usize>,
    /// May have clients in their backlogs. A listener is here or paused, and once at most.
    ready: VecDeque<usize>,
    /// By service: see [`service_key`].
    paused: HashMap<usize, Vec<usize>>,
    /// When those that are paused become ready again, at the latest.
    resume_ms: u64,
    /// By when each is to be closed, in order of time. Those closed before are skipped.
    closing: VecDeque<(u64, usize)>,
    /// How many are to be closed and are open still.
    unclosed: usize,
}

/// Names a service, whatever configuration it is of.
fn service_key(tally: &Arc<ServiceStats>) -> usize {
    Arc::as_ptr(tally) as usize
}

impl Listeners {
    /// The place that the next one gets.
    pub(super) fn next_place(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Adds a listener at [`Listeners::next_place`].
    pub(super) fn add(&mut self, listener: Listener) {
        match self.free.pop() {
            Some(place) => self.slots[place] = Some(listener),
            None => self.slots.push(Some(listener)),
        }
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut Listener> {
        self.slots.get_mut(place)?.as_mut()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Listener> {
        self.slots.get(place)?.as_ref()
    }

    /// The places of all that are open.
    pub(super) fn places(&self) -> Vec<usize> {
        let open = |place: &usize| self.slots[*place].is_some();
        (0..self.slots.len()).filter(open).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// Clients may have come.
    pub(super) fn wake(&mut self, place: usize) {
        if let Some(listener) = self.at(place)
            && !std::mem::replace(&mut listener.waiting, true)
        {
            self.ready.push_back(place);
        }
    }

    /// How many may have clients waiting.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes the next one off the list. It goes back by [`Listeners::push_back`],
    /// [`Listeners::pause`] or, with an empty backlog, not at all.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.ready.pop_front()
    }

    /// There may be more clients waiting: it comes again, behind the others.
    pub(super) fn push_back(&mut self, place: usize) {
        self.ready.push_back(place);
    }

    /// Lets the clients there wait until a session of its service ends, or for a while.
    pub(super) fn pause(&mut self, place: usize, now_ms: u64) {
        let Some(key) = self.at(place).map(|it| service_key(&it.service.tally)) else {
            return;
        };
        if self.paused.is_empty() {
            self.resume_ms = now_ms + PAUSE_MS;
        }
        self.paused.entry(key).or_default().push(place);
    }

    /// A session of the service ended: one of its listeners is tried again.
    pub(super) fn resume_one(&mut self, tally: &Arc<ServiceStats>) {
        if self.paused.is_empty() {
            return;
        }
        let key = service_key(tally);
        if let Some(places) = self.paused.get_mut(&key) {
            self.ready.extend(places.pop());
            if places.is_empty() {
                self.paused.remove(&key);
            }
        }
    }

    /// Ends the pauses, if it is time.
    pub(super) fn resume_due(&mut self, now_ms: u64) {
        if self.resume_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.ready.extend(self.paused.drain().flat_map(|it| it.1));
        }
    }

    /// When the pauses end.
    pub(super) fn resume_due_ms(&self) -> Option<u64> {
        (!self.paused.is_empty()).then_some(self.resume_ms)
    }

    /// Closing with clients in the backlog would reset them: they are let in first.
    pub(super) fn close_soon(&mut self, place: usize, now_ms: u64) {
        if let Some(listener) = self.at(place).filter(|it| it.close_by_ms.is_none()) {
            let by_ms = now_ms + CLOSE_WITHIN_MS;
            listener.close_by_ms = Some(by_ms);
            self.closing.push_back((by_ms, place));
            self.unclosed += 1;
            self.wake(place);
        }
    }

    /// How many are to be closed and are open still.
    pub(super) fn unclosed(&self) -> usize {
        self.unclosed
    }

    /// When the next one is to be closed, whoever waits there.
    pub(super) fn close_due_ms(&self) -> Option<u64> {
        self.closing.front().map(|(by_ms, _)| *by_ms)
    }

    /// Takes one out that has to be closed by now.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<Listener> {
        while let Some(&(by_ms, place)) = self.closing.front().filter(|due| due.0 <= now_ms) {
            self.closing.pop_front();
            // Another listener may have the place by now.
            if self
                .at(place)
                .is_some_and(|it| it.close_by_ms == Some(by_ms))
            {
                self.forget(place);
                return self.take(place);
            }
        }
        None
    }

    /// Its backlog was seen empty. Takes it out if it only waited for that.
    pub(super) fn take_if_closing(&mut self, place: usize) -> Option<Listener> {
        let listener = self.at(place)?;
        listener.waiting = false;
        listener.close_by_ms?;
        self.take(place)
    }

    fn take(&mut self, place: usize) -> Option<Listener> {
        let listener = self.slots.get_mut(place)?.take()?;
        self.unclosed -= usize::from(listener.close_by_ms.is_some());
        self.free.push(place);
        Some(listener)
    }

    /// Takes the place off the lists, where it is once at most.
    fn forget(&mut self, place: usize) {
        self.ready.retain(|it| *it != place);
        self.paused.retain(|_, places| {
            places.retain(|it| *it != place);
            !places.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::listen::{BindAddress, bind_all};
    use crate::relay::ListenKey;
    use crate::relay::worker::tests::service;
    use mio::net::TcpListener;

    fn listener() -> Listener {
        let place = BindAddress::At("127.0.0.1:0".parse().unwrap());
        let socket = bind_all(place, 1, false).unwrap().remove(0);
        let key = ListenKey {
            place,
            service: None,
        };
        let service = service("127.0.0.1:1".parse().unwrap());
        Listener::new(key, TcpListener::from_std(socket), service)
    }

    /// So many, each of a service of its own.
    fn listeners(count: usize) -> Listeners {
        let mut listeners = Listeners::default();
        for place in 0..count {
            assert_eq!(listeners.next_place(), place);
            listeners.add(listener());
        }
        listeners
    }

    fn ready(listeners: &mut Listeners) -> Vec<usize> {
        std::iter::from_fn(|| listeners.pop()).collect()
    }

    #[test]
    fn only_those_that_were_woken_are_looked_at_and_once() {
        let mut listeners = listeners(4);
        assert_eq!(listeners.ready(), 0);
        for place in [2, 0, 2, 9] {
            listeners.wake(place);
        }
        assert_eq!(ready(&mut listeners), [2, 0]);
        // Until its backlog was seen empty it is not woken a second time.
        listeners.wake(2);
        assert!(listeners.take_if_closing(0).is_none());
        listeners.wake(0);
        assert_eq!(ready(&mut listeners), [0]);
    }

    #[test]
    fn a_pause_is_its_services_alone_and_ends_by_itself() {
        let mut listeners = listeners(3);
        let tally = |listeners: &mut Listeners, place: usize| {
            Arc::clone(&listeners.at(place).unwrap().service.tally)
        };
        let (first, second) = (tally(&mut listeners, 0), tally(&mut listeners, 1));
        (0..3).for_each(|place| listeners.wake(place));
        while let Some(place) = listeners.pop() {
            if place != 2 {
                listeners.pause(place, 1000);
            }
        }
        // What comes meanwhile does not end it.
        listeners.wake(0);
        assert_eq!(listeners.ready(), 0);
        listeners.resume_one(&second);
        assert_eq!(ready(&mut listeners), [1]);
        listeners.resume_one(&second);
        listeners.resume_due(1000 + PAUSE_MS - 1);
        assert_eq!(listeners.ready(), 0);
        assert_eq!(listeners.resume_due_ms(), Some(1000 + PAUSE_MS));
        listeners.resume_due(1000 + PAUSE_MS);
        assert_eq!(ready(&mut listeners), [0]);
        assert_eq!(listeners.resume_due_ms(), None);
        listeners.resume_one(&first);
        assert_eq!(listeners.ready(), 0);
    }

    #[test]
    fn one_that_is_to_be_closed_goes_when_nobody_waits_or_it_is_time() {
        let mut listeners = listeners(3);
        (0..3).for_each(|place| listeners.close_soon(place, 5));
        listeners.close_soon(1, 700);
        assert_eq!((listeners.unclosed(), listeners.ready()), (3, 3));
        assert_eq!(listeners.pop(), Some(0));
        assert!(listeners.take_if_closing(0).is_some());
        // The next one there has nothing to do with it.
        listeners.add(listener());
        listeners.wake(0);
        assert_eq!(listeners.pop(), Some(1));
        listeners.pause(1, 10);
        assert!(listeners.take_due(5 + CLOSE_WITHIN_MS - 1).is_none());
        let mut closed = 0;
        while listeners.take_due(5 + CLOSE_WITHIN_MS).is_some() {
            closed += 1;
        }
        assert_eq!((closed, listeners.unclosed()), (2, 0));
        assert_eq!(listeners.resume_due_ms(), None);
        assert_eq!(listeners.close_due_ms(), None);
        assert_eq!(ready(&mut listeners), [0]);
        assert_eq!(listeners.places(), [0]);
    }
}
