//! The sandbox: which paths and system calls there are once txlb runs.
//!
//! It binds the thread that enters and those that come after, so it is entered before
//! there is a second one. It is no substitute for another user than root. Where the
//! kernel has none of it, that is said and txlb runs all the same.

#[cfg_attr(
    not(all(
        feature = "sandbox",
        target_os = "linux",
        any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64"
        )
    )),
    path = "sandbox/no_confine.rs"
)]
mod confine;
mod paths;

pub(crate) use paths::Needs;

/// Enters, for good. Nothing that this process has open is touched.
pub(crate) fn enter(needs: &Needs<'_>) {
    confine::confine(needs.allowed());
}
