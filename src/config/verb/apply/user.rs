//! The verbs about those who may log in.

use crate::config::verb::named::{find, insert, move_to};
use crate::config::verb::{CommandError, Verb};
use crate::config::{Config, User};

/// Changes who may log in, and as what.
pub(super) fn change(verb: &Verb, config: &mut Config) -> Result<(), CommandError> {
    match verb {
        Verb::AddUser { user, place } => {
            check(user)?;
            insert(users(config), user.clone(), place.as_ref(), "")
        }
        Verb::SetUser {
            name,
            password,
            access,
            keys,
            place,
        } => {
            let users = users(config);
            let index = find(users, name, "")?;
            let user = &mut users[index];
            if let Some(password) = password {
                user.password = Some(password.0.clone()).filter(|text| !text.is_empty());
            }
            user.access = access.unwrap_or(user.access);
            user.keys = keys.clone().unwrap_or_else(|| user.keys.clone());
            check(user)?;
            move_to(users, index, place.as_ref(), "").map(drop)
        }
        Verb::DelUser { name } => {
            let users = users(config);
            let index = find(users, name, "")?;
            users.remove(index);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Where there is no admin section there is nobody, and the verb will be refused.
fn users(config: &mut Config) -> &mut Vec<User> {
    &mut config.admin.get_or_insert_default().users
}

/// That they can log in at all.
fn check(user: &User) -> Result<(), CommandError> {
    match user.password.is_some() || !user.keys.is_empty() {
        true => Ok(()),
        false => Err(CommandError::NoCredentials {
            user: user.name.clone(),
        }),
    }
}
