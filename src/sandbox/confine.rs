//! Confines this process with what Linux has for that.
//!
//! How each of the two is spoken to is known by `files` and `calls`.

mod calls;
mod files;

use txlb::os::rights::{self, Allowed};

/// Confines this thread, and those that it starts, for good.
pub(super) fn confine(allowed: Allowed) {
    match files::confine(&allowed) {
        Ok(true) => {
            log::debug!("the sandbox keeps to files that txlb needs (landlock)");
            rights::confined_to(allowed);
        }
        Ok(false) => log::info!("the sandbox leaves files alone: this kernel has no landlock"),
        Err(error) => log::warn!("the sandbox leaves files alone: {error}"),
    }
    match calls::deny() {
        Ok(()) => log::debug!("the sandbox denies system calls that txlb has no use for (seccomp)"),
        Err(error) => log::info!("the sandbox leaves system calls alone: {error}"),
    }
}
