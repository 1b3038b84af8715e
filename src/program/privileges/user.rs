//! Who `-u` and `-g` mean: names as the system knows them, or numbers.
//!
//! Becomes nobody: that is done where all of the privileges are given up.

use nix::unistd::{Gid, Group, Uid, User};

use crate::exit::Exit;

/// Somebody to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// As an operator would write them.
    pub(crate) user: String,
    pub(crate) group: String,
}

/// How names are looked up; a test has its own way.
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
    /// Who `user` is, in `group` or else in the user's own.
    ///
    /// A number is a name first, as in chown(1). One without an entry has the group of
    /// the same number unless `group` says otherwise: never root's.
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
    let mut entry = known((directory.user)(user)).map_err(named)?;
    let number: Option<u32> = user.parse().ok();
    if let (None, Some(number)) = (&entry, number) {
        // Where there is no list of users at all, a number is one all the same.
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
        Some(group) => match known((directory.group)(group))
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

/// Without any list, in an empty root say, C libraries differ in whether that is an error.
fn known<T>(found: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match found {
        Err(nix::Error::ENOENT | nix::Error::ESRCH | nix::Error::ENOTDIR) => Ok(None),
        found => found,
    }
}

fn unknown(option: &str, name: &str, what: &str) -> Exit {
    let why = format!("txlb: {option} {name}: there is no such {what}, and it is no number");
    Exit::new(Exit::USAGE, &why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

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
    fn who_is_nobody_or_root_is_refused() {
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
