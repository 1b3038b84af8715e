//! What the door knows of its configuration while it is in force.
//!
//! How it is read is `config`'s business; where it listens, `open`'s.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::admin::answers::Answers;
use crate::admin::auth::Auth;
use crate::admin::hinge::lock;
use crate::admin::listeners::Listeners;
use crate::admin::page::Notice;
use crate::admin::seats::Seats;
use crate::admin::tls::Tls;
use crate::admin::watch::Bell;
use crate::config::{ListenHost, Web};
use crate::control::{Handle, Liveness, Status};
use crate::os::state;

/// Who asks, of whom.
pub(super) struct Visit<'a> {
    pub(super) hall: &'a Hall,
    pub(super) settings: &'a Settings,
    pub(super) peer: SocketAddr,
    /// The address that they came to.
    pub(super) local: SocketAddr,
}

/// What the threads of the door share.
pub(super) struct Hall {
    pub(super) seats: Arc<Seats>,
    pub(super) auth: Auth,
    pub(super) pulses: Liveness,
    pub(super) desk: OnceLock<Handle>,
    pub(super) open: Mutex<Open>,
    pub(super) answers: Answers,
    pub(super) notices: Notices,
    /// Snapshots that are being read, and when each was taken; the last one last.
    pub(super) snapshots: Mutex<Vec<(Instant, Weak<Status>)>>,
    /// One page is made at a time.
    pub(super) making_page: Mutex<()>,
    /// Bytes of the answers that are on their way as a whole.
    pub(super) large: AtomicUsize,
    /// Whether the workers go round.
    pub(super) alive: Memo,
    /// Whether every service has a host.
    pub(super) ready: Memo,
}

impl Hall {
    pub(super) fn new(seats: Arc<Seats>, auth: Auth, pulses: Liveness) -> Hall {
        Hall {
            seats,
            auth,
            pulses,
            desk: OnceLock::new(),
            open: Mutex::default(),
            answers: Answers::default(),
            notices: Notices::default(),
            snapshots: Mutex::default(),
            making_page: Mutex::default(),
            large: AtomicUsize::new(0),
            alive: Memo::default(),
            ready: Memo::default(),
        }
    }

    pub(super) fn desk(&self) -> &Handle {
        self.desk.wait()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.open).settings)
    }

    pub(super) fn bells(&self) -> Vec<Bell> {
        lock(&self.open).listeners.bells()
    }

    /// A snapshot. One that was taken after this was asked for is shared; so is the last
    /// one, where many are being read: it would be large with many hosts.
    pub(super) fn shared_status(&self) -> Arc<Status> {
        let asked = Instant::now();
        let mut snapshots = lock(&self.snapshots);
        snapshots.retain(|(_, status)| status.strong_count() > 0);
        if let Some((taken, status)) = snapshots.last()
            && (*taken >= asked || snapshots.len() >= SNAPSHOTS)
            && let Some(status) = status.upgrade()
        {
            return status;
        }
        let taken = Instant::now();
        let status = Arc::new(self.desk().status());
        snapshots.push((taken, Arc::downgrade(&status)));
        status
    }

    /// Whether the workers go round.
    pub(super) fn is_alive(&self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(2);
        self.alive.answer(|| self.pulses.beat(PATIENCE))
    }

    /// Whether every service has a host. The desk is asked once a second at most:
    /// anybody may ask here.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
            .answer(|| Status::is_ready(&self.desk().status()))
    }
}

/// So many snapshots are read at a time, at most. Who asks then gets the last one of them.
const SNAPSHOTS: usize = 4;

/// How clients are served.
#[derive(Default)]
pub(super) struct Settings {
    /// How often the page refreshes itself.
    pub(super) refresh: Option<Duration>,
    /// Names that it is called by besides its addresses and localhost.
    pub(super) names: Vec<String>,
    /// What is needed for HTTPS; `None` is HTTP.
    pub(super) tls: Option<Tls>,
}

impl Settings {
    /// As `web` says.
    ///
    /// # Errors
    /// There is no certificate to be had.
    pub(super) fn new(web: &Web) -> Result<Settings, String> {
        let names = names(web);
        let tls = web.secure.then(|| certificate(web, &names)).transpose()?;
        Ok(Settings {
            refresh: web.refresh,
            names,
            tls,
        })
    }

    /// What the certificate is known by.
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.tls.as_ref().map(Tls::fingerprint)
    }

    /// The beginning of its addresses.
    pub(super) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Those of the file, and where it listens, without the dot at their end: with it they
/// are the same names.
fn names(web: &Web) -> Vec<String> {
    let listen = web.listen.as_ref().and_then(|listen| match &listen.host {
        ListenHost::Name(name) => Some(name.clone()),
        ListenHost::Ip(ip) if !ip.is_unspecified() => Some(ip.to_string()),
        ListenHost::Zoned { ip, .. } => Some(ip.to_string()),
        ListenHost::Ip(_) | ListenHost::Any => None,
    });
    let names = web.names.iter().cloned().chain(listen);
    let without_dot = |name: String| name.strip_suffix('.').unwrap_or(&name).to_owned();
    let names = names.map(without_dot);
    names.filter(|name| !name.is_empty()).collect()
}

/// The operator's certificate, or one of our own.
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

/// The door while a configuration is in force.
#[derive(Default, Clone)]
pub(super) struct Open {
    pub(super) listeners: Listeners,
    pub(super) settings: Arc<Settings>,
}

/// How long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The last answer, and when it was found out.
#[derive(Default)]
pub(super) struct Memo(Mutex<Option<(Instant, bool)>>);

impl Memo {
    /// The last answer, or a new one. Who asks meanwhile waits for that one: that is what
    /// the lock is for, and nobody else takes it.
    pub(super) fn answer(&self, find: impl FnOnce() -> bool) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, answer)) if at.elapsed() < GOOD_FOR => answer,
            _ => {
                let answer = find();
                *last = Some((Instant::now(), answer));
                answer
            }
        }
    }
}

/// How many are kept.
const CAPACITY: usize = 64;

/// The page is told with this where to find what came of a press.
pub(super) const NOTICE: &str = "notice";

/// The last notices, each under a number that cannot be guessed.
#[derive(Default)]
pub(super) struct Notices(Mutex<VecDeque<(u64, Notice)>>);

impl Notices {
    /// Keeps one under this number.
    pub(super) fn keep(&self, number: u64, notice: Notice) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == CAPACITY {
            kept.pop_front();
        }
        kept.push_back((number, notice));
    }

    /// Takes the one of this number: it is shown once.
    pub(super) fn take(&self, number: u64) -> Option<Notice> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(own, _)| *own == number)?;
        kept.remove(place).map(|(_, notice)| notice)
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
    fn an_answer_is_found_out_once() {
        let memo = Memo::default();
        assert!(memo.answer(|| true));
        assert!(memo.answer(|| panic!("asked twice")));
        *memo.0.lock().unwrap() = Instant::now().checked_sub(GOOD_FOR).map(|at| (at, true));
        assert!(!memo.answer(|| false));
    }

    fn notice(text: &str) -> Notice {
        Notice {
            ok: true,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_notice_is_shown_once_and_the_oldest_are_forgotten() {
        let notices = Notices::default();
        for number in 0..=CAPACITY as u64 {
            notices.keep(number, notice(&number.to_string()));
        }
        assert!(notices.take(0).is_none());
        assert_eq!(notices.take(1).map(|it| it.text), Some("1".to_owned()));
        assert!(notices.take(1).is_none());
        assert!(notices.take(CAPACITY as u64).is_some());
    }
}
