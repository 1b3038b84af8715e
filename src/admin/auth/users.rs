//! The users of the configuration, with hashes that can be checked.
//!
//! Checks none of them. A user in whom nothing changes stays the same one in memory,
//! which is how the rest knows that what it knows of them still holds.

use std::collections::HashMap;
use std::sync::Arc;

use super::hash::Hash;
#[cfg(feature = "ssh")]
use crate::config::public_key_bytes;
use crate::config::{Access, User};
use crate::log_targets;

/// A user as the doors know them.
pub(super) struct Known {
    pub(super) access: Access,
    /// As the configuration has it, to see whether it changes.
    password: Option<String>,
    hash: Option<Hash>,
}

impl Known {
    fn new(user: &User) -> Known {
        let hash = user.password.as_deref().map(Hash::read).transpose();
        if let Err(why) = &hash {
            let name = &user.name;
            log::warn!(
                target: log_targets::LOGINS,
                "the password of user \"{name}\" cannot be checked and fits nothing: {why}"
            );
        }
        Known {
            access: user.access,
            password: user.password.clone(),
            hash: hash.unwrap_or(None),
        }
    }

    /// What their password is checked by, if they have one that can be.
    pub(super) fn hash(&self) -> Option<&Hash> {
        self.hash.as_ref()
    }

    fn is_as(&self, user: &User) -> bool {
        self.access == user.access && self.password == user.password
    }
}

/// All of them, by name.
#[derive(Default)]
pub(super) struct Users {
    by_name: HashMap<String, Arc<Known>>,
    /// Those whose password can be checked, in the configuration's order.
    checkable: Vec<Arc<Known>>,
    /// Their public keys, as clients send them. Apart from the rest: who gets another
    /// key is still the same user.
    #[cfg(feature = "ssh")]
    keys: HashMap<String, Vec<Vec<u8>>>,
}

impl Users {
    /// Those of a configuration; who was there `before` is kept if they are the same.
    pub(super) fn new(users: &[User], before: Option<&Users>) -> Users {
        let known = |user: &User| {
            let before = before.and_then(|before| before.find(&user.name));
            let same = before.filter(|known| known.is_as(user));
            same.map_or_else(|| Arc::new(Known::new(user)), Arc::clone)
        };
        let mut all = Users::default();
        for user in users {
            let known = known(user);
            if known.hash.is_some() {
                all.checkable.push(Arc::clone(&known));
            }
            all.by_name.insert(user.name.clone(), known);
            #[cfg(feature = "ssh")]
            all.keys.insert(user.name.clone(), key_bytes(user));
        }
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<Known>> {
        self.by_name.get(name)
    }

    /// Whether this one is still among them, and the same.
    pub(super) fn has(&self, user: &Arc<Known>) -> bool {
        self.by_name.values().any(|it| Arc::ptr_eq(it, user))
    }

    /// Whether the user of that name has this public key.
    #[cfg(feature = "ssh")]
    pub(super) fn has_key(&self, name: &str, key: &[u8]) -> bool {
        let keys = self.keys.get(name);
        keys.is_some_and(|keys| keys.iter().any(|own| own == key))
    }

    /// What is checked for somebody without a hash: one of the others', and the same
    /// for the same `number`. So it takes as long as for some user who does exist.
    /// `None` if nobody has one: then nothing is to be found out.
    pub(super) fn stand_in(&self, number: usize) -> Option<&Hash> {
        let at = number.checked_rem(self.checkable.len())?;
        self.checkable[at].hash()
    }
}

/// What the configuration has checked already: all of them are keys.
#[cfg(feature = "ssh")]
fn key_bytes(user: &User) -> Vec<Vec<u8>> {
    let keys = user.keys.iter();
    keys.filter_map(|key| public_key_bytes(key)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const DES: &str = "..xpoEyRReGzk";

    pub(in crate::admin::auth) fn user(name: &str, password: &str, access: Access) -> User {
        User {
            name: name.to_owned(),
            password: (!password.is_empty()).then(|| password.to_owned()),
            access,
            keys: Vec::new(),
        }
    }

    pub(in crate::admin::auth) fn known(name: &str) -> Arc<Known> {
        Arc::new(Known::new(&user(name, DES, Access::Full)))
    }

    #[test]
    fn who_does_not_change_stays_the_same() {
        let ann = user("ann", DES, Access::Full);
        let before = Users::new(std::slice::from_ref(&ann), None);
        let same = |user: &User| {
            let after = Users::new(std::slice::from_ref(user), Some(&before));
            before.find("ann").is_some_and(|known| after.has(known))
        };
        let keys = vec!["ssh-ed25519 AAAA".to_owned()];
        assert!(same(&ann));
        assert!(same(&User {
            keys,
            ..ann.clone()
        }));
        assert!(!same(&user("ann", "zTDVLT7RAx.s6", Access::Full)));
        assert!(!same(&user("ann", "", Access::Full)));
        assert!(!same(&user("ann", DES, Access::ReadOnly)));
        assert!(!same(&user("bob", DES, Access::Full)));
    }

    #[test]
    fn those_with_a_hash_stand_in_for_those_without() {
        let nobody = Users::new(&[user("bob", "", Access::Full)], None);
        assert!(nobody.stand_in(0).is_none() && !nobody.is_empty());
        let users = [
            user("ann", DES, Access::Full),
            user("bob", "", Access::Full),
            user("eve", "secret", Access::Full),
            user("joe", "zTQkpOPgzO8J.", Access::Full),
        ];
        let users = Users::new(&users, None);
        let fits = |number, password| users.stand_in(number).unwrap().fits(password);
        assert!(fits(0, "admin") && fits(1, "correct horse") && fits(2, "admin"));
        assert!(!fits(1, "admin"));
        assert!(users.find("eve").unwrap().hash().is_none());
        assert!(users.find("Ann").is_none());
    }
}
