//! Verbs that change users, and `setOption`.

use super::list::{find_index, insert_item, move_item};
use super::table::{CommandSchema, KeySchema, adds, before, optional, replaces, required};
use super::values::Values;
use super::{CommandError, option, options};
use crate::config::attributes::USER;
use crate::config::{Config, User, ValueKind};

/// The keys of a user; an empty one stands for none.
fn public_keys() -> KeySchema {
    KeySchema {
        repeats: true,
        may_be_empty: true,
        ..optional("key", ValueKind::PublicKey)
    }
}

pub(super) static ADD_USER: CommandSchema = adds(
    "addUser",
    || {
        let keys = KeySchema {
            default: Some(String::new()),
            ..public_keys()
        };
        [
            vec![required("name", ValueKind::NewName)],
            USER.keys_to_add(),
            vec![keys, before(ValueKind::User)],
        ]
        .concat()
    },
    "add a user",
    |values, config| {
        let mut user = User {
            name: values.name("name"),
            ..(USER.new)()
        };
        set_user(values, &mut user)?;
        insert_item(users_mut(config), user, values.place().as_ref(), "")
    },
);

pub(super) static SET_USER: CommandSchema = replaces(
    "setUser",
    || {
        [
            vec![required("name", ValueKind::User)],
            USER.keys_to_set(),
            vec![public_keys(), before(ValueKind::User)],
        ]
        .concat()
    },
    "change a user's password, access, keys or place",
    |values, config| {
        let users = users_mut(config);
        let index = find_index(users, &values.name("name"), "")?;
        set_user(values, &mut users[index])?;
        move_item(users, index, values.place().as_ref(), "").map(drop)
    }, // Passwords are secret, and keys too long.
    |values, config| {
        let mut users = config.users().iter();
        let user = users.find(|user| Some(user.name.as_str()) == values.text("name"))?;
        Some(vec![("access", user.access.as_str().to_owned())])
    },
);

pub(super) static DEL_USER: CommandSchema = adds(
    "delUser",
    || vec![required("name", ValueKind::User)],
    "remove a user",
    |values, config| {
        let users = users_mut(config);
        let index = find_index(users, &values.name("name"), "")?;
        users.remove(index);
        Ok(())
    },
);

/// Sets what is given, and checks that the user can log in: with a password or a key.
fn set_user(values: &Values, user: &mut User) -> Result<(), CommandError> {
    values.set(&USER, user)?;
    if values.text("key").is_some() {
        let keys = values.texts("key").filter(|key| !key.is_empty());
        user.keys = keys.map(str::to_owned).collect();
    }
    match user.password.is_some() || !user.keys.is_empty() {
        true => Ok(()),
        false => Err(CommandError::NoCredentials {
            user: user.name.clone(),
        }),
    }
}

/// Without an admin section the list is empty, so the verb fails.
fn users_mut(config: &mut Config) -> &mut Vec<User> {
    &mut config.admin.get_or_insert_default().users
}

pub(super) static SET_OPTION: CommandSchema = replaces(
    "setOption",
    || {
        vec![
            required("name", ValueKind::OptionName),
            required("value", ValueKind::OptionValue),
        ]
    },
    "change anything else in the file; an empty value removes it",
    |values, config| {
        let [name, value] = ["name", "value"].map(|key| values.name(key));
        option::set(config, &name, &value)
    },
    |values, config| {
        let name = values.text("name")?;
        let option = options().iter().find(|option| option.path == name)?;
        Some(vec![("value", option.value(config).unwrap_or_default())])
    },
);
