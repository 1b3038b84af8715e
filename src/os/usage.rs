//! What this process takes of its machine: processor time, memory, descriptors.
//!
//! Linux tells of memory and descriptors in `/proc`. Both files are opened at the start and stay
//! open, since a sandbox may forbid to open them later.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::OnceLock;

use super::resources;

/// What the process has taken, or takes now. `None` is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time of all threads, in milliseconds.
    pub processor_ms: u64,
    /// Memory in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// The limit of descriptors; `None` is no limit.
    pub max_descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// Descriptors that stay open once [`prepare`] was called.
pub const DESCRIPTORS: u64 = 2;

/// Bytes of `/proc/self/status` that are read: what is looked for is in the first two thousand,
/// unless the process has hundreds of groups.
const STATUS_BYTES: usize = 16 * 1024;

/// The files of this process in `/proc`.
struct Files {
    status: File,
    descriptors: File,
}

static FILES: OnceLock<Option<Files>> = OnceLock::new();

/// Opens what is looked at later. Call it in the process that is looked at: `/proc/self` is
/// resolved when it is opened.
pub fn prepare() {
    files();
}

fn files() -> Option<&'static Files> {
    let open = || -> io::Result<Files> {
        Ok(Files {
            status: File::open("/proc/self/status")?,
            descriptors: File::open("/proc/self/fd")?,
        })
    };
    FILES.get_or_init(|| open().ok()).as_ref()
}

#[cfg(not(any(target_os = "illumos", target_os = "solaris")))]
fn processor_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let taken = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (taken.tv_sec, taken.tv_nsec);
    u64::try_from(seconds * 1000 + nanoseconds / 1_000_000).unwrap_or(0)
}

/// These have such a clock for other processes only.
#[cfg(any(target_os = "illumos", target_os = "solaris"))]
fn processor_ms() -> u64 {
    0
}

impl Usage {
    /// Of this process, now.
    pub fn now() -> Usage {
        let usage = Usage {
            processor_ms: processor_ms(),
            max_descriptors: resources::descriptor_limit(),
            ..Usage::default()
        };
        files().map_or(usage, |files| usage.with_files(files))
    }

    fn with_files(self, files: &Files) -> Usage {
        let mut bytes = vec![0; STATUS_BYTES];
        let length = files.status.read_at(&mut bytes, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..length]);
        let (resident, all) = (field(&text, "VmRSS:"), field(&text, "VmSize:"));
        // Linux before 6.2 says 0.
        let descriptors = files.descriptors.metadata().map_or(0, |it| it.size());
        Usage {
            resident_bytes: resident.map(|kib| kib * 1024),
            virtual_bytes: all.map(|kib| kib * 1024),
            descriptors: Some(descriptors).filter(|it| *it > 0),
            threads: field(&text, "Threads:"),
            ..self
        }
    }
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_takes_something_of_all() {
        let usage = Usage::now();
        assert!(usage.resident_bytes > Some(100_000), "{usage:?}");
        assert!(usage.virtual_bytes >= usage.resident_bytes, "{usage:?}");
        assert!(usage.threads >= Some(1), "{usage:?}");
        let before = usage.descriptors;
        let more: Vec<_> = (0..50).map(|_| File::open("/dev/null").unwrap()).collect();
        let now = Usage::now();
        // Other tests of this process open and close theirs.
        assert!(before.is_none() || now.descriptors > before, "{now:?}");
        drop(more);
        while Usage::now().processor_ms == usage.processor_ms {
            std::hint::black_box(field("a: 1", "a:"));
        }
    }

    #[test]
    fn a_field_is_the_number_behind_its_name() {
        let text = "Name:\ttxlb\nVmSize:\t   12 kB\nThreads:\t3\n";
        assert_eq!(field(text, "VmSize:"), Some(12));
        assert_eq!(field(text, "Threads:"), Some(3));
        assert_eq!(field(text, "VmRSS:"), None);
        assert_eq!(field(text, "Name:"), None);
    }
}
