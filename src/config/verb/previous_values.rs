//! Previous values that a verb replaces, for the log.
//!
//! A verb that only adds has none.

use super::line::QuotedWord;
use super::{GroupKey, HostChoice, HostKey, Verb, options};
use crate::config::value::seconds_text as seconds;
use crate::config::{Config, Group, Host, Service};

impl Verb {
    /// The values in `config` that this verb replaces, as `key=value` separated by blanks. `None`
    /// if there are none, or they are secret.
    pub fn previous_values(&self, config: &Config) -> Option<String> {
        let pairs = match self {
            Verb::DelHost { .. }
            | Verb::SetHost { .. }
            | Verb::SetWeight { .. }
            | Verb::SetState { .. } => self.previous_host_values(config)?,
            Verb::EnableGroup { group } => {
                vec![("group", service(config, &group.service)?.enabled.clone())]
            }
            Verb::ChangeScheduler {
                group: key,
                sticky_prefix,
                ..
            } => {
                let group = group(config, key)?;
                let prefix =
                    sticky_prefix.map(|_| ("stickyPrefix", group.sticky_prefix.to_string()));
                let scheduler = ("scheduler", group.scheduler.to_string());
                [Some(scheduler), prefix].into_iter().flatten().collect()
            }
            Verb::SetService { service: name, .. } => self.previous_timeouts(config, name)?,
            Verb::SetUser { name, .. } => {
                let mut users = config.admin.iter().flat_map(|admin| &admin.users);
                let user = users.find(|user| user.name == *name)?;
                vec![("access", user.access.as_str().to_owned())]
            }
            Verb::SetOption { name, .. } => {
                let option = options().iter().find(|option| option.path == *name)?;
                vec![("value", option.value(config).unwrap_or_default())]
            }
            _ => Vec::new(),
        };
        let pair = |(key, value): &(&str, String)| format!("{key}={}", QuotedWord(value));
        let pairs: Vec<String> = pairs.iter().map(pair).collect();
        (!pairs.is_empty()).then(|| pairs.join(" "))
    }

    fn previous_host_values(&self, config: &Config) -> Option<Vec<(&'static str, String)>> {
        let ip = |host: &Host| ("ip", host.address.to_string());
        let weight = |host: &Host| ("weight", host.weight.to_string());
        let state = |host: &Host| ("state", host.state.as_str().to_owned());
        match self {
            Verb::DelHost {
                group: key,
                host: choice,
                ..
            } => {
                let chosen = |it: &&Host| match choice {
                    HostChoice::Name(name) => it.name == *name,
                    HostChoice::Address(address) => it.address == *address,
                };
                let host = group(config, key)?.hosts.iter().find(chosen)?;
                let name = ("name", host.name.clone());
                let pairs = match choice {
                    HostChoice::Name(_) => vec![ip(host)],
                    HostChoice::Address(_) => vec![name],
                };
                Some(
                    pairs
                        .into_iter()
                        .chain([weight(host), state(host)])
                        .collect(),
                )
            }
            Verb::SetHost {
                host: key,
                address,
                weight: new_weight,
                ..
            } => {
                let host = host(config, key)?;
                let pairs = [
                    address.as_ref().map(|_| ip(host)),
                    new_weight.map(|_| weight(host)),
                ];
                Some(pairs.into_iter().flatten().collect())
            }
            Verb::SetWeight { host: key, .. } => Some(vec![weight(host(config, key)?)]),
            Verb::SetState { host: key, .. } => Some(vec![state(host(config, key)?)]),
            _ => None,
        }
    }

    fn previous_timeouts(
        &self,
        config: &Config,
        name: &str,
    ) -> Option<Vec<(&'static str, String)>> {
        let Verb::SetService {
            connect,
            idle,
            half_closed,
            ..
        } = self
        else {
            return None;
        };
        let timeouts = service(config, name)?.timeouts;
        let pairs = [
            connect.map(|_| ("connectTimeout", seconds(timeouts.connect))),
            idle.map(|_| ("idleTimeout", seconds(timeouts.idle))),
            half_closed.map(|_| ("halfClosedTimeout", seconds(timeouts.half_closed))),
        ];
        Some(pairs.into_iter().flatten().collect())
    }
}

fn service<'a>(config: &'a Config, name: &str) -> Option<&'a Service> {
    config.services.iter().find(|it| it.name == name)
}

fn group<'a>(config: &'a Config, key: &GroupKey) -> Option<&'a Group> {
    let mut groups = service(config, &key.service)?.groups.iter();
    groups.find(|group| group.name == key.group)
}

fn host<'a>(config: &'a Config, key: &HostKey) -> Option<&'a Host> {
    let mut hosts = group(config, &key.group)?.hosts.iter();
    hosts.find(|host| host.name == key.name)
}

#[cfg(test)]
mod tests {
    use crate::config::read;
    use crate::config::verb::Command;

    #[test]
    fn what_was_there_before_is_told_of_what_a_verb_sets() {
        let text = "<config><service name='s' idleTimeout='7'><listen ip='1'/>\
                    <group name='g' enable='1'><host name='a b' ip='a:1' weight='3'/></group>\
                    <group name='h'/></service></config>";
        let config = read(text.as_bytes()).unwrap().config;
        let in_g = |verb: &str| verb.replace('@', "service=s group=g name=\"a b\"");
        let cases = [
            ("setWeight @ weight=5", Some("weight=3")),
            ("drainHost @", Some("state=up")),
            ("setHost @ ip=b:2 weight=1", Some("ip=a:1 weight=3")),
            ("setHost @ rename=c", None),
            ("delHost @ force=true", Some("ip=a:1 weight=3 state=up")),
            (
                "delHost service=s group=g ip=a:1",
                Some("name=\"a b\" weight=3 state=up"),
            ),
            ("enableGroup service=s group=h", Some("group=g")),
            (
                "changeScheduler service=s group=g scheduler=p2c",
                Some("scheduler=leastc"),
            ),
            (
                "setService service=s idleTimeout=0 connectTimeout=1",
                Some("connectTimeout=5 idleTimeout=7"),
            ),
            (
                "setOption name=manager.hostCheck.interval value=5",
                Some("value=10"),
            ),
            ("setOption name=logging.file value=/x", Some("value=\"\"")),
            ("addHost service=s group=g name=n ip=n:1", None),
            ("delUser name=u", None),
        ];
        for (line, was) in cases {
            let Ok(Command::Change(verb)) = in_g(line).parse() else {
                panic!("{line}");
            };
            assert_eq!(verb.previous_values(&config).as_deref(), was, "{line}");
        }
    }
}
