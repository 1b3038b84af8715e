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

/// Whose files root may make: its own, and those of whoever owns the configuration.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "sandbox"), expect(dead_code, reason = "there is none"))]
pub(crate) struct Owner {
    pub(crate) users: [u32; 2],
    pub(crate) groups: [u32; 2],
}

/// Enters, for good. Nothing that this process has open is touched.
pub(crate) fn enter(needs: &Needs<'_>) {
    confine::confine(needs.allowed(), needs.owner());
}
