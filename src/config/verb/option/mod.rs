//! `setOption`: what is in the file besides services and users, by its path there.
//!
//! A path is that of an attribute, such as `logging.file`, or of an element that
//! may be there or not. An empty value takes it out of the file: then it is as it
//! is by default.

mod door;
mod paths;

use super::table::Takes;
use super::{ParseError, Refusal};
use crate::config::form::seconds;
use crate::config::nearest::nearest;
use crate::config::read::{NOWHERE, Value, at_interval};
use crate::config::{Chore, Config, Error, ListenAddress, Manager, Web};

/// Something that `setOption` sets.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OptionSchema {
    /// Its name: elements with points between them, then the attribute.
    pub path: &'static str,
    /// What its value is; of an element, whether it is there.
    pub takes: Takes,
    part: Part,
}

/// How it is read and set. Without a value it is taken out, which only happens
/// where it is there.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// An element that may be there or not.
    Element {
        is_there: fn(&Config) -> bool,
        set: fn(&mut Config, bool) -> Result<(), Refusal>,
    },
    /// An attribute of `<web>`, which must be there to be given one.
    Web {
        value: fn(&Web) -> Option<String>,
        set: fn(&mut Web, Option<Value<'_>>) -> Result<(), Error>,
    },
    /// The interval of a chore.
    Interval(fn(&mut Manager) -> &mut Chore),
    /// Whether a chore is done.
    Enable(fn(&mut Manager) -> &mut Chore),
    /// Any other attribute.
    Attribute {
        value: fn(&Config) -> Option<String>,
        set: fn(&mut Config, Option<Value<'_>>) -> Result<(), Refusal>,
    },
}

/// Everything that `setOption` sets, in the order of the file.
pub fn options() -> &'static [OptionSchema] {
    paths::OPTIONS
}

impl OptionSchema {
    /// Its value in `config`; `None` where there is none.
    pub fn value(&self, config: &Config) -> Option<String> {
        let mut manager = config.manager;
        match self.part {
            Part::Element { is_there, .. } => is_there(config).then(|| true.to_string()),
            Part::Web { value, .. } => value(config.admin.as_ref()?.web.as_ref()?),
            Part::Interval(chore) => Some(seconds(Some(chore(&mut manager).interval))),
            Part::Enable(chore) => Some(chore(&mut manager).enable.to_string()),
            Part::Attribute { value, .. } => value(config),
        }
    }

    /// Whether it is an element.
    pub(super) fn is_element(&self) -> bool {
        matches!(self.part, Part::Element { .. })
    }

    /// The value that `text` is, if it is one, and one that may be.
    fn given<'a>(&self, text: &'a str) -> Result<Option<Value<'a>>, Error> {
        let value = Value::alone(self.path, text);
        let is_none = match self.takes {
            _ if text.is_empty() => true,
            // The ancestor's word for a door that is nowhere.
            Takes::ListenAddress if text == NOWHERE => true,
            Takes::ListenAddress => value.address::<ListenAddress>().map(|_| false)?,
            Takes::Seconds => value.seconds().map(|_| false)?,
            Takes::Path => value.path().map(|_| false)?,
            Takes::Mode => value.mode().map(|_| false)?,
            Takes::HostNames => value.host_names().map(|_| false)?,
            _ => self.is_element() && !value.flag(),
        };
        Ok((!is_none).then_some(value))
    }

    fn set(&self, config: &mut Config, value: Option<Value<'_>>) -> Result<(), Refusal> {
        if value.is_none() && self.value(config).is_none() {
            return Ok(());
        }
        match self.part {
            Part::Element { set, .. } => set(config, value.is_some()),
            Part::Web { set, .. } => {
                let web = config.admin.as_mut().and_then(|admin| admin.web.as_mut());
                let nowhere = Refusal::NowhereToListen {
                    option: paths::WEB_LISTEN,
                };
                Ok(set(web.ok_or(nowhere)?, value)?)
            }
            Part::Interval(chore) => {
                let default = *chore(&mut Manager::default());
                let chore = chore(&mut config.manager);
                match value {
                    Some(value) => *chore = at_interval(value.seconds()?, *chore),
                    None => chore.interval = default.interval,
                }
                Ok(())
            }
            Part::Enable(chore) => {
                let default = *chore(&mut Manager::default());
                chore(&mut config.manager).enable =
                    value.map_or(default.enable, |value| value.flag());
                Ok(())
            }
            Part::Attribute { set, .. } => set(config, value),
        }
    }
}

/// That there is such an option, and that it may have such a value.
pub(super) fn check(name: &str, text: &str) -> Result<(), ParseError> {
    let given = option(name)?.given(text);
    given
        .map(drop)
        .map_err(|error| ParseError::Value(error.kind))
}

/// Sets an option, or takes it out if `text` says nothing.
pub(super) fn set(config: &mut Config, name: &str, text: &str) -> Result<(), Refusal> {
    let option = option(name).map_err(Refusal::Option)?;
    option.set(config, option.given(text)?)
}

fn option(name: &str) -> Result<&'static OptionSchema, ParseError> {
    let found = options().iter().find(|option| option.path == name);
    found.ok_or_else(|| ParseError::UnknownOption {
        found: name.to_owned(),
        nearest: nearest(name, options().iter().map(|option| option.path)),
    })
}

#[cfg(test)]
mod tests;
