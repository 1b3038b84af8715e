//! The calling thread alone: its priority, and the processor time that it has spent.

use std::time::Duration;

/// How much nicer a thread is that must not slow others down. At 19 it would get next to
/// nothing on a busy machine.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NICER: i32 = 10;

/// Gives the calling thread a lower priority than others, for good.
///
/// setpriority(2) is for one thread on Linux alone; on other systems it would be for the
/// whole process, so nothing is done there.
pub fn lower_priority() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // Where it is forbidden, the thread works as it is.
        let _ = rustix::process::setpriority_process(None, NICER);
    }
}

/// The processor time of the calling thread; `None` where the system does not tell.
pub fn processor_time() -> Option<Duration> {
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
