//! Who is let in at a door at the same time: so many in all, and so many from one
//! place. In a crowd, who is silent makes room.
//!
//! Who is let in next, and who has to go, is `crowd`'s to say.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rustix::net::{Shutdown, shutdown};

use super::client_address::{Net, Source};
use super::lock;

/// A socket that can be cut while somebody else reads and writes it.
pub(in crate::admin) type Socket = Arc<dyn AsFd + Send + Sync>;

/// How long a client may be silent in a crowd before it has asked for anything.
const SILENT_MS: u64 = 500;

/// The same where it is logging in: a person may be typing.
#[cfg(feature = "ssh")]
const TYPING_MS: u64 = 3000;

/// The seats at a door.
pub(in crate::admin) struct Seats {
    most: usize,
    most_from_one: usize,
    taken: Mutex<Taken>,
    /// Called by who leaves when there had been no seat.
    on_room: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Taken {
    seated: Vec<Seated>,
    last_id: u64,
}

struct Seated {
    id: u64,
    source: Source,
    is_known: bool,
    socket: Socket,
    activity: Arc<Activity>,
}

/// How far a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Stage {
    /// It has not asked for anything yet.
    Asking = 0,
    /// It tries to log in.
    #[cfg(feature = "ssh")]
    LoggingIn = 1,
    /// It gets what it has come for.
    Served = 2,
    /// It had to make room, and is about to leave.
    Cut = 3,
}

/// What a client does, written by whoever serves it.
pub(in crate::admin) struct Activity {
    began: Instant,
    heard_ms: AtomicU64,
    stage: AtomicU8,
}

impl Activity {
    fn begin() -> Activity {
        Activity {
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            stage: AtomicU8::new(Stage::Asking as u8),
        }
    }

    /// It has said something.
    pub(in crate::admin) fn hear(&self) {
        self.heard_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// It is so far.
    pub(in crate::admin) fn reach(&self, stage: Stage) {
        // Who is cut stays so.
        let cut = Stage::Cut as u8;
        let _ = self
            .stage
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now != cut).then_some(stage as u8)
            });
    }

    fn is(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::Relaxed) == stage as u8
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn silent_ms(&self) -> u64 {
        let heard_ms = self.heard_ms.load(Ordering::Relaxed);
        self.age_ms().saturating_sub(heard_ms)
    }

    /// Whether it may be made to leave for others.
    fn may_go(&self) -> bool {
        #[cfg(feature = "ssh")]
        if self.is(Stage::LoggingIn) {
            return self.silent_ms() >= TYPING_MS;
        }
        self.is(Stage::Asking) && self.silent_ms() >= SILENT_MS
    }
}

impl Seated {
    fn member(&self) -> Member {
        let heard_ms = self.activity.heard_ms.load(Ordering::Relaxed);
        Member {
            source: self.source,
            is_known: self.is_known,
            has_spoken: heard_ms > 0,
            silent_ms: self.activity.silent_ms(),
        }
    }

    fn cut(&self) {
        self.activity.reach(Stage::Cut);
        // There is nothing to cut if the client has gone.
        let _ = shutdown(&*self.socket, Shutdown::Both);
    }
}

/// A client's seat, for as long as it stays.
pub(in crate::admin) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    activity: Arc<Activity>,
}

impl Seat {
    /// Where what the client does is written down.
    pub(in crate::admin) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}

impl Seats {
    /// So many in all, and from one place.
    pub(in crate::admin) fn new(
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
    pub(in crate::admin) fn has_room(&self) -> bool {
        self.lock().seated.len() < self.most
    }

    /// Whether more than half of the seats are taken.
    #[cfg(any(feature = "web", test))]
    pub(in crate::admin) fn is_crowded(&self) -> bool {
        self.lock().seated.len() > self.most / 2
    }

    /// How many may be there from one place.
    pub(in crate::admin) fn most_from_one(&self) -> usize {
        self.most_from_one
    }

    /// Where those who are there come from.
    pub(in crate::admin) fn sources(&self) -> Vec<Source> {
        self.lock().seated.iter().map(|it| it.source).collect()
    }

    /// A seat for somebody from `ip`; `None` where that place has its share already,
    /// or no seat is left.
    pub(in crate::admin) fn take(
        self: &Arc<Seats>,
        ip: IpAddr,
        is_known: bool,
        socket: Socket,
    ) -> Option<Seat> {
        let source = Source::of(ip);
        let mut taken = self.lock();
        let from_there = taken.from(source).count();
        if taken.seated.len() >= self.most || from_there >= self.most_from_one {
            return None;
        }
        taken.last_id += 1;
        let (id, activity) = (taken.last_id, Arc::new(Activity::begin()));
        taken.seated.push(Seated {
            id,
            source,
            is_known,
            socket,
            activity: Arc::clone(&activity),
        });
        Some(Seat {
            seats: Arc::clone(self),
            id,
            activity,
        })
    }

    /// Has so many leave of those who are silent, for others to take their seats; `only_mute`
    /// of those who have never said anything. Who is about to leave is one of them.
    pub(in crate::admin) fn make_room(&self, wanted: usize, only_mute: bool) {
        let taken = self.lock();
        let leaving = taken.seated.iter().filter(|it| it.activity.is(Stage::Cut));
        let wanted = wanted.saturating_sub(leaving.count());
        let members: Vec<Member> = taken.seated.iter().map(Seated::member).collect();
        let may_go = |at: usize, member: &Member| {
            taken.seated[at].activity.may_go() && !(only_mute && member.has_spoken)
        };
        for at in first_to_go(&members, may_go).into_iter().take(wanted) {
            taken.seated[at].cut();
        }
    }

    /// Has whoever of that place was silent longest leave; whether there is somebody who may.
    pub(in crate::admin) fn make_room_at(&self, source: Source) -> bool {
        let taken = self.lock();
        let silent = taken.from(source).filter(|it| it.activity.may_go());
        let longest = silent.max_by_key(|it| it.activity.silent_ms());
        longest.inspect(|it| it.cut()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        lock(&self.taken)
    }
}

impl Taken {
    fn from(&self, source: Source) -> impl Iterator<Item = &Seated> {
        let all = self.seated.iter();
        all.filter(move |it| it.source.place() == source.place())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        let was_full = taken.seated.len() == self.seats.most;
        taken.seated.retain(|it| it.id != self.id);
        drop(taken);
        if was_full {
            (self.seats.on_room)();
        }
    }
}

/// A client that has said nothing for so long is not about to: in a crowd it is the first
/// to go.
pub(in crate::admin) const QUIET_MS: u64 = 1000;

/// What is known of a client.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) struct Member {
    pub(in crate::admin) source: Source,
    /// Somebody has logged in from there before.
    pub(in crate::admin) is_known: bool,
    /// Whether it has said anything yet.
    pub(in crate::admin) has_spoken: bool,
    /// How long it has said nothing.
    pub(in crate::admin) silent_ms: u64,
}

/// How many clients there are of each site and of each place.
struct Counts(HashMap<Net, usize>);

impl Counts {
    fn of(sources: impl Iterator<Item = Source>) -> Counts {
        let mut counts = HashMap::new();
        for source in sources {
            for net in [source.site(), source.place()] {
                *counts.entry(net).or_default() += 1;
            }
        }
        Counts(counts)
    }

    /// Of its site first.
    fn like(&self, source: Source) -> (usize, usize) {
        let count = |net| self.0.get(&net).copied().unwrap_or(0);
        (count(source.site()), count(source.place()))
    }
}

/// Which of `members` make room, in this order, of those that `may_go`: first who has been quiet,
/// then who is of the busiest network, then of the busiest place in it, then who was silent
/// longest. Nobody who is known.
pub(in crate::admin) fn first_to_go(
    members: &[Member],
    may_go: impl Fn(usize, &Member) -> bool,
) -> Vec<usize> {
    let counts = Counts::of(members.iter().map(|it| it.source));
    let rank = |at: &usize| {
        let it = &members[*at];
        let is_quiet = !it.has_spoken && it.silent_ms >= QUIET_MS;
        Reverse((is_quiet, counts.like(it.source), it.silent_ms))
    };
    let all = members.iter().enumerate();
    let going = all.filter(|(at, it)| !it.is_known && may_go(*at, it));
    let mut going: Vec<usize> = going.map(|(at, _)| at).collect();
    going.sort_by_cached_key(rank);
    going
}

/// The order in which those who wait are served: first who is known, then whose network and
/// place is served least, then who has said something, then who came first.
pub(in crate::admin) fn order(
    waiting: &[Member],
    served: impl Iterator<Item = Source>,
) -> Vec<usize> {
    let counts = Counts::of(served);
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    // They are in the order of their coming, and the sort is stable.
    order.sort_by_cached_key(|at| {
        let it = &waiting[*at];
        (!it.is_known, counts.like(it.source), !it.has_spoken)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicUsize;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn socket() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Arc::new(ours), theirs)
    }

    #[test]
    fn nobody_has_more_than_a_share_and_who_leaves_a_full_door_says_so() {
        let rings = Arc::new(AtomicUsize::new(0));
        let bell = Arc::clone(&rings);
        let seats = Arc::new(Seats::new(3, 2, move || {
            bell.fetch_add(1, Ordering::Relaxed);
        }));
        let take = |ip| seats.take(ip, false, socket().0);
        let mut taken: Vec<_> = (0..3).filter_map(|_| take(ONE)).collect();
        assert_eq!(taken.len(), 2);
        assert!(seats.has_room() && seats.is_crowded());
        taken.extend(take(TWO));
        assert!(!seats.has_room() && take(TWO).is_none());
        assert_eq!(seats.sources().len(), 3);

        assert_eq!(rings.load(Ordering::Relaxed), 0);
        taken.pop();
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        taken.clear();
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        assert!(seats.lock().seated.is_empty());
    }

    #[test]
    fn who_is_silent_makes_room_unless_they_are_served() {
        let seats = Arc::new(Seats::new(3, 3, || {}));
        let (mut clients, mut taken) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (ours, theirs) = socket();
            taken.extend(seats.take(ONE, false, ours));
            theirs.set_nonblocking(true).unwrap();
            clients.push(theirs);
        }
        let mut cut = || {
            let is_cut = |client: &mut UnixStream| matches!(client.read(&mut [0]), Ok(0));
            clients.iter_mut().map(is_cut).collect::<Vec<_>>()
        };
        // They have only just come.
        seats.make_room(3, false);
        assert_eq!(cut(), [false; 3]);
        // As if that were long ago.
        let age = |ms| {
            Arc::new(Activity {
                began: Instant::now()
                    .checked_sub(std::time::Duration::from_millis(ms))
                    .unwrap(),
                ..Activity::begin()
            })
        };
        for (seated, ms) in seats.lock().seated.iter_mut().zip([9000, 8000, 7000]) {
            seated.activity = age(ms);
        }
        let activity = |at: usize| Arc::clone(&seats.lock().seated[at].activity);
        activity(0).reach(Stage::Served);
        activity(1).hear();
        seats.make_room(2, false);
        assert_eq!(cut(), [false, false, true]);
        // They still leave, and nothing changes that.
        activity(2).reach(Stage::Served);
        assert!(activity(2).is(Stage::Cut));
        assert!(!seats.make_room_at(Source::of(TWO)));
        assert!(!seats.make_room_at(Source::of(ONE)));
        assert_eq!(cut(), [false, false, true]);
    }
}

#[cfg(test)]
mod order_tests {
    use super::*;

    fn member(ip: [u8; 4], silent_ms: u64) -> Member {
        Member {
            source: Source::of(ip.into()),
            is_known: false,
            has_spoken: true,
            silent_ms,
        }
    }

    fn go(members: &[Member]) -> Option<usize> {
        first_to_go(members, |_, _| true).first().copied()
    }

    #[test]
    fn who_has_said_nothing_for_long_goes_first() {
        let quiet = |ms| Member {
            has_spoken: false,
            ..member([10, 0, 0, 1], ms)
        };
        let busy = [member([10, 0, 1, 1], 9000), member([10, 0, 1, 1], 9000)];
        assert_eq!(go(&[busy[0], busy[1], quiet(1000), quiet(2000)]), Some(3));
        // Who has just come is not quiet.
        assert_eq!(go(&[busy[0], busy[1], quiet(10)]), Some(0));
        assert_eq!(go(&[]), None);
    }

    #[test]
    fn the_busiest_network_and_in_it_the_busiest_place_makes_room() {
        let members = [
            member([10, 0, 0, 1], 9000),
            member([10, 0, 1, 1], 100),
            member([10, 0, 1, 2], 100),
            member([10, 0, 1, 2], 200),
        ];
        assert_eq!(go(&members), Some(3));
        assert_eq!(go(&members[..2]), Some(0));
        assert_eq!(first_to_go(&members, |at, _| at < 2), [1, 0]);
    }

    #[test]
    fn nobody_who_is_known_has_to_go() {
        let known = Member {
            is_known: true,
            ..member([10, 0, 0, 1], 9000)
        };
        assert_eq!(go(&[known, known]), None);
        assert_eq!(go(&[known, known, member([10, 0, 1, 1], 1)]), Some(2));
    }

    #[test]
    fn who_has_least_is_served_next() {
        let known = Member {
            is_known: true,
            ..member([10, 0, 9, 1], 0)
        };
        let mute = Member {
            has_spoken: false,
            ..member([10, 0, 3, 1], 0)
        };
        let waiting = [
            member([10, 0, 1, 1], 0),
            member([10, 0, 1, 2], 0),
            mute,
            member([10, 0, 2, 1], 0),
            member([10, 0, 2, 2], 0),
            known,
        ];
        let served = [[10, 0, 1, 1], [10, 0, 1, 7], [10, 0, 9, 1]];
        let served = served.into_iter().map(|ip| Source::of(ip.into()));
        assert_eq!(order(&waiting, served), [5, 3, 4, 2, 1, 0]);
    }
}
