//! The sandbox on Linux: capabilities, landlock, seccomp.

mod denied;
mod landlock;
mod seccomp;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use txlb::os::rights::{self, ReachablePaths};

use super::Owner;

/// Capabilities that root keeps: low ports, and saving files of other owners.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER);

/// Confines this thread and later ones for good. `owner` has the users and groups to which
/// files may be given.
pub(super) fn confine(allowed: ReachablePaths, owner: Option<Owner>) {
    if let Err(error) = drop_capabilities() {
        log::warn!("the sandbox leaves capabilities alone: {error}");
    }
    match landlock::confine(&allowed) {
        Ok(true) => {
            log::debug!("the sandbox keeps to files that txlb needs (landlock)");
            rights::record_sandbox(allowed);
        }
        Ok(false) => log::info!("the sandbox leaves files alone: this kernel has no landlock"),
        Err(error) => log::warn!("the sandbox leaves files alone: {error}"),
    }
    match seccomp::deny(owner) {
        Ok(()) => log::debug!("the sandbox denies system calls that txlb has no use for (seccomp)"),
        Err(error) => log::info!("the sandbox leaves system calls alone: {error}"),
    }
}

/// Runs before the filter, which denies capset(2). Skipped if there is nothing to drop: a
/// supervisor may deny the call.
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
