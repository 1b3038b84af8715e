//! Those who may log in.

use super::Draft;
use super::order::{Step, missing, named, steps, unless_last};
use crate::config::verb::{InsertAt, Secret, Verb};
use crate::config::{Config, User};

/// Makes the users those of `to`.
pub(super) fn diff(draft: &mut Draft, to: &Config) {
    let (now, to) = (users(&draft.now).to_vec(), users(to));
    for name in missing(&now, to) {
        draft.push(Verb::DelUser { name });
    }
    for (user, step) in to.iter().zip(steps(&now, to)) {
        match (step, named(&now, &user.name)) {
            (Step::Comes(place), _) => draft.push(Verb::AddUser {
                user: user.clone(),
                place: unless_last(place),
            }),
            (step, Some(now)) => set(draft, now, user, step.moves()),
            _ => {}
        }
    }
}

fn users(config: &Config) -> &[User] {
    config.admin.as_ref().map_or(&[], |admin| &admin.users)
}

fn set(draft: &mut Draft, now: &User, to: &User, place: Option<InsertAt>) {
    if now == to && place.is_none() {
        return;
    }
    let password = to.password.clone().unwrap_or_default();
    draft.push(Verb::SetUser {
        name: to.name.clone(),
        password: (now.password != to.password).then_some(Secret(password)),
        access: Some(to.access).filter(|access| *access != now.access),
        keys: (now.keys != to.keys).then(|| to.keys.clone()),
        place,
    });
}
