//! txlb, a TCP load balancer, as a part of your own program: no extra daemon, no extra
//! machine, and everything can be changed while it runs.
//!
//! A *service* listens at one or more places and has one or more *groups* of *hosts*.
//! One group is *enabled*; its *scheduler* picks the host for each new *session*, which
//! is one client's connection. Say that with a [`Builder`], start it, and keep the
//! [`Balancer`] for as long as it is to run:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use txlb::{Algorithm, Balancer};
//!
//! // A host that greets: as a rule this is another machine.
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
//! // Everything can be changed while it runs, and no session is cut by that.
//! balancer.add_host("web", "prod", "two", "127.0.0.1:9")?;
//! balancer.drain_host("web", "prod", "two")?;
//! balancer.apply("setService service=web idleTimeout=300")?;
//! let status = balancer.status();
//! assert_eq!(status.services[0].groups[0].hosts.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For one service with one group, and the fewest connections first, less has to be said:
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
//! Or with a file, as the program of the same name has it, or a text that could be one:
//! [`Balancer::from_file`], [`Balancer::from_xml`]. Whatever else a file can say, the verb
//! `setOption` can too, as [`Builder::verb`]: the option `manager.hostCheck.interval` is the
//! attribute `interval` of `<manager><hostCheck>`.
//!
//! * What can be asked for while it runs: the methods of [`Balancer`], and with
//!   [`Balancer::apply`] every verb that operators have. What is refused changes nothing.
//! * How it is doing: [`Balancer::status`], as plain data; [`Balancer::events`] tells of
//!   hosts that fail and come back, of every session that ends, and of changes.
//! * A scheduler of your own: the trait [`scheduler::Scheduler`], and
//!   [`Builder::scheduler`] for a name that files can use too.
//! * The doors for operators (the control socket, the admin page, the console) stay shut
//!   unless [`Builder::admin`] opens them.
//!
//! # What it does to your process
//!
//! It starts threads of its own (one worker for each processor, and a few that sleep) and
//! ends them when the [`Balancer`] is dropped. It catches no signal, sets up no log (what
//! it has to say goes to the crate `log`, whoever listens there), raises no limit, and has
//! no state besides the [`Balancer`]: several of them do not know of each other. A session
//! takes two descriptors, and a balancer lets in as many sessions as the process may have
//! descriptors for: a program that needs some for itself, or has several balancers, says
//! with [`Builder::sessions`] how many may be for each.
//!
//! A scheduler of yours that panics takes the balancer with it, not your process:
//! [`Event::Panicked`] says so, and nothing is served any more. On a worker, the sessions
//! of that worker are cut, and the others get 5 s to end theirs; while a change is made,
//! all are cut, and whoever asked for it is told that txlb has ended. In
//! [`Builder::start`] it is your thread that panics. With `panic = "abort"` the process
//! ends at once.
//!
//! # Features
//!
//! ```toml
//! [dependencies]
//! txlb = { path = "../txlb", default-features = false, features = ["web"] }
//! ```
//!
//! `web` (the admin page, its API and metrics), `https` (the same over TLS) and `ssh` (the
//! console) are on by default, and two that only the program uses. Without default
//! features there are 17 crates besides, and the control socket.
//!
//! # What stays
//!
//! What is documented here follows semantic versioning from 2.0 on; until then it may
//! change. Structs and enums may grow, which is why they are `non_exhaustive`. Modules and
//! items that are not documented are the program's, and promise nothing.
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

#[doc(inline)]
pub use balancer::{
    AdminInterface, Applied, ApplyError, Balancer, Builder, Error, ErrorKind, Events,
};
#[doc(inline)]
pub use config::Algorithm;
#[doc(inline)]
pub use control::{EndReason, Event, HostName, SessionEnd};

/// What a scheduler of one's own is made of.
///
/// A scheduler sees the hosts of one group and every session of it, in order, so it need
/// not synchronise anything. This one sends each client to the host that it gets by
/// its address, as long as nobody fails:
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
///             IpAddr::V4(ip) => ip.octets()[3],
///             IpAddr::V6(ip) => ip.octets()[15],
///         };
///         let candidates = hosts.candidates();
///         let from = usize::from(last) % candidates.len().max(1);
///         let mut in_turn = candidates[from..].iter().chain(&candidates[..from]);
///         in_turn.find(|host| !context.has_tried(**host)).copied().into()
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

/// How everything is, as plain data.
pub mod status {
    #[doc(inline)]
    pub use crate::balance::{Failure, HISTOGRAM_MS, Health, Totals};
    #[doc(inline)]
    pub use crate::config::HostState;
    #[doc(inline)]
    pub use crate::control::{
        GroupStatus, HostStatus, Outcome, Phase, RecentEvent, ServiceStatus, SessionStatus,
        Sessions, Status, StoredStatus, Topic,
    };
}
