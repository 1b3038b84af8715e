//! System calls that are denied whatever their arguments are.
//!
//! The list of Linux 6.18, x86_64, was read from end to end for it. Whoever raises
//! `LAST_KNOWN` reads what has been added since.

use libc::c_long;

/// The newest system call that was looked at: `file_setattr`. Later ones fail with
/// ENOSYS, as on a kernel that does not have them, which every C library expects.
pub(super) const LAST_KNOWN: u32 = 469;

/// What a balancer has no use for, and an intruder may have.
const EVERYWHERE: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_memfd_create,
    // Other processes: their memory, signals to them, their processors and pages.
    // `tkill` names a thread alone, so it cannot be told whose that is: without it,
    // abort(3) of musl ends with SIGSEGV instead of SIGABRT.
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
    // Memory and queues that processes share by a number.
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
    // Other rights.
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
    // Other namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Files: owners by name, capabilities (which are extended attributes), devices,
    // links, mounts, and ways past their names. Saving uses fchown(2) alone.
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
    // The kernel, where it was wrong before.
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

/// The same of those since Linux 5.1. From there on every machine has the same numbers,
/// which `libc` does not know for all of them.
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

/// What only this kind of machine has.
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

/// Those whose arguments are in memory, where a filter cannot look: they fail with
/// ENOSYS, and C libraries use their predecessors (`clone` and `openat`).
pub(super) const UNSEEN: [u32; 2] = [
    435, // clone3
    437, // openat2
];

/// All that are denied.
pub(super) fn calls() -> impl Iterator<Item = c_long> {
    [EVERYWHERE, SINCE_5_1, HERE].into_iter().flatten().copied()
}
