//! What differs between systems, fenced off: nothing in here knows txlb.

pub mod descriptors;
pub mod inherited;
pub mod listen;
pub mod local;
pub mod notify;
pub mod peer;
pub mod pipes;
pub mod rights;
pub mod state;
pub mod zone;
