//! One-minute cache of successful logins, so that a page that is refreshed does not cost a
//! password check each time.
//!
//! Pure: time is an argument, in milliseconds since any moment. It holds no passwords, and
//! nothing that could be tried out without this process's key.

use std::collections::VecDeque;
use std::sync::Arc;

use super::credential::CredentialTag;
use super::users::KnownUser;
use crate::admin::server::client_address::ClientAddress;

/// How long a success is valid after its check. Using it does not extend that.
const CACHED_MS: u64 = 60 * 1000;

/// Entries that are kept; the oldest is dropped.
const MAX_ENTRIES: usize = 256;

/// The oldest first, which expires first too.
#[derive(Default)]
pub(super) struct LoginCache(VecDeque<CachedLogin>);

struct CachedLogin {
    tag: CredentialTag,
    /// The user at the time of the check: a changed user is another `Arc`.
    user: Arc<KnownUser>,
    address: ClientAddress,
    until_ms: u64,
}

impl LoginCache {
    /// Whether this login succeeded at this address lately. It looks at all entries, so that time
    /// does not reveal which one matches.
    pub(super) fn contains(
        &mut self,
        tag: &CredentialTag,
        user: &Arc<KnownUser>,
        address: ClientAddress,
        now_ms: u64,
    ) -> bool {
        self.expire(now_ms);
        let is_equal_to = |entry: &CachedLogin| {
            entry.tag.is_equal_to(tag) & Arc::ptr_eq(&entry.user, user) & (entry.address == address)
        };
        self.0
            .iter()
            .fold(false, |found, it| found | is_equal_to(it))
    }

    pub(super) fn insert(
        &mut self,
        tag: CredentialTag,
        user: &Arc<KnownUser>,
        address: ClientAddress,
        now_ms: u64,
    ) {
        self.expire(now_ms);
        if self.0.len() >= MAX_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(CachedLogin {
            tag,
            user: Arc::clone(user),
            address,
            until_ms: now_ms + CACHED_MS,
        });
    }

    /// Drops the entries of other users.
    pub(super) fn retain(&mut self, stays: impl Fn(&Arc<KnownUser>) -> bool) {
        self.0.retain(|entry| stays(&entry.user));
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
    use crate::admin::auth::credential::ProcessKey;
    use crate::admin::auth::users::tests::known;

    fn tag(password: &str) -> CredentialTag {
        ProcessKey::of(1).tag("ann", password)
    }

    fn here() -> ClientAddress {
        ClientAddress::of([192, 0, 2, 1].into())
    }

    #[test]
    fn a_success_holds_for_a_minute_for_the_same_user_and_password() {
        let (mut cache, ann) = (LoginCache::default(), known("ann"));
        cache.insert(tag("a"), &ann, here(), 1000);
        assert!(cache.contains(&tag("a"), &ann, here(), 1000));
        assert!(!cache.contains(&tag("b"), &ann, here(), 1000));
        assert!(!cache.contains(&tag("a"), &known("ann"), here(), 1000));
        let elsewhere = ClientAddress::of([192, 0, 2, 2].into());
        assert!(!cache.contains(&tag("a"), &ann, elsewhere, 1000));
        assert!(cache.contains(&tag("a"), &ann, here(), 60_999));
        assert!(!cache.contains(&tag("a"), &ann, here(), 61_000));
        assert_eq!(cache.0.len(), 0);
    }

    #[test]
    fn at_most_256_are_kept_the_oldest_goes_first() {
        let (mut cache, ann) = (LoginCache::default(), known("ann"));
        for number in 0..=MAX_ENTRIES {
            cache.insert(tag(&number.to_string()), &ann, here(), 0);
        }
        assert_eq!(cache.0.len(), 256);
        assert!(!cache.contains(&tag("0"), &ann, here(), 0));
        assert!(cache.contains(&tag("1"), &ann, here(), 0));
        assert!(cache.contains(&tag("256"), &ann, here(), 0));
    }

    #[test]
    fn those_of_other_users_can_be_forgotten() {
        let (mut cache, ann, bob) = (LoginCache::default(), known("ann"), known("bob"));
        cache.insert(tag("a"), &ann, here(), 0);
        cache.insert(tag("b"), &bob, here(), 0);
        cache.retain(|user| Arc::ptr_eq(user, &bob));
        assert!(!cache.contains(&tag("a"), &ann, here(), 0));
        assert!(cache.contains(&tag("b"), &bob, here(), 0));
    }
}
