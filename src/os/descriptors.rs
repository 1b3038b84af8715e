//! How many descriptors this process may have.
//!
//! Only the limit: who counts what is open, and stops in time, is the relay's
//! business.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What raising the limit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// The soft limit as it was; `None` is unlimited.
    pub before: Option<u64>,
    /// The soft limit as it is.
    pub now: Option<u64>,
}

/// Raises the soft limit to the hard one.
///
/// Some systems start programs with as few as 256 (the Solaris class) or 1024
/// (Linux, for the sake of `select`), whatever the hard limit is.
///
/// # Errors
/// The system's; the limit is then as it was.
pub fn raise_limit() -> io::Result<Descriptors> {
    let Rlimit {
        current: before,
        maximum,
    } = getrlimit(Resource::Nofile);
    if before != maximum {
        set_soft(maximum, maximum).or_else(|error| match maximum {
            // Darwin says that there is no limit, and keeps to OPEN_MAX.
            None => set_soft(Some(OPEN_MAX), maximum),
            Some(_) => Err(error),
        })?;
    }
    Ok(Descriptors {
        before,
        now: limit(),
    })
}

/// What Darwin allows at the most.
const OPEN_MAX: u64 = 10_240;

fn set_soft(current: Option<u64>, maximum: Option<u64>) -> io::Result<()> {
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

/// The soft limit as it is; `None` is unlimited.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_ends_where_the_hard_one_is() {
        let raised = raise_limit().unwrap();
        assert_eq!(raised.now, limit());
        assert_eq!(getrlimit(Resource::Nofile).maximum, limit());
    }
}
