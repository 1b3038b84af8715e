//! Tests of the program from outside: each module starts `txlb`, and looks at what it does.
//!
//! `cargo test --test it sessions::` runs one module. Ignored tests need root or other rights:
//! `.ci/daemon` and `.ci/init` run them. Balancers in the test's own process are in
//! `tests/embedded`; tests with other programs are in `tests/peers`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../generated/mod.rs"]
mod generated;
#[path = "../support/mod.rs"]
mod support;

mod activation;
mod amp;
mod any_port;
mod bulk;
mod certificate;
mod checked_reload;
mod checks;
mod circles;
mod control;
mod ctl;
mod daemon;
mod demo;
mod descriptors;
mod diff;
mod early_ends;
mod ending;
mod examples;
mod failover;
mod first_bytes;
mod hostile_socket;
mod house;
mod log;
mod logging;
mod man;
#[cfg(feature = "dns")]
mod members;
mod namespaces;
mod notify;
mod odd_files;
mod output;
mod parent;
mod passwd;
#[cfg(all(
    target_os = "linux",
    feature = "web",
    feature = "https",
    feature = "ssh"
))]
mod pinned;
mod privileges;
mod process;
mod prompt;
mod reload;
mod resign;
mod root_opens;
mod samples;
mod saving_trouble;
mod sessions;
mod silence;
mod sources;
mod ssh;
mod ssh_limits;
mod startable;
mod storm;
mod successor;
mod transparent;
mod unix_sockets;
mod up_to_date;
mod upgrade;
#[cfg(feature = "dns")]
mod upgrade_names;
mod upgrade_sockets;
mod watch;
mod web;
mod web_page;
mod web_server;
mod zones;
