//! The limits that operators may meet, for `txlb -VV`; doc/sizing.md has all of them.

use super::controller::MAX_LISTED_SESSIONS;
use super::fd_budget::MAX_PROBES;
use crate::balance::{MAX_STICKY_CLIENTS, PickContext};
use crate::config::{Group, Limit, Source};
use crate::relay::MAX_FIRST_BYTES;

/// The limits of this build, each with what it limits.
pub fn limits() -> [(&'static str, u64); 11] {
    [
        ("bytes of the configuration file", Limit::Bytes.max() as u64),
        (
            "elements, texts and comments in it",
            Limit::Nodes.max() as u64,
        ),
        ("listeners", Limit::Listeners.max() as u64),
        ("checks of a group", Limit::Checks.max() as u64),
        ("source addresses of a group", Source::MOST_ADDRESSES as u64),
        (
            "clients that a sticky group remembers",
            MAX_STICKY_CLIENTS as u64,
        ),
        (
            "hosts that are tried for a client",
            PickContext::MAX_TRIED as u64,
        ),
        (
            "first bytes of a client that are looked at",
            MAX_FIRST_BYTES as u64,
        ),
        (
            "bytes of a client that replay keeps",
            u64::from(Group::MAX_REPLAY),
        ),
        ("probes of hosts at a time", MAX_PROBES),
        ("sessions in a list", MAX_LISTED_SESSIONS as u64),
    ]
}
