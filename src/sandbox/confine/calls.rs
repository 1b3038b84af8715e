//! The seccomp filter: which system calls are denied.
//!
//! Of what Linux 6.18 has, a list says what is denied: a C library may need any of the
//! rest. What is newer than that fails with ENOSYS, as on an older kernel; so does what
//! hides its arguments in memory. All else that is denied fails with EPERM. Another
//! machine's numbers (i386 on x86_64) end the process.

mod arguments;
mod denied;
#[cfg(test)]
mod tests;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompFilter, apply_filter, sock_filter,
};

use crate::sandbox::Owner;

/// Denies them to this thread and those that it starts. `owner` is whose files may be
/// made, if that is this process's to say.
///
/// # Errors
/// The kernel's, if it cannot.
pub(super) fn deny(owner: Option<Owner>) -> Result<(), Error> {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    apply_filter(&filter(process, owner)?)
}

fn filter(process: i32, owner: Option<Owner>) -> Result<BpfProgram, BackendError> {
    let mut rules = arguments::rules(process, owner)?;
    rules.extend(denied::calls().map(|call| (call, Vec::new())));
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let machine = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, machine)?;
    let filter: BpfProgram = filter.try_into()?;
    Ok([unknown(), filter].concat())
}

/// Lets what is not to be known of fail with ENOSYS, and goes on with the rest. The
/// numbers of x32, programs of 32 bits on `x86_64`, are above all others.
fn unknown() -> BpfProgram {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let is_above = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let end = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let [clone3, openat2] = denied::UNSEEN;
    vec![
        instruction(load_number, 0, [0, 0]),
        instruction(is_above, denied::LAST_KNOWN, [2, 0]),
        instruction(is, clone3, [1, 0]),
        instruction(is, openat2, [0, 1]),
        instruction(libc::BPF_RET | libc::BPF_K, end, [0, 0]),
    ]
}

/// One that goes so many further if its test holds, and if it does not.
fn instruction(code: u32, k: u32, [jt, jf]: [u8; 2]) -> sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "all codes are of 16 bits")]
    let code = code as u16;
    sock_filter { code, jt, jf, k }
}
