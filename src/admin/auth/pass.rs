//! What somebody was let in by, for a door that they stay at: whether it still holds.
//!
//! Also whose key is whose. Nothing is verified here: that somebody has the other half
//! of a key is for the door to find out.

use std::sync::Arc;

use super::Auth;
use super::users::Known;
use crate::config::Access;

/// What somebody was let in by.
#[derive(Clone)]
pub(in crate::admin) struct Pass {
    name: String,
    user: Arc<Known>,
    /// The public key; without it, it was the password.
    key: Option<Vec<u8>>,
}

impl Pass {
    /// Who they are.
    pub(in crate::admin) fn name(&self) -> &str {
        &self.name
    }

    /// What they may do.
    pub(in crate::admin) fn access(&self) -> Access {
        self.user.access
    }
}

impl Auth {
    /// What a user is let in by whose password is yet to be checked.
    pub(in crate::admin) fn pass_by_password(&self, name: &str) -> Option<Pass> {
        let user = Arc::clone(self.0.users().find(name)?);
        Some(Pass {
            name: name.to_owned(),
            user,
            key: None,
        })
    }

    /// What a user is let in by who has this public key; `None` if it is not theirs. That is
    /// in no log, for people have several keys, and programs try them all.
    ///
    /// An address that has to wait is no obstacle: nobody guesses a key, and whoever fails
    /// there may be somebody else.
    pub(in crate::admin) fn pass_by_key(&self, name: &str, key: &[u8]) -> Option<Pass> {
        let users = self.0.users();
        let user = users.find(name).filter(|_| users.has_key(name, key))?;
        Some(Pass {
            name: name.to_owned(),
            user: Arc::clone(user),
            key: Some(key.to_vec()),
        })
    }

    /// Whether they would be let in by it now, to do the same.
    pub(in crate::admin) fn holds(&self, pass: &Pass) -> bool {
        let users = self.0.users();
        let Some(user) = users.find(&pass.name) else {
            return false;
        };
        match &pass.key {
            None => Arc::ptr_eq(user, &pass.user),
            Some(key) => user.access == pass.access() && users.has_key(&pass.name, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::auth::key::Key;
    use crate::config::User;

    /// Ann, who has these keys.
    fn ann(password: &str, access: Access, keys: &[&str]) -> Vec<User> {
        vec![User {
            name: "ann".to_owned(),
            password: (!password.is_empty()).then(|| password.to_owned()),
            access,
            keys: keys.iter().map(|key| format!("kind {key}")).collect(),
        }]
    }

    fn auth(users: &[User]) -> Auth {
        Auth::with_clock(users, Key::of(1), || 0)
    }

    #[test]
    fn a_key_lets_its_owner_in_and_nobody_else() {
        let auth = auth(&ann("", Access::ReadOnly, &["AAAA", "AQID"]));
        let pass = |name: &str, key: &[u8]| auth.pass_by_key(name, key);
        let found = pass("ann", &[1, 2, 3]).unwrap();
        assert_eq!((found.name(), found.access()), ("ann", Access::ReadOnly));
        assert!(pass("ann", &[0, 0, 0]).is_some());
        assert!(pass("ann", &[1, 2]).is_none() && pass("ann", b"").is_none());
        assert!(pass("bob", &[1, 2, 3]).is_none());
    }

    #[test]
    fn failures_keep_no_key_out() {
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        let auth = auth(&ann("", Access::Full, &["AQID"]));
        for _ in 0..20 {
            auth.failed(here, "ann", "ssh");
        }
        assert!(auth.may_try(here).is_err());
        assert!(auth.pass_by_key("ann", &[1, 2, 3]).is_some());
        auth.passed(here, "ann");
        assert!(auth.may_try(here).is_ok());
    }

    #[test]
    fn a_pass_holds_until_what_it_was_given_for_changes() {
        const DES: &str = "..xpoEyRReGzk";
        let auth = auth(&ann(DES, Access::Full, &["AQID"]));
        let by_password = auth.pass_by_password("ann").unwrap();
        let by_key = auth.pass_by_key("ann", &[1, 2, 3]).unwrap();
        let holds = |users: &[User]| {
            auth.follow(users);
            (auth.holds(&by_password), auth.holds(&by_key))
        };
        assert_eq!(holds(&ann(DES, Access::Full, &["AQID"])), (true, true));
        assert_eq!(
            holds(&ann(DES, Access::Full, &["AAAA", "AQID"])),
            (true, true)
        );
        assert_eq!(holds(&ann(DES, Access::Full, &["AAAA"])), (true, false));
        // From here on she is another one.
        let other = "zTDVLT7RAx.s6";
        assert_eq!(holds(&ann(other, Access::Full, &["AQID"])), (false, true));
        assert_eq!(holds(&ann("", Access::Full, &["AQID"])), (false, true));
        assert_eq!(holds(&ann("", Access::ReadOnly, &["AQID"])), (false, false));
        assert_eq!(holds(&[]), (false, false));
        assert!(auth.pass_by_password("bob").is_none());
    }
}
