//! Logins for all admin interfaces: password checks, rate limits, and a cache of recent
//! successes.
//!
//! The locks are here. What is decided under them is pure: `limiter` has failures and known
//! logins, `queue` the order of checks.

mod credential;
mod limiter;
mod queue;
#[cfg(test)]
mod simulation;
mod users;

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "ssh")]
pub(super) use self::credential::Credential;
use self::credential::{CredentialTag, LoginCache, ProcessKey};
use self::limiter::Limiter;
use self::queue::{NotQueued, QueueStatus};
use self::users::{KnownUser, Users};
pub use self::users::{MAX_PASSWORD, hash_password};
use super::server::client_address::ClientAddress;
use crate::config::{Access, Config, User};
use crate::control::{Commit, Reconfigure};
use crate::log_targets;
use crate::os::resources;
use crate::sync::lock;

/// `Retry-After` of a client if its password was not checked in time, in seconds.
const BUSY_S: u64 = 1;

/// Characters of a user's name in the log: clients choose it.
const MAX_NAME_CHARS: usize = 64;

/// Checks logins. All admin interfaces share one; a clone is cheap.
///
/// Two passwords are checked at a time, one of them for users who have not logged in from that
/// address before. A success is valid for a minute without another check, at the same address.
/// After three failures an address waits before its next check: a second, then twice as long each
/// time, a minute at most. A network with many failures waits too.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

/// The result of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// The user has logged in, with this access.
    Welcome(Access),
    /// No such user, another password, or a user without one.
    Wrong,
    /// Nothing was checked: too many failures at the address, or too many waiting checks.
    Wait {
        /// Time to wait before another try, at least 1.
        seconds: u64,
    },
}

impl Auth {
    /// With these users.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(users: &[User]) -> io::Result<Auth> {
        let start = Instant::now();
        // Half a billion years.
        let clock = move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Auth::with_clock(users, ProcessKey::random()?, clock))
    }

    fn with_clock(
        users: &[User],
        key: ProcessKey,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Auth {
        Auth(Arc::new(Inner {
            key,
            users: Mutex::new(Arc::new(Users::new(users, None))),
            cache: Mutex::default(),
            slots: CheckSlots::new(clock),
            failed: AtomicU64::new(0),
        }))
    }

    /// Replaces the users. Those whose password or access has changed must log in again, even if
    /// a check of theirs is under way.
    pub fn set_users(&self, users: &[User]) {
        let before = self.0.users();
        let now = Arc::new(Users::new(users, Some(&before)));
        *lock(&self.0.users) = Arc::clone(&now);
        lock(&self.0.cache).retain(|user| now.contains(user));
        let is_user = |name: &str| now.find(name).is_some();
        self.0.slots.limiter().retain(is_user);
    }

    /// Makes the users follow the configuration.
    pub fn reconfigurable(&self) -> Box<dyn Reconfigure> {
        Box::new(AuthReconfigure(self.clone()))
    }

    /// Whether there are users at all, with a password or a key.
    pub fn has_users(&self) -> bool {
        !self.0.users().is_empty()
    }

    /// Checks a login. Blocks for the check and its queue, 10 s at most. `interface` names the
    /// interface in the log, `web` or `ssh`.
    pub fn login(
        &self,
        address: IpAddr,
        name: &str,
        password: &str,
        interface: &'static str,
    ) -> Login {
        let inner = &*self.0;
        let address = ClientAddress::of(address);
        if !users::is_valid_password(password) {
            // While the address must wait, it learns nothing, not even this.
            return match inner.may_try(address, name) {
                Err(seconds) => Login::Wait { seconds },
                Ok(()) => inner.record_failure(address, name, interface),
            };
        }
        let attempt = Attempt {
            address,
            name,
            password,
            tag: inner.key.tag(name, password),
        };
        if let Some(login) = inner.cached_login(&attempt) {
            return login;
        }
        let slot = match inner.slots.take(address, name, attempt.tag) {
            SlotResult::Check(slot) => Some(slot),
            SlotResult::Same => None,
            SlotResult::Busy => return Login::Wait { seconds: BUSY_S },
        };
        // Meanwhile others may have failed there, or the same login may have succeeded.
        if let Some(login) = inner.cached_login(&attempt) {
            return login;
        }
        let Some(slot) = slot else {
            return Login::Wait { seconds: BUSY_S };
        };
        match inner.check(&attempt, &slot) {
            Some(access) => Login::Welcome(access),
            None => inner.record_failure(address, name, interface),
        }
    }

    /// Whether a password would be checked for this address now. Keys are checked regardless:
    /// they cannot be guessed.
    ///
    /// # Errors
    /// The seconds to wait, at least 1.
    pub fn may_try(&self, address: IpAddr) -> Result<(), u64> {
        let slots = &self.0.slots;
        let limiter = slots.limiter();
        limiter.may_try_from(ClientAddress::of(address), slots.now_ms())
    }

    /// Whether a user has logged in from this address in the last seven days.
    pub fn is_known(&self, address: IpAddr) -> bool {
        let slots = &self.0.slots;
        slots
            .limiter()
            .is_known(ClientAddress::of(address), slots.now_ms())
    }

    /// Logins that have failed so far.
    pub fn failed_logins(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Records a failed login and logs it.
    pub fn record_failure(&self, address: IpAddr, name: &str, interface: &'static str) {
        self.0
            .record_failure(ClientAddress::of(address), name, interface);
    }

    /// Records a login: failures of the address are forgotten.
    pub fn record_success(&self, address: IpAddr, name: &str) {
        self.0.record_success(ClientAddress::of(address), name);
    }
}

#[cfg(feature = "ssh")]
impl Auth {
    /// The credential of a user whose password is yet to be checked.
    pub(in crate::admin) fn credential_by_password(&self, name: &str) -> Option<Credential> {
        let user = Arc::clone(self.0.users().find(name)?);
        Some(Credential {
            name: name.to_owned(),
            user,
            key: None,
        })
    }

    /// The credential of the user with this public key; `None` if it is not theirs. A wrong key
    /// is not logged, as clients try all keys that they have.
    ///
    /// Failures at the address do not matter: keys cannot be guessed, and others may have failed
    /// there.
    pub(in crate::admin) fn credential_by_key(&self, name: &str, key: &[u8]) -> Option<Credential> {
        let users = self.0.users();
        let user = users.find(name).filter(|_| users.has_key(name, key))?;
        Some(Credential {
            name: name.to_owned(),
            user: Arc::clone(user),
            key: Some(key.to_vec()),
        })
    }

    /// Whether the same login would succeed now, with the same access.
    pub(in crate::admin) fn is_valid(&self, credential: &Credential) -> bool {
        let users = self.0.users();
        let Some(user) = users.find(&credential.name) else {
            return false;
        };
        match &credential.key {
            None => Arc::ptr_eq(user, &credential.user),
            Some(key) => user.access == credential.access() && users.has_key(&credential.name, key),
        }
    }
}

#[cfg(feature = "web")]
impl Auth {
    /// The token in forms of a page for this user: another one for each page.
    pub(super) fn page_token(&self, name: &str) -> String {
        // Without randomness all pages have the same token, which is still a secret.
        let number = self.random_number().unwrap_or_default();
        self.0.key.page_token(name, number)
    }

    /// Whether `token` was in a page for this user.
    pub(super) fn is_page_token(&self, name: &str, token: &str) -> bool {
        self.0.key.is_page_token(name, token)
    }

    /// A random number.
    ///
    /// # Errors
    /// The system gives no randomness.
    #[expect(clippy::unused_self, reason = "who has the key has the randomness")]
    pub(super) fn random_number(&self) -> io::Result<u64> {
        credential::random_bytes().map(u64::from_le_bytes)
    }
}

struct AuthReconfigure(Auth);

impl Reconfigure for AuthReconfigure {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        if now.users() == next.users() {
            return Ok(None);
        }
        let (auth, users) = (self.0.clone(), next.users().to_vec());
        Ok(Some(Box::new(move || auth.set_users(&users))))
    }
}

/// What all clones share. No lock is held during a check, and no two at a time.
struct Inner {
    key: ProcessKey,
    users: Mutex<Arc<Users>>,
    cache: Mutex<LoginCache>,
    slots: CheckSlots,
    failed: AtomicU64,
}

/// A login to be checked.
struct Attempt<'a> {
    address: ClientAddress,
    name: &'a str,
    password: &'a str,
    tag: CredentialTag,
}

impl Inner {
    fn users(&self) -> Arc<Users> {
        Arc::clone(&lock(&self.users))
    }

    fn may_try(&self, address: ClientAddress, name: &str) -> Result<(), u64> {
        let limiter = self.slots.limiter();
        limiter.may_try(address, name, self.slots.now_ms())
    }

    /// The result that needs no check, if there is one.
    /// A recent success passes beside failures at its address: a monitoring system may log in
    /// there. It does not forget these failures, or the password of a read-only user would buy
    /// guesses at others.
    /// It holds at its own address only: elsewhere nothing would slow down guesses at it.
    /// Tests: `a_recent_success_passes_beside_failures_and_does_not_hide_them`,
    /// `a_success_is_not_checked_again_for_a_minute`.
    fn cached_login(&self, attempt: &Attempt<'_>) -> Option<Login> {
        let now_ms = self.slots.now_ms();
        if let Some(user) = self.users().find(attempt.name)
            && lock(&self.cache).contains(&attempt.tag, user, attempt.address, now_ms)
        {
            return Some(Login::Welcome(user.access));
        }
        let wait = self.may_try(attempt.address, attempt.name).err();
        wait.map(|seconds| Login::Wait { seconds })
    }

    /// Checks the password. Without a hash of the user's own, it checks another in vain: time
    /// must not reveal which users exist.
    fn check(&self, attempt: &Attempt<'_>, slot: &CheckSlot<'_>) -> Option<Access> {
        let users = self.users();
        let user = users.find(attempt.name);
        let own = user.and_then(|user| user.hash());
        let hash = own.or_else(|| users.decoy_hash(self.key.stable_number(attempt.name)));
        let matches = hash.is_some_and(|hash| slot.check(|| hash.matches(attempt.password)));
        let user = user.filter(|_| matches && own.is_some())?;
        self.accept(attempt, user)
    }

    /// Accepts a login, unless the user has changed during the check.
    fn accept(&self, attempt: &Attempt<'_>, user: &Arc<KnownUser>) -> Option<Access> {
        if !self.users().contains(user) {
            return None;
        }
        let now_ms = self.slots.now_ms();
        lock(&self.cache).insert(attempt.tag, user, attempt.address, now_ms);
        self.record_success(attempt.address, attempt.name);
        Some(user.access)
    }

    fn record_failure(&self, address: ClientAddress, name: &str, interface: &'static str) -> Login {
        log::warn!(target: log_targets::LOGINS, "{}", failure(address, name, interface));
        self.failed.fetch_add(1, Ordering::Relaxed);
        let now_ms = self.slots.now_ms();
        self.slots.limiter().record_failure(address, name, now_ms);
        Login::Wrong
    }

    fn record_success(&self, address: ClientAddress, name: &str) {
        let now_ms = self.slots.now_ms();
        self.slots.limiter().record_success(address, name, now_ms);
    }
}

/// Longest wait for a check.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Slots to check passwords: waits for one, and checks on a thread of low priority. Which check is
/// next is decided in `limiter` and `queue`.
struct CheckSlots {
    limiter: Mutex<Limiter>,
    /// A check was queued, has ended, or was removed.
    changed: Condvar,
    /// Milliseconds since an arbitrary start.
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What became of the wait.
enum SlotResult<'a> {
    /// The password is to be checked now.
    Check(CheckSlot<'a>),
    /// The same was checked meanwhile.
    Same,
    /// Too many wait already, or it took too long.
    Busy,
}

/// The right to check one password, until it is dropped.
struct CheckSlot<'a> {
    slots: &'a CheckSlots,
    ticket: u64,
    cost: Cell<Duration>,
}

impl CheckSlots {
    fn new(clock: impl Fn() -> u64 + Send + Sync + 'static) -> CheckSlots {
        CheckSlots {
            limiter: Mutex::default(),
            changed: Condvar::new(),
            clock: Box::new(clock),
        }
    }

    fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.limiter)
    }

    /// Waits for a slot.
    fn take(&self, address: ClientAddress, name: &str, tag: CredentialTag) -> SlotResult<'_> {
        let until = Instant::now() + MAX_WAIT;
        let now_ms = self.now_ms();
        let mut limiter = self.limiter();
        let queue_key = limiter.queue_key(address, name, now_ms);
        match limiter.push(address, name, tag, now_ms) {
            Ok(ticket) => self.wait(limiter, ticket, until),
            Err(NotQueued::Full) => SlotResult::Busy,
            Err(NotQueued::Same) => {
                let left = until.saturating_duration_since(Instant::now());
                let contains = |limiter: &mut Limiter| limiter.queue.contains(queue_key, &tag);
                let waits = self.changed.wait_timeout_while(limiter, left, contains);
                drop(waits);
                SlotResult::Same
            }
        }
    }

    fn wait<'a>(
        &'a self,
        mut limiter: MutexGuard<'a, Limiter>,
        ticket: u64,
        until: Instant,
    ) -> SlotResult<'a> {
        // A check that was evicted for this one wakes up.
        self.changed.notify_all();
        loop {
            let later = match limiter.queue.try_start(ticket, self.now_ms()) {
                QueueStatus::Started => break,
                QueueStatus::Evicted => return SlotResult::Busy,
                QueueStatus::Later(ms) => Duration::from_millis(ms),
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                limiter.queue.remove(ticket);
                drop(limiter);
                self.changed.notify_all();
                return SlotResult::Busy;
            }
            let waits = self.changed.wait_timeout(limiter, later.min(left));
            limiter = waits.unwrap_or_else(PoisonError::into_inner).0;
        }
        SlotResult::Check(CheckSlot {
            slots: self,
            ticket,
            cost: Cell::default(),
        })
    }
}

impl CheckSlot<'_> {
    /// Checks on a thread of lower priority than the workers. If the system has no thread, this
    /// one does it.
    fn check(&self, fits: impl Fn() -> bool + Sync) -> bool {
        let (done, cost) = thread::scope(|scope| {
            let name = thread::Builder::new().name("password".to_owned());
            let work = || {
                resources::lower_thread_priority();
                measure(&fits)
            };
            let done = name.spawn_scoped(scope, work);
            // A panic is reported by the panic guard, and is no right password.
            done.map_or_else(
                |_| measure(&fits),
                |it| it.join().unwrap_or((false, Duration::ZERO)),
            )
        });
        self.cost.set(cost);
        done
    }
}

/// The result, and the processor time that it took.
fn measure(work: impl Fn() -> bool) -> (bool, Duration) {
    let (begun, spent) = (Instant::now(), resources::thread_cpu_time());
    let done = work();
    let used = resources::thread_cpu_time().zip(spent);
    let cost = used.map(|(now, then)| now.saturating_sub(then));
    (done, cost.unwrap_or_else(|| begun.elapsed()))
}

impl Drop for CheckSlot<'_> {
    fn drop(&mut self) {
        let now_ms = self.slots.now_ms();
        let mut limiter = self.slots.limiter();
        limiter.queue.finish(self.ticket, self.cost.get(), now_ms);
        drop(limiter);
        self.slots.changed.notify_all();
    }
}

/// The line that fail2ban reads. txlb(8) has the expression for it, so it must not change.
/// Test: `a_failure_is_one_line_whatever_the_name_is`.
fn failure(address: ClientAddress, name: &str, interface: &str) -> String {
    let printable = printable(name);
    format!(
        "login failed: user {printable} from {} ({interface})",
        address.ip()
    )
}

/// A name for the log: characters that end a line or change its display are escaped.
fn printable(name: &str) -> String {
    let mut letters = name.chars();
    let mut printable = String::new();
    for letter in letters.by_ref().take(MAX_NAME_CHARS) {
        if letter.is_ascii_graphic() || letter == ' ' || letter.is_alphanumeric() {
            printable.push(letter);
        } else {
            printable.extend(letter.escape_unicode());
        }
    }
    if letters.next().is_some() {
        printable += "...";
    }
    printable
}

/// Checks a password against any hash that costs little, for fuzzing.
#[cfg(all(any(test, feature = "internals"), feature = "web"))]
pub(super) fn check_cheap(hash: &str, password: &str) {
    let costs_little = ["$2a$04$", "$2b$04$", "$2y$04$"];
    let is_cheap = (!hash.starts_with("$2") && !hash.contains("rounds="))
        || costs_little.iter().any(|it| hash.starts_with(it));
    if let Ok(hash) = users::Hash::read(hash)
        && is_cheap
        && users::is_valid_password(password)
    {
        hash.matches(password);
    }
}

#[cfg(test)]
mod tests;
