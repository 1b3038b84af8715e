//! Gives up what only the start needed: root's rights, for good.
//!
//! Every step is checked, for one that failed without a word would leave root behind.
//! On Linux capabilities belong to a thread, so all of it happens before there is a
//! second one. Which files go to whom is `folders`' business.

mod user;

use std::io;
use std::path::Path;

use nix::unistd::{Gid, Uid, getegid, geteuid, getgid, getuid, setegid, seteuid, setgid, setuid};
use txlb::os::rights;

use crate::exit::Exit;
pub(crate) use user::Identity;

/// What is given up, and for whom.
#[derive(Debug)]
pub(crate) struct Privileges {
    /// Who to become; `None` stays who it is.
    identity: Option<Identity>,
}

impl Privileges {
    /// What `-u` and `-g` ask for. Names are looked up here and now: after a change of
    /// the root there may be no list of them.
    pub(crate) fn plan(user: Option<&str>, group: Option<&str>) -> Result<Privileges, Exit> {
        let identity = user.map(|user| Identity::find(user, group)).transpose()?;
        let Some(wanted) = identity else {
            return Ok(Privileges { identity });
        };
        let identity = if geteuid().is_root() {
            Some(wanted)
        } else if is_already(&wanted) {
            None
        } else {
            return Err(only_root(&wanted));
        };
        Ok(Privileges { identity })
    }

    /// Who it will be, if that is somebody else.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Does something as whoever it will be, while there is one thread, and is root again.
    ///
    /// # Errors
    /// The system's; then it may be either.
    pub(crate) fn lend<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let Some(identity) = &self.identity else {
            return Ok(work());
        };
        let groups = groups()?;
        let gid = getegid();
        drop_groups()?;
        setegid(identity.gid)?;
        // The real one stays root's, so that the user's processes cannot send it signals.
        seteuid(identity.uid)?;
        let done = work();
        seteuid(Uid::from_raw(0))?;
        setegid(gid)?;
        regain_groups(&groups)?;
        Ok(done)
    }

    /// Gives them up. On Linux ports below 1024 can still be opened afterwards.
    pub(crate) fn give_up(&self) -> Result<(), Exit> {
        let Some(identity) = &self.identity else {
            return Ok(());
        };
        become_somebody(identity).map_err(|error| {
            let (user, group) = (&identity.user, &identity.group);
            let why = format!("txlb: cannot become {user} in the group {group}: {error}");
            Exit::new(Exit::NO_PERMISSION, &why)
        })?;
        // Another user is what fs.suid_dumpable says, which is 2 where there is systemd.
        hide_memory();
        rights::record_user(&identity.user, &identity.group);
        Ok(())
    }
}

/// Leaves no core dump, and nobody but root looks into the memory: there are keys and
/// passwords in it. Kernels that cannot do so are no obstacle.
pub(crate) fn hide_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Makes `folder` the root of everything from now on.
pub(crate) fn enter_jail(folder: &Path) -> Result<(), Exit> {
    let enter = || {
        std::os::unix::fs::chroot(folder)?;
        std::env::set_current_dir("/")
    };
    enter()
        .map(|()| rights::record_chroot(folder.to_owned()))
        .map_err(|error| {
            let status = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Exit::NO_FILE,
                io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
                _ => Exit::OTHER,
            };
            let advice = match status {
                Exit::NO_PERMISSION => {
                    " (only root can change the root: start txlb as root, with -u)"
                }
                _ => "",
            };
            let folder = folder.display();
            Exit::new(status, &format!("txlb: -j {folder}: {error}{advice}"))
        })
}

fn is_already(wanted: &Identity) -> bool {
    [getuid(), geteuid()] == [wanted.uid; 2] && [getgid(), getegid()] == [wanted.gid; 2]
}

fn only_root(wanted: &Identity) -> Exit {
    let user = &wanted.user;
    let why = format!(
        "txlb: -u {user}: only root can become somebody else: start txlb as root, or as {user} \
         and without -u"
    );
    Exit::new(Exit::NO_PERMISSION, &why)
}

fn become_somebody(identity: &Identity) -> io::Result<()> {
    let kept = kept::before()?;
    drop_groups()?;
    // For root these set the real, the effective and the saved one, on every system.
    setgid(identity.gid)?;
    setuid(identity.uid)?;
    kept::after(kept)?;
    verify(identity)
}

#[cfg(not(target_vendor = "apple"))]
fn drop_groups() -> io::Result<()> {
    Ok(nix::unistd::setgroups(&[])?)
}

#[cfg(not(target_vendor = "apple"))]
fn groups() -> io::Result<Vec<Gid>> {
    Ok(nix::unistd::getgroups()?)
}

#[cfg(not(target_vendor = "apple"))]
fn regain_groups(groups: &[Gid]) -> io::Result<()> {
    Ok(nix::unistd::setgroups(groups)?)
}

#[cfg(target_vendor = "apple")]
#[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
fn groups() -> io::Result<Vec<Gid>> {
    Ok(Vec::new())
}

#[cfg(target_vendor = "apple")]
fn regain_groups(_groups: &[Gid]) -> io::Result<()> {
    drop_groups()
}

/// There, who is in which group is not the process's to say.
#[cfg(target_vendor = "apple")]
fn drop_groups() -> io::Result<()> {
    let why = "this system lets no process give up its groups: start txlb as that user";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// That it is somebody else, and stays so.
fn verify(identity: &Identity) -> io::Result<()> {
    let root = Uid::from_raw(0);
    let regained = [
        setuid(root).is_ok(),
        seteuid(root).is_ok(),
        !identity.gid.as_raw().eq(&0) && setgid(Gid::from_raw(0)).is_ok(),
        !is_already(identity),
        has_groups(identity)?,
    ];
    if regained.contains(&true) {
        let why = "what root may do could be had back: that must not be";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    kept::verify(identity)
}

/// Some systems count the group itself among them.
#[cfg(not(target_vendor = "apple"))]
fn has_groups(identity: &Identity) -> io::Result<bool> {
    let groups = nix::unistd::getgroups()?;
    Ok(groups.iter().any(|group| *group != identity.gid))
}

#[cfg(target_vendor = "apple")]
#[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
fn has_groups(_identity: &Identity) -> io::Result<bool> {
    Ok(false)
}

/// The one thing that is kept: ports below 1024.
#[cfg(target_os = "linux")]
mod kept {
    use std::io;

    use nix::unistd::{getresgid, getresuid};
    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, no_new_privs,
        set_capabilities, set_keep_capabilities, set_no_new_privs,
    };

    use super::Identity;

    pub(super) fn before() -> io::Result<CapabilitySets> {
        // In a container even root may not have it.
        let kept = capabilities(None)?.permitted & CapabilitySet::NET_BIND_SERVICE;
        set_keep_capabilities(true)?;
        Ok(CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        })
    }

    pub(super) fn after(kept: CapabilitySets) -> io::Result<()> {
        set_capabilities(None, kept)?;
        clear_ambient_capability_set()?;
        set_keep_capabilities(false)?;
        Ok(set_no_new_privs(true)?)
    }

    pub(super) fn verify(identity: &Identity) -> io::Result<()> {
        let (uids, gids) = (getresuid()?, getresgid()?);
        let rest = capabilities(None)?.permitted - CapabilitySet::NET_BIND_SERVICE;
        let fine = uids.saved == identity.uid
            && gids.saved == identity.gid
            && rest.is_empty()
            && no_new_privs()?;
        match fine {
            true => Ok(()),
            false => Err(io::Error::other("some of root's rights are still there")),
        }
    }
}

/// Elsewhere nothing is: new low ports need a new start.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
mod kept {
    use std::io;

    use super::Identity;

    pub(super) fn before() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn after(_kept: ()) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn verify(_identity: &Identity) -> io::Result<()> {
        Ok(())
    }
}
