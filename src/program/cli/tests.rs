//! Tests of the command line: accepted and refused arguments, and the manual.

use super::*;

fn parsed(line: &str) -> Result<Command, Exit> {
    parse(line.split_whitespace().map(OsString::from))
}

fn refused(line: &str) -> String {
    match parsed(line) {
        Err(Exit {
            status: Exit::USAGE,
            message,
        }) => message,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_option_of_the_table_is_in_the_synopsis() {
    for OptionSpec { short, long, .. } in OPTIONS.iter().chain(CTL_OPTIONS) {
        let spelled = if short.is_empty() {
            format!("--{long}")
        } else {
            format!("-{short}")
        };
        assert!(SYNOPSIS.contains(&spelled), "{spelled}");
    }
}

#[test]
fn every_option_of_the_table_is_in_the_manual() {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/man/txlb.8"));
    for OptionSpec {
        short,
        long,
        argument,
        ..
    } in OPTIONS.iter().chain(CTL_OPTIONS)
    {
        let option = match (short.is_empty(), long.is_empty()) {
            (true, _) => format!(".It Fl -{long}"),
            (false, true) => format!(".It Fl {short}"),
            (false, false) => format!(".It Fl {short} , -{long}"),
        };
        let item = manual.lines().find(|line| line.starts_with(&option));
        let item = item.unwrap_or_else(|| panic!("{option} is not in the manual"));
        assert_eq!(argument.is_empty(), item.trim_end() == option, "{item}");
    }
}

#[test]
fn without_options_the_usual_file_is_served() {
    let Ok(Command::Serve(options)) = parsed("") else {
        panic!()
    };
    assert!(
        matches!(options.source, ConfigSource::File(file) if file.to_str() == Some(DEFAULT_FILE))
    );
    assert_eq!(
        (options.workers, options.level),
        (None, log::LevelFilter::Info)
    );
}

#[test]
fn a_daemon_has_a_pid_file_and_any_user_a_sandbox() {
    let options_of = |line: &str| match parsed(line) {
        Ok(Command::Serve(options)) => options,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(options_of("").pid_file, None);
    assert!(options_of("").startup.sandbox);
    let daemon = options_of("-D -u www -g data -j /srv --no-sandbox");
    assert_eq!(
        daemon.pid_file.unwrap().to_str(),
        Some("/run/txlb/txlb.pid")
    );
    let expected = StartupOptions {
        detach: true,
        user: Some("www".to_owned()),
        group: Some("data".to_owned()),
        chroot: Some(PathBuf::from("/srv")),
        sandbox: false,
    };
    assert_eq!(daemon.startup, expected);
    assert_eq!(options_of("-D -p x").pid_file.unwrap().to_str(), Some("x"));
}

#[test]
fn a_command_line_is_a_configuration() {
    let line = "-L 127.0.0.1:8080 -L 8081 -B 10.0.0.1:80,weight=5 -B db:80 -S maglev,sticky";
    let Ok(Command::Serve(ServeOptions {
        source: ConfigSource::CommandLine(config),
        ..
    })) = parsed(line)
    else {
        panic!()
    };
    let service = &config.services[0];
    let listens: Vec<_> = service
        .listens
        .iter()
        .map(|it| it.address.to_string())
        .collect();
    assert_eq!(listens, ["127.0.0.1:8080", "*:8081"]);
    let group = service.enabled_group().unwrap();
    assert_eq!(group.scheduler.to_string(), "maglev,sticky");
    let hosts: Vec<_> = group
        .hosts
        .iter()
        .map(|host| (host.name.as_str(), host.weight))
        .collect();
    assert_eq!(hosts, [("host.0", 5), ("host.1", 1)]);
}

#[test]
fn the_options_of_ctl_stand_before_its_verb_or_behind_it() {
    let words = |line: &[&str]| match parse(line.iter().map(OsString::from)) {
        Ok(Command::Control(errand)) => errand,
        other => panic!("{line:?}: {other:?}"),
    };
    let errand = words(&["ctl", "setOption", "value=\"a b\\", ""]);
    assert_eq!(errand.socket.to_str(), Some("/run/txlb/control.sock"));
    assert!(!errand.json);
    assert_eq!(errand.words, ["setOption", "value=\"a b\\", ""]);
    for line in ["ctl -C x --json status web", "ctl status -C x web --json"] {
        let errand = words(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(errand.socket.to_str(), Some("x"), "{line}");
        assert!(errand.json, "{line}");
        assert_eq!(errand.words, ["status", "web"], "{line}");
    }
    // Behind two dashes nothing is an option.
    let errand = words(&["ctl", "help", "--", "-C"]);
    assert_eq!(errand.words, ["help", "-C"]);
    let errand = words(&["ctl", "-C", "x", "--json"]);
    assert_eq!(errand.socket.to_str(), Some("x"));
    assert!(errand.json && errand.words.is_empty());
    assert!(matches!(parsed("ctl -h"), Ok(Command::Help)));
}

#[test]
fn an_argument_that_is_empty_is_none() {
    let arguments = ["-D", "-p", "", "-f", "x"].map(OsString::from);
    let Err(exit) = parse(arguments.into_iter()) else {
        panic!()
    };
    assert_eq!(exit.status, Exit::USAGE);
    assert!(exit.message.contains("-p PIDFILE"), "{}", exit.message);
}

#[test]
fn a_difference_is_of_two_files() {
    let Ok(Command::Diff { old, new }) = parsed("diff old.xml new.xml") else {
        panic!()
    };
    assert_eq!([old, new], ["old.xml", "new.xml"].map(PathBuf::from));
    assert!(matches!(parsed("diff -h"), Ok(Command::Help)));
}

#[test]
fn a_password_is_not_for_the_command_line() {
    assert!(matches!(parsed("passwd"), Ok(Command::Passwd)));
    for line in ["passwd hunter2", "-f hunter2 passwd"] {
        let message = refused(line);
        assert!(message.contains("passwd takes nothing"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn the_forms_that_are_meant_are_those_that_work() {
    for line in ["--version", "-V"] {
        assert!(
            matches!(parsed(line), Ok(Command::Version { .. })),
            "{line}"
        );
    }
    for line in ["-h", "--help", "ctl --help"] {
        assert!(matches!(parsed(line), Ok(Command::Help)), "{line}");
    }
    let message = refused("shutdown");
    assert!(message.contains("'txlb ctl shutdown'"), "{message}");
    for word in ["reload", "stop", "quit", "reopen", "pid"] {
        assert!(
            refused(word).contains(&format!("'txlb -s {word}'")),
            "{word}"
        );
        assert!(parsed(&format!("-s {word}")).is_ok(), "{word}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    for (line, word) in [
        ("--demo -f x", "choose one"),
        ("--demo -D", "for a terminal"),
        ("-g data", "goes with -u"),
        ("-L 80", "go together"),
        ("-B a:80", "go together"),
        ("-L 80 -B a:80,wait=3", "weight=N"),
        ("-L 80 -B a:80,weight=1000001", "0 to 1000000"),
        ("-L 80 -B 80", "-B 80:"),
        ("-L x:y -B a:80", "-L x:y:"),
        ("-L 80 -B a:80 -S best", "no such scheduler"),
        ("-w 0", "1 to 1024"),
        ("-w many", "1 to 1024"),
        ("-q -v", "contradict"),
        ("-t -L 80 -B a:80", "check a file"),
        ("-T --demo", "check a file"),
        ("-s restart", "reload, upgrade, stop, quit, reopen and pid"),
        ("start", "not understood"),
        ("start diff a b", "\"start\" is not understood"),
        ("-f x ctl status", "ctl comes first"),
        ("ctl -f x status", "ctl takes -C SOCKET and --json"),
        ("ctl status --jsno", "ctl takes -C SOCKET and --json"),
        ("ctl status -C", "Argument to option 'C' missing"),
        ("diff", "two configurations"),
        ("diff a", "two configurations"),
        ("diff a b c", "two configurations"),
        ("diff -f x a b", "no options"),
        ("diff a b --demo", "no options"),
        ("-X", "txlb -h"),
        ("nonsense", "options begin with '-'"),
        ("start", "'txlb -D' in the background"),
        ("-f x reload", "'txlb -s reload' does that"),
        ("--stop", "'txlb -s stop' does that"),
        ("STATUS", "'txlb ctl status' asks"),
        ("drainhost name=one", "'txlb ctl drainHost'"),
        ("web.xml", "'txlb -t -f web.xml' checks it"),
        ("-t web.xml", "'txlb -t -f web.xml' checks it"),
        ("./a$b", "'txlb -f FILE' runs it"),
        ("help", "'txlb -h' prints"),
        ("version", "'txlb -V' prints"),
        ("check", "'txlb -t -f FILE' checks"),
        ("-c -f web.xml", "'txlb -t -f FILE' checks"),
        ("--config=web.xml", "'-f FILE' names"),
        ("-d", "'txlb -D' runs"),
        ("10.0.0.1:80", "'txlb -L ADDR -B ADDR'"),
        ("8080", "'txlb -L ADDR -B ADDR'"),
    ] {
        assert!(refused(line).contains(word), "{line}: {}", refused(line));
    }
}
