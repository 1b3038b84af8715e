//! txlb and other people's programs: nginx, Redis, PostgreSQL, curl, OpenSSH, Twisted, a browser
//! and others.
//!
//! They are Debian's or from PyPI, so these tests are ignored unless asked for: `.ci/run` installs
//! what they need and runs them. `cargo test --test peers -- --ignored ssh::` runs one module.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod checks;
mod curl;
mod examples;
mod faults;
mod hatop;
mod postfix;
mod programs;
mod proxies;
mod proxy_protocol;
mod schema;
mod server_names;
mod ssh;
mod twisted;
