//! Who goes first and who has to go, where more clients come than there is room for.
//!
//! Pure: what is known of the clients is an argument.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::source::{Net, Source};

/// A client that has said nothing for so long is not about to: in a crowd it is the first
/// to go.
pub(super) const QUIET_MS: u64 = 1000;

/// What is known of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) source: Source,
    /// Somebody has logged in from there before.
    pub(super) is_known: bool,
    /// Whether it has said anything yet.
    pub(super) has_spoken: bool,
    /// How long it has said nothing.
    pub(super) silent_ms: u64,
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
pub(super) fn first_to_go(
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
pub(super) fn order(waiting: &[Member], served: impl Iterator<Item = Source>) -> Vec<usize> {
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
