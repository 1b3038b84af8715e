//! Name servers of all kinds.
