//! Asks questions periodically, each on one of 4 threads at most: what a name resolves to, or
//! which members it has. A slow name server delays neither other names nor a worker.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::io;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::os::addresses;
use crate::sync::lock;

/// Interval between lookups of a name.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// Delay after the first failed lookup. It doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// No lookup takes longer, in practice: `due` of a name that is being looked up is later, unless
/// it was asked for again.
const LONGEST_LOOKUP: Duration = Duration::from_secs(600);

/// Lookups at the same time.
const THREADS: usize = 4;

/// What a lookup found, and after which time it should be looked up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<T> {
    pub(super) answers: Vec<T>,
    pub(super) ttl: Duration,
}

impl<T> Found<T> {
    /// Answers that do not say how long they hold.
    pub(super) fn of(answers: Vec<T>) -> Found<T> {
        let ttl = REFRESH_INTERVAL;
        Found { answers, ttl }
    }
}

/// Function that looks a question up. Tests have their own.
pub(super) type Lookup<Q, T> = dyn Fn(&Q) -> io::Result<Found<T>> + Send + Sync;

/// Called with each result, on a thread of the resolver.
pub(super) type OnResolution<Q, T> = dyn Fn(&Q, Result<&[T], &str>) + Send + Sync;

/// The answers to a question, such as the addresses of a name, or why there are none.
pub(super) type Resolution<T = IpAddr> = Result<Vec<T>, String>;

/// Results by name.
pub(super) type Known = HashMap<String, Resolution>;

/// The resolver. Its threads end after it is dropped. A question `Q` has a list of `T` for an
/// answer; usually it is a name, which has addresses.
pub(super) struct Resolver<Q = String, T = IpAddr> {
    shared: Arc<Shared<Q, T>>,
    /// What its threads are named.
    threads: &'static str,
}

struct Shared<Q, T> {
    lookup: Box<Lookup<Q, T>>,
    on_resolution: Box<OnResolution<Q, T>>,
    state: Mutex<State<Q, T>>,
    changed: Condvar,
}

struct State<Q, T> {
    wanted: HashMap<Q, NameState<T>>,
    /// Answers that another process had to questions which are not wanted yet.
    presumed: HashMap<Q, Vec<T>>,
    threads: usize,
    stopped: bool,
}

struct NameState<T> {
    due: Instant,
    in_progress: bool,
    resolution: Option<Resolution<T>>,
    /// Failed lookups in a row.
    failures: u32,
}

impl<Q, T> Resolver<Q, T>
where
    Q: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + 'static,
{
    /// A resolver whose threads, which it has not yet, are named `threads` and a number.
    pub(super) fn new(
        threads: &'static str,
        lookup: Box<Lookup<Q, T>>,
        on_resolution: Box<OnResolution<Q, T>>,
    ) -> Resolver<Q, T> {
        let state = State {
            wanted: HashMap::new(),
            presumed: HashMap::new(),
            threads: 0,
            stopped: false,
        };
        let shared = Arc::new(Shared {
            lookup,
            on_resolution,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        Resolver { shared, threads }
    }

    /// Starts as many threads as so many names need.
    ///
    /// # Errors
    /// The system has no thread.
    pub(super) fn start_threads(&self, names: usize) -> io::Result<()> {
        let mut state = self.shared.lock();
        while state.threads < THREADS.min(names) {
            let shared = Arc::clone(&self.shared);
            let name = format!("{}-{}", self.threads, state.threads);
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.run())?;
            state.threads += 1;
        }
        Ok(())
    }

    /// Presumes the answers of another process, for names that are wanted at the next
    /// [`Resolver::set_names`].
    pub(super) fn presume(&self, answers: impl IntoIterator<Item = (Q, Vec<T>)>) {
        self.shared.lock().presumed.extend(answers);
    }

    /// Replaces the set of names. New names are looked up at once, unless an answer is presumed;
    /// others are forgotten. Returns those that are looked up. Call [`Resolver::start_threads`]
    /// before.
    pub(super) fn set_names(&self, names: impl IntoIterator<Item = Q>) -> Vec<Q> {
        let mut state = self.shared.lock();
        let mut known = std::mem::take(&mut state.wanted);
        let mut presumed = std::mem::take(&mut state.presumed);
        let mut new = Vec::new();
        for name in names {
            let entry = match (known.remove(&name), presumed.remove(&name)) {
                (Some(known), _) => known,
                (None, Some(answers)) => NameState::presumed(answers),
                (None, None) => {
                    new.push(name.clone());
                    NameState::new()
                }
            };
            state.wanted.insert(name, entry);
        }
        self.shared.changed.notify_all();
        new
    }

    /// Looks all names up again at once.
    pub(super) fn resolve_now(&self) {
        let now = Instant::now();
        self.shared
            .lock()
            .wanted
            .values_mut()
            .for_each(|name| name.due = now);
        self.shared.changed.notify_all();
    }

    /// Waits until each of these names has a result, good or bad, for `timeout` at most.
    pub(super) fn wait_for(&self, names: &[Q], timeout: Duration) {
        let state = self.shared.lock();
        let open = |state: &mut State<Q, T>| {
            let mut wanted = names.iter().filter_map(|name| state.wanted.get(name));
            wanted.any(|name| name.resolution.is_none())
        };
        drop(self.shared.changed.wait_timeout_while(state, timeout, open));
    }

    /// The result for a name; `None` before the first.
    pub(super) fn resolution<R: ?Sized + Eq + Hash>(&self, name: &R) -> Option<Resolution<T>>
    where
        Q: Borrow<R>,
    {
        self.shared.lock().wanted.get(name)?.resolution.clone()
    }

    /// All results so far.
    pub(super) fn resolutions(&self) -> HashMap<Q, Resolution<T>> {
        let state = self.shared.lock();
        let names = state.wanted.iter();
        names
            .filter_map(|(text, name)| Some((text.clone(), name.resolution.clone()?)))
            .collect()
    }
}

impl<Q, T> Drop for Resolver<Q, T> {
    /// The threads are not waited for: one may be in a lookup.
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.changed.notify_all();
    }
}

impl<T: Clone> NameState<T> {
    fn new() -> NameState<T> {
        NameState {
            due: Instant::now(),
            in_progress: false,
            resolution: None,
            failures: 0,
        }
    }

    /// A name with an answer that is presumed.
    fn presumed(answers: Vec<T>) -> NameState<T> {
        NameState {
            due: Instant::now() + REFRESH_INTERVAL,
            resolution: Some(Ok(answers)),
            ..NameState::new()
        }
    }

    /// Records a finished lookup. A good result holds for `ttl`, unless it was asked for again in the
    /// meantime.
    fn record(&mut self, resolution: &Resolution<T>, ttl: Duration, now: Instant) {
        self.in_progress = false;
        match resolution {
            Ok(_) => {
                self.failures = 0;
                if self.due > now {
                    self.due = now + ttl;
                }
            }
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                self.due = now + retry_delay(self.failures);
            }
        }
        // The last good result is kept: hosts are probably still where they were.
        if resolution.is_ok() || !matches!(self.resolution, Some(Ok(_))) {
            self.resolution = Some(resolution.clone());
        }
    }
}

/// Delay before the next lookup after this many failures in a row.
fn retry_delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    FIRST_RETRY
        .saturating_mul(1 << doublings)
        .min(REFRESH_INTERVAL)
}

impl<Q: Clone + Eq + Hash, T: Clone> Shared<Q, T> {
    fn lock(&self) -> MutexGuard<'_, State<Q, T>> {
        lock(&self.state)
    }

    fn run(&self) {
        while let Some(name) = self.next_due() {
            let found = (self.lookup)(&name);
            let ttl = found.as_ref().map_or(REFRESH_INTERVAL, |found| found.ttl);
            let resolution = resolution_of(found.map(|found| found.answers));
            self.record_resolution(&name, &resolution, ttl);
            (self.on_resolution)(&name, resolution.as_deref().map_err(String::as_str));
        }
    }

    /// Waits for a name that is due; `None` when the resolver has been dropped.
    fn next_due(&self) -> Option<Q> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = Instant::now();
            let idle = state
                .wanted
                .iter_mut()
                .filter(|(_, name)| !name.in_progress);
            let Some((text, name)) = idle.min_by_key(|(_, name)| name.due) else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if name.due <= now {
                name.in_progress = true;
                // A lookup is bounded in time. Sooner is only what is asked for meanwhile.
                name.due = now + LONGEST_LOOKUP;
                return Some(text.clone());
            }
            let timeout = name.due - now;
            state = self
                .changed
                .wait_timeout(state, timeout)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn record_resolution(&self, name: &Q, resolution: &Resolution<T>, ttl: Duration) {
        if let Some(known) = self.lock().wanted.get_mut(name) {
            known.record(resolution, ttl, Instant::now());
        }
        self.changed.notify_all();
    }
}

fn resolution_of<T>(found: io::Result<Vec<T>>) -> Resolution<T> {
    match found {
        Ok(addresses) if addresses.is_empty() => Err("it has no address".to_owned()),
        found => found.map_err(|error| error.to_string()),
    }
}

/// Resolves each name once, in turn, on the calling thread, without a timeout of our own.
pub(super) fn resolve_on_this_thread<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, Resolution> {
    let resolution = |name: &str| (name.to_owned(), resolution_of(lookup(name)));
    names.into_iter().map(resolution).collect()
}

/// Resolves each name once. No result within `timeout` is an error of that name.
///
/// # Errors
/// The system has no thread for it.
pub fn resolve_all<'a>(
    names: impl IntoIterator<Item = &'a str>,
    timeout: Duration,
) -> io::Result<BTreeMap<String, Resolution>> {
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let lookup = Box::new(|name: &String| lookup(name).map(Found::of));
    Ok(answer_all(names, lookup, timeout)?.into_iter().collect())
}

/// Looks each question up once. No result within `timeout` is an error of that one.
///
/// # Errors
/// The system has no thread for it.
pub(super) fn answer_all<Q, T>(
    questions: Vec<Q>,
    lookup: Box<Lookup<Q, T>>,
    timeout: Duration,
) -> io::Result<Vec<(Q, Resolution<T>)>>
where
    Q: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + 'static,
{
    let resolver = Resolver::new("names", lookup, Box::new(|_, _| {}));
    resolver.start_threads(questions.len())?;
    resolver.set_names(questions.iter().cloned());
    resolver.wait_for(&questions, timeout);
    let silence = || Err(format!("no answer within {} s", timeout.as_secs()));
    let answered = |question: Q| {
        let resolution = resolver.resolution(&question).unwrap_or_else(silence);
        (question, resolution)
    };
    Ok(questions.into_iter().map(answered).collect())
}

/// Looks a name up by the system's resolver.
///
/// The result for a network interface, `%eth0`, is its index as an address: `::2`.
pub(super) fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Some(zone) = name.strip_prefix('%') {
        let number = Ipv6Addr::from(u128::from(addresses::interface_index(zone)?));
        return Ok(vec![number.into()]);
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in (name, 0).to_socket_addrs()? {
        // Systems return an address once for each socket type.
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    //! Name servers that are slow, wrong, or change their answers.

    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn address(last: u8) -> Vec<IpAddr> {
        vec![IpAddr::from([127, 0, 0, last])]
    }

    /// A resolver over `lookup`, and its results as they come.
    fn names(
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> (Resolver, Receiver<(String, Resolution)>) {
        let (resolutions, receiver) = channel();
        let resolutions = Mutex::new(resolutions);
        let on_resolution = move |name: &String, resolution: Result<&[IpAddr], &str>| {
            let resolution = resolution.map(<[IpAddr]>::to_vec).map_err(str::to_owned);
            let _ = resolutions
                .lock()
                .unwrap()
                .send((name.to_owned(), resolution));
        };
        let lookup = move |name: &String| lookup(name).map(Found::of);
        let resolver = Resolver::new("names", Box::new(lookup), Box::new(on_resolution));
        resolver.start_threads(THREADS).unwrap();
        (resolver, receiver)
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_slow_name_holds_nobody_up() {
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let (names, resolutions) = names(move |name| {
            if name == "slow" {
                let _ = held.lock().unwrap().recv();
            }
            Ok(address(1))
        });
        names.set_names(strings(&["slow", "fast"]));
        assert_eq!(resolutions.recv_timeout(TIMEOUT).unwrap().0, "fast");
        assert_eq!(names.resolution("slow"), None);
        release.send(()).unwrap();
        assert_eq!(resolutions.recv_timeout(TIMEOUT).unwrap().0, "slow");
    }

    #[test]
    fn waiting_ends_when_all_have_answered_or_at_the_timeout() {
        let (_hold, held): (Sender<()>, _) = channel();
        let held = Mutex::new(held);
        let (names, _answers) = names(move |name| match name {
            "never" => {
                let _ = held.lock().unwrap().recv();
                Ok(address(9))
            }
            "bad" => Err(io::Error::other("no such name")),
            _ => Ok(address(1)),
        });
        let new = names.set_names(strings(&["good", "bad"]));
        names.wait_for(&new, TIMEOUT);
        assert_eq!(names.resolution("good"), Some(Ok(address(1))));
        assert_eq!(
            names.resolution("bad"),
            Some(Err("no such name".to_owned()))
        );
        let new = names.set_names(strings(&["good", "never"]));
        assert_eq!(new, ["never"]);
        names.wait_for(&new, Duration::from_millis(20));
        assert_eq!(names.resolution("never"), None);
        // A name is waited for once.
        let new = names.set_names(strings(&["good", "never", "bad"]));
        names.wait_for(&new, TIMEOUT);
        let new = names.set_names(strings(&["good", "never"]));
        names.wait_for(&new, TIMEOUT);
        assert_eq!(
            names.resolution("bad"),
            None,
            "a name nobody wants is forgotten"
        );
    }

    #[test]
    fn the_last_good_answer_outlives_an_error() {
        let calls = Mutex::new(0);
        let (names, resolutions) = names(move |_| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                1 => Ok(address(1)),
                2 => Err(io::Error::other("server failure")),
                3 => Ok(Vec::new()),
                _ => Ok(address(2)),
            }
        });
        names.set_names(strings(&["host"]));
        for expected in [1, 1, 1, 2] {
            let (name, _) = resolutions.recv_timeout(TIMEOUT).unwrap();
            assert_eq!(name, "host");
            assert_eq!(names.resolution("host"), Some(Ok(address(expected))));
            names.resolve_now();
        }
    }

    #[test]
    fn what_is_presumed_holds_until_an_answer_comes() {
        let calls = Mutex::new(0);
        let (names, resolutions) = names(move |_| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                1 => Err(io::Error::other("server failure")),
                _ => Ok(address(2)),
            }
        });
        names.presume(["host", "other"].map(|name| (name.to_owned(), address(1))));
        // Nothing is waited for, and nothing is asked.
        assert!(names.set_names(strings(&["host"])).is_empty());
        assert_eq!(names.resolution("host"), Some(Ok(address(1))));
        assert!(resolutions.try_recv().is_err());
        names.resolve_now();
        assert!(resolutions.recv_timeout(TIMEOUT).unwrap().1.is_err());
        assert_eq!(names.resolution("host"), Some(Ok(address(1))));
        names.resolve_now();
        assert!(resolutions.recv_timeout(TIMEOUT).unwrap().1.is_ok());
        assert_eq!(names.resolution("host"), Some(Ok(address(2))));
        // What was not wanted then is forgotten.
        assert_eq!(names.set_names(strings(&["host", "other"])), ["other"]);
    }

    #[test]
    fn the_system_knows_its_own_name() {
        let addresses = lookup("localhost").unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn a_name_that_does_not_resolve_is_asked_again_soon_and_then_more_rarely() {
        let now = Instant::now();
        let mut name = NameState::new();
        let pauses = (0..7).map(|_| {
            name.record(&Err("server failure".to_owned()), REFRESH_INTERVAL, now);
            (name.due - now).as_secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30]);
        // A good result lasts the whole interval, and the next failure counts as the first.
        name.due = now + REFRESH_INTERVAL;
        name.record(&Ok(address(1)), REFRESH_INTERVAL, now);
        assert_eq!(name.due, now + REFRESH_INTERVAL);
        // Or as long as it says, unless it is asked for again meanwhile.
        name.record(&Ok(address(1)), Duration::from_secs(7), now);
        assert_eq!(name.due, now + Duration::from_secs(7));
        name.due = now;
        name.record(&Ok(address(1)), REFRESH_INTERVAL, now);
        assert_eq!(name.due, now);
        name.record(&Err("server failure".to_owned()), REFRESH_INTERVAL, now);
        assert_eq!(name.due, now + FIRST_RETRY);
        assert_eq!(retry_delay(u32::MAX), REFRESH_INTERVAL);
    }

    /// Without `resolve_now`.
    #[test]
    fn a_name_that_resolves_late_is_found() {
        let calls = Mutex::new(0);
        let (names, resolutions) = names(move |_| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            match *calls {
                1 => Err(io::Error::other("server failure")),
                _ => Ok(address(1)),
            }
        });
        names.set_names(strings(&["host"]));
        assert!(resolutions.recv_timeout(TIMEOUT).unwrap().1.is_err());
        assert!(resolutions.recv_timeout(TIMEOUT).unwrap().1.is_ok());
    }
}
