//! The doors for people and programs: they ask the director, and show what it says.
//!
//! What is asked for, and how it is said, is the same at every door; nothing here
//! touches the data plane.

mod amp;
#[cfg(feature = "logins")]
mod auth;
mod control;
#[cfg(feature = "web")]
#[expect(dead_code, reason = "the web door is to show it")]
mod csv;
#[cfg(feature = "web")]
#[cfg_attr(
    not(any(test, feature = "https")),
    expect(dead_code, reason = "the web door is to use it")
)]
mod deadline;
#[cfg(feature = "web")]
mod haproxy;
#[cfg(feature = "web")]
mod http;
#[cfg(feature = "web")]
#[expect(dead_code, reason = "the web door is to show it")]
mod metrics;
#[cfg(feature = "web")]
mod seats;
#[cfg(feature = "logins")]
mod source;
#[cfg(feature = "https")]
#[cfg_attr(not(test), expect(dead_code, reason = "the web door is to use it"))]
mod tls;
mod watch;
#[cfg(feature = "web")]
#[cfg_attr(not(test), allow(dead_code, reason = "no door shows them yet"))]
mod pages;

#[cfg(feature = "logins")]
pub use auth::{Auth, Login, MAX_PASSWORD, hash_password};
pub use control::ControlDoor;
#[cfg(feature = "https")]
pub use tls::check_certificate;
