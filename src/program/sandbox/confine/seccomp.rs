//! The seccomp filter.
//!
//! Listed calls fail with EPERM. Calls that are newer than Linux 6.18, and calls that hide
//! their arguments in memory, fail with ENOSYS. All others are allowed, since a C library may
//! need them. Calls of another architecture (i386 on x86_64) kill the process.

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompFilter, apply_filter, sock_filter,
};

use super::denied;
use crate::sandbox::Owner;

/// Installs the filter for this thread and later ones. `owner` has the users and groups to
/// which files may be given.
///
/// # Errors
/// The kernel's.
pub(super) fn deny(owner: Option<Owner>) -> Result<(), Error> {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    apply_filter(&filter(process, owner)?)
}

fn filter(process: i32, owner: Option<Owner>) -> Result<BpfProgram, BackendError> {
    let mut rules = denied::rules(process, owner)?;
    rules.extend(denied::calls().map(|call| (call, Vec::new())));
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let machine = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, machine)?;
    let filter: BpfProgram = filter.try_into()?;
    Ok([reject_unknown(), filter].concat())
}

/// Returns ENOSYS for unknown calls, else continues. The numbers of x32 on `x86_64` are above
/// all others.
fn reject_unknown() -> BpfProgram {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let is_above = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let end = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let [clone3, openat2] = denied::HIDE_ARGUMENTS;
    vec![
        instruction(load_number, 0, [0, 0]),
        instruction(is_above, denied::LAST_KNOWN, [2, 0]),
        instruction(is, clone3, [1, 0]),
        instruction(is, openat2, [0, 1]),
        instruction(libc::BPF_RET | libc::BPF_K, end, [0, 0]),
    ]
}

/// An instruction that skips `jt` instructions if its test holds, else `jf`.
fn instruction(code: u32, k: u32, [jt, jf]: [u8; 2]) -> sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "all codes are of 16 bits")]
    let code = code as u16;
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    //! Tests of the filter: its verdict on each kind of call, and what the kernel does.
    #![allow(
        clippy::cast_possible_truncation,
        reason = "the kernel cuts numbers in the same way"
    )]

    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;
    use std::thread;

    use libc::c_long;
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketType, netlink, socket};
    use rustix::process::{Pid, Signal, getpid, kill_process};

    use super::*;

    /// A process ID.
    const OWN: u64 = 4321;
    const OTHER: u64 = 4322;
    /// -1 as the kernel gets it.
    const NONE: u64 = u32::MAX as u64;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

    /// The architecture's number for the kernel.
    const MACHINE: u32 = 0xc000_0000
        | if cfg!(target_arch = "x86_64") {
            62
        } else if cfg!(target_arch = "aarch64") {
            183
        } else {
            243
        };
    const I386: u32 = 0x4000_0003;

    /// Interprets the filter as the kernel would.
    fn verdict(program: &[sock_filter], machine: u32, call: u32, arguments: &[u64]) -> u32 {
        let mut data = vec![call, machine, 0, 0];
        let halves = arguments
            .iter()
            .flat_map(|it| [*it as u32, (*it >> 32) as u32]);
        data.extend(halves);
        data.resize(16, 0);
        let (mut at, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            let is_so = match u32::from(code) {
                0x20 => {
                    loaded = data[k as usize / 4];
                    at += 1;
                    continue;
                }
                0x54 => {
                    loaded &= k;
                    at += 1;
                    continue;
                }
                0x05 => {
                    at += 1 + k as usize;
                    continue;
                }
                0x06 => return k,
                0x15 => loaded == k,
                0x25 => loaded > k,
                0x35 => loaded >= k,
                other => panic!("{other:#x}"),
            };
            at += 1 + usize::from(if is_so { jt } else { jf });
        }
    }

    struct Filter(BpfProgram);

    impl Filter {
        fn new(owner: Option<Owner>) -> Filter {
            Filter(filter(OWN as i32, owner).unwrap())
        }

        #[track_caller]
        fn says(&self, expected: u32, call: c_long, arguments: &[u64]) {
            let verdict = verdict(&self.0, MACHINE, call as u32, arguments);
            assert_eq!(verdict, expected, "{call}{arguments:?}: {verdict:#x}");
        }
    }

    #[test]
    fn signals_reach_this_process_alone() {
        let filter = Filter::new(None);
        for call in [libc::SYS_kill, libc::SYS_tgkill] {
            filter.says(ALLOW, call, &[OWN, OWN, 6]);
            for other in [OTHER, 0, NONE, 1, u64::from((-4321_i32).cast_unsigned())] {
                filter.says(EPERM, call, &[other, OWN, 6]);
            }
            // The kernel ignores the upper half.
            filter.says(EPERM, call, &[OTHER | OWN << 32, OWN, 6]);
        }
        for call in [
            libc::SYS_tkill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
            424, // pidfd_send_signal
        ] {
            filter.says(EPERM, call, &[OWN, OWN, 6]);
        }
        // By way of a descriptor: F_SETOWN, F_SETSIG, F_SETOWN_EX; FIOSETOWN, SIOCSPGRP.
        for command in [8, 10, 15] {
            filter.says(EPERM, libc::SYS_fcntl, &[5, command, OTHER]);
        }
        for command in [0x8901, 0x8902] {
            filter.says(EPERM, libc::SYS_ioctl, &[5, command]);
        }
        filter.says(ALLOW, libc::SYS_fcntl, &[5, 4, 0o4000]);
        filter.says(ALLOW, libc::SYS_ioctl, &[5, 0x5413]);
    }

    #[test]
    fn others_are_neither_limited_nor_slowed_down() {
        let filter = Filter::new(None);
        filter.says(ALLOW, libc::SYS_prlimit64, &[0, 7]);
        filter.says(ALLOW, libc::SYS_prlimit64, &[OWN, 7]);
        filter.says(EPERM, libc::SYS_prlimit64, &[OTHER, 7]);
        filter.says(ALLOW, libc::SYS_setpriority, &[0, 0, 10]);
        filter.says(EPERM, libc::SYS_setpriority, &[0, OTHER, 10]);
        filter.says(EPERM, libc::SYS_setpriority, &[2, 0, 10]);
        for call in [libc::SYS_sched_setscheduler, libc::SYS_sched_setaffinity] {
            filter.says(ALLOW, call, &[0]);
            filter.says(EPERM, call, &[OTHER]);
        }
    }

    #[test]
    fn threads_can_be_made_and_neither_processes_nor_namespaces() {
        let filter = Filter::new(None);
        let thread = 0x003d_0f00;
        filter.says(ALLOW, libc::SYS_clone, &[thread]);
        filter.says(EPERM, libc::SYS_clone, &[17]);
        for namespace in [17, 25, 26, 27, 28, 29, 30] {
            filter.says(EPERM, libc::SYS_clone, &[thread | 1 << namespace]);
            filter.says(EPERM, libc::SYS_clone, &[17 | 1 << namespace]);
            filter.says(EPERM, libc::SYS_unshare, &[1 << namespace]);
        }
        filter.says(EPERM, libc::SYS_setns, &[5, 0]);
        filter.says(ENOSYS, 435, &[0, 88]);
        #[cfg(target_arch = "x86_64")]
        for call in [libc::SYS_fork, libc::SYS_vfork] {
            filter.says(EPERM, call, &[]);
        }
    }

    #[test]
    fn sockets_are_of_the_internet_of_unix_or_for_routes() {
        let filter = Filter::new(None);
        let flags = 0o2004000;
        for (family, kind, protocol, expected) in [
            (1, 1, 0, ALLOW),
            (1, 2, 0, ALLOW),
            (2, 1, 0, ALLOW),
            (2, 1, 6, ALLOW),
            (2, 1, 262, ALLOW),
            (10, 2, 17, ALLOW),
            (16, 3, 0, ALLOW),
            // Raw, SCTP by two ways, DCCP, ICMP.
            (2, 3, 0, EPERM),
            (10, 3, 255, EPERM),
            (2, 1, 132, EPERM),
            (10, 5, 0, EPERM),
            (2, 6, 0, EPERM),
            (2, 2, 1, EPERM),
            // Netlink's others, and other families.
            (16, 3, 12, EPERM),
            (16, 2, 15, EPERM),
            (16, 3, 4, EPERM),
            (0, 1, 0, EPERM),
            (17, 3, 0, EPERM),
            (38, 5, 0, EPERM),
            (40, 1, 0, EPERM),
        ] {
            filter.says(expected, libc::SYS_socket, &[family, kind, protocol]);
            filter.says(
                expected,
                libc::SYS_socket,
                &[family, kind | flags, protocol],
            );
        }
    }

    #[test]
    fn no_file_is_run_as_its_owner() {
        let filter = Filter::new(None);
        for (call, argument) in [
            (libc::SYS_openat, 3),
            (libc::SYS_mkdirat, 2),
            (libc::SYS_fchmod, 1),
            (libc::SYS_fchmodat, 2),
            (452, 2),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_open, 2),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_creat, 1),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_mkdir, 1),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_chmod, 1),
        ] {
            for (mode, expected) in [
                (0o600, ALLOW),
                (0o1777, ALLOW),
                (0o4755, EPERM),
                (0o2755, EPERM),
                (0o2000, EPERM),
            ] {
                let mut arguments = [0o102; 4];
                arguments[argument] = mode;
                filter.says(expected, call, &arguments);
            }
        }
        filter.says(ENOSYS, 437, &[]);
        filter.says(EPERM, libc::SYS_fsetxattr, &[]);
        filter.says(EPERM, libc::SYS_mknodat, &[]);
    }

    #[test]
    fn root_makes_files_for_the_configurations_owner_alone() {
        let filter = Filter::new(Some(Owner {
            users: [0, 70],
            groups: [0, 71],
        }));
        for (user, group, expected) in [
            (0, 0, ALLOW),
            (70, 71, ALLOW),
            (NONE, 71, ALLOW),
            (70, NONE, ALLOW),
            (72, 71, EPERM),
            (70, 72, EPERM),
        ] {
            filter.says(expected, libc::SYS_fchown, &[5, user, group]);
        }
        filter.says(EPERM, libc::SYS_fchownat, &[5, 0, 0, 0]);
        // Without root, the kernel's own rules apply.
        Filter::new(None).says(ALLOW, libc::SYS_fchown, &[5, 72, 72]);
    }

    #[test]
    fn other_spellings_and_newer_calls_are_none() {
        let filter = Filter::new(None);
        let (first_unknown, x32) = (c_long::from(denied::LAST_KNOWN) + 1, 0x4000_0000);
        for call in [
            first_unknown,
            1000,
            x32,
            x32 | libc::SYS_kill,
            x32 | 520,
            -1,
        ] {
            filter.says(ENOSYS, call, &[]);
        }
        let foreign = verdict(&filter.0, I386, libc::SYS_getpid as u32, &[]);
        assert_eq!(foreign, libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn what_a_balancer_needs_is_allowed() {
        let filter = Filter::new(None);
        for call in [
            libc::SYS_accept4,
            libc::SYS_splice,
            libc::SYS_futex,
            libc::SYS_mmap,
            libc::SYS_renameat,
            libc::SYS_fsync,
            libc::SYS_sendmsg,
            439, // faccessat2
            441, // epoll_pwait2
            449, // futex_waitv
            451, // cachestat
        ] {
            filter.says(ALLOW, call, &[3, 2, 1]);
        }
        // PR_SET_NAME, and not PR_SET_DUMPABLE.
        filter.says(ALLOW, libc::SYS_prctl, &[15]);
        filter.says(EPERM, libc::SYS_prctl, &[4, 1]);
    }

    #[test]
    fn what_is_denied_fails_and_the_rest_works() {
        let folder = std::env::temp_dir().join(format!("txlb-calls-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("file");
        fs::write(&file, "").unwrap();
        // Only this thread is confined.
        let bound = thread::spawn(move || {
            deny(None).unwrap();
            assert!(Command::new("/bin/true").status().is_err());
            let stream = SocketType::STREAM;
            for family in [AddressFamily::INET, AddressFamily::UNIX] {
                socket(family, stream, None).unwrap();
            }
            let vsock = socket(AddressFamily::VSOCK, stream, None).unwrap_err();
            assert_eq!(vsock, Errno::PERM);
            let (netlink, raw) = (AddressFamily::NETLINK, SocketType::RAW);
            socket(netlink, raw, None).unwrap();
            let filters = socket(netlink, raw, Some(netlink::NETFILTER)).unwrap_err();
            assert_eq!(filters, Errno::PERM);
            // SIGURG is ignored by default.
            kill_process(getpid(), Signal::URG).unwrap();
            assert_eq!(kill_process(Pid::INIT, Signal::URG), Err(Errno::PERM));
            File::open("/dev/null").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
            assert!(fs::set_permissions(&file, Permissions::from_mode(0o4755)).is_err());
            assert!(symlink(&file, folder.join("link")).is_err());
            thread::spawn(|| {}).join().unwrap();
            fs::remove_dir_all(&folder).unwrap();
        });
        bound.join().unwrap();
    }
}
