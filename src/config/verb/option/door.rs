//! `<web>` and `<ssh>`: a door that is open needs a place to listen, always.

use crate::config::read::Value;
use crate::config::verb::CommandError;
use crate::config::{ListenAddress, Ssh, Web};

/// What the doors have in common.
pub(super) trait Door: Sized {
    /// The option that says where it listens.
    const LISTEN: &'static str;
    /// The option that says whether it is open.
    const ENABLE: &'static str;

    /// A door that is open if it has a place to listen.
    fn new(listen: Option<ListenAddress>) -> Self;

    /// Where it listens, and whether it is open.
    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool);
}

impl Door for Web {
    const LISTEN: &'static str = super::paths::WEB_LISTEN;
    const ENABLE: &'static str = "admin.web.enable";

    fn new(listen: Option<ListenAddress>) -> Self {
        Web::new(listen)
    }

    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool) {
        (&mut self.listen, &mut self.enable)
    }
}

impl Door for Ssh {
    const LISTEN: &'static str = "admin.ssh.listen";
    const ENABLE: &'static str = "admin.ssh.enable";

    fn new(listen: Option<ListenAddress>) -> Self {
        Ssh::new(listen)
    }

    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool) {
        (&mut self.listen, &mut self.enable)
    }
}

fn nowhere<D: Door>() -> CommandError {
    CommandError::NowhereToListen { option: D::LISTEN }
}

/// Whether there is such a door. A new one begins with where it listens.
pub(super) fn set<D: Door>(door: &mut Option<D>, there: bool) -> Result<(), CommandError> {
    match (there, &door) {
        (true, None) => return Err(nowhere::<D>()),
        (true, Some(_)) => {}
        (false, _) => *door = None,
    }
    Ok(())
}

/// Where it listens; there is such a door from then on.
pub(super) fn set_listen<D: Door>(
    door: &mut Option<D>,
    value: Option<Value<'_>>,
) -> Result<(), CommandError> {
    let address = value.map(|value| value.address()).transpose()?;
    let (listen, enable) = match door {
        None => {
            *door = Some(D::new(address));
            return Ok(());
        }
        Some(door) => door.state(),
    };
    if *enable && address.is_none() {
        return Err(CommandError::DoorIsOpen { option: D::ENABLE });
    }
    *listen = address;
    Ok(())
}

/// Whether it is open, as it is unless something else is said.
pub(super) fn set_enable<D: Door>(
    door: &mut Option<D>,
    value: Option<Value<'_>>,
) -> Result<(), CommandError> {
    let wanted = value.is_none_or(|value| value.flag());
    let (listen, enable) = door.get_or_insert_with(|| D::new(None)).state();
    if wanted && listen.is_none() {
        return Err(nowhere::<D>());
    }
    *enable = wanted;
    Ok(())
}
