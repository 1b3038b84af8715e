//! The keys that a command is given, checked against the table.
//!
//! What a value may be is known to the reader of files, what becomes of it to `parse`.

use super::table::{CommandSchema, KeySchema};
use super::{GroupKey, HostKey, InsertAt, ParseError};
use crate::config::Error;
use crate::config::nearest::nearest;
use crate::config::read::Value;

/// The keys of a command, each one that it takes, with their values.
pub(super) struct Arguments<'a> {
    /// The command.
    pub(super) schema: &'static CommandSchema,
    pairs: Vec<(&'static KeySchema, Value<'a>)>,
}

impl<'a> Arguments<'a> {
    /// The arguments of a command: none that it does not take, all that it needs.
    pub(super) fn of(
        schema: &'static CommandSchema,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ParseError> {
        let mut known: Vec<(&KeySchema, Value<'a>)> = Vec::new();
        for (name, value) in pairs {
            let key = schema.key(name).ok_or_else(|| unknown_key(schema, name))?;
            if !key.repeats && known.iter().any(|(other, _)| other.name == key.name) {
                return Err(ParseError::KeyTwice { key: key.name });
            }
            known.push((key, Value::alone(key.name, value)));
        }
        let arguments = Arguments {
            schema,
            pairs: known,
        };
        arguments.check_required()?;
        Ok(arguments)
    }

    fn check_required(&self) -> Result<(), ParseError> {
        for key in self.schema.keys.iter().filter(|key| key.required) {
            let mut instead = self.pairs.iter().map(|(given, _)| *given);
            let instead = instead.find(|given| given.instead_of == Some(key.name));
            match (self.optional(key.name), instead) {
                (Some(_), Some(other)) => {
                    return Err(ParseError::OneOf {
                        key: key.name,
                        other: other.name,
                    });
                }
                (None, None) => return Err(self.missing(key.name)),
                _ => {}
            }
        }
        Ok(())
    }

    fn missing(&self, key: &'static str) -> ParseError {
        ParseError::MissingKey {
            key,
            command: self.schema,
        }
    }

    /// The first value of `key`.
    pub(super) fn optional(&self, key: &str) -> Option<Value<'a>> {
        let mut given = self.pairs.iter();
        given
            .find(|(given, _)| given.name == key)
            .map(|(_, value)| *value)
    }

    /// The value of `key`, which the table says must be there.
    pub(super) fn required(&self, key: &'static str) -> Result<Value<'a>, ParseError> {
        self.optional(key).ok_or_else(|| self.missing(key))
    }

    /// What `parse` makes of the value of `key`, where there is one.
    pub(super) fn maybe<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, ParseError> {
        let parsed = self.optional(key).map(|value| parse(&value));
        Ok(parsed.transpose().map_err(|error| error.kind)?)
    }

    /// What `parse` makes of the value of `key`, which must be there.
    pub(super) fn must<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<T, ParseError> {
        Ok(parse(&self.required(key)?).map_err(|error| error.kind)?)
    }

    pub(super) fn name(&self, key: &'static str) -> Result<String, ParseError> {
        self.must(key, Value::name)
    }

    pub(super) fn force(&self) -> Result<bool, ParseError> {
        Ok(self.maybe("force", Value::boolean)?.unwrap_or_default())
    }

    pub(super) fn group(&self) -> Result<GroupKey, ParseError> {
        Ok(GroupKey {
            service: self.name("service")?,
            group: self.name("group")?,
        })
    }

    pub(super) fn host(&self) -> Result<HostKey, ParseError> {
        Ok(HostKey {
            group: self.group()?,
            name: self.name("name")?,
        })
    }

    /// Nothing has an empty name: that is behind the last.
    pub(super) fn place<T>(
        &self,
        parse: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<Option<InsertAt<T>>, ParseError> {
        self.maybe("before", |value| match value.text {
            "" => Ok(InsertAt::Last),
            _ => parse(value).map(InsertAt::Before),
        })
    }

    pub(super) fn keys(&self) -> Result<Option<Vec<String>>, ParseError> {
        let given = self.pairs.iter().filter(|(key, _)| key.name == "key");
        let mut texts = given.map(|(_, value)| value).peekable();
        if texts.peek().is_none() {
            return Ok(None);
        }
        let keys = texts.filter(|value| !value.text.is_empty()).map(Value::key);
        let keys: Result<_, _> = keys.collect();
        Ok(Some(keys.map_err(|error| error.kind)?))
    }
}

fn unknown_key(schema: &'static CommandSchema, found: &str) -> ParseError {
    let names = schema.keys.iter().flat_map(|key| [Some(key.name), key.old]);
    ParseError::UnknownKey {
        found: found.to_owned(),
        command: schema,
        nearest: nearest(found, names.flatten()),
    }
}
