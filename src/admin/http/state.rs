//! State shared by the threads of the web server: settings in force, snapshots,
//! the cache of the health endpoints, and flash messages.

use std::collections::VecDeque;
#[cfg(not(feature = "https"))]
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::ActiveServer;
use crate::admin::auth::Auth;
use crate::admin::page::FlashMessage;
use crate::admin::server::acceptor::{AcceptorWaker, InFlight};
use crate::admin::server::connection_limiter::ConnectionLimiter;
#[cfg(not(feature = "https"))]
use crate::admin::server::deadline::DeadlineStream;
#[cfg(feature = "https")]
use crate::admin::tls::Tls;
use crate::config::{ListenHost, Web};
use crate::control::{Handle, Liveness, Readiness, Status};
#[cfg(feature = "https")]
use crate::os::state;
use crate::sync::lock;

/// The connection that a request came by, and the settings that hold for it.
pub(super) struct RequestContext<'a> {
    pub(super) state: &'a WebState,
    pub(super) settings: &'a Settings,
    pub(super) peer: SocketAddr,
    /// The local address of the connection.
    pub(super) local: SocketAddr,
}

/// What the threads of the web server share.
pub(super) struct WebState {
    pub(super) limiter: Arc<ConnectionLimiter>,
    pub(super) auth: Auth,
    pub(super) liveness: Liveness,
    pub(super) handle: OnceLock<Handle>,
    pub(super) open: Mutex<ActiveServer>,
    pub(super) in_flight: InFlight,
    pub(super) flash_messages: FlashMessages,
    /// Snapshots that responses still use, and when each was taken; the newest is last.
    pub(super) snapshots: Mutex<Vec<(Instant, Weak<Status>)>>,
    /// Held while a page is built: one at a time, since a large one needs much memory.
    pub(super) page_lock: Mutex<()>,
    /// Bytes of all responses that are held in memory while they are written.
    pub(super) buffered_bytes: AtomicUsize,
    /// The last result of `/healthz`.
    pub(super) alive: ProbeCache<bool>,
    /// The last result of `/ready`, of all services.
    pub(super) ready: ProbeCache<Arc<Readiness>>,
}

impl WebState {
    pub(super) fn new(limiter: Arc<ConnectionLimiter>, auth: Auth, liveness: Liveness) -> WebState {
        WebState {
            limiter,
            auth,
            liveness,
            handle: OnceLock::new(),
            open: Mutex::default(),
            in_flight: InFlight::default(),
            flash_messages: FlashMessages::default(),
            snapshots: Mutex::default(),
            page_lock: Mutex::default(),
            buffered_bytes: AtomicUsize::new(0),
            alive: ProbeCache::default(),
            ready: ProbeCache::default(),
        }
    }

    /// The controller's handle. Waits until there is one.
    pub(super) fn handle(&self) -> &Handle {
        self.handle.wait()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.open).settings)
    }

    pub(super) fn wakers(&self) -> Vec<AcceptorWaker> {
        lock(&self.open).listeners.wakers()
    }

    /// A snapshot of everything. A snapshot taken since the call began is shared. With
    /// [`MAX_SNAPSHOTS`] in use the newest is shared, too: each is large with many hosts.
    pub(super) fn shared_status(&self) -> Arc<Status> {
        let asked = Instant::now();
        let mut snapshots = lock(&self.snapshots);
        snapshots.retain(|(_, status)| status.strong_count() > 0);
        if let Some((taken, status)) = snapshots.last()
            && (*taken >= asked || snapshots.len() >= MAX_SNAPSHOTS)
            && let Some(status) = status.upgrade()
        {
            return status;
        }
        let taken = Instant::now();
        let status = Arc::new(self.handle().status());
        snapshots.push((taken, Arc::downgrade(&status)));
        status
    }

    /// Whether all workers answer within two seconds, for `/healthz`.
    ///
    /// Each worker is asked through its mailbox, past the controller, which may be busy.
    /// The endpoint is unauthenticated, so it is computed once a second at most.
    // Test: a_probe_is_computed_once_a_second.
    pub(super) fn is_alive(&self) -> bool {
        const LIVENESS_TIMEOUT: Duration = Duration::from_secs(2);
        self.alive
            .get_or_compute(|| self.liveness.all_respond(LIVENESS_TIMEOUT))
    }

    /// Which services have a usable host, for `/ready`. The controller is asked once a second
    /// at most, whatever services are asked for, since the endpoint is unauthenticated.
    pub(super) fn readiness(&self) -> Arc<Readiness> {
        self.ready
            .get_or_compute(|| Arc::new(self.handle().status().readiness()))
    }
}

/// Snapshots in use at the same time.
const MAX_SNAPSHOTS: usize = 4;

/// Settings of `<web>` in force.
#[derive(Default)]
pub(super) struct Settings {
    /// The interval at which the page refreshes itself; `None` is never.
    pub(super) refresh: Option<Duration>,
    /// Host names of the page, besides its addresses and localhost.
    pub(super) names: Vec<String>,
    /// Certificate and key; `None` is HTTP.
    pub(super) tls: Option<Tls>,
}

impl Settings {
    /// Makes the settings of `web`, and reads or creates its certificate.
    ///
    /// # Errors
    /// The certificate cannot be read or created.
    pub(super) fn new(web: &Web) -> Result<Settings, String> {
        let names = names(web);
        let tls = web.secure.then(|| certificate(web, &names)).transpose()?;
        Ok(Settings {
            refresh: web.refresh,
            names,
            tls,
        })
    }

    /// The SHA-256 fingerprint of the certificate.
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.tls.as_ref().map(Tls::fingerprint)
    }

    /// The scheme of the page's URL.
    pub(super) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Names of the file and of the listener, without a dot at the end: it changes no name.
fn names(web: &Web) -> Vec<String> {
    let listen = web.listen.as_ref().and_then(|listen| match &listen.host {
        ListenHost::Name(name) => Some(name.clone()),
        ListenHost::Ip(ip) if !ip.is_unspecified() => Some(ip.to_string()),
        ListenHost::Zoned { ip, .. } => Some(ip.to_string()),
        ListenHost::Ip(_) | ListenHost::Any | ListenHost::Unix(_) => None,
    });
    let names = web.names.iter().cloned().chain(listen);
    let without_dot = |name: String| name.strip_suffix('.').unwrap_or(&name).to_owned();
    let names = names.map(without_dot);
    names.filter(|name| !name.is_empty()).collect()
}

/// The operator's certificate, or a self-signed one.
#[cfg(feature = "https")]
fn certificate(web: &Web, names: &[String]) -> Result<Tls, String> {
    if let (Some(cert), Some(key)) = (&web.cert, &web.key) {
        return Tls::from_files(cert, key);
    }
    let folder =
        state::folder("txlb").map_err(|error| format!("there is no state folder: {error}"))?;
    let names = ["localhost", "127.0.0.1", "::1"]
        .into_iter()
        .map(str::to_owned)
        .chain(names.iter().cloned())
        .collect::<Vec<_>>();
    Tls::self_signed(&folder, &names)
}

#[cfg(not(feature = "https"))]
fn certificate(_: &Web, _: &[String]) -> Result<Tls, String> {
    Err("secure=\"true\": this txlb was built without HTTPS".to_owned())
}

/// Settings of TLS in a build without HTTPS: there are none.
#[cfg(not(feature = "https"))]
pub(super) enum Tls {}

#[cfg(not(feature = "https"))]
impl Tls {
    fn fingerprint(&self) -> String {
        match *self {}
    }

    pub(super) fn accept(&self, _: DeadlineStream) -> io::Result<DeadlineStream> {
        match *self {}
    }
}

/// How long a result is valid.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// One-second cache for an unauthenticated health endpoint.
#[derive(Default)]
pub(super) struct ProbeCache<T>(Mutex<Option<(Instant, T)>>);

impl<T: Clone> ProbeCache<T> {
    /// Returns the cached result, or computes a new one. The lock is held meanwhile, so
    /// that other requests wait for this result instead of computing their own.
    pub(super) fn get_or_compute(&self, compute: impl FnOnce() -> T) -> T {
        let mut last = lock(&self.0);
        match &*last {
            Some((at, result)) if at.elapsed() < CACHE_TIME => result.clone(),
            _ => {
                let result = compute();
                *last = Some((Instant::now(), result.clone()));
                result
            }
        }
    }
}

/// Messages that are kept; then the oldest is dropped.
const CAPACITY: usize = 64;

/// The query parameter with the number of the flash message to show.
pub(super) const FLASH_FIELD: &str = "notice";

/// Flash messages that were not shown yet, each under a random number.
///
/// A button is answered by a redirect to the page, which shows the message.
#[derive(Default)]
pub(super) struct FlashMessages(Mutex<VecDeque<(u64, FlashMessage)>>);

impl FlashMessages {
    /// Keeps a message under this number.
    pub(super) fn keep(&self, number: u64, flash_message: FlashMessage) {
        let mut messages = lock(&self.0);
        if messages.len() == CAPACITY {
            messages.pop_front();
        }
        messages.push_back((number, flash_message));
    }

    /// Takes the message of this number out: it is shown once.
    pub(super) fn take(&self, number: u64) -> Option<FlashMessage> {
        let mut messages = lock(&self.0);
        let index = messages.iter().position(|(own, _)| *own == number)?;
        messages
            .remove(index)
            .map(|(_, flash_message)| flash_message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_at_the_end_of_a_name_makes_no_other_name() {
        let mut web = Web::new(Some("lb.:7001".parse().unwrap()));
        web.names = ["lb.example.org.", "b.example.org", ".", "10.0.0.9"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            names(&web),
            ["lb.example.org", "b.example.org", "10.0.0.9", "lb"]
        );
    }

    #[test]
    fn a_probe_is_computed_once_a_second() {
        let cache = ProbeCache::default();
        assert!(cache.get_or_compute(|| true));
        assert!(cache.get_or_compute(|| panic!("asked twice")));
        *cache.0.lock().unwrap() = Instant::now().checked_sub(CACHE_TIME).map(|at| (at, true));
        assert!(!cache.get_or_compute(|| false));
    }

    fn flash_message(text: &str) -> FlashMessage {
        FlashMessage {
            ok: true,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_flash_message_is_shown_once_and_the_oldest_are_dropped() {
        let flash_messages = FlashMessages::default();
        for number in 0..=CAPACITY as u64 {
            flash_messages.keep(number, flash_message(&number.to_string()));
        }
        assert!(flash_messages.take(0).is_none());
        assert_eq!(
            flash_messages.take(1).map(|it| it.text),
            Some("1".to_owned())
        );
        assert!(flash_messages.take(1).is_none());
        assert!(flash_messages.take(CAPACITY as u64).is_some());
    }
}
