//! The library in a program: each module has balancers in the test's own process.
//!
//! These tests start no other program, so they are apart from those that do (`tests/it`): what is
//! started inherits every open socket for the moment until it is loaded, and a listener that is
//! closed in that moment goes on accepting.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod balancer;
mod console;
mod embedding;
mod handle;
mod recent_events;
mod reconfigure;
mod saving;
mod stored;
