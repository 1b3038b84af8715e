//! Builds the configuration of a balancer step by step, starts it, and stops it after a panic.
//!
//! Each step becomes a verb, as operators use them, so that the same errors have the same text.

use std::fmt::Display;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::admin_servers::{AdminInterface, AdminServers};
use super::{Balancer, Cause, Error};
use crate::balance::{Scheduler, Schedulers};
use crate::config::verb::{Command, Verb, apply_all};
use crate::config::{Algorithm, Config, Reading, read_with};
use crate::control::{
    Bound, ControllerThread, DataPlane, File, Handle, LifecycleEvent, Options, Signal, processors,
};
use crate::os::inherited::InheritedSocket;
use crate::os::listen::ListenPlace;

/// Name of a service or group without a name.
const UNNAMED: &str = "main";

/// A balancer that has not started yet.
///
/// Steps come in the order of a file: a service, where it listens, a group, its hosts, the next
/// group. Nothing is refused before [`Builder::start`], which returns the first error.
#[derive(Debug, Default)]
pub struct Builder {
    source: Source,
    verbs: Vec<Verb>,
    /// The first wrong step.
    invalid: Option<String>,
    service: Option<String>,
    /// Whether the service exists: it does from its first address on.
    listens: bool,
    group: Option<String>,
    /// Scheduler of the group.
    group_scheduler: String,
    host: Option<String>,
    listeners: Vec<InheritedSocket>,
    workers: Option<usize>,
    sessions: Option<usize>,
    schedulers: Schedulers,
    admin_interfaces: Vec<AdminInterface>,
}

/// The configuration that the steps start from.
#[derive(Debug, Default)]
enum Source {
    #[default]
    Nothing,
    File(PathBuf),
    Text(String),
}

impl Builder {
    pub(super) fn of_file(path: PathBuf) -> Builder {
        Builder {
            source: Source::File(path),
            ..Builder::default()
        }
    }

    pub(super) fn of_text(text: String) -> Builder {
        Builder {
            source: Source::Text(text),
            ..Builder::default()
        }
    }

    /// A new service, besides those of the file or text. Its address is the next step.
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Builder {
        self.end_service();
        self.service = Some(name.into());
        self
    }

    /// Where the service listens, such as `127.0.0.1:8080`, `*:80`, `[::1]:0` or
    /// `unix:/run/app.sock`; a [`SocketAddr`](std::net::SocketAddr) will do. It may listen at several addresses. For port
    /// 0, the system chooses a port: see [`Balancer::addresses`].
    #[must_use]
    pub fn listen(mut self, address: impl Display) -> Builder {
        let service = self
            .service
            .get_or_insert_with(|| UNNAMED.to_owned())
            .clone();
        let address = address.to_string();
        if std::mem::replace(&mut self.listens, true) {
            return self.verb("addListen", &[("service", &service), ("ip", &address)]);
        }
        self.verb("newService", &[("service", &service), ("listen", &address)])
    }

    /// As [`Builder::listen`], with a socket that listens already: clients in its accept backlog
    /// are served too. If a service of the file or text has this address, call this before the
    /// first [`Builder::service`].
    ///
    /// Other holders of the socket can still accept from it. From this step on, their `accept`
    /// does not wait, until `set_nonblocking(false)`. Keep a [`try_clone`](TcpListener::try_clone)
    /// until the start has succeeded: a failed start closes this one.
    #[must_use]
    pub fn listener(self, listener: TcpListener) -> Builder {
        match InheritedSocket::new(String::new(), listener, false) {
            Ok(inherited) => {
                let is_said = self.service.is_none() && !matches!(self.source, Source::Nothing);
                let mut next = match is_said {
                    true => self,
                    false => self.listen(&inherited.place),
                };
                next.listeners.push(inherited);
                next
            }
            Err(error) => self.invalid_step(format!("listener(): not a listening socket: {error}")),
        }
    }

    /// A new group of the service. The first group gets the sessions, unless another is
    /// [`Builder::enabled`]. `scheduler` is an [`Algorithm`](crate::Algorithm), or a text as in
    /// files, such as `leastc,sticky`.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>, scheduler: impl Display) -> Builder {
        let (name, scheduler) = (name.into(), scheduler.to_string());
        let Some(service) = self.listening("group") else {
            return self;
        };
        let is_first = self.group.replace(name.clone()).is_none();
        self.host = None;
        self.group_scheduler.clone_from(&scheduler);
        let keys = [
            ("service", &*service),
            ("group", &name),
            ("scheduler", &scheduler),
        ];
        // A new service has an enabled group of this name.
        match (is_first, name.as_str()) {
            (true, UNNAMED) => self.verb("changeScheduler", &keys),
            (true, _) => self
                .verb("newGroup", &keys)
                .verb("enableGroup", &keys[..2])
                .verb("delGroup", &[("service", &*service), ("group", UNNAMED)]),
            (false, _) => self.verb("newGroup", &keys),
        }
    }

    /// How many bits of an IPv6 address identify a client, in a group that is `,sticky`. The
    /// default is 128, each address; with 64, a network counts as one client.
    #[must_use]
    pub fn sticky_prefix(self, bits: u8) -> Builder {
        let (Some(service), Some(group)) = (&self.service, &self.group) else {
            let invalid = "sticky_prefix() comes after the group() that is meant";
            return self.invalid_step(invalid.to_owned());
        };
        let scheduler = match &*self.group_scheduler {
            "" => Algorithm::default().to_string(),
            given => given.to_owned(),
        };
        let keys = [
            ("service", service.clone()),
            ("group", group.clone()),
            ("scheduler", scheduler),
            ("stickyPrefix", bits.to_string()),
        ];
        self.verb("changeScheduler", &keys)
    }

    /// The group gets the sessions of its service, and no other does.
    #[must_use]
    pub fn enabled(self) -> Builder {
        match (&self.service, &self.group) {
            (Some(service), Some(group)) => {
                let keys = [("service", service.clone()), ("group", group.clone())];
                self.verb("enableGroup", &keys)
            }
            _ => self.invalid_step("enabled() comes after the group() that is meant".to_owned()),
        }
    }

    /// A host of the group, at an address such as `10.0.0.1:80` or `app.example.org:80`. Without a
    /// group, it is in a group `main` with the scheduler `weightlc`.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>, address: impl Display) -> Builder {
        let (name, address) = (name.into(), address.to_string());
        let Some(service) = self.listening("host") else {
            return self;
        };
        let group = self.group.get_or_insert_with(|| UNNAMED.to_owned()).clone();
        self.host = Some(name.clone());
        let keys = [
            ("service", service),
            ("group", group),
            ("name", name),
            ("ip", address),
        ];
        self.verb("addHost", &keys)
    }

    /// Weight of the host, from 0 to 1000. The default is 1.
    #[must_use]
    pub fn weight(self, weight: u32) -> Builder {
        match (&self.service, &self.group, &self.host) {
            (Some(service), Some(group), Some(host)) => {
                let keys = [
                    ("service", service.clone()),
                    ("group", group.clone()),
                    ("name", host.clone()),
                    ("weight", weight.to_string()),
                ];
                self.verb("setWeight", &keys)
            }
            _ => self.invalid_step("weight() comes after the host() that is meant".to_owned()),
        }
    }

    /// How long a host of the service may take to accept. Zero is no limit; the default is 5 s.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Builder {
        self.timeout("connectTimeout", timeout)
    }

    /// How long a session of the service may be silent. Zero, the default, is no limit.
    #[must_use]
    pub fn idle_timeout(self, timeout: Duration) -> Builder {
        self.timeout("idleTimeout", timeout)
    }

    /// How long a session of the service may be silent after one side has ended. Zero is no limit;
    /// the default is 300 s.
    #[must_use]
    pub fn half_closed_timeout(self, timeout: Duration) -> Builder {
        self.timeout("halfClosedTimeout", timeout)
    }

    fn timeout(mut self, key: &str, timeout: Duration) -> Builder {
        let Some(service) = self.listening(key) else {
            return self;
        };
        let seconds = format!("{}.{:09}", timeout.as_secs(), timeout.subsec_nanos());
        self.verb("setService", &[("service", service), (key, seconds)])
    }

    /// Any other change, by its verb and keys, as for [`Balancer::apply_pairs`]. `setOption` and
    /// `addUser` make what else a file can have.
    #[must_use]
    pub fn verb(mut self, name: &str, pairs: &[(impl AsRef<str>, impl AsRef<str>)]) -> Builder {
        let command = Command::from_pairs(name, pairs).map_err(|error| format!("{name}: {error}"));
        match command.and_then(Command::into_change) {
            Ok(verb) => self.verbs.push(verb),
            Err(why) => return self.invalid_step(why),
        }
        self
    }

    /// Number of worker threads, at least 1. The default is one for each processor.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// Limit of open sessions, at least 1. Further clients wait in the accept backlog. The
    /// default, and upper limit, is by the descriptors that the process may have, two for each
    /// session.
    #[must_use]
    pub fn sessions(mut self, most: usize) -> Builder {
        self.sessions = Some(most);
        self
    }

    /// A scheduler of your program, under a name that groups and files can use. `make` is called
    /// for each group that uses it, and again when its scheduler changes, on the thread that makes
    /// the change.
    #[must_use]
    pub fn scheduler<S: Scheduler + 'static>(
        mut self,
        name: &str,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Builder {
        match self.schedulers.add(name, move || Box::new(make())) {
            true => self,
            false => self.invalid_step(format!(
                "no scheduler can be called {name:?}: another is, or there are blanks or commas \
                 in it"
            )),
        }
    }

    /// Serves an admin interface while it is configured: from the start, or once a
    /// change adds it. Without this call the interface stays closed, whatever the
    /// configuration says.
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("txlb-example-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// use txlb::{AdminInterface, Balancer};
    ///
    /// let socket = folder.join("control.sock");
    /// let builder = Balancer::builder()
    ///     .listen("127.0.0.1:0")
    ///     .host("one", "127.0.0.1:8001")
    ///     .verb("setOption", &[("name", "control.socket"), ("value", socket.to_str().unwrap())])
    ///     .admin(AdminInterface::Control);
    /// # #[cfg(feature = "web")]
    /// let builder = builder
    ///     .verb("setOption", &[("name", "admin.web.listen"), ("value", "127.0.0.1:0")])
    ///     // A password is what crypt(3) makes of it: see `txlb passwd`, or `openssl passwd -6`.
    ///     .verb("addUser", &[("name", "ada"), ("access", "full"), ("password", "$6$...")])
    ///     .admin(AdminInterface::Web);
    /// let balancer = builder.start()?;
    /// assert!(socket.exists());
    /// # #[cfg(feature = "web")]
    /// assert_eq!(balancer.admin_addresses(AdminInterface::Web).len(), 1);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn admin(mut self, interface: AdminInterface) -> Builder {
        match interface.is_built_in() {
            true => self.admin_interfaces.push(interface),
            false => return self.invalid_step(format!("txlb was built without {interface}")),
        }
        self
    }

    /// Starts the balancer. Returns when all services listen. Waits 2 s at most for names of
    /// hosts.
    ///
    /// # Errors
    /// The first wrong step, or what cannot be bound or started. Nothing runs then.
    pub fn start(mut self) -> Result<Balancer, Error> {
        self.end_service();
        if let Some(invalid) = self.invalid {
            return Err(Cause::Invalid(invalid).into());
        }
        let (file, config) = read(&self.source, &self.schedulers)?;
        let config = apply_all(&self.verbs, &config).map_err(|(index, refusal)| {
            Cause::Invalid(format!("{}: {refusal}", self.verbs[index]))
        })?;
        let given: Vec<ListenPlace> = self.listeners.iter().map(|it| it.place.clone()).collect();
        let (stop_on_panic, end) = StopOnPanic::new();
        let stop_on_panic = Arc::new(stop_on_panic);
        let options = Options {
            most_sessions: self.sessions.unwrap_or(usize::MAX),
            schedulers: Arc::new(self.schedulers),
            ..Options::new(self.workers.unwrap_or_else(processors), {
                let stop_on_panic = Arc::clone(&stop_on_panic);
                move |event| stop_on_panic.handle_event(&event)
            })
        };
        let data_plane = DataPlane::bind(config, options, self.listeners)
            .and_then(Bound::start)
            .map_err(Cause::Start)?;
        check_served(&data_plane, &given)?;
        let event_bus = data_plane.event_bus();
        let admin_servers = AdminServers::open(&data_plane, &self.admin_interfaces)
            .map_err(Cause::AdminInterface)?;
        let thread = ControllerThread::start(data_plane, file, admin_servers.reconfigurables())
            .map_err(Cause::System)?;
        admin_servers.set_handle(&thread.handle());
        stop_on_panic.set_handle(thread.handle());
        Ok(Balancer {
            admin_servers,
            thread,
            event_bus,
            end: Mutex::new(end),
        })
    }

    /// The service that the next group or host belongs to.
    fn listening(&mut self, step: &str) -> Option<String> {
        match (&self.service, self.listens) {
            (Some(service), true) => Some(service.clone()),
            _ => {
                let invalid = format!("{step} comes after a service's listen()");
                self.invalid.get_or_insert(invalid);
                None
            }
        }
    }

    fn end_service(&mut self) {
        if let Some(service) = self.service.take()
            && !self.listens
        {
            let invalid = format!("the service {service:?} listens nowhere: listen() is missing");
            self.invalid.get_or_insert(invalid);
        }
        self.listens = false;
        (self.group, self.host) = (None, None);
    }

    fn invalid_step(mut self, why: String) -> Builder {
        self.invalid.get_or_insert(why);
        self
    }
}

/// Reads the file or the text, if there is one.
fn read(
    source: &Source,
    schedulers: &Schedulers,
) -> Result<(Option<(File, Reading)>, Config), Error> {
    let own = schedulers.custom_names();
    Ok(match source {
        Source::Nothing => (None, Config::default()),
        Source::File(path) => {
            let (file, reading) = File::read_with(path, own).map_err(Cause::File)?;
            let config = reading.config.clone();
            (Some((file, reading)), config)
        }
        Source::Text(text) => {
            let reading = read_with(text.as_bytes(), &own).map_err(Cause::Text)?;
            (None, reading.config)
        }
    })
}

/// # Errors
/// No service listens at a socket that was given.
fn check_served(data_plane: &DataPlane, given: &[ListenPlace]) -> Result<(), Error> {
    match given.iter().find(|address| !data_plane.listens_at(address)) {
        None => Ok(()),
        Some(address) => {
            let invalid =
                format!("listener(): no service of the file or text listens at {address}");
            Err(Cause::Invalid(invalid).into())
        }
    }
}

/// Stops the balancer when a thread panics, even before there is a controller.
#[derive(Debug)]
struct StopOnPanic {
    ended: Sender<()>,
    handle: OnceLock<Handle>,
    panicked: AtomicBool,
}

impl StopOnPanic {
    /// The receiver gets a message at the end of the last session.
    fn new() -> (StopOnPanic, Receiver<()>) {
        let (ended, end) = channel();
        let stop_on_panic = StopOnPanic {
            ended,
            handle: OnceLock::new(),
            panicked: AtomicBool::new(false),
        };
        (stop_on_panic, end)
    }

    fn handle_event(&self, event: &LifecycleEvent) {
        match event {
            LifecycleEvent::Stopped => drop(self.ended.send(())),
            LifecycleEvent::Panicked(_) => {
                self.panicked.store(true, Ordering::SeqCst);
                self.stop_after_panic();
            }
        }
    }

    /// Sets the controller. A worker may have panicked before: clients come while the admin
    /// servers are still starting. Test:
    /// a_scheduler_that_panics_before_all_is_started_ends_the_balancer.
    fn set_handle(&self, handle: Handle) {
        let _ = self.handle.set(handle);
        self.stop_after_panic();
    }

    /// A thread that panicked leaves its work undone, so the others stop.
    fn stop_after_panic(&self) {
        if self.panicked.load(Ordering::SeqCst)
            && let Some(handle) = self.handle.get()
        {
            handle.signal(Signal::Stop);
        }
    }
}
