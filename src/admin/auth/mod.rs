//! Who may pass the doors for people: passwords are checked here, for all doors
//! together, and who guesses is made slow.
//!
//! How a hash is checked is `hash`'s business, who guesses `sources`'s. What somebody
//! may do once they are in is for the doors to mind.

mod cache;
mod credential;
mod limiter;
mod queue;
#[cfg(test)]
mod simulation;
mod slots;
mod users;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use self::cache::Successes;
#[cfg(feature = "ssh")]
pub(super) use self::credential::Pass;
use self::credential::{Key, Tag};
use self::slots::{Slot, Slots, Turn};
use self::users::{Known, Users};
pub use self::users::{MAX_PASSWORD, hash_password};
use super::server::client_address::Source;
use super::server::lock;
use crate::config::{Access, Config, User};
use crate::control::{Commit, Reconfigure};
use crate::log_targets;

/// What somebody who waits in vain for their password to be checked is told to wait.
const BUSY_S: u64 = 1;

/// How much of a user's name the log shows, in characters: it may be anything.
const MOST_SHOWN: usize = 64;

/// Who may log in, and who has tried. All doors share one; to clone it is cheap.
///
/// Two passwords are checked at a time, one of them for strangers: for whoever has not
/// logged in from their address before. What was right is so for a minute without another
/// check, at the same address. An address that is wrong more than three times has to wait
/// before a password is checked for it again, a second at first and twice as long after
/// each failure, a minute at most; so has a network in which many are wrong.
#[derive(Clone)]
pub struct Auth(Arc<Guard>);

/// What came of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// It is them, and this is what they may do.
    Welcome(Access),
    /// No such user, not their password, or a user who has none.
    Wrong,
    /// Nothing was checked: the address has failed too often, or too many passwords
    /// wait to be checked already.
    Wait {
        /// After so many seconds it may be tried again; at least one.
        seconds: u64,
    },
}

impl Auth {
    /// Lets these users in.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn new(users: &[User]) -> io::Result<Auth> {
        let start = Instant::now();
        // It takes half a billion years to be more.
        let clock = move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Auth::with_clock(users, Key::random()?, clock))
    }

    fn with_clock(
        users: &[User],
        key: Key,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Auth {
        Auth(Arc::new(Guard {
            key,
            users: Mutex::new(Arc::new(Users::new(users, None))),
            successes: Mutex::default(),
            slots: Slots::new(clock),
        }))
    }

    /// From now on the users are these. Somebody whose password or access is another
    /// now has to log in anew, even if that is being checked.
    pub fn follow(&self, users: &[User]) {
        let before = self.0.users();
        let now = Arc::new(Users::new(users, Some(&before)));
        *lock(&self.0.users) = Arc::clone(&now);
        lock(&self.0.successes).retain(|user| now.has(user));
        let is_user = |name: &str| now.find(name).is_some();
        self.0.slots.limiter().retain(is_user);
    }

    /// Whether there is anybody who may log in, by password or by key.
    pub fn has_users(&self) -> bool {
        !self.0.users().is_empty()
    }

    /// Whether it is them. Blocks while the password is checked or waits for that: a
    /// few seconds at most. `door`, which they came to, is `web` or `ssh` in the log.
    pub fn login(&self, source: IpAddr, name: &str, password: &str, door: &'static str) -> Login {
        let guard = &*self.0;
        let source = Source::of(source);
        if !users::is_possible(password) {
            // Whatever it was, nothing is checked for those who are to wait.
            return match guard.may_try(source, name) {
                Err(seconds) => Login::Wait { seconds },
                Ok(()) => guard.failed(source, name, door),
            };
        }
        let attempt = Attempt {
            source,
            name,
            password,
            tag: guard.key.tag(name, password),
        };
        if let Some(login) = guard.known_already(&attempt) {
            return login;
        }
        let slot = match guard.slots.take(source, name, attempt.tag) {
            Turn::Check(slot) => Some(slot),
            Turn::Same => None,
            Turn::Busy => return Login::Wait { seconds: BUSY_S },
        };
        // Meanwhile others have failed from there, or have been the same user.
        if let Some(login) = guard.known_already(&attempt) {
            return login;
        }
        let Some(slot) = slot else {
            return Login::Wait { seconds: BUSY_S };
        };
        match guard.check(&attempt, &slot) {
            Some(access) => Login::Welcome(access),
            None => guard.failed(source, name, door),
        }
    }

    /// Whether the address has to wait before a password is checked for it. Keys are not
    /// kept out by that: nobody guesses one.
    ///
    /// # Errors
    /// The seconds that it has to wait, at least one.
    pub fn may_try(&self, source: IpAddr) -> Result<(), u64> {
        let slots = &self.0.slots;
        let limiter = slots.limiter();
        limiter.may_try_anybody(Source::of(source), slots.now_ms())
    }

    /// Whether anybody has logged in from this address in the last days.
    pub fn knows(&self, source: IpAddr) -> bool {
        let slots = &self.0.slots;
        slots.limiter().knows(Source::of(source), slots.now_ms())
    }

    /// Somebody there was not who they said they were; this logs it.
    pub fn failed(&self, source: IpAddr, name: &str, door: &'static str) {
        self.0.failed(Source::of(source), name, door);
    }

    /// This user was there: what failed there before is forgotten.
    pub fn passed(&self, source: IpAddr, name: &str) {
        self.0.passed(Source::of(source), name);
    }
}

#[cfg(feature = "ssh")]
impl Auth {
    /// What a user is let in by whose password is yet to be checked.
    pub(in crate::admin) fn pass_by_password(&self, name: &str) -> Option<Pass> {
        let user = Arc::clone(self.0.users().find(name)?);
        Some(Pass {
            name: name.to_owned(),
            user,
            key: None,
        })
    }

    /// What a user is let in by who has this public key; `None` if it is not theirs. That is
    /// in no log, for people have several keys, and programs try them all.
    ///
    /// An address that has to wait is no obstacle: nobody guesses a key, and whoever fails
    /// there may be somebody else.
    pub(in crate::admin) fn pass_by_key(&self, name: &str, key: &[u8]) -> Option<Pass> {
        let users = self.0.users();
        let user = users.find(name).filter(|_| users.has_key(name, key))?;
        Some(Pass {
            name: name.to_owned(),
            user: Arc::clone(user),
            key: Some(key.to_vec()),
        })
    }

    /// Whether they would be let in by it now, to do the same.
    pub(in crate::admin) fn holds(&self, pass: &Pass) -> bool {
        let users = self.0.users();
        let Some(user) = users.find(&pass.name) else {
            return false;
        };
        match &pass.key {
            None => Arc::ptr_eq(user, &pass.user),
            Some(key) => user.access == pass.access() && users.has_key(&pass.name, key),
        }
    }
}

/// What the page has in its forms, for nobody else to make.
#[cfg(feature = "web")]
impl Auth {
    /// What the forms of a page have in them that was shown to this user.
    pub(super) fn page_token(&self, name: &str) -> String {
        self.0.key.page_token(name)
    }

    /// Whether that is it. Takes as long if it is not.
    pub(super) fn is_page_token(&self, name: &str, token: &str) -> bool {
        credential::is_same(self.page_token(name).as_bytes(), token.as_bytes())
    }

    /// A number that nobody can guess.
    ///
    /// # Errors
    /// If the system gives no randomness.
    #[expect(clippy::unused_self, reason = "who has the key has the randomness")]
    pub(super) fn random_number(&self) -> io::Result<u64> {
        credential::random_bytes().map(u64::from_le_bytes)
    }
}

impl Auth {
    /// What follows the users of the configuration in force.
    pub fn fixture(&self) -> Box<dyn Reconfigure> {
        Box::new(Follower(self.clone()))
    }
}

struct Follower(Auth);

impl Reconfigure for Follower {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        if now.users() == next.users() {
            return Ok(None);
        }
        let (auth, users) = (self.0.clone(), next.users().to_vec());
        Ok(Some(Box::new(move || auth.follow(&users))))
    }
}

/// What the doors share. None of the locks is held while a password is checked, and
/// no two at a time.
struct Guard {
    key: Key,
    users: Mutex<Arc<Users>>,
    successes: Mutex<Successes>,
    slots: Slots,
}

/// Somebody who wants to be let in.
struct Attempt<'a> {
    source: Source,
    name: &'a str,
    password: &'a str,
    tag: Tag,
}

impl Guard {
    fn users(&self) -> Arc<Users> {
        Arc::clone(&lock(&self.users))
    }

    fn may_try(&self, source: Source, name: &str) -> Result<(), u64> {
        let limiter = self.slots.limiter();
        limiter.may_try(source, name, self.slots.now_ms())
    }

    /// What there is to say without a check. What has been right lately passes however
    /// many fail at the same address: there may be a monitoring system behind it. It
    /// makes nobody forget them, though, or one password would buy guesses at others.
    /// From other addresses it does not pass: nothing would slow down who guesses it.
    fn known_already(&self, attempt: &Attempt<'_>) -> Option<Login> {
        let now_ms = self.slots.now_ms();
        if let Some(user) = self.users().find(attempt.name)
            && lock(&self.successes).has(&attempt.tag, user, attempt.source, now_ms)
        {
            return Some(Login::Welcome(user.access));
        }
        let wait = self.may_try(attempt.source, attempt.name).err();
        wait.map(|seconds| Login::Wait { seconds })
    }

    /// Checks the password. Where there is none to check, somebody else's is, in vain:
    /// how long it takes is not to tell which users there are.
    fn check(&self, attempt: &Attempt<'_>, slot: &Slot<'_>) -> Option<Access> {
        let users = self.users();
        let user = users.find(attempt.name);
        let own = user.and_then(|user| user.hash());
        let hash = own.or_else(|| users.stand_in(self.key.number(attempt.name)));
        let fits = hash.is_some_and(|hash| slot.check(|| hash.fits(attempt.password)));
        let user = user.filter(|_| fits && own.is_some())?;
        self.admit(attempt, user)
    }

    /// Lets them in, unless they have been changed while their password was checked.
    fn admit(&self, attempt: &Attempt<'_>, user: &Arc<Known>) -> Option<Access> {
        if !self.users().has(user) {
            return None;
        }
        let now_ms = self.slots.now_ms();
        lock(&self.successes).insert(attempt.tag, user, attempt.source, now_ms);
        self.passed(attempt.source, attempt.name);
        Some(user.access)
    }

    fn failed(&self, source: Source, name: &str, door: &'static str) -> Login {
        log::warn!(target: log_targets::LOGINS, "{}", failure(source, name, door));
        let now_ms = self.slots.now_ms();
        self.slots.limiter().failed(source, name, now_ms);
        Login::Wrong
    }

    fn passed(&self, source: Source, name: &str) {
        let now_ms = self.slots.now_ms();
        self.slots.limiter().passed(source, name, now_ms);
    }
}

/// The line that fail2ban reads: txlb(8) has the expression for it.
fn failure(source: Source, name: &str, door: &str) -> String {
    let shown = shown(name);
    format!(
        "login failed: user {shown} from {} ({door})",
        source.address()
    )
}

/// A name as anybody may have written it, without what would end a line or change how
/// it is displayed.
fn shown(name: &str) -> String {
    let mut letters = name.chars();
    let mut shown = String::new();
    for letter in letters.by_ref().take(MOST_SHOWN) {
        if letter.is_ascii_graphic() || letter == ' ' || letter.is_alphanumeric() {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_unicode());
        }
    }
    if letters.next().is_some() {
        shown += "...";
    }
    shown
}

/// Checks a password against a hash of any form, for fuzzing: those that take no time to
/// speak of.
#[cfg(all(any(test, feature = "internals"), feature = "web"))]
pub(super) fn check_cheap(hash: &str, password: &str) {
    let costs_little = ["$2a$04$", "$2b$04$", "$2y$04$"];
    let is_cheap = (!hash.starts_with("$2") && !hash.contains("rounds="))
        || costs_little.iter().any(|it| hash.starts_with(it));
    if let Ok(hash) = users::Hash::read(hash)
        && is_cheap
        && users::is_possible(password)
    {
        hash.fits(password);
    }
}

#[cfg(test)]
mod tests;
