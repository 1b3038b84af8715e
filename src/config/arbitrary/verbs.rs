//! Random verbs, mostly about what a configuration has.

use super::{Random, config, value};
use crate::config::verb::table::{Kind, command, commands};
use crate::config::verb::{Command, Verb, options};
use crate::config::{Config, Group, Service, ValueKind};

/// A random verb, mostly about items of `config`.
pub(in crate::config) fn verb(random: &mut Random, config: &Config) -> Verb {
    let changes = commands().iter().filter(|it| it.kind() == Kind::Change);
    let mut names: Vec<_> = changes.map(|it| it.name).collect();
    // There are many options.
    names.extend(["setOption"; 3]);
    let schema = command(names[random.below(names.len())]).unwrap();
    let mut line = Line::new(config);
    for key in schema.keys() {
        let is_replaced = key
            .instead_of
            .is_some_and(|other| line.text(other).is_some());
        let is_taken = schema
            .keys()
            .iter()
            .any(|it| it.instead_of == Some(key.name));
        let leave_out = match key.required {
            true => is_taken && random.below(2) == 0,
            false => key.instead_of.is_none() && random.below(2) == 0,
        };
        if is_replaced || leave_out {
            continue;
        }
        for _ in 0..if key.repeats { 1 + random.below(2) } else { 1 } {
            let text = match key.may_be_empty && random.below(3) == 0 {
                true => String::new(),
                false => line.value(random, key.value_kind),
            };
            line.pairs.push((key.name, text));
        }
    }
    let parsed = Command::from_pairs(schema.name, &line.pairs);
    let parsed =
        parsed.unwrap_or_else(|error| panic!("{}: {error}: {:?}", schema.name, line.pairs));
    parsed.into_change().unwrap()
}

/// The values so far of a verb.
struct Line<'a> {
    config: &'a Config,
    pairs: Vec<(&'static str, String)>,
}

impl<'a> Line<'a> {
    fn new(config: &'a Config) -> Self {
        let pairs = Vec::new();
        Line { config, pairs }
    }

    fn text(&self, key: &str) -> Option<&str> {
        let given = self.pairs.iter().find(|(name, _)| *name == key);
        given.map(|(_, text)| text.as_str())
    }

    fn service(&self) -> Option<&'a Service> {
        let name = self.text("service")?;
        self.config.services.iter().find(|it| it.name == name)
    }

    fn group(&self) -> Option<&'a Group> {
        let name = self.text("group")?;
        self.service()?.groups.iter().find(|it| it.name == name)
    }

    /// Mostly something that is there.
    fn value(&self, random: &mut Random, kind: ValueKind) -> String {
        let hosts = self.group().map_or(&[][..], |group| &group.hosts);
        let listens = self.service().map_or(&[][..], |it| &it.listens);
        let there: Vec<String> = match kind {
            ValueKind::Service => names_of(&self.config.services, |it| &it.name),
            ValueKind::Group => self
                .service()
                .map_or(vec![], |it| names_of(&it.groups, |it| &it.name)),
            ValueKind::Host => names_of(hosts, |it| &it.name),
            ValueKind::User => names_of(self.config.users(), |it| &it.name),
            ValueKind::HostAddress => hosts.iter().map(|it| it.address.to_string()).collect(),
            ValueKind::ListenAddress | ValueKind::ListenAddressOrPort => {
                listens.iter().map(|it| it.address.to_string()).collect()
            }
            ValueKind::OptionName => options().iter().map(|it| it.path.clone()).collect(),
            ValueKind::OptionValue => {
                let option = options()
                    .iter()
                    .find(|it| Some(it.path.as_str()) == self.text("name"));
                let other = config(random);
                return option.and_then(|it| it.value(&other)).unwrap_or_default();
            }
            _ => Vec::new(),
        };
        match there.is_empty() || kind != ValueKind::OptionName && random.below(4) == 0 {
            true => value(random, kind),
            false => random.pick(&there).clone(),
        }
    }
}

fn names_of<T>(items: &[T], of: impl Fn(&T) -> &String) -> Vec<String> {
    items.iter().map(|it| of(it).clone()).collect()
}
