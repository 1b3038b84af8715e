//! Who is let in at a door at the same time: so many in all, and so many from one
//! place.
//!
//! Only the counting; who is turned away, and how, is the door's business.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::source::Source;

/// The seats at a door.
pub(super) struct Seats {
    most: usize,
    most_from_one: usize,
    taken: Mutex<Taken>,
    /// Called by who leaves when there had been no seat.
    on_room: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_place: HashMap<IpAddr, usize>,
}

/// A client's seat, for as long as it stays.
pub(super) struct Seat {
    seats: Arc<Seats>,
    place: IpAddr,
}

impl Seats {
    /// So many in all, and from one place.
    pub(super) fn new(
        most: usize,
        most_from_one: usize,
        on_room: impl Fn() + Send + Sync + 'static,
    ) -> Seats {
        Seats {
            most,
            most_from_one,
            taken: Mutex::default(),
            on_room: Box::new(on_room),
        }
    }

    /// Whether a seat is free.
    #[cfg(any(feature = "web", test))]
    pub(super) fn has_room(&self) -> bool {
        self.lock().all < self.most
    }

    /// Whether more than half of the seats are taken.
    #[cfg(any(feature = "web", test))]
    pub(super) fn is_crowded(&self) -> bool {
        self.lock().all > self.most / 2
    }

    /// A seat for somebody from `ip`; `None` where that place has its share already,
    /// or no seat is left.
    pub(super) fn take(self: &Arc<Seats>, ip: IpAddr) -> Option<Seat> {
        let place = Source::of(ip).place();
        let mut taken = self.lock();
        let from_there = taken.by_place.get(&place).copied().unwrap_or(0);
        if taken.all >= self.most || from_there >= self.most_from_one {
            return None;
        }
        taken.all += 1;
        taken.by_place.insert(place, from_there + 1);
        Some(Seat {
            seats: Arc::clone(self),
            place,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        let was_full = taken.all == self.seats.most;
        taken.all -= 1;
        if let Some(from_there) = taken.by_place.get_mut(&self.place) {
            *from_there -= 1;
            if *from_there == 0 {
                taken.by_place.remove(&self.place);
            }
        }
        drop(taken);
        if was_full {
            (self.seats.on_room)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn nobody_has_more_than_a_share_and_who_leaves_a_full_door_says_so() {
        let rings = Arc::new(AtomicUsize::new(0));
        let bell = Arc::clone(&rings);
        let seats = Arc::new(Seats::new(3, 2, move || {
            bell.fetch_add(1, Ordering::Relaxed);
        }));
        let [one, two] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        let mut taken: Vec<_> = (0..3).filter_map(|_| seats.take(one)).collect();
        assert_eq!(taken.len(), 2);
        assert!(seats.has_room() && seats.is_crowded());
        taken.extend(seats.take(two));
        assert!(!seats.has_room() && seats.take(two).is_none());

        assert_eq!(rings.load(Ordering::Relaxed), 0);
        taken.pop();
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        taken.clear();
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        assert!(seats.lock().by_place.is_empty() && seats.lock().all == 0);
    }
}
