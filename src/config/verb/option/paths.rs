//! The table of options: every path, what it takes, how it is read and set.

use super::{OptionSchema, Part, door};
use crate::config::read::{NOWHERE, Value};
use crate::config::serialize::{mode, path, seconds};
use crate::config::verb::table::Takes;
use crate::config::{
    Admin, Config, Control, Error, ListenAddress, Manager, PeriodicTask, Ssh, Web,
};

/// The option that a `<web>` begins with.
pub(super) const WEB_LISTEN: &str = "admin.web.listen";

/// Every option, in the order of the file.
pub(super) const OPTIONS: &[OptionSchema] = &[
    element(
        "admin",
        |config| config.admin.is_some(),
        |config, there| {
            config.admin = there.then(|| config.admin.take().unwrap_or_default());
            Ok(())
        },
    ),
    element(
        "admin.web",
        |config| web(config).is_some(),
        |config, there| door::set(&mut admin(config).web, there),
    ),
    attribute(
        WEB_LISTEN,
        Takes::ListenAddress,
        |config| spelled(&web(config)?.listen),
        |config, value| door::set_listen(&mut admin(config).web, value),
    ),
    attribute(
        "admin.web.enable",
        Takes::Flag,
        |config| Some(web(config)?.enable.to_string()),
        |config, value| door::set_enable(&mut admin(config).web, value),
    ),
    of_web(
        "admin.web.secure",
        Takes::Flag,
        |web| Some(web.secure.to_string()),
        |web, value| {
            web.secure = is_set(value);
            Ok(())
        },
    ),
    of_web(
        "admin.web.refresh",
        Takes::Seconds,
        |web| Some(seconds(web.refresh)),
        |web, value| {
            web.refresh = value.map_or(Ok(Some(Web::REFRESH)), |value| value.refresh())?;
            Ok(())
        },
    ),
    of_web(
        "admin.web.cert",
        Takes::Path,
        |web| web.cert.as_deref().map(path),
        |web, value| {
            web.cert = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    of_web(
        "admin.web.key",
        Takes::Path,
        |web| web.key.as_deref().map(path),
        |web, value| {
            web.key = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    of_web(
        "admin.web.names",
        Takes::HostNames,
        |web| Some(web.names.join(" ")).filter(|names| !names.is_empty()),
        |web, value| {
            web.names = value.map_or(Ok(Vec::new()), |value| value.host_names())?;
            Ok(())
        },
    ),
    element(
        "admin.ssh",
        |config| ssh(config).is_some(),
        |config, there| door::set(&mut admin(config).ssh, there),
    ),
    attribute(
        "admin.ssh.listen",
        Takes::ListenAddress,
        |config| spelled(&ssh(config)?.listen),
        |config, value| door::set_listen(&mut admin(config).ssh, value),
    ),
    attribute(
        "admin.ssh.enable",
        Takes::Flag,
        |config| Some(ssh(config)?.enable.to_string()),
        |config, value| door::set_enable(&mut admin(config).ssh, value),
    ),
    interval("manager.hostCheck.interval", |manager| {
        &mut manager.host_check
    }),
    enable("manager.hostCheck.enable", |manager| {
        &mut manager.host_check
    }),
    interval("manager.configCheck.interval", |manager| {
        &mut manager.config_check
    }),
    enable("manager.configCheck.enable", |manager| {
        &mut manager.config_check
    }),
    interval("manager.heartbeat.interval", |manager| {
        &mut manager.heartbeat
    }),
    enable("manager.heartbeat.enable", |manager| &mut manager.heartbeat),
    element(
        "control",
        |config| config.control.is_some(),
        |config, there| {
            config.control = there.then(|| config.control.take().unwrap_or_default());
            Ok(())
        },
    ),
    attribute(
        "control.socket",
        Takes::Path,
        |config| Some(path(&config.control.as_ref()?.socket)),
        |config, value| {
            config.control = match value {
                Some(value) if value.text == NOWHERE => None,
                value => {
                    let socket = match value {
                        Some(value) => value.path()?,
                        None => Control::default().socket,
                    };
                    let mut control = config.control.take().unwrap_or_default();
                    // Two that swap their paths do so one after the other.
                    control.amp_socket.take_if(|other| *other == socket);
                    Some(Control { socket, ..control })
                }
            };
            Ok(())
        },
    ),
    attribute(
        "control.amp",
        Takes::Flag,
        |config| Some(config.control.as_ref()?.amp.to_string()),
        |config, value| {
            control(config)?.amp = value.map_or(Ok(true), |value| value.boolean())?;
            Ok(())
        },
    ),
    attribute(
        "control.ampSocket",
        Takes::Path,
        |config| config.control.as_ref()?.amp_socket.as_deref().map(path),
        |config, value| {
            let control = control(config)?;
            let other = |value: Value<'_>| value.path_other_than(&control.socket);
            control.amp_socket = value.map(other).transpose()?;
            Ok(())
        },
    ),
    attribute(
        "control.ampMode",
        Takes::Mode,
        |config| Some(mode(config.control.as_ref()?.amp_mode)),
        |config, value| {
            let default = Control::default().amp_mode;
            control(config)?.amp_mode = value.map_or(Ok(default), |value| value.mode())?;
            Ok(())
        },
    ),
    attribute(
        "logging.file",
        Takes::Path,
        |config| config.logging.file.as_deref().map(path),
        |config, value| {
            config.logging.file = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    attribute(
        "logging.connections",
        Takes::Flag,
        |config| Some(config.logging.connections.to_string()),
        |config, value| {
            config.logging.connections = is_set(value);
            Ok(())
        },
    ),
];

const fn element(
    path: &'static str,
    is_there: fn(&Config) -> bool,
    set: fn(&mut Config, bool) -> Result<(), super::CommandError>,
) -> OptionSchema {
    OptionSchema {
        path,
        takes: Takes::Flag,
        part: Part::Element { is_there, set },
    }
}

const fn attribute(
    path: &'static str,
    takes: Takes,
    value: fn(&Config) -> Option<String>,
    set: fn(&mut Config, Option<Value<'_>>) -> Result<(), super::CommandError>,
) -> OptionSchema {
    OptionSchema {
        path,
        takes,
        part: Part::Attribute { value, set },
    }
}

const fn of_web(
    path: &'static str,
    takes: Takes,
    value: fn(&Web) -> Option<String>,
    set: fn(&mut Web, Option<Value<'_>>) -> Result<(), Error>,
) -> OptionSchema {
    OptionSchema {
        path,
        takes,
        part: Part::Web { value, set },
    }
}

const fn interval(
    path: &'static str,
    chore: fn(&mut Manager) -> &mut PeriodicTask,
) -> OptionSchema {
    OptionSchema {
        path,
        takes: Takes::Seconds,
        part: Part::Interval(chore),
    }
}

const fn enable(path: &'static str, chore: fn(&mut Manager) -> &mut PeriodicTask) -> OptionSchema {
    OptionSchema {
        path,
        takes: Takes::Flag,
        part: Part::Enable(chore),
    }
}

/// The admin section, there from now on.
fn admin(config: &mut Config) -> &mut Admin {
    config.admin.get_or_insert_default()
}

/// The control socket, which must be there to be told more of.
fn control(config: &mut Config) -> Result<&mut Control, super::CommandError> {
    let nowhere = super::CommandError::NowhereToListen {
        option: "control.socket",
    };
    config.control.as_mut().ok_or(nowhere)
}

fn web(config: &Config) -> Option<&Web> {
    config.admin.as_ref()?.web.as_ref()
}

fn ssh(config: &Config) -> Option<&Ssh> {
    config.admin.as_ref()?.ssh.as_ref()
}

fn spelled(listen: &Option<ListenAddress>) -> Option<String> {
    listen.as_ref().map(ToString::to_string)
}

fn is_set(value: Option<Value<'_>>) -> bool {
    value.is_some_and(|value| value.flag())
}
