//! From a verb and its keys to a [`Command`]: the same for every door.
//!
//! Which keys are taken is `arguments`' business. Whether what is named exists is
//! asked when the verb is applied.

use std::str::FromStr;

use super::arguments::Arguments;
use super::line::words;
use super::table::{self, Kind};
use super::{
    Action, Batch, Command, HostChoice, ListenChoice, ParseError, Question, Secret, Verb, View,
    option,
};
use crate::config::nearest::nearest;
use crate::config::print::HIDDEN;
use crate::config::read::Value;
use crate::config::{
    Access, CustomNames, Endpoint, Error, Group, Host, HostState, ListenAddress, Scheduler, User,
};

impl Command {
    /// A command out of its name and its keys with their values, such as a web
    /// form has them.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        name: &str,
        pairs: &[(K, V)],
    ) -> Result<Command, ParseError> {
        let schema = table::command(name).ok_or_else(|| ParseError::unknown_verb(name))?;
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()));
        Arguments::of(schema, pairs)?.command()
    }

    /// A command out of words, the first of which is its name and the others
    /// `key=value`, taken as they are: a program's arguments.
    ///
    /// # Errors
    /// The first thing that is wrong.
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
        Arguments::of(schema, pairs.into_iter())?.command()
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
    /// That there is no such command, and which may have been meant.
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

/// Whether there is such a scheduler, whoever makes the change knows.
fn scheduler(value: &Value<'_>) -> Result<Scheduler, Error> {
    value.scheduler(&CustomNames::Any)
}

impl Arguments<'_> {
    fn command(&self) -> Result<Command, ParseError> {
        Ok(match self.schema.kind {
            Kind::Change => Command::Change(self.change()?),
            Kind::Action => Command::Action(self.action()?),
            Kind::Question => Command::Question(self.question()?),
            Kind::Batch => Command::Batch(self.batch()?),
        })
    }

    fn change(&self) -> Result<Verb, ParseError> {
        match self.schema.name {
            "addHost" | "delHost" | "delAllHosts" | "setHost" | "setWeight" | "drainHost"
            | "hostAdminDown" | "hostAdminUp" => self.change_of_host(),
            "newGroup" | "delGroup" | "enableGroup" | "changeScheduler" => self.change_of_group(),
            "addUser" | "setUser" | "delUser" => self.change_of_user(),
            "setOption" => self.change_of_option(),
            _ => self.change_of_service(),
        }
    }

    fn change_of_host(&self) -> Result<Verb, ParseError> {
        Ok(match self.schema.name {
            "addHost" => Verb::AddHost {
                group: self.group()?,
                host: self.new_host()?,
                place: self.place(Value::name)?,
            },
            "delHost" => Verb::DelHost {
                group: self.group()?,
                host: match self.maybe("ip", Value::address)? {
                    Some(address) => HostChoice::Address(address),
                    None => HostChoice::Name(self.name("name")?),
                },
                force: self.force()?,
            },
            "delAllHosts" => Verb::DelAllHosts {
                group: self.group()?,
                force: self.force()?,
            },
            "setHost" => Verb::SetHost {
                host: self.host()?,
                address: self.maybe("ip", Value::address)?,
                weight: self.maybe("weight", Value::weight)?,
                place: self.place(Value::name)?,
                rename: self.maybe("rename", Value::name)?,
            },
            "setWeight" => Verb::SetWeight {
                host: self.host()?,
                weight: self.must("weight", Value::weight)?,
            },
            "drainHost" => self.set_state(HostState::Drain)?,
            "hostAdminDown" => self.set_state(HostState::Down)?,
            "hostAdminUp" => self.set_state(HostState::Up)?,
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn new_host(&self) -> Result<Host, ParseError> {
        Ok(Host {
            name: self.name("name")?,
            address: self.must::<Endpoint>("ip", Value::address)?,
            weight: self.maybe("weight", Value::weight)?.unwrap_or(1),
            state: self.maybe("state", Value::state)?.unwrap_or_default(),
        })
    }

    fn set_state(&self, state: HostState) -> Result<Verb, ParseError> {
        Ok(Verb::SetState {
            host: self.host()?,
            state,
        })
    }

    fn change_of_group(&self) -> Result<Verb, ParseError> {
        let group = self.group()?;
        Ok(match self.schema.name {
            "newGroup" => Verb::NewGroup {
                group,
                scheduler: self.must("scheduler", scheduler)?,
                sticky_prefix: self
                    .maybe("stickyPrefix", Value::prefix)?
                    .unwrap_or(Group::WHOLE_ADDRESS),
                place: self.place(Value::name)?,
            },
            "delGroup" => Verb::DelGroup {
                group,
                force: self.force()?,
            },
            "enableGroup" => Verb::EnableGroup { group },
            "changeScheduler" => Verb::ChangeScheduler {
                group,
                scheduler: self.must("scheduler", scheduler)?,
                sticky_prefix: self.maybe("stickyPrefix", Value::prefix)?,
                place: self.place(Value::name)?,
            },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn change_of_service(&self) -> Result<Verb, ParseError> {
        let service = self.name("service")?;
        Ok(match self.schema.name {
            "newService" => Verb::NewService {
                service,
                listen: self.must("listen", Value::address)?,
                place: self.place(Value::name)?,
            },
            "delService" => Verb::DelService { service },
            "setService" => Verb::SetService {
                service,
                connect: self.maybe("connectTimeout", Value::seconds)?,
                idle: self.maybe("idleTimeout", Value::seconds)?,
                half_closed: self.maybe("halfClosedTimeout", Value::seconds)?,
                place: self.place(Value::name)?,
            },
            "addListen" => Verb::AddListen {
                service,
                address: self.must("ip", Value::address)?,
                place: self.place(Value::address)?,
            },
            "delListen" => Verb::DelListen {
                service,
                address: self.must("ip", Value::address)?,
            },
            "switchPort" => Verb::SwitchPort {
                service,
                from: self.must("from", listen_choice)?,
                to: self.must("to", listen_choice)?,
            },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    /// Who has lines done again as they were shown must not lose a password by it.
    fn password(&self) -> Result<Option<String>, ParseError> {
        match self.optional("password").map(|value| value.text) {
            Some(HIDDEN) => Err(ParseError::HiddenPassword),
            password => Ok(password.map(str::to_owned)),
        }
    }

    fn change_of_user(&self) -> Result<Verb, ParseError> {
        let name = self.name("name")?;
        let password = self.password()?;
        Ok(match self.schema.name {
            "addUser" => Verb::AddUser {
                user: User {
                    name,
                    password: password.filter(|text| !text.is_empty()),
                    access: self.must::<Access>("access", Value::access)?,
                    keys: self.keys()?.unwrap_or_default(),
                },
                place: self.place(Value::name)?,
            },
            "setUser" => Verb::SetUser {
                name,
                password: password.map(Secret),
                access: self.maybe("access", Value::access)?,
                keys: self.keys()?,
                place: self.place(Value::name)?,
            },
            "delUser" => Verb::DelUser { name },
            name => return Err(ParseError::unknown_verb(name)),
        })
    }

    fn change_of_option(&self) -> Result<Verb, ParseError> {
        let (name, value) = (self.required("name")?.text, self.required("value")?.text);
        option::check(name, value)?;
        Ok(Verb::SetOption {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    fn action(&self) -> Result<Action, ParseError> {
        Ok(match self.schema.name {
            "retryHost" => Action::RetryHost { host: self.host()? },
            "saveConfig" => Action::SaveConfig {
                force: self.force()?,
            },
            "reload" => Action::Reload {
                force: self.force()?,
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

    fn question(&self) -> Result<Question, ParseError> {
        Ok(match self.schema.name {
            "status" => Question::Status,
            "sessions" => Question::Sessions,
            "config" => Question::Config {
                view: self.maybe("view", view)?.unwrap_or_default(),
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

    fn batch(&self) -> Result<Batch, ParseError> {
        Ok(match self.schema.name {
            "begin" => Batch::Begin,
            "commit" => Batch::Commit,
            "abort" => Batch::Abort,
            name => return Err(ParseError::unknown_verb(name)),
        })
    }
}

fn view(value: &Value<'_>) -> Result<View, Error> {
    let known = View::ALL.into_iter().find(|it| it.as_str() == value.text);
    known.ok_or_else(|| value.must_be("effect, running or stored"))
}

/// A number is a port, anything else an address in full.
fn listen_choice(value: &Value<'_>) -> Result<ListenChoice, Error> {
    let address: ListenAddress = value.address()?;
    Ok(match value.text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => ListenChoice::Port(address.port),
        false => ListenChoice::Address(address),
    })
}
