//! The doors for people and programs: they ask the director, and show what it says.
//!
//! What is asked for, and how it is said, is the same at every door; nothing here
//! touches the data plane.

mod answers;
#[cfg(feature = "logins")]
mod auth;
mod console;
mod control_socket;
#[cfg(feature = "logins")]
mod crowd;
#[cfg(feature = "web")]
mod deadline;
#[cfg(feature = "logins")]
mod entrance;
#[cfg(feature = "logins")]
mod handshakes;
#[cfg(any(feature = "web", feature = "ssh"))]
mod hinge;
#[cfg(feature = "web")]
mod http;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod internals;
#[cfg(any(feature = "web", feature = "ssh"))]
mod listeners;
#[cfg(feature = "web")]
mod metrics;
#[cfg(feature = "web")]
mod page;
#[cfg(any(feature = "web", feature = "ssh"))]
mod seats;
#[cfg(feature = "logins")]
mod source;
#[cfg(feature = "ssh")]
mod ssh;
#[cfg(feature = "web")]
#[cfg_attr(not(feature = "https"), path = "no_tls.rs")]
mod tls;
mod watch;

#[cfg(feature = "logins")]
pub use auth::{Auth, Login, MAX_PASSWORD, hash_password};
pub use console::{Console, Executed, Partner, Reaction, Shell, Size, Told, execute};
pub use control_socket::ControlServer;
#[cfg(feature = "web")]
pub use http::WebServer;
#[cfg(any(feature = "web", feature = "ssh"))]
pub use listeners::AdminListenError;
#[cfg(feature = "ssh")]
pub use ssh::SshServer;
#[cfg(feature = "https")]
pub use tls::check_certificate;
