//! Credentials: the secret key of this process, tags and tokens made with it, what a session logged
//! in with, and a cache of recent logins. Also random bytes.
//!
//! Pure but for the random bytes: time is an argument, in milliseconds since an arbitrary start.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::users::KnownUser;
use crate::admin::server::client_address::ClientAddress;
#[cfg(feature = "ssh")]
use crate::config::Access;

/// Stands for a name and a password, and reveals neither without the key.
#[derive(Clone, Copy)]
pub(super) struct CredentialTag([u8; 32]);

impl CredentialTag {
    /// Compares in constant time.
    pub(super) fn is_equal_to(&self, other: &CredentialTag) -> bool {
        is_equal(&self.0, &other.0)
    }
}

/// Compares bytes in constant time. Their number is no secret.
pub(super) fn is_equal(ours: &[u8], theirs: &[u8]) -> bool {
    let pairs = ours.iter().zip(theirs);
    let difference = pairs.fold(0, |seen, (ours, theirs)| seen | (ours ^ theirs));
    std::hint::black_box(difference) == 0 && ours.len() == theirs.len()
}

/// A key for HMAC-SHA256, of its block size; made anew at each start.
pub(super) struct ProcessKey([u8; 64]);

impl ProcessKey {
    /// A random key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn random() -> io::Result<ProcessKey> {
        random_bytes().map(ProcessKey)
    }

    #[cfg(test)]
    pub(super) fn of(byte: u8) -> ProcessKey {
        ProcessKey([byte; 64])
    }

    /// The tag of a name and a password, neither of which has a NUL.
    pub(super) fn tag(&self, name: &str, password: &str) -> CredentialTag {
        CredentialTag(self.digest(&[name.as_bytes(), b"\0", password.as_bytes()]))
    }

    /// A token that shows that this process made the page for that user. No user's name begins
    /// with a NUL, so it is no other tag.
    ///
    /// Each page has another `number`, and so another token: nobody can find out a token from the
    /// lengths of many compressed pages (BREACH).
    #[cfg(feature = "web")]
    pub(super) fn page_token(&self, name: &str, number: u64) -> String {
        let number = number.to_be_bytes();
        let digest = self.digest(&[b"\0page\0", &number, name.as_bytes()]);
        let bytes = number.iter().chain(&digest);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `token` is one of the user's, in constant time.
    #[cfg(feature = "web")]
    pub(super) fn is_page_token(&self, name: &str, token: &str) -> bool {
        let number = token.get(..16).map(|it| u64::from_str_radix(it, 16));
        let Some(Ok(number)) = number else {
            return false;
        };
        is_equal(self.page_token(name, number).as_bytes(), token.as_bytes())
    }

    /// A number that is always the same for a name, and that cannot be predicted.
    pub(super) fn stable_number(&self, name: &str) -> usize {
        let digest = self.digest(&[name.as_bytes()]);
        let bytes = digest.iter().take(size_of::<usize>());
        bytes.fold(0, |stable_number, byte| {
            stable_number << 8 | usize::from(*byte)
        })
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// What a user has logged in with. Sessions check it again before each request.
#[cfg(feature = "ssh")]
#[derive(Clone)]
pub(in crate::admin) struct Credential {
    pub(super) name: String,
    pub(super) user: Arc<KnownUser>,
    /// The public key; `None` for a password.
    pub(super) key: Option<Vec<u8>>,
}

#[cfg(feature = "ssh")]
impl Credential {
    /// The user's name.
    pub(in crate::admin) fn name(&self) -> &str {
        &self.name
    }

    /// The user's access.
    pub(in crate::admin) fn access(&self) -> Access {
        self.user.access
    }
}

/// How long a success is valid after its check. Using it does not extend that.
const CACHED_MS: u64 = 60 * 1000;

/// Entries that are kept; the oldest is dropped.
const MAX_ENTRIES: usize = 256;

/// One-minute cache of successful logins, so that a page that is refreshed does not cost a password
/// check each time. The oldest is first, which expires first too.
///
/// It holds no passwords, and nothing that could be tried out without this process's key.
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

/// Random bytes from the system, for keys, salts and tokens.
///
/// # Errors
/// The system gives none.
pub(super) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::auth::users::tests::known;

    #[test]
    fn a_tag_is_of_one_name_one_password_and_one_key() {
        let tag = ProcessKey::of(1).tag("ann", "secret");
        assert!(tag.is_equal_to(&ProcessKey::of(1).tag("ann", "secret")));
        for other in [
            ProcessKey::of(1).tag("ann", "Secret"),
            ProcessKey::of(1).tag("anna", "secret"),
            ProcessKey::of(1).tag("anns", "ecret"),
            ProcessKey::of(2).tag("ann", "secret"),
        ] {
            assert!(!tag.is_equal_to(&other));
        }
        // One byte is enough, the first or the last.
        for at in [0, 31] {
            let mut other = tag;
            other.0[at] ^= 1;
            assert!(!tag.is_equal_to(&other));
        }
    }

    #[test]
    fn it_is_hmac_sha256() {
        // What `openssl dgst -sha256 -mac HMAC -macopt hexkey:0101...` says of "ann\0secret".
        let hex: String = ProcessKey::of(1)
            .tag("ann", "secret")
            .0
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "6eb8738ecc144d62cbb5d3c8f9062e1d3aa0c62f8c84b9f34c8937a537d249e2"
        );
    }

    #[test]
    fn no_two_processes_have_the_same_key() {
        let keys = [ProcessKey::random().unwrap(), ProcessKey::random().unwrap()];
        assert!(keys[0].0 != keys[1].0);
    }

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
