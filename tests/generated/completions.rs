//! The completions for shells, in `etc/completions`, from the tables of options and verbs.
//!
//! They are made from the scripts beside this file: how a shell completes is theirs to know, what
//! there is to complete is said here.

#[path = "../../src/program/cli/table.rs"]
mod table;

use std::collections::BTreeMap;

use txlb::config::ValueKind;
use txlb::config::verb::complete;
use txlb::config::verb::table::{CommandSchema, Kind, commands};
use txlb::config::{Config, CustomNames, Scheduler};

use super::Generated;
use table::{CTL_OPTIONS, HELP, OPTIONS, OptionSpec, SYNOPSIS};

const MADE: &str = "Made by \"make generate\" from txlb's own tables: not to be changed by hand.";

/// What is no option, and comes first: each command of the synopsis.
const COMMANDS: [(&str, &str); 3] = [
    ("ctl", "tell a running txlb something"),
    ("diff", "print the verbs between two configurations"),
    ("passwd", "print the hash of a password"),
];

/// What an option takes.
enum Argument {
    Nothing,
    File,
    /// A file, or the system's log.
    Log,
    Folder,
    User,
    Group,
    Words(Vec<String>),
    /// A value that cannot be completed.
    Anything,
}

impl OptionSpec {
    /// Known by the name that the argument has in the table.
    fn takes(&self) -> Argument {
        match self.argument {
            "" => Argument::Nothing,
            "FILE" | "PIDFILE" | "SOCKET" => Argument::File,
            "LOG" => Argument::Log,
            "DIR" | "FOLDER" | "ROOT" | "CHROOT" => Argument::Folder,
            "USER" => Argument::User,
            "GROUP" => Argument::Group,
            "SCHEDULER" => Argument::Words(Scheduler::spellings().map(str::to_owned).collect()),
            words if words.contains('|') => {
                Argument::Words(words.split('|').map(str::to_owned).collect())
            }
            _ => Argument::Anything,
        }
    }

    /// As it is typed, in each of its forms.
    fn spellings(&self) -> Vec<String> {
        let short = (!self.short.is_empty()).then(|| format!("-{}", self.short));
        let long = (!self.long.is_empty()).then(|| format!("--{}", self.long));
        short.into_iter().chain(long).collect()
    }
}

/// The options of `ctl`.
fn ctl_flags() -> impl Iterator<Item = &'static OptionSpec> {
    CTL_OPTIONS.iter().chain([&HELP])
}

/// The verbs that are asked for in one word line; a batch is several.
fn verbs() -> impl Iterator<Item = &'static CommandSchema> {
    commands()
        .iter()
        .copied()
        .filter(|verb| verb.kind() != Kind::Batch)
}

/// The keys of a verb, those that may be repeated with dots behind them.
fn keys(verb: &CommandSchema) -> String {
    let keys = verb
        .keys()
        .iter()
        .map(|key| match (key.bare, key.value_kind) {
            (true, ValueKind::Command) => words(verbs().map(|verb| verb.name.to_owned())),
            (true, ValueKind::Problems) => "problems".to_owned(),
            (true, _) => String::new(),
            (false, _) if key.repeats => format!("{}=...", key.name),
            (false, _) => format!("{}=", key.name),
        });
    words(keys)
}

/// Which keys of which verbs have which values, as the prompt of `ctl` has them where
/// nothing is configured.
fn values() -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for verb in verbs() {
        for key in verb.keys().iter().filter(|key| !key.bare) {
            let start = format!("{}=", key.name);
            let choices = complete(
                &format!("{} {start}", verb.name),
                &Config::default(),
                &CustomNames::None,
                &[],
            );
            let choices = words(
                choices
                    .iter()
                    .filter_map(|it| it.strip_prefix(&start))
                    .map(str::to_owned),
            );
            if !choices.is_empty() {
                values
                    .entry(choices)
                    .or_default()
                    .push(format!("{}.{}", verb.name, key.name));
            }
        }
    }
    values
}

fn words(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn spellings(flags: impl Iterator<Item = &'static OptionSpec>) -> String {
    words(flags.flat_map(OptionSpec::spellings))
}

/// Branches of a `case` that print: those of bash and zsh.
fn cases() -> [(&'static str, String); 2] {
    branches(" | ", |names, text| {
        format!("        {names}) echo '{text}' ;;")
    })
}

/// What a script does for each verb that has keys, and for each kind of value: a branch
/// for their names, with so much between these.
fn branches(between: &str, branch: impl Fn(&str, &str) -> String) -> [(&'static str, String); 2] {
    let keys = verbs()
        .filter(|verb| !verb.keys().is_empty())
        .map(|verb| branch(verb.name, &keys(verb)));
    let values = values();
    let values = values
        .iter()
        .map(|(text, names)| branch(&names.join(between), text));
    [("KEYS", lines(keys)), ("VALUES", lines(values))]
}

fn bash() -> String {
    let argument = |flag: &OptionSpec| {
        let what = match flag.takes() {
            Argument::Nothing => return None,
            Argument::File => "files".to_owned(),
            Argument::Log => "files syslog".to_owned(),
            Argument::Folder => "folders".to_owned(),
            Argument::User => "users".to_owned(),
            Argument::Group => "groups".to_owned(),
            Argument::Words(list) => format!("words {}", list.join(" ")),
            Argument::Anything => "anything".to_owned(),
        };
        Some(format!(
            "        {}) echo '{what}' ;;",
            flag.spellings().join(" | ")
        ))
    };
    let marks = [
        (
            "ARGUMENTS",
            lines(OPTIONS.iter().chain(CTL_OPTIONS).filter_map(argument)),
        ),
        ("CTL_OPTIONS", spellings(ctl_flags())),
        ("OPTIONS", spellings(OPTIONS.iter())),
        ("VERBS", words(verbs().map(|verb| verb.name.to_owned()))),
        (
            "COMMANDS",
            words(COMMANDS.iter().map(|(name, _)| (*name).to_owned())),
        ),
    ];
    filled(
        include_str!("completions/txlb.bash"),
        marks.into_iter().chain(cases()),
    )
}

fn zsh() -> String {
    let option = |flag: &OptionSpec| {
        let help = flag
            .help
            .replace('[', "\\[")
            .replace(']', "\\]")
            .replace('\'', "'\\''");
        let argument = match flag.takes() {
            Argument::Nothing => String::new(),
            Argument::File => format!(":{}:_files", flag.argument),
            Argument::Log => format!(":{}:_txlb_log", flag.argument),
            Argument::Folder => format!(":{}:_files -/", flag.argument),
            Argument::User => format!(":{}:_users", flag.argument),
            Argument::Group => format!(":{}:_groups", flag.argument),
            Argument::Words(list) => format!(":choice:({})", list.join(" ")),
            Argument::Anything => format!(":{}: ", flag.argument.replace(['[', ']'], "")),
        };
        let forms = flag.spellings();
        let before = match &forms[..] {
            [one] if flag.repeatable => format!("'*{one}"),
            [one] => format!("'{one}"),
            several if flag.repeatable => format!("'*'{{{}}}'", several.join(",")),
            several => format!("'({})'{{{}}}'", several.join(" "), several.join(",")),
        };
        format!("        {before}[{help}]{argument}' \\")
    };
    let described =
        |name: &str, help: &str| format!("        '{name}:{}'", help.replace('\'', "'\\''"));
    let marks = [
        ("CTL_OPTIONS", lines(ctl_flags().map(option))),
        ("OPTIONS", lines(OPTIONS.iter().map(option))),
        (
            "VERBS",
            lines(verbs().map(|verb| described(verb.name, verb.summary))),
        ),
        (
            "COMMANDS",
            lines(COMMANDS.iter().map(|(name, help)| described(name, help))),
        ),
    ];
    filled(
        include_str!("completions/_txlb"),
        marks.into_iter().chain(cases()),
    )
}

fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "\\'"));
    let line = |condition: &str, rest: &str, help: &str| {
        format!("complete -c txlb -n {condition} {rest} -d {}", quoted(help))
    };
    let option = |command: &str, flag: &OptionSpec| {
        let short = (!flag.short.is_empty()).then(|| format!("-s {}", flag.short));
        let long = (!flag.long.is_empty()).then(|| format!("-l {}", flag.long));
        let argument = match flag.takes() {
            Argument::Nothing => None,
            Argument::File => Some("-r -F".to_owned()),
            Argument::Log => Some("-r -F -a syslog".to_owned()),
            Argument::Folder => Some("-x -a '(__fish_complete_directories)'".to_owned()),
            Argument::User => Some("-x -a '(__fish_complete_users)'".to_owned()),
            Argument::Group => Some("-x -a '(__fish_complete_groups)'".to_owned()),
            Argument::Words(list) => Some(format!("-x -a '{}'", list.join(" "))),
            Argument::Anything => Some("-x".to_owned()),
        };
        let rest = words([short, long, argument].into_iter().flatten());
        line(&format!("'__txlb_command_is {command}'"), &rest, flag.help)
    };
    let branches = branches(" ", |names, text| {
        format!("        case {names}\n            echo '{text}'")
    });
    let verb = |verb: &CommandSchema| {
        line(
            "'__txlb_command_is ctl; and not __txlb_verb'",
            &format!("-a {}", verb.name),
            verb.summary,
        )
    };
    let command =
        |(name, help): &(&str, &str)| line("__fish_use_subcommand", &format!("-a {name}"), help);
    let marks = [
        (
            "COMMANDS",
            words(COMMANDS.iter().map(|(name, _)| (*name).to_owned())),
        ),
        ("COMMAND_LINES", lines(COMMANDS.iter().map(command))),
        (
            "OPTIONS",
            lines(OPTIONS.iter().map(|flag| option("serve", flag))),
        ),
        (
            "CTL_OPTIONS",
            lines(ctl_flags().map(|flag| option("ctl", flag))),
        ),
        ("VERBS", lines(verbs().map(verb))),
    ];
    filled(
        include_str!("completions/txlb.fish"),
        branches.into_iter().chain(marks),
    )
}

/// The script with what belongs in the place of each mark.
fn filled(script: &str, marks: impl Iterator<Item = (&'static str, String)>) -> String {
    let script = script.replace("@MADE@", MADE);
    marks.fold(script, |script, (mark, text)| {
        let mark = format!("@{mark}@");
        assert!(script.contains(&mark), "{mark}");
        script.replace(&mark, &text)
    })
}

/// The commands that the synopsis names.
fn commands_of_the_synopsis() -> Vec<&'static str> {
    let lines = SYNOPSIS
        .lines()
        .filter_map(|line| line.strip_prefix("    txlb "));
    let first = lines.filter_map(|line| line.split_whitespace().next());
    let mut named: Vec<_> = first
        .filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase()))
        .collect();
    named.dedup();
    named
}

pub(super) fn all() -> [Generated; 3] {
    assert_eq!(commands_of_the_synopsis(), COMMANDS.map(|(name, _)| name));
    [
        ("etc/completions/txlb.bash", bash()),
        ("etc/completions/_txlb", zsh()),
        ("etc/completions/txlb.fish", fish()),
    ]
}
