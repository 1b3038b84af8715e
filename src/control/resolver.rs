//! Resolves the names of hosts, again and again, away from everybody else.
//!
//! A few threads of its own, so that a name server that is slow for one name
//! holds up neither the others nor, above all, a worker. What follows from an
//! answer is the director's business.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::os::addresses;

/// How often a name is resolved.
const EVERY: Duration = Duration::from_secs(30);

/// How soon one is resolved again that did not resolve; twice as long each time after.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Names that are resolved at the same time.
const THREADS: usize = 4;

/// How a name is looked up; a test has its own way.
pub(super) type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Told of every answer, on a thread of the resolver.
pub(super) type OnAnswer = dyn Fn(&str, Result<&[IpAddr], &str>) + Send + Sync;

/// What is known of a name: its addresses, or why there are none.
pub(super) type Answer = Result<Vec<IpAddr>, String>;

/// What is known of names.
pub(super) type Known = HashMap<String, Answer>;

/// The resolver; its threads end when it is dropped.
pub(super) struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    lookup: Box<Lookup>,
    on_answer: Box<OnAnswer>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: HashMap<String, Name>,
    threads: usize,
    over: bool,
}

struct Name {
    due: Instant,
    in_work: bool,
    answer: Option<Answer>,
    /// How many lookups in a row have failed.
    failures: u32,
}

impl Resolver {
    pub(super) fn new(lookup: Box<Lookup>, on_answer: Box<OnAnswer>) -> Resolver {
        Resolver {
            shared: Arc::new(Shared {
                lookup,
                on_answer,
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// These are the names from now on: new ones are looked up at once, those
    /// that are gone are forgotten. Returns the new ones.
    ///
    /// # Errors
    /// The system's, if it has no thread for it.
    pub(super) fn want(&self, names: impl IntoIterator<Item = String>) -> io::Result<Vec<String>> {
        let names: Vec<String> = names.into_iter().collect();
        let mut state = self.shared.lock();
        while state.threads < THREADS.min(names.len()) {
            let shared = Arc::clone(&self.shared);
            let name = format!("names-{}", state.threads);
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.work())?;
            state.threads += 1;
        }
        let mut known = std::mem::take(&mut state.wanted);
        let mut new = Vec::new();
        for name in names {
            let entry = known.remove(&name).unwrap_or_else(|| {
                new.push(name.clone());
                Name::new()
            });
            state.wanted.insert(name, entry);
        }
        self.shared.changed.notify_all();
        Ok(new)
    }

    /// Looks all of them up again at once.
    pub(super) fn again(&self) {
        let now = Instant::now();
        self.shared
            .lock()
            .wanted
            .values_mut()
            .for_each(|name| name.due = now);
        self.shared.changed.notify_all();
    }

    /// Waits until each of these names has an answer, good or bad, but not for longer
    /// than `patience`.
    pub(super) fn settle(&self, names: &[String], patience: Duration) {
        let state = self.shared.lock();
        let open = |state: &mut State| {
            let mut wanted = names.iter().filter_map(|name| state.wanted.get(name));
            wanted.any(|name| name.answer.is_none())
        };
        drop(
            self.shared
                .changed
                .wait_timeout_while(state, patience, open),
        );
    }

    /// What is known of a name; `None` while nothing is.
    pub(super) fn answer(&self, name: &str) -> Option<Answer> {
        self.shared.lock().wanted.get(name)?.answer.clone()
    }

    /// What is known of all names of which something is.
    pub(super) fn answers(&self) -> Known {
        let state = self.shared.lock();
        let names = state.wanted.iter();
        names
            .filter_map(|(text, name)| Some((text.clone(), name.answer.clone()?)))
            .collect()
    }
}

impl Drop for Resolver {
    /// The threads are not waited for: one may be in the middle of a lookup.
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
    }
}

impl Name {
    fn new() -> Name {
        Name {
            due: Instant::now(),
            in_work: false,
            answer: None,
            failures: 0,
        }
    }

    /// A lookup is over.
    fn answered(&mut self, answer: &Answer, now: Instant) {
        self.in_work = false;
        match answer {
            Ok(_) => self.failures = 0,
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                self.due = now + pause_after(self.failures);
            }
        }
        // The last good answer is kept: an error is no reason to leave where a host was
        // last seen.
        if answer.is_ok() || !matches!(self.answer, Some(Ok(_))) {
            self.answer = Some(answer.clone());
        }
    }
}

/// When a name is resolved again that so many lookups in a row have failed for.
fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(EVERY)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(name) = self.next() {
            let answer = answer_of((self.lookup)(&name));
            self.note(&name, &answer);
            (self.on_answer)(&name, answer.as_deref().map_err(String::as_str));
        }
    }

    /// Waits for a name that is due; `None` once it is all over.
    fn next(&self) -> Option<String> {
        let mut state = self.lock();
        loop {
            if state.over {
                return None;
            }
            let now = Instant::now();
            let idle = state.wanted.iter_mut().filter(|(_, name)| !name.in_work);
            let Some((text, name)) = idle.min_by_key(|(_, name)| name.due) else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if name.due <= now {
                name.in_work = true;
                name.due = now + EVERY;
                return Some(text.clone());
            }
            let patience = name.due - now;
            state = self
                .changed
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn note(&self, name: &str, answer: &Answer) {
        if let Some(known) = self.lock().wanted.get_mut(name) {
            known.answered(answer, Instant::now());
        }
        self.changed.notify_all();
    }
}

fn answer_of(found: io::Result<Vec<IpAddr>>) -> Answer {
    match found {
        Ok(addresses) if addresses.is_empty() => Err("it has no address".to_owned()),
        found => found.map_err(|error| error.to_string()),
    }
}

/// Resolves each of these once, one after the other on this very thread, for as long
/// as the system takes.
pub(super) fn resolve_here<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, Answer> {
    let answer = |name: &str| (name.to_owned(), answer_of(look_up(name)));
    names.into_iter().map(answer).collect()
}

/// Resolves each of these once; no answer within `patience` is a bad one.
///
/// # Errors
/// The system's, if it has no thread for it.
pub fn resolve_all<'a>(
    names: impl IntoIterator<Item = &'a str>,
    patience: Duration,
) -> io::Result<BTreeMap<String, Answer>> {
    let resolver = Resolver::new(Box::new(look_up), Box::new(|_, _| {}));
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    resolver.want(names.iter().cloned())?;
    resolver.settle(&names, patience);
    let silence = || Err(format!("no answer within {} s", patience.as_secs()));
    let answer = |name: String| {
        let answer = resolver.answer(&name).unwrap_or_else(silence);
        (name, answer)
    };
    Ok(names.into_iter().map(answer).collect())
}

/// Looks a name up as the system does.
///
/// An interface, `%eth0`, has its number for an address: `::2`.
pub(super) fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Some(zone) = name.strip_prefix('%') {
        let number = Ipv6Addr::from(u128::from(addresses::interface_index(zone)?));
        return Ok(vec![number.into()]);
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in (name, 0).to_socket_addrs()? {
        // Systems answer once for each kind of socket.
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    //! The resolver against name servers that are slow, wrong, or change their mind.

    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn address(last: u8) -> Vec<IpAddr> {
        vec![IpAddr::from([127, 0, 0, last])]
    }

    /// A resolver over `lookup`, and the answers it gives, as they come.
    fn names(lookup: Box<Lookup>) -> (Resolver, Receiver<(String, Answer)>) {
        let (answers, receiver) = channel();
        let answers = Mutex::new(answers);
        let on_answer = move |name: &str, answer: Result<&[IpAddr], &str>| {
            let answer = answer.map(<[IpAddr]>::to_vec).map_err(str::to_owned);
            let _ = answers.lock().unwrap().send((name.to_owned(), answer));
        };
        (Resolver::new(lookup, Box::new(on_answer)), receiver)
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_slow_name_holds_nobody_up() {
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let (names, answers) = names(Box::new(move |name| {
            if name == "slow" {
                let _ = held.lock().unwrap().recv();
            }
            Ok(address(1))
        }));
        names.want(strings(&["slow", "fast"])).unwrap();
        assert_eq!(answers.recv_timeout(PATIENCE).unwrap().0, "fast");
        assert_eq!(names.answer("slow"), None);
        release.send(()).unwrap();
        assert_eq!(answers.recv_timeout(PATIENCE).unwrap().0, "slow");
    }

    #[test]
    fn waiting_ends_when_all_have_answered_or_patience_does() {
        let (_hold, held): (Sender<()>, _) = channel();
        let held = Mutex::new(held);
        let (names, _answers) = names(Box::new(move |name| match name {
            "never" => {
                let _ = held.lock().unwrap().recv();
                Ok(address(9))
            }
            "bad" => Err(io::Error::other("no such name")),
            _ => Ok(address(1)),
        }));
        let new = names.want(strings(&["good", "bad"])).unwrap();
        names.settle(&new, PATIENCE);
        assert_eq!(names.answer("good"), Some(Ok(address(1))));
        assert_eq!(names.answer("bad"), Some(Err("no such name".to_owned())));
        let new = names.want(strings(&["good", "never"])).unwrap();
        assert_eq!(new, ["never"]);
        names.settle(&new, Duration::from_millis(20));
        assert_eq!(names.answer("never"), None);
        // It has been waited for: nobody else has to.
        let new = names.want(strings(&["good", "never", "bad"])).unwrap();
        names.settle(&new, PATIENCE);
        let new = names.want(strings(&["good", "never"])).unwrap();
        names.settle(&new, PATIENCE);
        assert_eq!(
            names.answer("bad"),
            None,
            "a name nobody wants is forgotten"
        );
    }

    #[test]
    fn the_last_good_answer_outlives_an_error() {
        let calls = Mutex::new(0);
        let (names, answers) = names(Box::new(move |_| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                1 => Ok(address(1)),
                2 => Err(io::Error::other("server failure")),
                3 => Ok(Vec::new()),
                _ => Ok(address(2)),
            }
        }));
        names.want(strings(&["host"])).unwrap();
        for expected in [1, 1, 1, 2] {
            let (name, _) = answers.recv_timeout(PATIENCE).unwrap();
            assert_eq!(name, "host");
            assert_eq!(names.answer("host"), Some(Ok(address(expected))));
            names.again();
        }
    }

    #[test]
    fn the_system_knows_its_own_name() {
        let addresses = look_up("localhost").unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn a_name_that_does_not_resolve_is_asked_again_soon_and_then_more_rarely() {
        let now = Instant::now();
        let mut name = Name::new();
        let pauses = (0..7).map(|_| {
            name.answered(&Err("server failure".to_owned()), now);
            (name.due - now).as_secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30]);
        // An answer is good for as long as ever, and the next error is the first one.
        name.due = now + EVERY;
        name.answered(&Ok(address(1)), now);
        assert_eq!(name.due, now + EVERY);
        name.answered(&Err("server failure".to_owned()), now);
        assert_eq!(name.due, now + FIRST_PAUSE);
        assert_eq!(pause_after(u32::MAX), EVERY);
    }

    /// By itself: nobody says `again`.
    #[test]
    fn a_name_that_resolves_late_is_found() {
        let calls = Mutex::new(0);
        let (names, answers) = names(Box::new(move |_| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                1 => Err(io::Error::other("server failure")),
                _ => Ok(address(1)),
            }
        }));
        names.want(strings(&["host"])).unwrap();
        assert!(answers.recv_timeout(PATIENCE).unwrap().1.is_err());
        assert!(answers.recv_timeout(PATIENCE).unwrap().1.is_ok());
    }
}
