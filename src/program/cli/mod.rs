//! Command line: parses options into a `Command`, and prints the usage text.

use std::ffi::OsString;
use std::path::PathBuf;

use getopts::{Fail, Matches, Options};
use rustix::process::Signal;
use table::{CTL_OPTIONS, HELP, OPTIONS, OptionSpec, SYNOPSIS};
use txlb::config::{
    Algorithm, Config, Control, Endpoint, Group, Host, ListenAddress, Listener, Scheduler, Service,
};

use crate::exit::Exit;

mod meant;
mod table;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// `-h`
    Help,
    /// `-V`; with `details`, `-VV`
    Version { details: bool },
    /// `-t`, or `-T` with `CheckOutput::Config`
    Check {
        file: PathBuf,
        /// The user and the chroot to check with.
        startup: StartupOptions,
        output: CheckOutput,
    },
    /// `-s`, except `reload` and `upgrade`
    Send {
        /// The signal to send; `None` prints the process ID only.
        signal: Option<Signal>,
        pid_file: PathBuf,
    },
    /// `-s reload`
    Reload {
        pid_file: PathBuf,
        /// The file to check first; `None` finds that of the running txlb.
        given: Option<(PathBuf, StartupOptions)>,
    },
    /// `-s upgrade`
    Upgrade {
        pid_file: PathBuf,
        /// The file to check first; `None` finds that of the running txlb.
        given: Option<(PathBuf, StartupOptions)>,
    },
    /// `ctl`
    Control(CtlOptions),
    /// `diff`
    Diff { old: PathBuf, new: PathBuf },
    /// `passwd`
    Passwd,
    /// Run the balancer.
    Serve(ServeOptions),
}

/// Options for running the balancer.
#[derive(Debug)]
pub(crate) struct ServeOptions {
    pub(crate) source: ConfigSource,
    pub(crate) startup: StartupOptions,
    pub(crate) workers: Option<usize>,
    pub(crate) pid_file: Option<PathBuf>,
    /// A file, or the word `syslog`.
    pub(crate) log: Option<PathBuf>,
    pub(crate) level: log::LevelFilter,
}

/// Options that decide user, root folder and sandbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StartupOptions {
    /// `-D`: run in the background.
    pub(crate) detach: bool,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    /// `-j`: the new root folder.
    pub(crate) chroot: Option<PathBuf>,
    pub(crate) sandbox: bool,
}

/// What `-t`, `-T` and `-s reload` print for a good configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckOutput {
    /// That it is good.
    Verdict,
    /// The same, and before it what was looked at (`-v`).
    Details,
    /// The configuration in effect.
    Config,
    /// Only warnings. Names are not resolved, which may take seconds.
    Warnings,
}

/// Options of `ctl`.
#[derive(Debug)]
pub(crate) struct CtlOptions {
    pub(crate) socket: PathBuf,
    pub(crate) json: bool,
    /// One command, as it was typed. If empty, commands are read from standard input.
    pub(crate) words: Vec<String>,
}

/// Where the configuration comes from.
#[derive(Debug)]
pub(crate) enum ConfigSource {
    File(PathBuf),
    /// `-L`, `-B` and `-S`.
    CommandLine(Box<Config>),
    /// `--demo`
    Demo,
}

pub(crate) const DEFAULT_FILE: &str = "/etc/txlb/config.xml";
pub(crate) const DEFAULT_PID_FILE: &str = "/run/txlb/txlb.pid";

fn options<'a>(flags: impl IntoIterator<Item = &'a OptionSpec>) -> Options {
    let mut options = Options::new();
    for OptionSpec {
        short,
        long,
        argument,
        repeatable,
        help,
    } in flags
    {
        match (argument.is_empty(), repeatable) {
            (true, false) => options.optflag(short, long, help),
            (true, true) => options.optflagmulti(short, long, help),
            (false, false) => options.optopt(short, long, help, argument),
            (false, true) => options.optmulti(short, long, help, argument),
        };
    }
    options
}

/// The usage text of `-h`.
pub(crate) fn usage() -> String {
    options(OPTIONS.iter().chain(CTL_OPTIONS)).usage(SYNOPSIS)
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Exit> {
    let mut arguments = arguments.peekable();
    if arguments.next_if(|word| word == "ctl").is_some() {
        return ctl_options(arguments);
    }
    let matches = options(OPTIONS)
        .parse(arguments)
        .map_err(|error| option_error(&error))?;
    check_arguments(&matches)?;
    if matches.opt_present("h") {
        return Ok(Command::Help);
    }
    match matches.opt_count("V") {
        0 => {}
        count => return Ok(Command::Version { details: count > 1 }),
    }
    if !matches.free.is_empty() {
        return subcommand(&matches);
    }
    if let Some(word) = matches.opt_str("s") {
        return send(&matches, &word);
    }
    if matches.opt_present("t") || matches.opt_present("T") {
        return check(&matches);
    }
    Ok(Command::Serve(serve_options(&matches)?))
}

/// Parses the word of `-s`.
fn send(matches: &Matches, word: &str) -> Result<Command, Exit> {
    let pid_file = path(matches, "p", DEFAULT_PID_FILE);
    let signal = match word {
        "reload" | "upgrade" => {
            let given = matches.opt_str("f").map(PathBuf::from);
            let given = given
                .map(|file| Ok((file, startup_options(matches)?)))
                .transpose()?;
            return Ok(match word {
                "reload" => Command::Reload { pid_file, given },
                _ => Command::Upgrade { pid_file, given },
            });
        }
        "stop" => Some(Signal::TERM),
        "quit" => Some(Signal::QUIT),
        "reopen" => Some(Signal::USR1),
        "pid" => None,
        _ => {
            return Err(usage_error(&format!(
                "-s {word}: there are reload, upgrade, stop, quit, reopen and pid"
            )));
        }
    };
    Ok(Command::Send { signal, pid_file })
}

/// Accepts the other options, so that `-t` can be added to any command line.
fn check(matches: &Matches) -> Result<Command, Exit> {
    match config_source(matches)? {
        ConfigSource::File(file) => Ok(Command::Check {
            file,
            startup: startup_options(matches)?,
            output: match (matches.opt_present("T"), matches.opt_present("v")) {
                (true, _) => CheckOutput::Config,
                (false, true) => CheckOutput::Details,
                (false, false) => CheckOutput::Verdict,
            },
        }),
        ConfigSource::CommandLine(_) | ConfigSource::Demo => Err(usage_error(
            "-t and -T check a file: with --demo, or with -L and -B, there is none",
        )),
    }
}

/// Refuses empty arguments: scripts with unset variables pass those.
fn check_arguments(matches: &Matches) -> Result<(), Exit> {
    let takes = OPTIONS.iter().filter(|flag| !flag.argument.is_empty());
    for OptionSpec {
        short, argument, ..
    } in takes
    {
        if matches.opt_strs(short).iter().any(String::is_empty) {
            return Err(usage_error(&format!(
                "-{short} {argument}: the argument is empty"
            )));
        }
    }
    Ok(())
}

/// Parses the arguments of `ctl`: its options may stand before the verb and behind it.
fn ctl_options(arguments: impl Iterator<Item = OsString>) -> Result<Command, Exit> {
    let matches = options(CTL_OPTIONS.iter().chain([&HELP]))
        .parse(arguments)
        .map_err(|error| usage_error(&format!("ctl takes -C SOCKET and --json: {error}")))?;
    if matches.opt_present("h") {
        return Ok(Command::Help);
    }
    let socket = matches.opt_str("C").map(PathBuf::from);
    Ok(Command::Control(CtlOptions {
        socket: socket.unwrap_or_else(|| Control::default().socket),
        json: matches.opt_present("json"),
        words: matches.free,
    }))
}

/// Parses `diff` and `passwd`.
fn subcommand(matches: &Matches) -> Result<Command, Exit> {
    let words: Vec<&str> = matches.free.iter().map(String::as_str).collect();
    let has_options = OPTIONS.iter().any(|flag| {
        let name = if flag.short.is_empty() {
            flag.long
        } else {
            flag.short
        };
        matches.opt_present(name)
    });
    match words[..] {
        ["diff", old, new] if !has_options => Ok(Command::Diff {
            old: PathBuf::from(old),
            new: PathBuf::from(new),
        }),
        ["passwd"] if !has_options => Ok(Command::Passwd),
        ["ctl", ..] => Err(usage_error(
            "ctl comes first, and takes -C and --json alone",
        )),
        ["diff", ..] => Err(usage_error("diff takes two configurations and no options")),
        // Does not repeat the word, which may be a password.
        ["passwd", ..] => Err(usage_error(
            "passwd takes nothing: it reads the password from the terminal or standard input",
        )),
        [word, ..] => {
            let advice = meant::by(word);
            let advice = advice.unwrap_or_else(|| "options begin with '-'".to_owned());
            Err(usage_error(&format!(
                "{word:?} is not understood: {advice}"
            )))
        }
        [] => Err(usage_error("a word is missing")),
    }
}

fn serve_options(matches: &Matches) -> Result<ServeOptions, Exit> {
    let level = match (matches.opt_present("q"), matches.opt_present("v")) {
        (true, true) => return Err(usage_error("-q and -v contradict each other")),
        (true, false) => log::LevelFilter::Warn,
        (false, true) => log::LevelFilter::Debug,
        (false, false) => log::LevelFilter::Info,
    };
    let (source, startup) = (config_source(matches)?, startup_options(matches)?);
    if startup.detach && matches!(source, ConfigSource::Demo) {
        return Err(usage_error("--demo is for a terminal, which -D leaves"));
    }
    let default_pid_file = startup.detach.then(|| PathBuf::from(DEFAULT_PID_FILE));
    Ok(ServeOptions {
        source,
        startup,
        workers: matches
            .opt_str("w")
            .map(|text| workers(&text))
            .transpose()?,
        pid_file: matches.opt_str("p").map(PathBuf::from).or(default_pid_file),
        log: matches.opt_str("l").map(PathBuf::from),
        level,
    })
}

fn startup_options(matches: &Matches) -> Result<StartupOptions, Exit> {
    let startup = StartupOptions {
        detach: matches.opt_present("D"),
        user: matches.opt_str("u"),
        group: matches.opt_str("g"),
        chroot: matches.opt_str("j").map(PathBuf::from),
        sandbox: !matches.opt_present("no-sandbox"),
    };
    match (&startup.user, &startup.group) {
        (None, Some(_)) => Err(usage_error("-g goes with -u")),
        _ => Ok(startup),
    }
}

fn config_source(matches: &Matches) -> Result<ConfigSource, Exit> {
    let without_file = ["L", "B", "S"]
        .iter()
        .any(|option| matches.opt_present(option));
    match (
        matches.opt_present("demo"),
        without_file,
        matches.opt_present("f"),
    ) {
        (true, false, false) => Ok(ConfigSource::Demo),
        (false, true, false) => Ok(ConfigSource::CommandLine(Box::new(config_without_file(
            matches,
        )?))),
        (false, false, _) => Ok(ConfigSource::File(path(matches, "f", DEFAULT_FILE))),
        _ => Err(usage_error(
            "--demo, -f, and -L with -B are three ways to say what to balance: choose one",
        )),
    }
}

fn workers(text: &str) -> Result<usize, Exit> {
    text.parse()
        .ok()
        .filter(|count| (1..=MAX_WORKERS).contains(count))
        .ok_or_else(|| {
            usage_error(&format!(
                "-w {text}: a number from 1 to {MAX_WORKERS} is needed"
            ))
        })
}

pub(crate) const MAX_WORKERS: usize = 1024;

fn path(matches: &Matches, option: &str, default: &str) -> PathBuf {
    PathBuf::from(
        matches
            .opt_str(option)
            .unwrap_or_else(|| default.to_owned()),
    )
}

/// The error for options that getopts refuses.
fn option_error(error: &Fail) -> Exit {
    let advice = match error {
        Fail::UnrecognizedOption(name) => meant::by(name),
        _ => None,
    };
    match advice {
        Some(advice) => usage_error(&format!("{error}: {advice}")),
        None => usage_error(&error.to_string()),
    }
}

fn usage_error(message: &str) -> Exit {
    Exit::new(Exit::USAGE, &format!("txlb: {message} (txlb -h shows how)"))
}

/// The configuration for `-L`, `-B` and `-S`.
fn config_without_file(matches: &Matches) -> Result<Config, Exit> {
    let listens = matches.opt_strs("L");
    let hosts = matches.opt_strs("B");
    if listens.is_empty() || hosts.is_empty() {
        return Err(usage_error(
            "-L (where to listen) and -B (a host) go together",
        ));
    }
    let scheduler = match matches.opt_str("S") {
        None => Scheduler::from(Algorithm::default()),
        Some(text) => text.parse().map_err(|_| {
            let known: Vec<_> = Scheduler::spellings().collect();
            usage_error(&format!(
                "-S {text}: there is no such scheduler; there are {}",
                known.join(", ")
            ))
        })?,
    };
    let group = Group {
        name: "main".to_owned(),
        scheduler,
        hosts: (0..)
            .zip(&hosts)
            .map(|(number, text)| host(number, text))
            .collect::<Result<_, _>>()?,
        ..Group::default()
    };
    let listen = |text: &String| {
        text.parse::<ListenAddress>()
            .map(Listener::at)
            .map_err(|error| usage_error(&format!("-L {text}: {error}")))
    };
    let service = Service {
        name: "main".to_owned(),
        listens: listens.iter().map(listen).collect::<Result<_, _>>()?,
        enabled: group.name.clone(),
        groups: vec![group],
        ..Service::default()
    };
    Ok(Config {
        services: vec![service],
        ..Config::default()
    })
}

fn host(number: usize, text: &str) -> Result<Host, Exit> {
    let bad = |what: &str| usage_error(&format!("-B {text}: {what}"));
    let (address, weight) = match text.split_once(',') {
        None => (text, 1),
        Some((address, option)) => {
            let weight = option
                .strip_prefix("weight=")
                .ok_or_else(|| bad("only weight=N may follow"))?;
            let weight = weight
                .parse()
                .ok()
                .filter(|&weight| weight <= Host::MAX_WEIGHT);
            (
                address,
                weight.ok_or_else(|| bad("a weight is a number from 0 to 1000000"))?,
            )
        }
    };
    let address: Endpoint = address.parse().map_err(|error| bad(&format!("{error}")))?;
    Ok(Host {
        name: format!("host.{number}"),
        address,
        weight,
        ..Host::default()
    })
}

#[cfg(test)]
mod tests;
