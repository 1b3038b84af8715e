//! In the place of `confine` where there is no sandbox: on other systems, and in a txlb
//! that was built without one.

use txlb::os::rights::ReachablePaths;

use super::Owner;

/// Confines nothing.
pub(super) fn confine(_allowed: ReachablePaths, _owner: Option<Owner>) {
    log::debug!("this txlb has no sandbox");
}
