//! Drops privileges: `-u`, `-g` and `-j`.
//!
//! Every step is checked, since a step that failed silently would leave root's rights behind.
//! On Linux capabilities belong to threads, so all of it happens while there is one.

use std::io;
use std::path::Path;

use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgid, getuid, setegid, seteuid, setgid, setuid,
};
use txlb::os::rights;

use crate::exit::Exit;

/// The change of user that is to come.
#[derive(Debug)]
pub(crate) struct Privileges {
    /// The user to become; `None` stays as it is.
    identity: Option<Identity>,
}

impl Privileges {
    /// Looks up the names of `-u` and `-g`: after chroot(2) there may be no user database.
    pub(crate) fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Privileges, Exit> {
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

    /// The user to become, if it changes.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Runs `work` as the user, then becomes root again. Call it while there is one thread.
    ///
    /// # Errors
    /// The system's; the process may be either user then.
    pub(crate) fn run_as_user<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let Some(identity) = &self.identity else {
            return Ok(work());
        };
        let groups = groups()?;
        let gid = getegid();
        drop_groups()?;
        setegid(identity.gid)?;
        // The real user ID stays root's, so that the user's processes cannot send signals.
        seteuid(identity.uid)?;
        let done = work();
        seteuid(Uid::from_raw(0))?;
        setegid(gid)?;
        restore_groups(&groups)?;
        Ok(done)
    }

    /// Becomes the user for good. On Linux, ports below 1024 can still be opened afterwards, and
    /// with `uses_client_addresses` connections can come from addresses of clients.
    pub(crate) fn give_up(&self, uses_client_addresses: bool) -> Result<(), Exit> {
        let Some(identity) = &self.identity else {
            return Ok(());
        };
        become_user(identity, uses_client_addresses).map_err(|error| {
            let (user, group) = (&identity.user, &identity.group);
            let why = format!("txlb: cannot become {user} in the group {group}: {error}");
            Exit::new(Exit::NO_PERMISSION, &why)
        })?;
        // A change of user resets this to fs.suid_dumpable, which is 2 on many systems. Tests:
        // nobody_but_root_looks_into_the_memory,
        // no_core_dump_is_left_with_the_sandbox_or_without_it.
        protect_memory();
        rights::record_user(&identity.user, &identity.group);
        Ok(())
    }
}

/// Prevents core dumps, and keeps other processes from reading the memory: it has keys and
/// passwords. Kernels that cannot do so are accepted.
pub(crate) fn protect_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Changes the root folder with chroot(2).
pub(crate) fn change_root(folder: &Path) -> Result<(), Exit> {
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
        "txlb: -u {user}: only root can become another user: start txlb as root, or as {user} \
         and without -u"
    );
    Exit::new(Exit::NO_PERMISSION, &why)
}

fn become_user(identity: &Identity, uses_client_addresses: bool) -> io::Result<()> {
    let kept = capabilities::before(uses_client_addresses)?;
    drop_groups()?;
    // For root, these set the real, the effective and the saved ID on every system.
    setgid(identity.gid)?;
    setuid(identity.uid)?;
    capabilities::after(kept)?;
    verify(identity, uses_client_addresses)
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
fn restore_groups(groups: &[Gid]) -> io::Result<()> {
    Ok(nix::unistd::setgroups(groups)?)
}

#[cfg(target_vendor = "apple")]
#[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
fn groups() -> io::Result<Vec<Gid>> {
    Ok(Vec::new())
}

#[cfg(target_vendor = "apple")]
fn restore_groups(_groups: &[Gid]) -> io::Result<()> {
    drop_groups()
}

/// macOS keeps groups in the user database, not in the process.
#[cfg(target_vendor = "apple")]
fn drop_groups() -> io::Result<()> {
    let why = "this system lets no process give up its groups: start txlb as that user";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Checks that the user has changed and cannot change back.
fn verify(identity: &Identity, uses_client_addresses: bool) -> io::Result<()> {
    let root = Uid::from_raw(0);
    let regained = [
        setuid(root).is_ok(),
        seteuid(root).is_ok(),
        !identity.gid.as_raw().eq(&0) && setgid(Gid::from_raw(0)).is_ok(),
        !is_already(identity),
        has_groups(identity)?,
    ];
    if regained.contains(&true) {
        let why = "root's rights could be regained after the change of user";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    capabilities::verify(identity, uses_client_addresses)
}

/// Some systems list the group itself among the groups.
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

/// The capabilities that are kept: ports below 1024, and addresses of clients if they are used.
#[cfg(target_os = "linux")]
mod capabilities {
    use std::io;

    use nix::unistd::{getresgid, getresuid};
    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, no_new_privs,
        set_capabilities, set_keep_capabilities, set_no_new_privs,
    };

    use super::Identity;

    /// For addresses of clients `CAP_NET_RAW` is enough, and less than `CAP_NET_ADMIN`.
    fn wanted(uses_client_addresses: bool) -> CapabilitySet {
        match uses_client_addresses {
            true => CapabilitySet::NET_BIND_SERVICE | CapabilitySet::NET_RAW,
            false => CapabilitySet::NET_BIND_SERVICE,
        }
    }

    pub(super) fn before(uses_client_addresses: bool) -> io::Result<CapabilitySets> {
        // In a container, root may lack them.
        let kept = capabilities(None)?.permitted & wanted(uses_client_addresses);
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

    pub(super) fn verify(identity: &Identity, uses_client_addresses: bool) -> io::Result<()> {
        let (uids, gids) = (getresuid()?, getresgid()?);
        let rest = capabilities(None)?.permitted - wanted(uses_client_addresses);
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

/// Other systems keep nothing: new ports below 1024 need a restart.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
mod capabilities {
    use std::io;

    use super::Identity;

    pub(super) fn before(_uses_client_addresses: bool) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn after(_kept: ()) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn verify(_identity: &Identity, _uses_client_addresses: bool) -> io::Result<()> {
        Ok(())
    }
}

/// A user and group to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// Names, or numbers without an entry.
    pub(crate) user: String,
    pub(crate) group: String,
}

/// The user database; tests have their own.
struct Directory<'a> {
    user: &'a dyn Fn(&str) -> nix::Result<Option<User>>,
    user_of: &'a dyn Fn(Uid) -> nix::Result<Option<User>>,
    group: &'a dyn Fn(&str) -> nix::Result<Option<Group>>,
    group_of: &'a dyn Fn(Gid) -> nix::Result<Option<Group>>,
}

const SYSTEM: Directory<'static> = Directory {
    user: &User::from_name,
    user_of: &User::from_uid,
    group: &Group::from_name,
    group_of: &Group::from_gid,
};

impl Identity {
    /// Looks up `user`, in `group` or else in its own group.
    ///
    /// A number is first looked up as a name, as chown(1) does. A number without an entry gets the
    /// group of the same number, never root's.
    pub(crate) fn find(user: &str, group: Option<&str>) -> Result<Identity, Exit> {
        find(user, group, &SYSTEM)
    }
}

fn find(user: &str, group: Option<&str>, directory: &Directory<'_>) -> Result<Identity, Exit> {
    let failed = |option: &str, what: &str, error: nix::Error| {
        let why = format!("txlb: {option} {what}: cannot be looked up: {error}");
        Exit::new(Exit::OTHER, &why)
    };
    let named = |error| failed("-u", user, error);
    let mut entry = missing_as_none((directory.user)(user)).map_err(named)?;
    let number: Option<u32> = user.parse().ok();
    if let (None, Some(number)) = (&entry, number) {
        // Without a user database, a number is accepted as it is.
        entry = (directory.user_of)(Uid::from_raw(number)).unwrap_or_default();
    }
    let (uid, own_gid, user) = match (entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.name),
        (None, Some(number)) => (
            Uid::from_raw(number),
            Gid::from_raw(number),
            user.to_owned(),
        ),
        (None, None) => return Err(unknown("-u", user, "user")),
    };
    if uid.is_root() || uid.as_raw() == u32::MAX {
        let why = "leave -u out to run as root";
        return Err(Exit::new(Exit::USAGE, &format!("txlb: -u {user}: {why}")));
    }
    let gid = match group {
        None => own_gid,
        Some(group) => match missing_as_none((directory.group)(group))
            .map_err(|error| failed("-g", group, error))?
            .map(|entry| entry.gid)
            .or_else(|| Some(Gid::from_raw(group.parse().ok()?)))
        {
            Some(gid) if gid.as_raw() != u32::MAX => gid,
            _ => return Err(unknown("-g", group, "group")),
        },
    };
    let group = (directory.group_of)(gid).unwrap_or_default();
    Ok(Identity {
        uid,
        gid,
        user,
        group: group.map_or_else(|| gid.to_string(), |entry| entry.name),
    })
}

/// If there is no user database, C libraries differ in whether that is an error.
fn missing_as_none<T>(found: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match found {
        Err(nix::Error::ENOENT | nix::Error::ESRCH | nix::Error::ENOTDIR) => Ok(None),
        found => found,
    }
}

fn unknown(option: &str, name: &str, what: &str) -> Exit {
    let why = format!("txlb: {option} {name}: there is no such {what}, and it is not a number");
    Exit::new(Exit::USAGE, &why)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn www(is_asked_for: bool) -> nix::Result<Option<User>> {
        Ok(is_asked_for.then(|| User {
            name: "www".to_owned(),
            passwd: c"x".to_owned(),
            uid: Uid::from_raw(33),
            gid: Gid::from_raw(34),
            gecos: c"".to_owned(),
            dir: PathBuf::from("/"),
            shell: PathBuf::from("/bin/false"),
            #[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
            class: c"".to_owned(),
            #[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
            change: 0,
            #[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
            expire: 0,
        }))
    }

    fn data(is_asked_for: bool) -> nix::Result<Option<Group>> {
        Ok(is_asked_for.then(|| Group {
            name: "data".to_owned(),
            passwd: c"x".to_owned(),
            gid: Gid::from_raw(34),
            mem: Vec::new(),
        }))
    }

    fn found(user: &str, group: Option<&str>) -> Result<(u32, u32, String, String), Exit> {
        let directory = Directory {
            user: &|name| www(name == "www"),
            user_of: &|uid| www(uid.as_raw() == 33),
            group: &|name| data(name == "data"),
            group_of: &|gid| data(gid.as_raw() == 34),
        };
        let found = find(user, group, &directory)?;
        let (uid, gid) = (found.uid.as_raw(), found.gid.as_raw());
        Ok((uid, gid, found.user, found.group))
    }

    fn is(found: Result<(u32, u32, String, String), Exit>, expected: (u32, u32, &str, &str)) {
        let (uid, gid, user, group) = found.unwrap();
        assert_eq!((uid, gid, user.as_str(), group.as_str()), expected);
    }

    #[test]
    fn a_name_has_its_own_group_unless_another_is_named() {
        is(found("www", None), (33, 34, "www", "data"));
        is(found("www", Some("7")), (33, 7, "www", "7"));
        is(found("7", Some("data")), (7, 34, "7", "data"));
    }

    #[test]
    fn a_number_is_looked_up_and_is_its_own_group_if_it_is_nobodys() {
        is(found("33", None), (33, 34, "www", "data"));
        is(found("1234", None), (1234, 1234, "1234", "1234"));
        is(found("1234", Some("0")), (1234, 0, "1234", "0"));
    }

    #[test]
    fn without_any_list_a_number_will_do() {
        let directory = Directory {
            user: &|_| Err(nix::Error::ENOENT),
            user_of: &|_| Err(nix::Error::ENOENT),
            group: &|_| Err(nix::Error::ENOENT),
            group_of: &|_| Err(nix::Error::ENOENT),
        };
        let found = |user, group| find(user, group, &directory).map(|it| (it.uid, it.gid));
        let ids = |uid, gid| (Uid::from_raw(uid), Gid::from_raw(gid));
        assert_eq!(found("65534", None).unwrap(), ids(65534, 65534));
        assert_eq!(found("65534", Some("7")).unwrap(), ids(65534, 7));
        assert_eq!(found("www", None).unwrap_err().status, Exit::USAGE);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_no_empty_one() {
        let directory = Directory {
            user: &|_| Err(nix::Error::EIO),
            ..SYSTEM
        };
        let refused = find("7", None, &directory).unwrap_err();
        assert_eq!(refused.status, Exit::OTHER);
    }

    #[test]
    fn users_that_do_not_exist_and_root_are_refused() {
        for (user, group, word) in [
            ("wwww", None, "no such user"),
            ("-1", None, "no such user"),
            ("www", Some("dada"), "no such group"),
            ("www", Some("4294967295"), "no such group"),
            ("0", None, "leave -u out"),
            ("4294967295", None, "leave -u out"),
        ] {
            let refused = found(user, group).unwrap_err();
            assert_eq!(refused.status, Exit::USAGE, "{user}");
            assert!(refused.message.contains(word), "{}", refused.message);
        }
    }
}
