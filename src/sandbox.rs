//! The sandbox: which paths and system calls there are once txlb runs.
//!
//! It binds the thread that enters and those that come after, so it is entered before
//! there is a second one. It is no substitute for another user than root. Where the
//! kernel has none of it, that is said and txlb runs all the same.

#[cfg(all(
    feature = "sandbox",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
mod calls;
#[cfg(all(
    feature = "sandbox",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
mod files;
mod paths;

use txlb::os::rights::Allowed;

pub(crate) use paths::Needs;

/// Enters, for good. Nothing that this process has open is touched.
pub(crate) fn enter(needs: &Needs<'_>) {
    confine(needs.allowed());
}

#[cfg(all(
    feature = "sandbox",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
fn confine(allowed: Allowed) {
    match files::confine(&allowed) {
        Ok(true) => {
            log::info!("the sandbox keeps to files that txlb needs (landlock)");
            txlb::os::rights::confined_to(allowed);
        }
        Ok(false) => log::info!("the sandbox leaves files alone: this kernel has no landlock"),
        Err(error) => log::warn!("the sandbox leaves files alone: {error}"),
    }
    match calls::deny() {
        Ok(()) => log::debug!("the sandbox denies system calls that txlb has no use for (seccomp)"),
        Err(error) => log::info!("the sandbox leaves system calls alone: {error}"),
    }
}

/// Not built in, or of another system.
#[cfg(not(all(
    feature = "sandbox",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
)))]
fn confine(_allowed: Allowed) {
    log::debug!("this txlb has no sandbox");
}
