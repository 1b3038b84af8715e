//! Tests of commands: parsing, encoding and errors.

use super::table::{Kind, commands};
use super::*;
use crate::config::arbitrary;
use crate::config::arbitrary::Random;

fn parsed(line: &str) -> Command {
    line.parse()
        .unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    match line.parse::<Command>() {
        Err(error) => error.to_string(),
        Ok(command) => panic!("{line}: {command:?}"),
    }
}

/// Each is printed as it is written here.
const LINES: &[&str] = &[
    "addHost service=web group=main name=one ip=10.0.0.1:80",
    "addHost service=web group=main name=one ip=db:80 weight=0 state=drain before=two",
    "addHost service=web group=main name=one ip=[::1]:80 before=\"\"",
    "delHost service=web group=main name=one",
    "delHost service=web group=main ip=10.0.0.1:80 force=true",
    "delAllHosts service=web group=main",
    "delAllHosts service=web group=main force=true",
    "setHost service=web group=main name=one",
    "setHost service=web group=main name=one ip=db:1 weight=1000 before=two rename=three force=true",
    "setWeight service=web group=main name=one weight=5",
    "setWeight service=web group=main name=one weight=0 force=true",
    "drainHost service=web group=main name=\"one and only\"",
    "drainHost service=web group=main name=one wait=30 force=true",
    "hostAdminDown service=web group=main name=one force=true",
    "hostAdminUp service=web group=main name=one",
    "newGroup service=web group=spare scheduler=maglev,sticky",
    "newGroup service=web group=spare scheduler=rand before=main",
    "delGroup service=web group=spare",
    "delGroup service=web group=spare force=true",
    "enableGroup service=web group=spare",
    "enableGroup service=web group=spare force=true",
    "setGroup service=web group=main",
    "setGroup service=web group=main sendProxy=off replay=0",
    "setGroup service=web group=main scheduler=weightlc stickyPrefix=64 before=spare",
    "changeScheduler service=web group=main scheduler=weightlc",
    "changeScheduler service=web group=main scheduler=weightlc before=spare",
    "addCheck service=web group=main type=tcp",
    "addCheck service=web group=main type=send interval=0.5 downInterval=5 timeout=2 rise=1 fall=1 port=6380 ip=::1 send=PING\\r\\n expect=PONG log=true before=1",
    "addCheck service=web group=main type=http path=/ok status=\"200-299 404\" hostname=a.example",
    "setCheck service=web group=main check=1",
    "setCheck service=web group=main check=2 type=agent downInterval=\"\" port=9777",
    "delCheck service=web group=main check=1",
    "newService service=web listen=*:80",
    "newService service=web listen=localhost:80 before=mail",
    "delService service=web",
    "setService service=web",
    "setService service=web connectTimeout=0.5 idleTimeout=0 halfClosedTimeout=300 before=mail",
    "addListen service=web ip=*:80",
    "addListen service=web ip=*:80 before=[::1]:80",
    "addListen service=web ip=*:80 proxy=require proxyFrom=\"10.0.0.0/8 ::1\"",
    "setListen service=web ip=*:80",
    "setListen service=web ip=*:80 proxy=off proxyFrom=\"\"",
    "delListen service=web ip=*:80",
    "switchPort service=web from=80 to=81",
    "switchPort service=web from=*:80 to=127.0.0.1:81",
    "addRoute service=web sni=a.test group=main",
    "addRoute service=web sni=\"a.test *.b.test\" alpn=h2 group=main before=2",
    "setRoute service=web route=1",
    "setRoute service=web route=3 sni=\"\" alpn=\"h2 http/1.1\" group=main",
    "delRoute service=web route=1",
    "addUser name=ann password=$6$x$y access=full",
    "addUser name=ann access=readonly key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann\" key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC\" before=bob",
    "setUser name=ann",
    "setUser name=ann password=\"\" access=full key=\"\" before=\"\"",
    "setUser name=ann key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\"",
    "delUser name=ann",
    "setOption name=manager.hostCheck.interval value=5",
    "setOption name=logging.file value=\"\"",
    r#"complete line="drainHost service=\"a b""#,
    "begin",
    "commit",
    "abort",
    "retryHost service=web group=main name=one",
    "endSession id=1000000000002",
    "endSessions service=web group=main host=one client=10.0.0.0/8 idle=60 rate=5",
    "endSessions force=true",
    "rebalance service=web",
    "rebalance service=web group=main rate=3",
    "undo",
    "undo change=12 force=true",
    "saveConfig",
    "saveConfig force=true",
    "reload",
    "reload force=true",
    "resign",
    "resign wait=5",
    "resume",
    "reopenLog",
    "upgrade",
    "shutdown",
    "shutdown grace=0",
    "shutdown grace=2.5",
    "status",
    "status service=web group=main host=one only=problems",
    "history",
    "sessions",
    "ready",
    "ready service=web",
    "config",
    "config view=running",
    "config view=stored",
    "diff",
    "help",
    "help verb=addHost",
];

#[test]
fn a_line_is_printed_as_it_is_understood() {
    for line in LINES {
        assert_eq!(parsed(line).line(), *line);
    }
}

#[test]
fn every_command_of_the_table_is_understood() {
    for command in commands() {
        let mut lines = LINES
            .iter()
            .filter(|line| line.split(' ').next() == Some(command.name));
        assert!(lines.next().is_some(), "{}", command.name);
    }
    for line in LINES {
        let command = parsed(line);
        let schema = table::command(command.name()).unwrap();
        let kind = match command {
            Command::Change(_) => Kind::Change,
            Command::Action(_) => Kind::Action,
            Command::Question(_) => Kind::Question,
            Command::Batch(_) => Kind::Batch,
        };
        assert_eq!(schema.kind(), kind, "{line}");
    }
}

#[test]
fn old_spellings_are_understood() {
    for (old, new) in [
        ("STATUS", "status"),
        ("savec", "saveConfig"),
        ("stat problems", "status only=problems"),
        ("help Drain", "help verb=drainHost"),
        ("closeLog", "reopenLog"),
        (
            "delHost service=s group=g host=h",
            "delHost service=s group=g name=h",
        ),
        (
            "addHost service=s group=g host=h ip=h:1 state=up",
            "addHost service=s group=g name=h ip=h:1",
        ),
        (
            "newGroup service=s group=g scheduler=leastconns",
            "newGroup service=s group=g scheduler=leastc",
        ),
        ("help closeLog", "help verb=reopenLog"),
    ] {
        assert_eq!(parsed(old).line(), new);
    }
}

fn each_is_refused(cases: &[(&str, &str)]) {
    for (line, message) in cases {
        assert_eq!(refused(line), *message, "{line}");
    }
}

#[test]
fn the_error_for_a_wrong_verb_or_key_says_what_would_be_right() {
    each_is_refused(&[
        ("", "a verb is needed: help lists them"),
        ("addhots", "there is no verb \"addhots\": is addHost meant?"),
        (
            "hostadmin service=a",
            "\"hostadmin\" may be hostAdminDown, hostAdminUp: write more of it",
        ),
        ("dance a=b", "there is no verb \"dance\": help lists them"),
        ("help dance", "there is no verb \"dance\": help lists them"),
        ("delUser web", "\"web\" is no key=value: it takes name="),
        (
            "setWeight service=s group=g name=h weigth=3",
            "setWeight does not take weigth=: is weight= meant?",
        ),
        (
            "hostAdminUp service=s group=g name=h force=true",
            "hostAdminUp does not take force=: it takes service= group= name=",
        ),
        (
            "diff service=s",
            "diff does not take service=: diff takes nothing",
        ),
        (
            "addUser name=ann",
            "addUser needs access=: it takes name= [password=] access= [key= ...] [before=]",
        ),
        (
            "delHost service=s group=g",
            "delHost needs name=: it takes service= group= name= [ip=] [force=]",
        ),
        (
            "delHost service=s group=g name=h ip=h:1",
            "name= and ip= say the same: give one of them",
        ),
        (
            "delHost service=s group=g name=h host=h",
            "name= is given twice",
        ),
    ]);
}

#[test]
fn the_error_for_a_wrong_value_says_what_would_be_right() {
    each_is_refused(&[
        (
            "setWeight service=s group=g name=h weight=1000001",
            "weight is \"1000001\" but must be a whole number from 0 to 1000000",
        ),
        (
            "addHost service=s group=g name=h ip=h:",
            "ip is \"h:\": the port is missing: write h:PORT",
        ),
        (
            "addHost service=s group=g name=\"\" ip=h:1",
            "name is \"\" but must be 1 to 255 bytes without control characters",
        ),
        (
            "addHost service=s group=g name=\"a\\u{a}b\" ip=h:1",
            "name is \"a\\nb\" but must be 1 to 255 bytes without control characters",
        ),
        (
            "setUser name=ann password=***",
            "password is \"***\", which stands for one that is not shown: give the crypt(3) string \
             itself",
        ),
        (
            "addHost service=s group=g name=h ip=h:1 state=of",
            "state is \"of\" but must be up, drain or down",
        ),
        (
            "newGroup service=s group=g scheduler=leastc,stiky",
            "there is no scheduler \"leastc,stiky\": is leastc meant?",
        ),
        (
            "setService service=s idleTimeout=1w",
            "idleTimeout is \"1w\" but must be seconds, such as 5 or 0.5, or with a unit, such as 500ms or 1m, at most ten years",
        ),
        (
            "addUser name=ann access=all",
            "access is \"all\" but must be full or readonly",
        ),
        (
            "addUser name=ann access=full key=AAAA",
            "key is \"AAAA\" but must be a public key on one line, such as ssh-ed25519 AAAA...",
        ),
        (
            "shutdown grace=soon",
            "grace is \"soon\" but must be seconds, such as 5 or 0.5, or with a unit, such as 500ms or 1m, at most ten years",
        ),
        ("status \"", "a quote is not closed: write \\\" for one"),
        (
            "status\t",
            "a line may have no control characters: write \"\\u{9}\", with the quotes",
        ),
        (
            "help \"\\n\"",
            "\\n means nothing in quotes: write \\\\ for a backslash",
        ),
    ]);
}

#[test]
fn a_form_a_line_and_arguments_are_understood_alike() {
    let line = r#"addHost service="a b" group=main name="o\"ne" ip=h:1"#;
    let pairs = [
        ("service", "a b"),
        ("group", "main"),
        ("name", "o\"ne"),
        ("ip", "h:1"),
    ];
    let words = [
        "addHost",
        "service=a b",
        "group=main",
        "name=o\"ne",
        "ip=h:1",
    ];
    assert_eq!(Command::from_pairs("addHost", &pairs), Ok(parsed(line)));
    assert_eq!(Command::from_words(&words), Ok(parsed(line)));
    assert_eq!(Command::from_words::<&str>(&[]), Err(ParseError::Empty));
}

#[test]
fn no_password_is_shown_unless_it_must_be() {
    for line in [
        "addUser name=ann password=geheim access=full",
        "setUser name=ann password=geheim",
    ] {
        let command = parsed(line);
        assert_eq!(command.line(), line);
        assert_eq!(command.to_string(), line.replace("geheim", "***"));
        assert!(!format!("{command:?}").contains("geheim"), "{command:?}");
        let Command::Change(verb) = command else {
            panic!()
        };
        assert_eq!(verb.line(), line);
        assert_eq!(verb.to_string(), line.replace("geheim", "***"));
    }
    let taken_away = "setUser name=ann password=\"\"";
    assert_eq!(parsed(taken_away).to_string(), taken_away);
}

#[test]
fn any_verb_is_printed_as_it_is_understood() {
    let mut random = Random::new(17);
    for _ in 0..100 {
        let config = arbitrary::config(&mut random);
        for _ in 0..30 {
            let verb = arbitrary::verb(&mut random, &config);
            let line = verb.line();
            let parsed = line.parse::<Command>();
            assert_eq!(parsed, Ok(Command::Change(verb)), "{line}");
        }
    }
}

/// A piece of something that may be a command.
fn piece(random: &mut Random) -> String {
    let command = random.pick(commands());
    let found = match random.below(9) {
        0 => command.name,
        1 => command.keys().first().map_or("=", |key| key.name),
        2 => random.pick(&["\"", "\\", "\\\"", "\\u{", "\\u{41}", "}"]),
        3 => random.pick(&[" ", "  ", "=", ","]),
        4 => random.pick(&["\u{0}", "\n", "\u{202e}", "\u{10ffff}", "ü", "\u{a0}"]),
        5 => random.pick(&["80", "*:80", "[::1]:80", "h:1", "[", "None", "0.5", "-1"]),
        6 => random.pick(&["leastc,sticky", "up", "full", "true", "ssh-rsa A"]),
        7 => &random.pick(options()).path,
        _ => random.pick(LINES),
    };
    found.to_owned()
}

#[test]
fn no_line_is_too_strange() {
    let mut random = Random::new(19);
    let config = arbitrary::config(&mut random);
    let (mut understood, mut refused) = (0, 0);
    for _ in 0..3000 {
        let line: String = (0..1 + random.below(6))
            .map(|_| piece(&mut random))
            .collect();
        match line.parse::<Command>() {
            Ok(command) => {
                understood += 1;
                assert_eq!(command.line().parse(), Ok(command.clone()), "{line}");
                if let Command::Change(verb) = command {
                    // Refused or not, it does no harm.
                    drop(verb.apply(&config));
                }
            }
            Err(error) => {
                refused += 1;
                let words = error.to_string();
                assert!(!words.contains(char::is_control), "{line}: {words}");
            }
        }
    }
    assert!(understood > 50 && refused > 500, "{understood} {refused}");
}
