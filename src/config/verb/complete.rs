//! Completion of a partial line: commands, their keys, and values from the configuration.
//!
//! The console and the shells use it. Completion never makes the typed text shorter.

use super::line::{PartialLine, QuotedWord, begins, needs_quotes, parse_partial_line};
use super::table::{self, CommandSchema, KeySchema};
use super::values::word_pairs;
use super::{PROBLEMS, View, options};
use crate::config::listener::{OFF, REQUIRE};
use crate::config::{
    Access, CheckKind, CheckValue, Config, CustomNames, Each, Group, HostState, Initial, LogFormat,
    ProxyVersion, Service, ValueKind, WhenFailed,
};

/// Byte offset of the last word of a line, which [`complete`] has choices for; after a blank, the
/// end of the line.
pub fn last_word(line: &str) -> usize {
    parse_partial_line(line).start
}

/// Choices for the last word of `line`, quoted as in a line. One that ends in `=` needs a value.
/// Case is ignored for commands and keys. `custom` has the names of custom schedulers, `changes`
/// the generations that can be undone.
pub fn complete(line: &str, config: &Config, custom: &CustomNames, changes: &[u64]) -> Vec<String> {
    let line = parse_partial_line(line);
    // A line may begin with `json`.
    let words = match line.words.split_first() {
        Some((first, rest)) if first == "json" => rest,
        _ => &line.words[..],
    };
    let Some((name, words)) = words.split_first() else {
        return commands(&line);
    };
    let Ok(command) = table::find(name) else {
        return Vec::new();
    };
    let partial = PartialCommand {
        command,
        given: words.iter().flat_map(|word| given(command, word)).collect(),
        config,
        custom,
        changes,
    };
    match line.text.split_once('=') {
        Some((name, value)) => partial.values_of(name, value, line.in_quotes),
        None => partial.words(&line),
    }
}

fn commands(line: &PartialLine) -> Vec<String> {
    let names = table::commands().iter().map(|command| command.name);
    names
        .filter(|name| begins(name, &line.text))
        .map(str::to_owned)
        .collect()
}

/// The keys and values that a word stands for, as far as the command has the keys.
fn given(command: &'static CommandSchema, word: &str) -> Vec<(&'static KeySchema, String)> {
    let pairs = word_pairs(command, word).unwrap_or_default().into_iter();
    let known = pairs.filter_map(|(name, value)| Some((command.key(name)?, value)));
    known.collect()
}

/// A partial command.
struct PartialCommand<'a> {
    command: &'static CommandSchema,
    given: Vec<(&'static KeySchema, String)>,
    config: &'a Config,
    custom: &'a CustomNames,
    changes: &'a [u64],
}

impl<'a> PartialCommand<'a> {
    /// Keys that are still possible, and values of a key without `key=`.
    fn words(&self, line: &PartialLine) -> Vec<String> {
        let left = self.command.keys().iter().filter(|key| self.may_give(key));
        let mut words = match line.in_quotes {
            true => Vec::new(),
            false => self.places(&line.text),
        };
        for key in left {
            if key.bare {
                words.extend(self.matching(key, &line.text, line.in_quotes));
            } else if begins(key.name, &line.text) && !line.in_quotes {
                words.push(format!("{}=", key.name));
            }
        }
        words
    }

    /// Places such as `web:main/one` that begin with `text`, where the command takes one. Names that
    /// would have to be escaped are left out.
    fn places(&self, text: &str) -> Vec<String> {
        let takes = |kind| self.command.keys().iter().any(|key| key.value_kind == kind);
        let is_given = self.value("service").is_some();
        if text.is_empty() || is_given || !takes(ValueKind::Service) {
            return Vec::new();
        }
        let mut places = Vec::new();
        for service in &self.config.services {
            for group in &service.groups {
                let place = format!("{}:{}", service.name, group.name);
                if takes(ValueKind::Host) {
                    let hosts = group.hosts.iter();
                    places.extend(hosts.map(|host| format!("{place}/{}", host.name)));
                } else if takes(ValueKind::Group) {
                    places.push(place);
                }
            }
        }
        let is_plain = |place: &String| {
            let parts = place.matches([':', '/']).count();
            let expected = if takes(ValueKind::Host) { 2 } else { 1 };
            parts == expected && !place.contains(['%', '=']) && !needs_quotes(place)
        };
        places.retain(|place| place.starts_with(text) && is_plain(place));
        places
    }

    fn may_give(&self, key: &KeySchema) -> bool {
        let stands_for_it = |given: &KeySchema| {
            given.name == key.name
                || given.instead_of == Some(key.name)
                || key.instead_of == Some(given.name)
        };
        key.repeats || !self.given.iter().any(|(given, _)| stands_for_it(given))
    }

    /// `key=value` for each value of the key that begins with `text`.
    fn values_of(&self, name: &str, text: &str, in_quotes: bool) -> Vec<String> {
        let Some(key) = self.command.key(name) else {
            return Vec::new();
        };
        let values = self.matching(key, text, in_quotes).into_iter();
        values.map(|value| format!("{name}={value}")).collect()
    }

    // A quoted and an unquoted word share no prefix beyond the `=`: within quotes, all choices are
    // quoted, so that the word completes as far as they agree.
    // Test: a_word_goes_on_as_far_as_its_choices_agree.
    fn matching(&self, key: &KeySchema, text: &str, in_quotes: bool) -> Vec<String> {
        let values = self.values(key).into_iter();
        values
            .filter(|value| value.starts_with(text))
            .map(|value| match in_quotes {
                true => QuotedWord(&value).always_quoted(),
                false => QuotedWord(&value).to_string(),
            })
            .collect()
    }

    fn values(&self, key: &KeySchema) -> Vec<String> {
        let to_strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match key.value_kind {
            ValueKind::Service => names(&self.config.services, |it| &it.name),
            ValueKind::Group => self.in_service(|it| names(&it.groups, |it| &it.name)),
            ValueKind::Host => self.in_group(|it| names(&it.hosts, |it| &it.name)),
            ValueKind::User => names(self.config.users(), |it| &it.name),
            // The address identifies an existing host.
            ValueKind::HostAddress if key.instead_of.is_some() => self.in_group(|it| {
                let hosts = it.hosts.iter();
                hosts.map(|host| host.address.to_string()).collect()
            }),
            ValueKind::ListenAddress | ValueKind::ListenAddressOrPort
                if self.names_listener(key) =>
            {
                self.in_service(|it| {
                    let listens = it.listens.iter();
                    listens.map(|listen| listen.address.to_string()).collect()
                })
            }
            ValueKind::Scheduler => self.custom.spellings().map(str::to_owned).collect(),
            ValueKind::State => [HostState::Up, HostState::Drain, HostState::Down]
                .map(|state| state.as_str().to_owned())
                .to_vec(),
            ValueKind::Check(CheckValue::Kind) => {
                to_strings(&CheckKind::ALL.map(CheckKind::as_str))
            }
            ValueKind::Check(CheckValue::Number) => self.in_group(|it| {
                (1..=it.checks.len())
                    .map(|number| number.to_string())
                    .collect()
            }),
            ValueKind::RouteNumber => self.in_service(|it| {
                let numbers = 1..=it.routes.len();
                numbers.map(|number| number.to_string()).collect()
            }),
            ValueKind::Proxy => to_strings(&[OFF, REQUIRE]),
            ValueKind::SendProxy => {
                let versions = ProxyVersion::ALL.map(ProxyVersion::as_str);
                to_strings(&[&[OFF][..], &versions].concat())
            }
            ValueKind::Each => to_strings(&Each::ALL.map(Each::as_str)),
            ValueKind::Initial => to_strings(&[Initial::Up, Initial::Down].map(Initial::as_str)),
            ValueKind::WhenFailed => {
                to_strings(&[WhenFailed::Keep, WhenFailed::End].map(WhenFailed::as_str))
            }
            ValueKind::Source => to_strings(&["client"]),
            ValueKind::Access => to_strings(&[Access::Full.as_str(), Access::ReadOnly.as_str()]),
            ValueKind::View => to_strings(&View::ALL.map(View::as_str)),
            ValueKind::Problems => to_strings(&[PROBLEMS]),
            ValueKind::Generation => self.changes.iter().map(u64::to_string).collect(),
            ValueKind::Flag | ValueKind::LooseFlag => to_strings(&["true", "false"]),
            ValueKind::OptionName => options().iter().map(|it| it.path.clone()).collect(),
            ValueKind::OptionValue => self.option_value(),
            ValueKind::Command => table::commands()
                .iter()
                .map(|it| it.name.to_owned())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the key identifies an existing listener.
    fn names_listener(&self, key: &KeySchema) -> bool {
        ["delListen", "setListen"].contains(&self.command.name)
            || matches!(key.name, "from" | "before")
    }

    /// The current value of an option, or all its values.
    fn option_value(&self) -> Vec<String> {
        let name = self.value("name");
        let Some(option) = options().iter().find(|it| Some(it.path.as_str()) == name) else {
            return Vec::new();
        };
        match option.value_kind {
            ValueKind::Flag | ValueKind::LooseFlag => vec![true.to_string(), false.to_string()],
            ValueKind::LogFormat => LogFormat::WORDS.map(str::to_owned).to_vec(),
            _ => option.value(self.config).into_iter().collect(),
        }
    }

    fn value(&self, key: &str) -> Option<&str> {
        let mut given = self.given.iter();
        given
            .find(|(given, _)| given.name == key)
            .map(|(_, value)| value.as_str())
    }

    fn service(&self) -> Option<&'a Service> {
        let name = self.value("service")?;
        self.config.services.iter().find(|it| it.name == name)
    }

    fn in_service(&self, list: impl FnOnce(&'a Service) -> Vec<String>) -> Vec<String> {
        self.service().map_or_else(Vec::new, list)
    }

    fn in_group(&self, list: impl FnOnce(&'a Group) -> Vec<String>) -> Vec<String> {
        let name = self.value("group");
        self.in_service(|service| {
            let mut groups = service.groups.iter();
            let group = groups.find(|it| Some(it.name.as_str()) == name);
            group.map_or_else(Vec::new, list)
        })
    }
}

fn names<T>(all: &[T], name: impl Fn(&T) -> &String) -> Vec<String> {
    all.iter().map(|it| name(it).clone()).collect()
}

#[cfg(test)]
mod tests {
    //! What may follow in lines of all kinds.

    use super::*;
    use crate::config::arbitrary::{self, Random};
    use crate::config::read;
    use crate::config::verb::Command;

    const FILE: &str = r#"<config>
  <service name="web"><listen ip="127.0.0.1:80"/><listen ip="*:81"/>
    <group name="main" enable="true">
      <host name="one" ip="10.0.0.1:80"/><host name="one and a half" ip="10.0.0.2:80"/>
      <host name="two &quot;" ip="10.0.0.3:80"/>
    </group>
    <group name="spare"/>
    <route alpn="h2" group="spare"/><route alpn="h3" group="spare"/>
  </service>
  <service name="mail"><listen ip="127.0.0.1:25"/><group name="mx" enable="true"/></service>
  <admin><user name="ann" password="$6$s$h" access="full"/></admin>
</config>"#;

    fn choices(line: &str) -> Vec<String> {
        complete(
            line,
            &read(FILE.as_bytes()).unwrap().config,
            &CustomNames::None,
            &[12, 7],
        )
    }

    fn check(cases: &[(&str, &[&str])]) {
        for (line, expected) in cases {
            assert_eq!(choices(line), *expected, "{line}");
        }
    }

    #[test]
    fn commands_and_keys_are_found() {
        check(&[
            ("hostAdmin", &["hostAdminDown", "hostAdminUp"]),
            ("  hostadmind", &["hostAdminDown"]),
            ("json stat", &["status"]),
            ("nonsense ", &[]),
            ("status ", &["service=", "group=", "host=", "problems"]),
            ("stat problems ", &["service=", "group=", "host="]),
            ("stat prob", &["problems"]),
            ("status web:main ", &["host=", "problems"]),
            ("status web ", &["group=", "host=", "problems"]),
            ("status web problems g", &["group="]),
            ("sessions mail:mx c", &["client="]),
            ("undo ", &["12", "7", "force="]),
            ("undo 1", &["12"]),
            ("undo change=", &["change=12", "change=7"]),
            ("undo 12 ", &["force="]),
            ("drainHost web:main/one ", &["wait=", "force="]),
            ("status host=", &[]),
            (
                "drainHost ",
                &["service=", "group=", "name=", "wait=", "force="],
            ),
            (
                "drainHost service=web ",
                &["group=", "name=", "wait=", "force="],
            ),
            ("drainHost GR", &["group="]),
            ("delHost service=web group=main name=one ", &["force="]),
            ("addUser name=x key=a k", &["key="]),
            ("help drain", &["drainHost"]),
            ("help status s", &[]),
            ("drainHost we", &["web:main/one"]),
            ("enableGroup m", &["mail:mx"]),
            ("enableGroup web:s", &["web:spare"]),
            ("drainHost service=web we", &[]),
        ]);
        assert_eq!(choices("").len(), table::commands().len());
    }

    #[test]
    fn names_are_found_where_they_are() {
        check(&[
            ("drainHost service=", &["service=web", "service=mail"]),
            ("drainHost service=w", &["service=web"]),
            (
                "drainHost service=web group=",
                &["group=main", "group=spare"],
            ),
            ("drainHost service=mail group=", &["group=mx"]),
            ("drainHost group=", &[]),
            (
                "drainHost service=web group=main name=o",
                &["name=one", r#"name="one and a half""#],
            ),
            (
                "drainHost service=web group=main host=on",
                &["host=one", r#"host="one and a half""#],
            ),
            ("drainHost service=web group=spare name=", &[]),
            (
                r#"drainHost service="web" group=main name="one "#,
                &[r#"name="one and a half""#],
            ),
            (
                r#"drainHost service=web group=main "name=on"#,
                &[r#"name="one""#, r#"name="one and a half""#],
            ),
            (
                r#"delHost service=web group=main name=t"#,
                &[r#"name="two \"""#],
            ),
            (
                r#"delHost service=web group=main name="two \"#,
                &[r#"name="two \"""#],
            ),
        ]);
    }

    #[test]
    fn other_values_are_found() {
        check(&[
            (
                "delHost service=web group=main ip=10.0.0.2",
                &["ip=10.0.0.2:80"],
            ),
            ("addHost service=web group=main ip=", &[]),
            ("addHost service=web group=main name=", &[]),
            ("addHost state=d", &["state=drain", "state=down"]),
            ("delListen service=web ip=", &["ip=127.0.0.1:80", "ip=*:81"]),
            ("addListen service=web ip=", &[]),
            ("setListen service=web ip=*", &["ip=*:81"]),
            ("setListen proxy=", &["proxy=off", "proxy=require"]),
            (
                "setGroup sendProxy=",
                &["sendProxy=off", "sendProxy=v1", "sendProxy=v2"],
            ),
            ("addRoute service=web group=s", &["group=spare"]),
            ("setRoute service=web route=", &["route=1", "route=2"]),
            ("delRoute service=mail route=", &[]),
            ("switchPort service=web from=*", &["from=*:81"]),
            ("changeScheduler scheduler=p", &["scheduler=p2c"]),
            ("addUser name=", &[]),
            ("addUser access=r", &["access=readonly"]),
            ("setUser name=", &["name=ann"]),
            ("config view=s", &["view=stored"]),
            ("reload force=t", &["force=true"]),
            (
                "setOption name=control.a",
                &[
                    "name=control.amp",
                    "name=control.ampSocket",
                    "name=control.ampMode",
                ],
            ),
            (
                "setOption name=manager.hostCheck.interval value=",
                &["value=10"],
            ),
            (
                "setOption name=logging.connections value=t",
                &["value=true"],
            ),
        ]);
    }

    #[test]
    fn the_last_word_is_found_whatever_is_in_it() {
        for (line, start) in [
            ("", 0),
            ("  sta", 2),
            ("status ", 7),
            (r#"a "b c" d="e f"#, 8),
            (r#"a b="c\" d"#, 2),
            (r#"a b="c" "#, 8),
            ("ä ö", 3),
        ] {
            assert_eq!(last_word(line), start, "{line}");
        }
    }

    /// Whatever is chosen is a word that the parser takes for the same.
    #[test]
    fn choices_are_taken_for_what_they_say() {
        let mut random = Random::new(23);
        let mut chosen = 0;
        for _ in 0..300 {
            let config = arbitrary::config(&mut random);
            let line = arbitrary::verb(&mut random, &config).line();
            let ends: Vec<_> = line.char_indices().map(|(index, _)| index).collect();
            let end = *random.pick(&ends);
            for choice in complete(&line[..end], &config, &CustomNames::None, &[]) {
                let whole = format!("{}{choice}", &line[..last_word(&line[..end])]);
                let words = crate::config::verb::words(&whole).unwrap();
                assert_eq!(last_word(&whole) + choice.len(), whole.len(), "{whole}");
                assert!(!words.is_empty());
                let last = words.last().unwrap();
                // It is still a choice, and with the same meaning.
                let again = complete(&whole, &config, &CustomNames::None, &[]);
                let mut meant = again
                    .iter()
                    .map(|it| crate::config::verb::words(it).unwrap());
                let is_meant = meant.any(|it| it.last() == Some(last));
                assert!(choice.ends_with('=') || is_meant, "{whole}");
                chosen += 1;
            }
        }
        assert!(chosen > 500, "{chosen}");
    }

    #[test]
    fn the_question_for_choices_is_one_like_others() {
        let line = Command::from_pairs("complete", &[("line", r#"addHost service="a b"#)]);
        assert_eq!(
            line.unwrap().line().parse::<Command>().unwrap().name(),
            "complete"
        );
    }
}
