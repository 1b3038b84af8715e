//! Logins that were right a moment ago, so that a page which is asked for every few
//! seconds does not have the password checked every time.
//!
//! A pure table: the time is an argument, in milliseconds since any moment. It holds
//! neither passwords nor what could be tried out without this process's key.

use std::collections::VecDeque;
use std::sync::Arc;

use super::credential::Tag;
use super::users::Known;
use crate::admin::server::client_address::Source;

/// How long a success holds, from the check on; being asked for makes it no longer.
const HOLDS_MS: u64 = 60 * 1000;

/// How many are kept; the oldest makes room.
const MOST: usize = 256;

/// The oldest first, which is also the first to expire.
#[derive(Default)]
pub(super) struct Successes(VecDeque<Success>);

struct Success {
    tag: Tag,
    /// As they were when it was checked: after a change, there is another one.
    user: Arc<Known>,
    source: Source,
    until_ms: u64,
}

impl Successes {
    /// Whether this user was let in with that, at this address, lately. Looks at all of
    /// them, so that time does not tell which one it is.
    pub(super) fn has(
        &mut self,
        tag: &Tag,
        user: &Arc<Known>,
        source: Source,
        now_ms: u64,
    ) -> bool {
        self.expire(now_ms);
        let is = |success: &Success| {
            success.tag.is(tag) & Arc::ptr_eq(&success.user, user) & (success.source == source)
        };
        self.0.iter().fold(false, |found, it| found | is(it))
    }

    pub(super) fn insert(&mut self, tag: Tag, user: &Arc<Known>, source: Source, now_ms: u64) {
        self.expire(now_ms);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(Success {
            tag,
            user: Arc::clone(user),
            source,
            until_ms: now_ms + HOLDS_MS,
        });
    }

    /// Forgets those of all other users.
    pub(super) fn retain(&mut self, stays: impl Fn(&Arc<Known>) -> bool) {
        self.0.retain(|success| stays(&success.user));
    }

    fn expire(&mut self, now_ms: u64) {
        while self.0.front().is_some_and(|it| it.until_ms <= now_ms) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::auth::credential::Key;
    use crate::admin::auth::users::tests::known;

    fn tag(password: &str) -> Tag {
        Key::of(1).tag("ann", password)
    }

    fn here() -> Source {
        Source::of([192, 0, 2, 1].into())
    }

    #[test]
    fn a_success_holds_for_a_minute_for_the_same_user_and_password() {
        let (mut successes, ann) = (Successes::default(), known("ann"));
        successes.insert(tag("a"), &ann, here(), 1000);
        assert!(successes.has(&tag("a"), &ann, here(), 1000));
        assert!(!successes.has(&tag("b"), &ann, here(), 1000));
        assert!(!successes.has(&tag("a"), &known("ann"), here(), 1000));
        let elsewhere = Source::of([192, 0, 2, 2].into());
        assert!(!successes.has(&tag("a"), &ann, elsewhere, 1000));
        assert!(successes.has(&tag("a"), &ann, here(), 60_999));
        assert!(!successes.has(&tag("a"), &ann, here(), 61_000));
        assert_eq!(successes.0.len(), 0);
    }

    #[test]
    fn at_most_256_are_kept_the_oldest_goes_first() {
        let (mut successes, ann) = (Successes::default(), known("ann"));
        for number in 0..=MOST {
            successes.insert(tag(&number.to_string()), &ann, here(), 0);
        }
        assert_eq!(successes.0.len(), 256);
        assert!(!successes.has(&tag("0"), &ann, here(), 0));
        assert!(successes.has(&tag("1"), &ann, here(), 0));
        assert!(successes.has(&tag("256"), &ann, here(), 0));
    }

    #[test]
    fn those_of_other_users_can_be_forgotten() {
        let (mut successes, ann, bob) = (Successes::default(), known("ann"), known("bob"));
        successes.insert(tag("a"), &ann, here(), 0);
        successes.insert(tag("b"), &bob, here(), 0);
        successes.retain(|user| Arc::ptr_eq(user, &bob));
        assert!(!successes.has(&tag("a"), &ann, here(), 0));
        assert!(successes.has(&tag("b"), &bob, here(), 0));
    }
}
