//! System calls that differ between systems: sockets, pipes, files, limits, sd_notify. A leaf:
//! nothing here knows txlb.

pub mod addresses;
pub mod files;
pub mod inherited;
pub mod listen;
mod mptcp;
pub mod notify;
pub mod outgoing;
pub mod pipes;
pub mod resources;
pub mod rights;
pub mod sockets;
pub mod state;
pub mod usage;
