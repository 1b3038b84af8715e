//! txlb, a TCP load balancer, as a part of your own program: no extra daemon, no extra
//! machine, and everything can be changed while it runs.
//!
//! A *service* listens at one or more addresses and has one or more *groups* of *hosts*.
//! One group is *enabled*. Its *scheduler* picks the host for each new *session*, which is
//! the connection of one client. Configure that with a [`Builder`] and start it. The
//! balancer runs until the [`Balancer`] is dropped:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use txlb::{Algorithm, Balancer};
//!
//! // A host that greets. Usually this is another machine.
//! let host = TcpListener::bind("127.0.0.1:0")?;
//! let address = host.local_addr()?;
//! std::thread::spawn(move || {
//!     for client in host.incoming().flatten() {
//!         let _ = (&client).write_all(b"hello");
//!     }
//! });
//!
//! let balancer = Balancer::builder()
//!     .service("web")
//!     .listen("127.0.0.1:0")
//!     .group("prod", Algorithm::LeastConns)
//!     .host("one", address)
//!     .start()?;
//!
//! let mut greeting = String::new();
//! TcpStream::connect(balancer.addresses("web")[0])?.read_to_string(&mut greeting)?;
//! assert_eq!(greeting, "hello");
//!
//! // Everything can be changed while it runs, and sessions live on.
//! balancer.add_host("web", "prod", "two", "127.0.0.1:9")?;
//! balancer.drain_host("web", "prod", "two")?;
//! balancer.apply("setService service=web idleTimeout=300")?;
//! let status = balancer.status();
//! assert_eq!(status.services[0].groups[0].hosts.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One service with one group and the scheduler `weightlc` needs less:
//!
//! ```
//! # use txlb::Balancer;
//! let balancer = Balancer::builder()
//!     .listen("127.0.0.1:0")
//!     .host("one", "127.0.0.1:8001")
//!     .host("two", "127.0.0.1:8002")
//!     .start()?;
//! assert_eq!(balancer.addresses("main").len(), 1);
//! # Ok::<(), txlb::Error>(())
//! ```
//!
//! [`Balancer::from_file`] reads a configuration file of the program `txlb`, and
//! [`Balancer::from_xml`] takes the text of one. Without a file, the verb `setOption` sets
//! every other option, by [`Builder::verb`]: `manager.hostCheck.interval` is the attribute
//! `interval` of `<manager><hostCheck>`.
//!
//! * Changes while it runs: the methods of [`Balancer`]. [`Balancer::apply`] takes every verb
//!   that operators have. A verb that is refused changes nothing.
//! * Monitoring: [`Balancer::status`] returns a snapshot as plain data. [`Balancer::events`]
//!   reports hosts that fail and recover, sessions that end, and changes.
//! * Custom schedulers: implement the trait [`scheduler::Scheduler`], and name it by
//!   [`Builder::scheduler`]. Files can use that name, too.
//! * Admin interfaces (control socket, admin page, console) are only served if
//!   [`Builder::admin`] enables them.
//!
//! # What it does to your process
//!
//! It starts threads: one worker for each processor, and a few that mostly sleep. They end
//! when the [`Balancer`] is dropped. It catches no signals, sets up no logger (it logs to the
//! crate `log`), and raises no limits. All state is in the [`Balancer`], so a process may
//! have several.
//!
//! A session takes two descriptors. A balancer accepts as many sessions as the limit of
//! descriptors allows. If your program needs descriptors itself, or has several balancers,
//! limit the sessions of each by [`Builder::sessions`].
//!
//! A custom scheduler that panics ends the balancer, not your process, and
//! [`Event::Panicked`] reports it. On a worker, the sessions of that worker are reset, and
//! those of the others get 5 s to end. During a change, all sessions are reset, and the
//! change returns an error. In [`Builder::start`] your own thread panics. With
//! `panic = "abort"` the process ends at once.
//!
//! # Features
//!
//! ```toml
//! [dependencies]
//! txlb = { path = "../txlb", default-features = false, features = ["web"] }
//! ```
//!
//! On by default: `web` (the admin page, its API and metrics), `https` (the same over TLS),
//! `ssh` (the console), `dns` (hosts that name servers tell of), and two features for the program
//! alone. Without default features
//! txlb depends on 17 crates, and the control socket is the only admin interface.
//!
//! # Stability
//!
//! What is documented here follows semantic versioning from 2.0 on; until then it may
//! change. Most structs and enums are `non_exhaustive`, as they may grow. Modules and items
//! that are not documented are for the program alone, and may change at any time.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[doc(hidden)]
pub mod admin;
#[doc(hidden)]
pub mod balance;
#[doc(hidden)]
pub mod balancer;
#[doc(hidden)]
pub mod calendar;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod control;
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod log_targets;
#[doc(hidden)]
pub mod non_printing;
#[doc(hidden)]
pub mod os;
#[doc(hidden)]
pub mod relay;
#[doc(hidden)]
pub mod sync;
#[doc(hidden)]
pub mod text;

#[doc(inline)]
pub use balancer::{
    AdminInterface, Applied, ApplyError, Balancer, Builder, Error, ErrorKind, Events,
};
#[doc(inline)]
pub use config::Algorithm;
#[doc(inline)]
pub use control::{EndReason, Event, HostName, SessionEnd};
#[doc(inline)]
pub use os::address::Address;

/// Custom schedulers: the trait [`Scheduler`](scheduler::Scheduler), and the types that it
/// uses.
///
/// A scheduler sees the hosts of one group and every session of it, in order, so it needs
/// no synchronisation. This one picks a host by the last byte of the client's address, and
/// the next one if that has failed:
///
/// ```
/// use std::net::IpAddr;
/// use txlb::Balancer;
/// use txlb::scheduler::{PickContext, Hosts, Pick, Scheduler};
///
/// #[derive(Debug)]
/// struct ByLastByte;
///
/// impl Scheduler for ByLastByte {
///     fn rebuild(&mut self, _hosts: &Hosts) {}
///
///     fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
///         let last = match context.client {
///             Some(IpAddr::V4(ip)) => ip.octets()[3],
///             Some(IpAddr::V6(ip)) => ip.octets()[15],
///             // A client of a Unix socket.
///             None => 0,
///         };
///         let candidates = hosts.candidates();
///         let from = usize::from(last) % candidates.len().max(1);
///         let mut in_order = candidates[from..].iter().chain(&candidates[..from]);
///         in_order.find(|host| !context.has_tried(**host)).copied().into()
///     }
/// }
///
/// let balancer = Balancer::builder()
///     .scheduler("lastbyte", || ByLastByte)
///     .service("web")
///     .listen("127.0.0.1:0")
///     .group("main", "lastbyte")
///     .host("one", "127.0.0.1:8001")
///     .start()?;
/// assert_eq!(balancer.status().services[0].groups[0].scheduler, "lastbyte");
/// # Ok::<(), txlb::Error>(())
/// ```
pub mod scheduler {
    #[doc(inline)]
    pub use crate::balance::{
        EndedSession, HostId, Hosts, Member, Pick, PickContext, Random, Scheduler,
    };
}

/// The status of a balancer, as plain data: see [`Balancer::status`].
pub mod status {
    #[doc(inline)]
    pub use crate::balance::{CheckHealth, CheckResult, Failure, HISTOGRAM_MS, Health, Totals};
    #[doc(inline)]
    pub use crate::config::{CheckKind, HostState};
    #[doc(inline)]
    pub use crate::control::{
        DrainingProcess, GroupStatus, HostStatus, MemberCount, Outcome, Phase, RecentEvent,
        ServiceStatus, SessionStatus, Sessions, Status, StoredStatus, Topic,
    };
}
