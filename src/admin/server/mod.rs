//! Shared parts of the admin servers: accept loop, limits, deadlines, and listeners that follow the
//! configuration.

pub(super) mod acceptor;
#[cfg(feature = "logins")]
pub(super) mod client_address;
#[cfg(any(feature = "web", feature = "ssh"))]
pub(super) mod connection_limiter;
#[cfg(feature = "web")]
pub(super) mod deadline;
#[cfg(feature = "logins")]
pub(super) mod pending_clients;
#[cfg(any(feature = "web", feature = "ssh"))]
pub(super) mod reconfigure;
