//! Parses a verb and its keys into a [`Command`], the same for every admin interface.
//!
//! Whether what is named exists is checked when the verb is applied.

use std::str::FromStr;

use super::line::words;
use super::table::{self, CommandSchema, KeySchema, Kind};
use super::{
    Action, Batch, Command, GroupKey, HostChoice, HostKey, InsertAt, ParseError, Question, Secret,
    Verb, option,
};
use crate::config::error::nearest;
use crate::config::redact::PASSWORD_MASK;
use crate::config::value::Value;
use crate::config::{
    Access, CustomNames, Endpoint, Error, Group, Host, HostState, Scheduler, User,
};

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
        Arguments::of(schema, pairs)?.parse_command()
    }

    /// Parses a command from words: its name, then `key=value`. The words are not unquoted, as a
    /// program's arguments.
    ///
    /// # Errors
    /// The first error.
    pub fn from_words<W: AsRef<str>>(words: &[W]) -> Result<Command, ParseError> {
        let (name, words) = words.split_first().ok_or(ParseError::Empty)?;
        let schema =
            table::command(name.as_ref()).ok_or_else(|| ParseError::unknown_verb(name.as_ref()))?;
        let bare = schema.keys.iter().find(|key| key.bare);
        let pair = |word| match (str::split_once(word, '='), bare) {
            (Some(pair), _) => Ok(pair),
            (None, Some(key)) => Ok((key.name, word)),
            (None, None) => Err(ParseError::NoPair {
                found: word.to_owned(),
                command: schema,
            }),
        };
        let pairs: Vec<_> = words
            .iter()
            .map(|word| pair(word.as_ref()))
            .collect::<Result<_, _>>()?;
        Arguments::of(schema, pairs.into_iter())?.parse_command()
    }
}

/// A line without its end: `VERB key=value key="quoted value"`.
impl FromStr for Command {
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

/// Whether the scheduler exists is checked when the change is applied.
fn parse_scheduler(value: &Value<'_>) -> Result<Scheduler, Error> {
    value.scheduler(&CustomNames::Any)
}

impl Arguments<'_> {
    fn parse_command(&self) -> Result<Command, ParseError> {
        Ok(match self.schema.kind {
            Kind::Change => Command::Change(self.parse_change()?),
            Kind::Action => Command::Action(self.parse_action()?),
            Kind::Question => Command::Question(self.parse_question()?),
            Kind::Batch => Command::Batch(self.parse_batch()?),
        })
    }

    fn parse_change(&self) -> Result<Verb, ParseError> {
        match self.schema.name {
            "addHost" | "delHost" | "delAllHosts" | "setHost" | "setWeight" | "drainHost"
            | "hostAdminDown" | "hostAdminUp" => self.parse_host_change(),
            "newGroup" | "delGroup" | "enableGroup" | "changeScheduler" => {
                self.parse_group_change()
            }
            "addUser" | "setUser" | "delUser" => self.parse_user_change(),
            "setOption" => self.parse_option_change(),
            _ => self.parse_service_change(),
        }
    }

    fn parse_host_change(&self) -> Result<Verb, ParseError> {
        Ok(match self.schema.name {
            "addHost" => Verb::AddHost {
                group: self.parse_group()?,
                host: self.parse_new_host()?,
                insert_at: self.parse_insert_at(Value::name)?,
            },
            "delHost" => Verb::DelHost {
                group: self.parse_group()?,
                host: match self.maybe("ip", Value::address)? {
                    Some(address) => HostChoice::Address(address),
                    None => HostChoice::Name(self.parse_name("name")?),
                },
                force: self.parse_force()?,
            },
            "delAllHosts" => Verb::DelAllHosts {
                group: self.parse_group()?,
                force: self.parse_force()?,
            },
            "setHost" => Verb::SetHost {
                host: self.parse_host()?,
                address: self.maybe("ip", Value::address)?,
                weight: self.maybe("weight", Value::weight)?,
                insert_at: self.parse_insert_at(Value::name)?,
                rename: self.maybe("rename", Value::name)?,
            },
            "setWeight" => Verb::SetWeight {
                host: self.parse_host()?,
                weight: self.must("weight", Value::weight)?,
            },
            "drainHost" => self.parse_set_state(HostState::Drain)?,
            "hostAdminDown" => self.parse_set_state(HostState::Down)?,
            "hostAdminUp" => self.parse_set_state(HostState::Up)?,
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn parse_new_host(&self) -> Result<Host, ParseError> {
        Ok(Host {
            name: self.parse_name("name")?,
            address: self.must::<Endpoint>("ip", Value::address)?,
            weight: self.maybe("weight", Value::weight)?.unwrap_or(1),
            state: self.maybe("state", Value::state)?.unwrap_or_default(),
        })
    }

    fn parse_set_state(&self, state: HostState) -> Result<Verb, ParseError> {
        Ok(Verb::SetState {
            host: self.parse_host()?,
            state,
        })
    }

    fn parse_group_change(&self) -> Result<Verb, ParseError> {
        let group = self.parse_group()?;
        Ok(match self.schema.name {
            "newGroup" => Verb::NewGroup {
                group,
                scheduler: self.must("scheduler", parse_scheduler)?,
                sticky_prefix: self
                    .maybe("stickyPrefix", Value::prefix)?
                    .unwrap_or(Group::WHOLE_ADDRESS),
                insert_at: self.parse_insert_at(Value::name)?,
            },
            "delGroup" => Verb::DelGroup {
                group,
                force: self.parse_force()?,
            },
            "enableGroup" => Verb::EnableGroup { group },
            "changeScheduler" => Verb::ChangeScheduler {
                group,
                scheduler: self.must("scheduler", parse_scheduler)?,
                sticky_prefix: self.maybe("stickyPrefix", Value::prefix)?,
                insert_at: self.parse_insert_at(Value::name)?,
            },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn parse_service_change(&self) -> Result<Verb, ParseError> {
        let service = self.parse_name("service")?;
        Ok(match self.schema.name {
            "newService" => Verb::NewService {
                service,
                listen: self.must("listen", Value::address)?,
                insert_at: self.parse_insert_at(Value::name)?,
            },
            "delService" => Verb::DelService { service },
            "setService" => Verb::SetService {
                service,
                connect: self.maybe("connectTimeout", Value::seconds)?,
                idle: self.maybe("idleTimeout", Value::seconds)?,
                half_closed: self.maybe("halfClosedTimeout", Value::seconds)?,
                insert_at: self.parse_insert_at(Value::name)?,
            },
            "addListen" => Verb::AddListen {
                service,
                address: self.must("ip", Value::address)?,
                insert_at: self.parse_insert_at(Value::address)?,
            },
            "delListen" => Verb::DelListen {
                service,
                address: self.must("ip", Value::address)?,
            },
            "switchPort" => Verb::SwitchPort {
                service,
                from: self.must("from", Value::listen_choice)?,
                to: self.must("to", Value::listen_choice)?,
            },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    /// A masked password in a repeated line must not replace the real one.
    fn parse_password(&self) -> Result<Option<String>, ParseError> {
        match self.optional("password").map(|value| value.text) {
            Some(PASSWORD_MASK) => Err(ParseError::HiddenPassword),
            password => Ok(password.map(str::to_owned)),
        }
    }

    fn parse_user_change(&self) -> Result<Verb, ParseError> {
        let name = self.parse_name("name")?;
        let password = self.parse_password()?;
        Ok(match self.schema.name {
            "addUser" => Verb::AddUser {
                user: User {
                    name,
                    password: password.filter(|text| !text.is_empty()),
                    access: self.must::<Access>("access", Value::access)?,
                    keys: self.parse_keys()?.unwrap_or_default(),
                },
                insert_at: self.parse_insert_at(Value::name)?,
            },
            "setUser" => Verb::SetUser {
                name,
                password: password.map(Secret),
                access: self.maybe("access", Value::access)?,
                keys: self.parse_keys()?,
                insert_at: self.parse_insert_at(Value::name)?,
            },
            "delUser" => Verb::DelUser { name },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn parse_option_change(&self) -> Result<Verb, ParseError> {
        let (name, value) = (self.required("name")?.text, self.required("value")?.text);
        option::check(name, value)?;
        Ok(Verb::SetOption {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    fn parse_action(&self) -> Result<Action, ParseError> {
        Ok(match self.schema.name {
            "retryHost" => Action::RetryHost {
                host: self.parse_host()?,
            },
            "saveConfig" => Action::SaveConfig {
                force: self.parse_force()?,
            },
            "reload" => Action::Reload {
                force: self.parse_force()?,
            },
            "reopenLog" => Action::ReopenLog,
            "shutdown" => Action::Shutdown {
                grace: self
                    .maybe("grace", Value::seconds)?
                    .map(Option::unwrap_or_default),
            },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn parse_question(&self) -> Result<Question, ParseError> {
        Ok(match self.schema.name {
            "status" => Question::Status,
            "sessions" => Question::Sessions,
            "config" => Question::Config {
                view: self.maybe("view", Value::view)?.unwrap_or_default(),
            },
            "diff" => Question::Diff,
            "complete" => Question::Complete {
                line: self.required("line")?.text.to_owned(),
            },
            "help" => Question::Help {
                verb: match self.optional("verb").map(|value| value.text) {
                    None => None,
                    Some(name) => {
                        Some(table::command(name).ok_or_else(|| ParseError::unknown_verb(name))?)
                    }
                },
            },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn parse_batch(&self) -> Result<Batch, ParseError> {
        Ok(match self.schema.name {
            "begin" => Batch::Begin,
            "commit" => Batch::Commit,
            "abort" => Batch::Abort,
            name => return Err(ParseError::unknown_verb(name)),
        })
    }
}

/// The keys and values of a command, checked against the table.
struct Arguments<'a> {
    /// The command.
    schema: &'static CommandSchema,
    pairs: Vec<(&'static KeySchema, Value<'a>)>,
}

impl<'a> Arguments<'a> {
    /// Checks that all keys are known and all required ones are there.
    fn of(
        schema: &'static CommandSchema,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ParseError> {
        let mut known: Vec<(&KeySchema, Value<'a>)> = Vec::new();
        for (name, value) in pairs {
            let key = schema.key(name).ok_or_else(|| unknown_key(schema, name))?;
            if !key.repeats && known.iter().any(|(other, _)| other.name == key.name) {
                return Err(ParseError::KeyTwice { key: key.name });
            }
            known.push((key, Value::detached(key.name, value)));
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
    fn optional(&self, key: &str) -> Option<Value<'a>> {
        let mut given = self.pairs.iter();
        given
            .find(|(given, _)| given.name == key)
            .map(|(_, value)| *value)
    }

    /// The value of `key`, which the table has as required.
    fn required(&self, key: &'static str) -> Result<Value<'a>, ParseError> {
        self.optional(key).ok_or_else(|| self.missing(key))
    }

    /// Parses the value of `key`, if there is one.
    fn maybe<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, ParseError> {
        let parsed = self.optional(key).map(|value| parse(&value));
        Ok(parsed.transpose().map_err(|error| error.kind)?)
    }

    /// Parses the value of `key`, which is required.
    fn must<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<T, ParseError> {
        Ok(parse(&self.required(key)?).map_err(|error| error.kind)?)
    }

    fn parse_name(&self, key: &'static str) -> Result<String, ParseError> {
        self.must(key, Value::name)
    }

    fn parse_force(&self) -> Result<bool, ParseError> {
        Ok(self.maybe("force", Value::boolean)?.unwrap_or_default())
    }

    fn parse_group(&self) -> Result<GroupKey, ParseError> {
        Ok(GroupKey {
            service: self.parse_name("service")?,
            group: self.parse_name("group")?,
        })
    }

    fn parse_host(&self) -> Result<HostKey, ParseError> {
        Ok(HostKey {
            group: self.parse_group()?,
            name: self.parse_name("name")?,
        })
    }

    /// `before=""` means last: no item has an empty name.
    fn parse_insert_at<T>(
        &self,
        parse: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<Option<InsertAt<T>>, ParseError> {
        self.maybe("before", |value| match value.text {
            "" => Ok(InsertAt::Last),
            _ => parse(value).map(InsertAt::Before),
        })
    }

    fn parse_keys(&self) -> Result<Option<Vec<String>>, ParseError> {
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
