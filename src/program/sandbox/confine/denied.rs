//! Denied system calls: always, or with certain arguments.
//!
//! The list is from Linux 6.18 on x86_64. To raise `LAST_KNOWN`, check the calls that were
//! added since.

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use crate::sandbox::Owner;

/// The newest system call that was checked: `file_setattr`. Later ones fail with ENOSYS, as on
/// an older kernel, which C libraries expect.
pub(super) const LAST_KNOWN: u32 = 469;

/// Calls that a balancer does not need and an intruder could use.
const ON_ALL_MACHINES: &[c_long] = &[
    // Executing programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_memfd_create,
    // Other processes: their memory, signals, processors and pages. `tkill` names a thread only,
    // so a filter cannot see whose it is. Without it, abort(3) of musl ends with SIGSEGV instead
    // of SIGABRT.
    libc::SYS_get_robust_list,
    libc::SYS_ioprio_set,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setpgid,
    libc::SYS_tkill,
    // System V and POSIX IPC.
    libc::SYS_mq_getsetattr,
    libc::SYS_mq_notify,
    libc::SYS_mq_open,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmget,
    // Changing rights.
    libc::SYS_add_key,
    libc::SYS_capset,
    libc::SYS_keyctl,
    libc::SYS_personality,
    libc::SYS_request_key,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    // Namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Files: changing owners by name, capabilities (in extended attributes), devices, links,
    // mounts, and handles. Saving uses fchown(2) only.
    libc::SYS_chroot,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_pivot_root,
    libc::SYS_removexattr,
    libc::SYS_setxattr,
    libc::SYS_symlinkat,
    libc::SYS_umount2,
    // Calls with a history of kernel bugs.
    libc::SYS_bpf,
    libc::SYS_io_cancel,
    libc::SYS_io_destroy,
    libc::SYS_io_getevents,
    libc::SYS_io_setup,
    libc::SYS_io_submit,
    libc::SYS_mbind,
    libc::SYS_perf_event_open,
    libc::SYS_remap_file_pages,
    libc::SYS_seccomp,
    libc::SYS_set_mempolicy,
    libc::SYS_userfaultfd,
    libc::SYS_vmsplice,
    // The machine.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// Denied calls since Linux 5.1: their numbers are the same on all machines, but `libc` lacks
/// some.
const SINCE_5_1: &[c_long] = &[
    424, // pidfd_send_signal
    425, // io_uring_setup
    426, // io_uring_enter
    427, // io_uring_register
    428, // open_tree
    429, // move_mount
    430, // fsopen
    431, // fsconfig
    432, // fsmount
    433, // fspick
    434, // pidfd_open
    438, // pidfd_getfd
    440, // process_madvise
    442, // mount_setattr
    443, // quotactl_fd
    444, // landlock_create_ruleset
    445, // landlock_add_rule
    446, // landlock_restrict_self
    447, // memfd_secret
    448, // process_mrelease
    450, // set_mempolicy_home_node
    457, // statmount
    458, // listmount
    460, // lsm_set_self_attr
    463, // setxattrat
    466, // removexattrat
    467, // open_tree_attr
    469, // file_setattr
];

/// Calls that only this machine has.
#[cfg(target_arch = "x86_64")]
const HERE: &[c_long] = &[
    libc::SYS__sysctl,
    libc::SYS_chown,
    libc::SYS_fork,
    333, // io_pgetevents
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_lchown,
    libc::SYS_lookup_dcookie,
    libc::SYS_mknod,
    libc::SYS_modify_ldt,
    libc::SYS_nfsservctl,
    libc::SYS_symlink,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const HERE: &[c_long] = &[
    292, // io_pgetevents
    294, // kexec_file_load
];

/// Their arguments are in memory, where a filter cannot look. They fail with ENOSYS, and C
/// libraries use `clone` and `openat` instead.
pub(super) const HIDE_ARGUMENTS: [u32; 2] = [
    435, // clone3
    437, // openat2
];

/// All calls that are always denied.
pub(super) fn calls() -> impl Iterator<Item = c_long> {
    [ON_ALL_MACHINES, SINCE_5_1, HERE]
        .into_iter()
        .flatten()
        .copied()
}

/// For each call: rules, any of which denies it. A rule holds if all its conditions do.
pub(super) type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Set for threads, not for processes.
const CLONE_THREAD: u64 = 0x1_0000;
/// `CLONE_NEWCGROUP` to `CLONE_NEWNET`, and `CLONE_NEWNS`.
const CLONE_NEW: [u64; 7] = [
    0x0002_0000,
    0x0200_0000,
    0x0400_0000,
    0x0800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
];

/// setpriority(2) of a process; C libraries differ in its type.
const PRIO_PROCESS: c_int = 0;

/// Commands that choose the process and the signal for a descriptor. Leases stop other
/// processes from opening a file.
const FCNTL: [u64; 5] = [
    8,    // F_SETOWN
    10,   // F_SETSIG
    15,   // F_SETOWN_EX
    1024, // F_SETLEASE
    1026, // F_NOTIFY
];

/// The same by ioctl(2), and commands for a shared terminal: that of the administrator who
/// started txlb in the foreground.
const IOCTL: [u64; 10] = [
    0x8901,      // FIOSETOWN
    0x8902,      // SIOCSPGRP
    0x5412,      // TIOCSTI: types at it
    0x541c,      // TIOCLINUX: pastes at it
    0x541d,      // TIOCCONS
    0x540e,      // TIOCSCTTY
    0x5410,      // TIOCSPGRP
    0x5422,      // TIOCNOTTY
    0x5423,      // TIOCSETD: has modules loaded
    0x4004_5436, // TIOCSIG
];

const PRCTL: [u64; 9] = [
    4,           // PR_SET_DUMPABLE
    8,           // PR_SET_KEEPCAPS
    22,          // PR_SET_SECCOMP
    28,          // PR_SET_SECUREBITS
    35,          // PR_SET_MM
    47,          // PR_CAP_AMBIENT
    53,          // PR_SET_SPECULATION_CTRL
    62,          // PR_SCHED_CORE
    0x5961_6d61, // PR_SET_PTRACER
];

/// Set-user-ID and set-group-ID.
const SPECIAL_MODES: [u64; 2] = [0o4000, 0o2000];

/// Calls with a file mode, and the argument that has it.
const WITH_MODE: &[(c_long, u8)] = &[
    (libc::SYS_openat, 3),
    (libc::SYS_mkdirat, 2),
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (452, 2), // fchmodat2
];
#[cfg(target_arch = "x86_64")]
const WITH_MODE_HERE: &[(c_long, u8)] = &[
    (libc::SYS_open, 2),
    (libc::SYS_creat, 1),
    (libc::SYS_mkdir, 1),
    (libc::SYS_chmod, 1),
];
#[cfg(not(target_arch = "x86_64"))]
const WITH_MODE_HERE: &[(c_long, u8)] = &[];

/// Socket families; C libraries use netlink to look up addresses.
const FAMILIES: [c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];
/// Internet protocols; 0 is the default. Others may load kernel modules.
const PROTOCOLS: [c_int; 4] = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_MPTCP];
/// Socket types except SOCK_STREAM (1) and SOCK_DGRAM (2), as bit masks.
const OTHER_TYPES: [u64; 3] = [3, 4, 8];

/// The rules for the process with this ID. `owner` has the users and groups to which it may
/// give files.
pub(super) fn rules(process: i32, owner: Option<Owner>) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let mut deny = |call, conditions: Vec<Result<SeccompCondition, BackendError>>| {
        let conditions: Result<Vec<_>, _> = conditions.into_iter().collect();
        rules
            .entry(call)
            .or_default()
            .push(SeccompRule::new(conditions?)?);
        Ok(())
    };
    // Signals to this process only: abort(3) and raise(3) use tgkill(2).
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        deny(call, vec![is_not(0, process)])?;
    }
    deny(libc::SYS_prlimit64, vec![is_not(0, 0), is_not(0, process)])?;
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        deny(call, vec![is_not(0, 0)])?;
    }
    deny(libc::SYS_setpriority, vec![is_not(0, PRIO_PROCESS)])?;
    deny(libc::SYS_setpriority, vec![is_not(1, 0)])?;
    deny(libc::SYS_clone, vec![has(0, CLONE_THREAD, 0)])?;
    for flag in CLONE_NEW {
        deny(libc::SYS_clone, vec![has(0, flag, flag)])?;
    }
    for (call, argument, values) in [
        (libc::SYS_fcntl, 1, &FCNTL[..]),
        (libc::SYS_ioctl, 1, &IOCTL[..]),
        (libc::SYS_prctl, 0, &PRCTL[..]),
    ] {
        for value in values {
            deny(call, vec![has(argument, u32::MAX.into(), *value)])?;
        }
    }
    for (call, argument) in WITH_MODE.iter().chain(WITH_MODE_HERE) {
        for bit in SPECIAL_MODES {
            deny(*call, vec![has(*argument, bit, bit)])?;
        }
    }
    deny(
        libc::SYS_socket,
        FAMILIES.map(|family| is_not(0, family)).into(),
    )?;
    deny(
        libc::SYS_socket,
        vec![is(0, libc::AF_NETLINK), is_not(2, libc::NETLINK_ROUTE)],
    )?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let other_protocol = PROTOCOLS.map(|protocol| is_not(2, protocol));
        deny(
            libc::SYS_socket,
            [is(0, family)].into_iter().chain(other_protocol).collect(),
        )?;
        for bits in OTHER_TYPES {
            deny(libc::SYS_socket, vec![is(0, family), has(1, bits, bits)])?;
        }
    }
    if let Some(owner) = owner {
        for (argument, ids) in [(1, owner.users), (2, owner.groups)] {
            let ids = ids.into_iter().chain([u32::MAX]);
            let other = ids.map(|id| is_not(argument, id.cast_signed()));
            deny(libc::SYS_fchown, other.collect())?;
        }
    }
    Ok(rules)
}

fn is(argument: u8, value: c_int) -> Result<SeccompCondition, BackendError> {
    compare(argument, SeccompCmpOp::Eq, value.cast_unsigned().into())
}

fn is_not(argument: u8, value: c_int) -> Result<SeccompCondition, BackendError> {
    compare(argument, SeccompCmpOp::Ne, value.cast_unsigned().into())
}

/// The masked argument equals `value`.
fn has(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    compare(argument, SeccompCmpOp::MaskedEq(mask), value)
}

/// Compares the lower 32 bits: the kernel ignores the upper half of these arguments, and all
/// flags of `clone` are in the lower.
fn compare(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}
