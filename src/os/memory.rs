//! How much address space this process may have, where that is limited.
//!
//! An allocation that fails ends the process, so who can do without asks first.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// What is left for everything that must go on: buffers of sessions, orders, the log.
const KEPT: u64 = 32 * 1024 * 1024;

/// The limit of this process's address space, in bytes; `None` is unlimited.
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Whether so little address space is left that nothing more should be begun for people
/// who look. Without a limit, nothing is asked of the system but that.
pub fn is_short() -> bool {
    let used = || {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        let size = text.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
        let kib: u64 = size.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib.saturating_mul(1024))
    };
    address_space().is_some_and(|limit| used().is_some_and(|used| is_near(used, limit)))
}

/// Of a small limit a quarter is kept.
fn is_near(used: u64, limit: u64) -> bool {
    used > limit - KEPT.min(limit / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_address_space_is_kept() {
        const MIB: u64 = 1024 * 1024;
        assert!(!is_near(268 * MIB, 300 * MIB) && is_near(269 * MIB, 300 * MIB));
        assert!(!is_near(30 * MIB, 40 * MIB) && is_near(31 * MIB, 40 * MIB));
        assert!(!is_near(0, 0) && !is_near(1, u64::MAX));
    }
}
