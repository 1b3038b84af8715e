//! Which files there are, by landlock.
//!
//! Nothing can be executed anywhere; what is below the allowed paths is for others to
//! say, and what the modes of files say holds as well.

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, make_bitflags, path_beneath_rules,
};
use txlb::os::rights::Allowed;

/// All that is refused elsewhere; older kernels refuse what they know of it.
const KNOWN: ABI = ABI::V5;

/// Confines this thread and those that it starts; says whether the kernel can.
///
/// # Errors
/// The kernel's.
pub(super) fn confine(allowed: &Allowed) -> Result<bool, RulesetError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .create()?
        // What is not there is left out, and may be had after another start.
        .add_rules(path_beneath_rules(&allowed.read, read()))?
        .add_rules(path_beneath_rules(&allowed.write, write()))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn read() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

fn write() -> BitFlags<AccessFs> {
    let change = make_bitflags!(AccessFs::{WriteFile | Truncate | RemoveFile});
    read() | change | make_bitflags!(AccessFs::{MakeDir | MakeReg | MakeSock})
}
