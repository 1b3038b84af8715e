//! Admin interfaces: control socket, web interface, and console over SSH. All ask the controller;
//! none touches the data plane.

#[cfg(feature = "logins")]
mod auth;
mod console;
mod control_socket;
mod haproxy;
#[cfg(feature = "web")]
mod http;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "web")]
mod metrics;
#[cfg(feature = "web")]
mod page;
mod server;
#[cfg(feature = "ssh")]
mod ssh;
#[cfg(feature = "https")]
mod tls;

#[cfg(feature = "logins")]
pub use auth::{Auth, Login, MAX_PASSWORD, hash_password};
pub use console::{Backend, Console, Executed, Reaction, Reply, Shell, Size, execute};
pub use control_socket::ControlServer;
#[cfg(feature = "web")]
pub use http::WebServer;
#[cfg(any(feature = "web", feature = "ssh"))]
pub use server::reconfigure::AdminListenError;
#[cfg(feature = "ssh")]
pub use ssh::SshServer;
#[cfg(feature = "https")]
pub use tls::check_certificate;
