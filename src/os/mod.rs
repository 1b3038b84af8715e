//! What differs between systems, fenced off: nothing in here knows txlb.

pub mod delivery;
pub mod descriptors;
pub mod files;
pub mod inherited;
pub mod listen;
pub mod local;
pub mod local_ports;
pub mod memory;
pub mod notify;
pub mod peer;
pub mod pipes;
pub mod rights;
pub mod state;
#[cfg(feature = "logins")]
pub mod threads;
pub mod zone;
