//! Named log targets: the logger decides by them which lines it may hold back as repetitions, and a
//! program that embeds the library can filter by them.
//!
//! A log line without a target of its own has its module's path, which moves with the code; these
//! names stay. All begin with `txlb::`, so that a filter for `txlb` includes them.

use std::sync::atomic::AtomicU64;

/// Lines that the logger of this process has lost so far; the logger counts them. Each balancer of
/// the process shows it among its metrics.
pub static LOST_LINES: AtomicU64 = AtomicU64::new(0);

/// The connection log: one line for each session. Logged if the configuration says
/// `connections="true"`, whatever the log level is, and in a layout of its own.
pub const SESSIONS: &str = "txlb::session";

/// Failed logins and unusable passwords. Never held back: fail2ban counts the lines.
pub const LOGINS: &str = "txlb::login";

/// Hosts that fail, recover or move to another address. Never held back: "down" and "up" belong
/// together, and each host has a rate limit of its own.
pub const HEALTH: &str = "txlb::health";

/// What the controller does for operators: verbs, signals, reloads, saves, and where services listen.
/// Never held back: each request has its own lines.
pub const CONTROL: &str = "txlb::answer";
