//! The keys and values of a command: checks them, prints them as a line, and sets attributes.
//!
//! Values are canonical and valid, and in the order of the table. Whether what they name exists is
//! checked when the command is carried out.

use std::fmt::{self, Display};

use super::line::{QuotedWord, words};
use super::place::place_pairs;
use super::table::{self, CommandSchema, Effect, KeySchema};
use super::{Command, GroupKey, HostKey, InsertAt, ParseError, Verb, option};
use crate::config::attributes::ElementTable;
use crate::config::error::nearest;
use crate::config::redact::PASSWORD_MASK;
use crate::config::value::Value;
use crate::config::{CustomNames, Error, ValueKind};

impl Command {
    /// Parses a command from its name and pairs of key and value, such as a web form's.
    ///
    /// # Errors
    /// The first error.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        name: &str,
        pairs: &[(K, V)],
    ) -> Result<Command, ParseError> {
        let schema = table::command(name).ok_or_else(|| ParseError::unknown_verb(name))?;
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()));
        Ok(Values::parse(schema, pairs)?.into_command())
    }

    /// Parses a command from words: its name in any case, or its beginning where that is enough,
    /// then `key=value`, or a place such as `web:main/one`. The words are not unquoted, as a
    /// program's arguments.
    ///
    /// # Errors
    /// The first error.
    pub fn from_words<W: AsRef<str>>(words: &[W]) -> Result<Command, ParseError> {
        let (name, words) = words.split_first().ok_or(ParseError::Empty)?;
        let schema = table::find(name.as_ref())?;
        let mut pairs = Vec::new();
        for word in words {
            let word = word.as_ref();
            let found = word_pairs(schema, word)?;
            let is_there = |key: &str| pairs.iter().any(|(it, _)| *it == key);
            // A second place: a value without its key is meant.
            if !word.contains('=') && found.iter().any(|(key, _)| is_there(key)) {
                return Err(no_pair(schema, word));
            }
            pairs.extend(found);
        }
        let pairs = pairs.iter().map(|(key, value)| (*key, value.as_str()));
        Ok(Values::parse(schema, pairs)?.into_command())
    }
}

/// The keys and values that a word stands for: `key=value`, the value of a bare key, or a place.
pub(super) fn word_pairs<'a>(
    schema: &'static CommandSchema,
    word: &'a str,
) -> Result<Vec<(&'a str, String)>, ParseError> {
    if let Some((key, value)) = word.split_once('=') {
        return Ok(vec![(key, value.to_owned())]);
    }
    let bare = schema.keys().iter().find(|key| key.bare);
    let has_places = schema.key("service").is_some();
    let is_value = |key: &&KeySchema| {
        let value = Value::detached(key.name, word);
        !has_places || key.value_kind.canonical(&value).is_ok()
    };
    if let Some(key) = bare.filter(is_value) {
        return Ok(vec![(key.name, word.to_owned())]);
    }
    place_pairs(schema, word).ok_or_else(|| no_pair(schema, word))
}

fn no_pair(schema: &'static CommandSchema, word: &str) -> ParseError {
    ParseError::NoPair {
        found: word.to_owned(),
        command: schema,
    }
}

/// A line without its end: `VERB key=value key="quoted value"`.
impl std::str::FromStr for Command {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Self, ParseError> {
        Command::from_words(&words(line)?)
    }
}

impl ParseError {
    /// The error for an unknown command, with the nearest known name.
    pub fn unknown_verb(found: &str) -> ParseError {
        let names = table::commands()
            .iter()
            .flat_map(|command| [Some(command.name), command.old])
            .flatten();
        ParseError::UnknownVerb {
            found: found.to_owned(),
            nearest: nearest(found, names),
        }
    }
}

/// A command with its values.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) schema: &'static CommandSchema,
    pairs: Vec<(&'static KeySchema, String)>,
}

impl Values {
    /// No values yet.
    pub(super) fn new(schema: &'static CommandSchema) -> Self {
        let pairs = Vec::new();
        Values { schema, pairs }
    }

    /// Adds a valid value. One that means the same as none is left out.
    pub(super) fn with(mut self, key: &str, value: impl Display) -> Self {
        let known = self.schema.key(key);
        debug_assert!(known.is_some(), "{} {key}", self.schema.name);
        let value = value.to_string();
        self.pairs.extend(
            known
                .filter(|key| key.default.as_ref() != Some(&value))
                .map(|key| (key, value)),
        );
        self
    }

    /// Without the values of a key.
    pub(super) fn without(mut self, key: &str) -> Self {
        self.pairs.retain(|(known, _)| known.name != key);
        self
    }

    pub(super) fn maybe(self, key: &str, value: Option<impl Display>) -> Self {
        self.all(key, value)
    }

    pub(super) fn all(self, key: &str, values: impl IntoIterator<Item = impl Display>) -> Self {
        let values = values.into_iter();
        values.fold(self, |to, value| to.with(key, value))
    }

    pub(super) fn with_pairs(
        self,
        pairs: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let pairs = pairs.into_iter();
        pairs.fold(self, |to, (key, value)| to.with(key, value))
    }

    pub(super) fn with_group(self, group: &GroupKey) -> Self {
        self.with("service", &group.service)
            .with("group", &group.group)
    }

    pub(super) fn with_host(self, host: &HostKey) -> Self {
        self.with_group(&host.group).with("name", &host.name)
    }

    pub(super) fn with_place(self, insert_at: Option<InsertAt<impl Display>>) -> Self {
        let before = insert_at.map(|insert_at| match insert_at {
            InsertAt::Before(other) => other.to_string(),
            InsertAt::Last => String::new(),
        });
        self.maybe("before", before)
    }

    /// Adds the attributes of an element.
    pub(super) fn with_attributes<T>(self, table: &ElementTable<T>, it: &T) -> Self {
        let keys = table.keys_to_add();
        let attributes = table.attributes.iter();
        let with_key = attributes.filter(|it| keys.iter().any(|key| key.name == it.name));
        with_key.fold(self, |to, attribute| {
            to.maybe(attribute.name, (attribute.get)(it))
        })
    }

    /// Checks that all keys are known, all required ones are there, and all values valid.
    fn parse<'a>(
        schema: &'static CommandSchema,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ParseError> {
        let mut given: Vec<(&'static KeySchema, &str)> = Vec::new();
        for (name, value) in pairs {
            let key = schema.key(name).ok_or_else(|| unknown_key(schema, name))?;
            if !key.repeats && given.iter().any(|(other, _)| other.name == key.name) {
                return Err(ParseError::KeyTwice { key: key.name });
            }
            given.push((key, value));
        }
        let place = |key: &KeySchema| schema.keys().iter().position(|it| it.name == key.name);
        given.sort_by_key(|(key, _)| place(key));
        check_required(schema, &given)?;
        let mut values = Values::new(schema);
        for (key, text) in given {
            let text = values.canonical(key, text)?;
            values = values.with(key.name, text);
        }
        values.drop_empty_keys();
        Ok(values)
    }

    fn canonical(&self, key: &'static KeySchema, text: &str) -> Result<String, ParseError> {
        if key.may_be_empty && text.is_empty() {
            return Ok(String::new());
        }
        match key.value_kind {
            // A masked password in a repeated line must not replace the real one.
            ValueKind::Secret if text == PASSWORD_MASK => return Err(ParseError::HiddenPassword),
            ValueKind::Command => {
                return Ok(table::find(text)?.name.to_owned());
            }
            ValueKind::OptionValue => option::check(self.text("name").unwrap_or_default(), text)?,
            _ => {}
        }
        let canonical = key.value_kind.canonical(&Value::detached(key.name, text));
        Ok(canonical.map_err(|error| error.kind)?)
    }

    /// Beside others, an empty one of several means nothing.
    fn drop_empty_keys(&mut self) {
        let is_repeated = |(key, _): &(&KeySchema, String)| key.repeats;
        let mut repeated = self.pairs.iter().filter(|it| is_repeated(it));
        let has_others = repeated.any(|(_, value)| !value.is_empty());
        let mut is_first = !has_others;
        self.pairs.retain(|pair| {
            !is_repeated(pair) || !pair.1.is_empty() || std::mem::take(&mut is_first)
        });
    }

    fn into_command(self) -> Command {
        match self.schema.effect {
            Effect::Change { .. } => Command::Change(Verb(self)),
            Effect::Action(make) => Command::Action(make(&self)),
            Effect::Question(make) => Command::Question(make(&self)),
            Effect::Batch(batch) => Command::Batch(batch),
        }
    }

    /// The first value of a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.texts(key).next()
    }

    /// All values of a key.
    pub(super) fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        let given = self.pairs.iter().filter(move |(it, _)| it.name == key);
        given.map(|(_, value)| value.as_str())
    }

    /// A required name.
    pub(super) fn name(&self, key: &str) -> String {
        self.text(key).unwrap_or_default().to_owned()
    }

    /// The value of a required key, parsed.
    pub(super) fn get<'a, T>(
        &'a self,
        key: &'static str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        parse(&Value::detached(key, self.text(key).unwrap_or_default()))
    }

    pub(super) fn is_forced(&self) -> bool {
        self.text("force").is_some()
    }

    pub(super) fn group(&self) -> GroupKey {
        GroupKey {
            service: self.name("service"),
            group: self.name("group"),
        }
    }

    pub(super) fn host(&self) -> HostKey {
        HostKey {
            group: self.group(),
            name: self.name("name"),
        }
    }

    /// Where to insert or move an item.
    pub(super) fn place(&self) -> Option<InsertAt> {
        self.text("before").map(|before| match before {
            "" => InsertAt::Last,
            other => InsertAt::Before(other.to_owned()),
        })
    }

    /// Sets the attributes that have a value.
    pub(super) fn set<T>(&self, table: &ElementTable<T>, it: &mut T) -> Result<(), Error> {
        for attribute in table.attributes {
            // Whether a scheduler exists is found out when the change is put in force.
            if let Some(text) = self.attribute(attribute.name) {
                let value = Value::detached(attribute.name, text);
                (attribute.set)(it, &value, &CustomNames::Any)?;
            }
        }
        Ok(())
    }

    /// What the attributes that have a value are in `it`.
    pub(super) fn previous<T>(
        &self,
        table: &ElementTable<T>,
        it: &T,
    ) -> Vec<(&'static str, String)> {
        let attributes = table.attributes.iter();
        let given = attributes.filter(|attribute| self.attribute(attribute.name).is_some());
        given
            .map(|attribute| (attribute.name, (attribute.get)(it).unwrap_or_default()))
            .collect()
    }

    /// The value of an attribute; `name=` identifies an element.
    fn attribute(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|_| name != "name")
    }

    /// A line that parses as the same command. It shows passwords; [`Display`] masks them.
    pub(super) fn line(&self) -> String {
        self.encode(|_, value| value)
    }

    fn encode<'a>(&'a self, shown: impl Fn(&KeySchema, &'a str) -> &'a str) -> String {
        let pairs = self.pairs.iter();
        let pairs = pairs.map(|(key, value)| {
            let value = QuotedWord(shown(key, value)).to_string();
            format!(" {}={value}", key.name)
        });
        self.schema.name.to_owned() + &pairs.collect::<String>()
    }
}

/// A line with masked passwords, for logs and answers.
impl Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encode(|key, value| match key.value_kind {
            // An empty one removes the password, which is no secret.
            ValueKind::Secret if !value.is_empty() => PASSWORD_MASK,
            _ => value,
        }))
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn check_required(
    schema: &'static CommandSchema,
    given: &[(&'static KeySchema, &str)],
) -> Result<(), ParseError> {
    for required in schema.keys().iter().filter(|key| key.required) {
        let key = required.name;
        let is_given = given.iter().any(|(it, _)| it.name == key);
        let instead = given.iter().find(|(it, _)| it.instead_of == Some(key));
        match instead {
            Some((other, _)) if is_given => {
                let other = other.name;
                return Err(ParseError::OneOf { key, other });
            }
            None if !is_given => {
                let command = schema;
                return Err(ParseError::MissingKey { key, command });
            }
            _ => {}
        }
    }
    Ok(())
}

fn unknown_key(schema: &'static CommandSchema, found: &str) -> ParseError {
    let names = schema
        .keys()
        .iter()
        .flat_map(|key| [Some(key.name), key.old]);
    ParseError::UnknownKey {
        found: found.to_owned(),
        command: schema,
        nearest: nearest(found, names.flatten()),
    }
}
