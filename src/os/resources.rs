//! Resources of this process and their limits: descriptors, address space, a thread's
//! priority and processor time.

use std::fs;
use std::io;
use std::sync::LazyLock;
#[cfg(feature = "logins")]
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;

/// The name of this machine, as it was when this was first asked; the sandbox may hide it later.
/// Empty if it is not UTF-8.
pub fn machine_name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let name = uname();
        name.nodename().to_str().unwrap_or_default().to_owned()
    });
    &NAME
}

/// The limit of descriptors, before and after it was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// The soft limit as it was; `None` is unlimited.
    pub before: Option<u64>,
    /// The soft limit as it is.
    pub now: Option<u64>,
}

/// What Darwin allows at most.
const OPEN_MAX: u64 = 10_240;

/// Address space that is kept for what must go on: buffers of sessions, orders, the log.
const RESERVED_BYTES: u64 = 32 * 1024 * 1024;

/// By how much a thread is nicer that must not slow others down. At 19 it would get next
/// to nothing on a busy machine.
#[cfg(all(feature = "logins", any(target_os = "linux", target_os = "android")))]
const NICER: i32 = 10;

/// Raises the soft limit of descriptors to the hard one.
///
/// Some systems start programs with as few as 256 (the Solaris class) or 1024
/// (Linux, for the sake of `select`), whatever the hard limit is.
///
/// # Errors
/// The system's; the limit is then as it was.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let Rlimit {
        current: before,
        maximum,
    } = getrlimit(Resource::Nofile);
    if before != maximum {
        set_soft_limit(maximum, maximum).or_else(|error| match maximum {
            // Darwin reports no limit, and refuses more than OPEN_MAX.
            None => set_soft_limit(Some(OPEN_MAX), maximum),
            Some(_) => Err(error),
        })?;
    }
    Ok(DescriptorLimit {
        before,
        now: descriptor_limit(),
    })
}

fn set_soft_limit(current: Option<u64>, maximum: Option<u64>) -> io::Result<()> {
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

/// The soft limit of descriptors; `None` is unlimited.
pub fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The limit of this process's address space, in bytes; `None` is unlimited.
pub fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Whether so little address space is left that no more interactive work should begin.
///
/// An allocation that fails ends the process, so work that can be refused asks first.
/// Without a limit this costs one system call.
pub fn is_address_space_short() -> bool {
    let used_bytes = || {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        let size = text.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
        let kib: u64 = size.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib.saturating_mul(1024))
    };
    address_space_limit().is_some_and(|limit| used_bytes().is_some_and(|used| is_near(used, limit)))
}

/// Of a small limit a quarter is kept.
fn is_near(used: u64, limit: u64) -> bool {
    used > limit - RESERVED_BYTES.min(limit / 4)
}

/// Gives the calling thread a lower priority than others, for good.
///
/// setpriority(2) changes a single thread on Linux alone. On other systems it changes the
/// whole process, so nothing is done there.
#[cfg(feature = "logins")]
pub fn lower_thread_priority() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // Where it is forbidden, the thread keeps its priority.
        let _ = rustix::process::setpriority_process(None, NICER);
    }
}

/// The processor time of the calling thread; `None` where the system does not tell.
#[cfg(feature = "logins")]
pub fn thread_cpu_time() -> Option<Duration> {
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "macos"
    ))]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "macos"
    )))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_ends_where_the_hard_one_is() {
        let raised = raise_descriptor_limit().unwrap();
        assert_eq!(raised.now, descriptor_limit());
        assert_eq!(getrlimit(Resource::Nofile).maximum, descriptor_limit());
    }

    #[test]
    fn a_part_of_the_address_space_is_kept() {
        const MIB: u64 = 1024 * 1024;
        assert!(!is_near(268 * MIB, 300 * MIB) && is_near(269 * MIB, 300 * MIB));
        assert!(!is_near(30 * MIB, 40 * MIB) && is_near(31 * MIB, 40 * MIB));
        assert!(!is_near(0, 0) && !is_near(1, u64::MAX));
    }
}
