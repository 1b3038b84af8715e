//! Who is let in at the control socket at the same time. Some places are kept for root and for
//! txlb's own user, and who has said nothing makes room for them.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are let in at the same time.
pub(super) const MOST: usize = 32;

/// Those of them that may be of other users than root and txlb's own.
pub(super) const MOST_OTHERS: usize = 28;

/// Who has said nothing for so long makes room for whoever comes.
const QUIET: Duration = Duration::from_secs(1);

/// Those who are let in.
#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// In the order of their coming.
    clients: Vec<Client>,
    last_id: u64,
}

struct Client {
    id: u64,
    is_own: bool,
    since: Instant,
    has_spoken: Arc<AtomicBool>,
    stream: Arc<UnixStream>,
}

/// A client's place, for as long as it stays.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    has_spoken: Arc<AtomicBool>,
}

impl Place {
    /// The client has said something.
    pub(super) fn hear(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }
}

impl Places {
    /// A place for somebody; `is_own` says that it is root or txlb's own user. Who had to leave
    /// for that comes with it.
    ///
    /// # Errors
    /// There is none: as many as may be are there.
    pub(super) fn take(
        self: &Arc<Places>,
        stream: &Arc<UnixStream>,
        is_own: bool,
    ) -> Result<(Place, Option<Arc<UnixStream>>), usize> {
        let mut taken = self.lock();
        let others = taken.clients.iter().filter(|it| !it.is_own).count();
        let is_full = taken.clients.len() >= MOST || (!is_own && others >= MOST_OTHERS);
        let left = match taken.first_to_go(is_own) {
            _ if !is_full => None,
            Some(at) => Some(taken.clients.remove(at).stream),
            None if is_own => return Err(MOST),
            None => return Err(MOST_OTHERS),
        };
        taken.last_id += 1;
        let (id, has_spoken) = (taken.last_id, Arc::default());
        taken.clients.push(Client {
            id,
            is_own,
            since: Instant::now(),
            has_spoken: Arc::clone(&has_spoken),
            stream: Arc::clone(stream),
        });
        let places = Arc::clone(self);
        let place = Place {
            places,
            id,
            has_spoken,
        };
        Ok((place, left))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Who makes room, for root or txlb's own user or for somebody else: of those who have said
    /// nothing yet, others before those, and who came first. For others only others do, and not
    /// at once.
    fn first_to_go(&self, is_own: bool) -> Option<usize> {
        let silent = self.clients.iter().enumerate().filter(|(_, it)| {
            let may_go = is_own || (!it.is_own && it.since.elapsed() >= QUIET);
            may_go && !it.has_spoken.load(Ordering::Relaxed)
        });
        silent
            .min_by_key(|(at, it)| (it.is_own, *at))
            .map(|(at, _)| at)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().clients.retain(|it| it.id != self.id);
    }
}

/// Ends the conversation with somebody, whoever waits for what they say.
pub(super) fn end(stream: &UnixStream) {
    // There is nothing to end if the client has gone.
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Arc<UnixStream> {
        Arc::new(UnixStream::pair().unwrap().0)
    }

    /// So many of others, or of root.
    fn crowd(places: &Arc<Places>, count: usize, is_own: bool) -> Vec<Place> {
        let take = |_| places.take(&stream(), is_own);
        (0..count).filter_map(take_only(take)).collect()
    }

    fn take_only(
        take: impl Fn(usize) -> Result<(Place, Option<Arc<UnixStream>>), usize>,
    ) -> impl Fn(usize) -> Option<Place> {
        move |number| take(number).ok().map(|(place, _)| place)
    }

    #[test]
    fn places_are_kept_for_root() {
        let places = Arc::new(Places::default());
        let others = crowd(&places, 40, false);
        assert_eq!(others.len(), MOST_OTHERS);
        others.iter().for_each(Place::hear);
        let own = crowd(&places, 4, true);
        assert_eq!(own.len(), 4);
        own.iter().for_each(Place::hear);
        assert_eq!(places.take(&stream(), true).err(), Some(MOST));
        assert_eq!(places.take(&stream(), false).err(), Some(MOST_OTHERS));
        drop(others);
        assert!(places.take(&stream(), false).is_ok());
        drop(own);
        assert_eq!(places.lock().clients.len(), 0);
    }

    #[test]
    fn who_has_said_nothing_makes_room_for_root_and_others_before_root() {
        let places = Arc::new(Places::default());
        let own = crowd(&places, 10, true);
        let others = crowd(&places, 22, false);
        others[0].hear();
        let (first, left) = places.take(&stream(), true).unwrap();
        assert!(left.is_some());
        let is_there = |place: &Place| places.lock().clients.iter().any(|it| it.id == place.id);
        assert!(is_there(&others[0]) && !is_there(&others[1]) && is_there(&own[0]));
        others.iter().for_each(Place::hear);
        let second = places.take(&stream(), true);
        assert!(second.is_ok() && !is_there(&own[0]) && is_there(&first));
        // For others nobody does who has only just come.
        assert_eq!(places.take(&stream(), false).err(), Some(MOST_OTHERS));
    }

    #[test]
    fn who_has_been_silent_makes_room_for_others() {
        let places = Arc::new(Places::default());
        let others = crowd(&places, MOST_OTHERS, false);
        let long_ago = Instant::now().checked_sub(QUIET).unwrap();
        places.lock().clients[3].since = long_ago;
        assert!(places.take(&stream(), false).is_ok());
        assert_eq!(places.lock().clients.len(), MOST_OTHERS - 1);
        assert!(!places.lock().clients.iter().any(|it| it.id == others[3].id));
    }
}
