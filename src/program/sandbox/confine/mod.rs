//! Confines this process with what Linux has for that.
//!
//! How each of the two is spoken to is known by `files` and `calls`.

mod denied;
mod landlock;
mod seccomp;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use txlb::os::rights::{self, Allowed};

use super::Owner;

/// All that root keeps: low ports; files that others own, for their modes and owners
/// when they are saved.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER);

/// Confines this thread, and those that it starts, for good. `owner` is whose files may
/// be made, if that is this process's to say.
pub(super) fn confine(allowed: Allowed, owner: Option<Owner>) {
    if let Err(error) = drop_capabilities() {
        log::warn!("the sandbox leaves capabilities alone: {error}");
    }
    match landlock::confine(&allowed) {
        Ok(true) => {
            log::debug!("the sandbox keeps to files that txlb needs (landlock)");
            rights::confined_to(allowed);
        }
        Ok(false) => log::info!("the sandbox leaves files alone: this kernel has no landlock"),
        Err(error) => log::warn!("the sandbox leaves files alone: {error}"),
    }
    match seccomp::deny(owner) {
        Ok(()) => log::debug!("the sandbox denies system calls that txlb has no use for (seccomp)"),
        Err(error) => log::info!("the sandbox leaves system calls alone: {error}"),
    }
}

/// Before the calls, for these include the one that does this. Not tried where there are
/// no others: a supervisor may have forbidden it.
fn drop_capabilities() -> rustix::io::Result<()> {
    let permitted = capabilities(None)?.permitted;
    let kept = CapabilitySets {
        effective: permitted & KEPT,
        permitted: permitted & KEPT,
        inheritable: CapabilitySet::empty(),
    };
    match KEPT.contains(permitted) {
        true => Ok(()),
        false => set_capabilities(None, kept),
    }
}
