//! Admin interfaces: control socket, web interface, and console over SSH. All ask the controller;
//! none touches the data plane.

mod amp;
#[cfg(feature = "logins")]
mod auth;
mod console;
mod control;
#[cfg(feature = "web")]
mod csv;
#[cfg(feature = "web")]
mod haproxy;
#[cfg(feature = "web")]
mod http;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "web")]
mod metrics;
#[cfg(feature = "web")]
mod pages;
#[cfg(feature = "web")]
mod running;
mod server;
#[cfg(feature = "ssh")]
mod ssh;
#[cfg(feature = "web")]
#[cfg_attr(not(feature = "https"), path = "tls/no_tls.rs")]
mod tls;
#[cfg(feature = "web")]
mod web;

#[cfg(feature = "logins")]
pub use auth::{Auth, Login, MAX_PASSWORD, hash_password};
pub use console::{Backend, Console, Executed, Reaction, Reply, Shell, Size, execute};
pub use control::ControlServer;
#[cfg(any(feature = "web", feature = "ssh"))]
pub use server::reconfigure::AdminListenError;
#[cfg(feature = "ssh")]
pub use ssh::SshServer;
#[cfg(feature = "https")]
pub use tls::check_certificate;
#[cfg(feature = "web")]
pub use web::WebServer;
