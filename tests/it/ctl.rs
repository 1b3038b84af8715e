//! `txlb ctl`: commands, output, and exit status.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{fs, thread};

use crate::support::client::{Session, who, who_in_turn};
use crate::support::config::web;
use crate::support::control::{Controlled, ctl};
use crate::support::host::{Host, Place};
use crate::support::peer::free_address;
use crate::support::txlb::{Folder, Txlb, finish, program, run, text};
use crate::support::until;
use txlb::config::{Config, read};

/// The host `a` in a verb.
const A: [&str; 3] = ["service=web", "group=main", "name=a"];

fn words<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[verb], &A[..], more].concat()
}

fn running(controlled: &Controlled) -> Config {
    read(controlled.tell(&["config"]).as_bytes())
        .unwrap()
        .config
}

fn start() -> ([Host; 2], Controlled) {
    let hosts = ["a", "b"].map(Host::new);
    let config = web("", "roundr", &[hosts[0].address(), hosts[1].address()]);
    (hosts, Controlled::start(&config))
}

#[test]
fn what_is_asked_for_is_in_force_when_it_is_answered() {
    let (_hosts, controlled) = start();
    let address = controlled.txlb.address();
    assert_eq!(controlled.tell(&words("drainHost", &[])), "");
    assert_eq!(who_in_turn(address, 3), "bbb");
    controlled.tell(&words("hostAdminUp", &[]));
    let delete = ["delHost", "service=web", "group=main", "name=b"];
    controlled.tell(&delete);
    assert_eq!(who_in_turn(address, 3), "aaa");
    let error = controlled.refused(&words("delHost", &[]));
    assert!(error.contains("force"), "{error}");
    assert_eq!(who(address), "a");
}

#[test]
fn the_last_usable_host_is_taken_away_by_force_only() {
    let (a, gone) = (Host::new("a"), Place::new());
    let config = web("", "roundr", &[a.address(), gone.address()]);
    let mut controlled = Controlled::start(&config);
    // The second host fails.
    assert_eq!(who_in_turn(controlled.txlb.address(), 2), "aa");
    controlled.txlb.wait_for("host web:main/b is down: ");
    for (verb, more) in [
        ("drainHost", &[][..]),
        ("hostAdminDown", &[]),
        ("delHost", &[]),
        ("setWeight", &["weight=0"]),
        ("setHost", &["weight=0"]),
    ] {
        let error = controlled.refused(&words(verb, more));
        assert!(error.contains("would have no usable host"), "{error}");
    }
    assert_eq!(who(controlled.txlb.address()), "a");
    controlled.tell(&["newGroup", "service=web", "group=blue", "scheduler=p2c"]);
    let enable = ["enableGroup", "service=web", "group=blue"];
    let error = controlled.refused(&enable);
    assert!(error.contains("\"blue\" of service \"web\" has no usable host"));
    // A failed host may go, and a batch may replace the last one.
    controlled.tell(&["drainHost", "service=web", "group=main", "name=b"]);
    let batch = format!(
        "begin\ndelAllHosts service=web group=main\n\
         addHost service=web group=main name=a ip={}\ncommit\n",
        a.address()
    );
    assert_eq!(controlled.feed(&batch).status, Some(0));
    controlled.tell(&words("drainHost", &["force=true"]));
    controlled.tell(&[&enable[..], &["force=true"]].concat());
}

#[test]
fn whether_services_are_ready_is_an_exit_status() {
    let (a, b) = (Host::new("a"), Place::new());
    let other = format!(
        "<service name=\"mail box\"><listen ip=\"127.0.0.1:0\"/>\
         <group name=\"g\" enable=\"1\"><host name=\"b\" ip=\"{}\"/></group></service>",
        b.address()
    );
    let config = web("", "roundr", &[a.address()]).replace("</config>", &(other + "</config>"));
    let controlled = Controlled::start(&config);
    let mail = ["ready", "service=mail box"];
    let all = controlled.tell(&["ready"]);
    assert_eq!(all, "every service can take new sessions\n");
    let one = controlled.tell(&mail);
    assert_eq!(one, "service mail box can take new sessions\n");
    controlled.tell(&[
        "hostAdminDown",
        "service=mail box",
        "group=g",
        "name=b",
        "force=true",
    ]);
    let error = "error: not ready: service mail box: no host of its enabled group is usable: \
                 1 down\n";
    assert_eq!(controlled.refused(&mail), error);
    assert_eq!(controlled.refused(&["ready"]), error);
    controlled.tell(&["ready", "service=web"]);
    let unknown = controlled.refused(&["ready", "service=none"]);
    assert_eq!(unknown, "error: there is no service \"none\"\n");
}

#[test]
fn changes_are_logged_with_who_made_them() {
    let (_hosts, mut controlled) = start();
    controlled.tell(&words("setWeight", &["weight=7"]));
    let uid = rustix::process::getuid().as_raw();
    let line = controlled.txlb.wait_for("setWeight");
    assert!(line.contains(&format!("uid {uid}")), "{line}");
    assert!(line.contains("weight=7"), "{line}");
}

#[test]
fn each_argument_is_taken_as_it_is() {
    let (hosts, controlled) = start();
    let ip = format!("ip={}", hosts[0].address());
    let names = [
        r#"a "b\ c"#,
        r#""quoted""#,
        r"\u{41}",
        "=",
        "name=x",
        "--json",
        "ü\u{a0}💾",
        "'$HOME' *",
    ];
    for name in names {
        let name = format!("name={name}");
        controlled.tell(&["addHost", "service=web", "group=main", &name, &ip]);
    }
    let there: Vec<_> = running(&controlled).services[0].groups[0]
        .hosts
        .iter()
        .map(|host| host.name.clone())
        .collect();
    assert_eq!(there, [&["a", "b"], &names[..]].concat());
    for name in names {
        controlled.tell(&[
            "delHost",
            "service=web",
            "group=main",
            &format!("name={name}"),
        ]);
    }
}

#[test]
fn data_is_printed_as_it_is_and_fits_a_terminal() {
    let (_hosts, controlled) = start();
    let _session = Session::open(controlled.txlb.address());
    for question in ["status", "sessions", "help"] {
        let printed = controlled.tell(&[question]);
        assert!(printed.lines().count() > 1, "{printed}");
        for line in printed.lines() {
            assert!(line.chars().count() <= 78, "{line}");
            assert!(!line.starts_with("ok"), "{line}");
        }
    }
    assert!(controlled.tell(&["status"]).starts_with("txlb "));
    for question in ["status", "sessions", "config", "diff", "help"] {
        let printed = controlled.tell(&["--json", question]);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(printed.starts_with('{') && printed.ends_with("}\n"));
    }
}

#[test]
fn the_status_says_how_it_went() {
    let folder = Folder::new();
    let (_hosts, controlled) = start();
    let nobody = folder.file("nobody");
    let stale = folder.file("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["status"], 0, ""),
        (&["stauts"], 1, "error: "),
        (&["setWeight", "weight=1"], 1, "error: "),
        (&["delService", "service=other"], 1, "error: "),
        (&["begin"], 64, "several lines"),
        (&["-x"], 64, "txlb -h"),
    ];
    for (words, status, word) in cases {
        let finished = controlled.ctl(words);
        assert_eq!(finished.status, Some(*status), "{finished:?}");
        assert!(finished.stderr.contains(word), "{finished:?}");
    }
    for socket in [&nobody, &stale] {
        let finished = ctl(socket, &["status"]);
        assert_eq!(finished.status, Some(69), "{finished:?}");
        let does_help = format!("<control socket=\"{}\"/>", text(socket));
        assert!(finished.stderr.contains(&does_help), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1);
    }
}

/// Only root can run a program as another user.
#[test]
fn who_may_not_open_the_socket_is_told_so() {
    if !rustix::process::getuid().is_root() {
        return eprintln!("left out: needs root");
    }
    let (_hosts, controlled) = start();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(controlled.place.path(), open.clone()).unwrap();
    // The program may be in a folder that others cannot enter.
    let copy = controlled.place.file("txlb");
    fs::copy(program(), &copy).unwrap();
    fs::set_permissions(&copy, open).unwrap();
    let mut command = std::process::Command::new(copy);
    command.args(["ctl", "-C", text(&controlled.socket), "status"]);
    let finished = finish({
        command.uid(65534).gid(65534);
        command
    });
    assert_eq!(finished.status, Some(77), "{finished:?}");
    assert!(finished.stderr.contains("group"), "{finished:?}");
}

#[test]
fn lines_are_one_conversation_that_goes_on_after_an_error() {
    let (_hosts, controlled) = start();
    let finished = controlled.feed(
        "setWeight service=web group=main name=a weight=2\n\
         \n\
         setWeight service=web group=main name=c weight=2\n\
         begin\n\
         setWeight service=web group=main name=a weight=3\n\
         setWeight service=web group=main name=b weight=3\n\
         commit\n\
         begin\n\
         setWeight service=web group=main name=a weight=4\n\
         setWeight service=web group=main name=b weight=1000001\n\
         commit\n\
         begin\n\
         setWeight service=web group=main name=b weight=5\n",
    );
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "", "{finished:?}");
    let errors: Vec<_> = finished.stderr.lines().collect();
    let starts = [
        "error: line 3: ",
        "error: line 10: ",
        "error: line 11: ",
        "error: the batch was not committed",
        "txlb: there were 4 errors",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{errors:?}");
    }
    let weights: Vec<_> = running(&controlled).services[0].groups[0]
        .hosts
        .iter()
        .map(|host| host.weight)
        .collect();
    // A batch without commit changes nothing.
    assert_eq!(weights, [3, 3]);
    assert_eq!(controlled.feed("").status, Some(0));
    assert!(controlled.feed("status\n").stdout.starts_with("txlb "));
}

#[test]
fn a_client_that_stops_it_gets_its_response() {
    let (_hosts, mut controlled) = start();
    controlled.tell(&["shutdown", "grace=0"]);
    assert_eq!(controlled.txlb.wait_exit().code(), Some(0));
    assert!(!controlled.socket.exists());
}

/// Clients that open one session after the other and check every byte.
struct Traffic {
    over: Arc<AtomicBool>,
    sessions: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Traffic {
    fn start(address: SocketAddr, clients: usize) -> Traffic {
        let (over, sessions) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |_| {
            let (over, sessions) = (Arc::clone(&over), Arc::clone(&sessions));
            thread::spawn(move || {
                // One session that outlives all changes, then one after the other.
                let mut lasting = Session::open(address);
                while !over.load(Ordering::Relaxed) {
                    let mut session = Session::open(address);
                    session.echo(5000);
                    lasting.echo(100);
                    session.close();
                    sessions.fetch_add(1, Ordering::Relaxed);
                }
                lasting.close();
            })
        };
        let clients = (0..clients).map(client).collect();
        Traffic {
            over,
            sessions,
            clients,
        }
    }

    fn go_on(&self, more: u64) {
        let enough = self.sessions.load(Ordering::Relaxed) + more;
        until("traffic", || {
            self.sessions.load(Ordering::Relaxed) >= enough
        });
    }

    /// Checks that no client met an error.
    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
    }
}

/// Two files that differ in everything that can be changed, except a listener.
fn files(place: &Folder, socket: &str, hosts: &[Host]) -> [String; 2] {
    let at = |index: usize| hosts[index].address();
    let shared = free_address();
    let old = format!(
        "<config><service name=\"web\"><listen ip=\"{shared}\"/>\
         <listen ip=\"{}\"/>\
         <group name=\"blue\" scheduler=\"roundr\">\
         <host name=\"a\" ip=\"{}\"/><host name=\"b\" ip=\"{}\" weight=\"3\"/></group>\
         <group name=\"green\"><host name=\"c\" ip=\"{}\" state=\"drain\"/></group>\
         <enable group=\"blue\"/></service>\
         <control socket=\"{socket}\"/></config>",
        free_address(),
        at(0),
        at(1),
        at(2),
    );
    let new = format!(
        "<config><service name=\"mail box\"><listen ip=\"{}\"/>\
         <group name=\"main\" enable=\"true\"><host ip=\"{}\"/></group></service>\
         <service name=\"web\" idleTimeout=\"60\"><listen ip=\"{}\"/>\
         <listen ip=\"{shared}\"/>\
         <group name=\"green\" scheduler=\"weightlc,sticky\">\
         <host name=\"d &quot;\" ip=\"{}\"/><host name=\"c\" ip=\"{}\"/></group>\
         <group name=\"blue\" scheduler=\"p2c\"><host name=\"b\" ip=\"{}\"/></group>\
         <enable group=\"green\"/></service>\
         <admin><user name=\"ann\" password=\"$6$s$h\" access=\"readonly\"/></admin>\
         <manager><hostCheck interval=\"2\"/></manager>\
         <control socket=\"{socket}\"/><logging connections=\"true\"/></config>",
        free_address(),
        at(3),
        free_address(),
        at(3),
        at(2),
        at(1),
    );
    place.write("old.xml", &old);
    place.write("new.xml", &new);
    [old, new]
}

#[test]
fn a_difference_fed_to_it_makes_the_new_of_the_old_and_costs_no_client_anything() {
    let hosts = ["a", "b", "c", "d"].map(Host::new);
    let place = Folder::new();
    let socket = place.file("control");
    let [old, new] = files(&place, text(&socket), &hosts);
    let txlb = Txlb::start(&old);
    let controlled = Controlled {
        txlb,
        socket,
        place,
    };
    let shared = read(old.as_bytes()).unwrap().config.services[0].listens[0]
        .address
        .to_string();
    let traffic = Traffic::start(shared.parse().unwrap(), 8);
    let expected = |text: &str| read(text.as_bytes()).unwrap().config;
    for _ in 0..5 {
        for [from, to] in [["old.xml", "new.xml"], ["new.xml", "old.xml"]] {
            traffic.go_on(50);
            let [from, to_file] = [from, to].map(|name| controlled.place.file(name));
            let difference = run(&["diff", text(&from), text(&to_file)]).stdout;
            assert!(difference.lines().count() > 10, "{difference}");
            let finished = controlled.feed(&difference);
            assert_eq!(finished.status, Some(0), "{finished:?}");
            let mut expected = expected(if to == "new.xml" { &new } else { &old });
            // Password hashes are masked.
            let users = expected.admin.iter_mut().flat_map(|admin| &mut admin.users);
            users.for_each(|user| user.password = Some("***".to_owned()));
            assert_eq!(running(&controlled), expected);
        }
    }
    traffic.go_on(50);
    traffic.stop();
}

/// The last line of a list of changes that is indented: what was done by a change.
fn changes(controlled: &Controlled) -> Vec<String> {
    let history = controlled.tell(&["history"]);
    let lines = history.lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_change_is_taken_back_by_whoever_may_make_one() {
    let (_hosts, controlled) = start();
    let file = running(&controlled);
    controlled.tell(&["setWeight", "web:main/a", "weight=5"]);
    controlled.tell(&["DRAIN", "web:main/b"]);
    let history = controlled.tell(&["history"]);
    let head = history.lines().next().unwrap();
    assert!(
        head.starts_with("3 at 20") && head.contains(" by uid "),
        "{head}"
    );
    controlled.tell(&["undo"]);
    assert_eq!(
        changes(&controlled),
        [
            "hostAdminUp service=web group=main name=b, was state=drain",
            "drainHost service=web group=main name=b, was state=up",
            "setWeight service=web group=main name=a weight=5, was weight=1",
        ]
    );
    let error = controlled.refused(&["undo", "3"]);
    assert!(error.contains("generation 3 is undone already"), "{error}");
    controlled.tell(&["setWeight", "web:main/a", "weight=6"]);
    let error = controlled.refused(&["undo", "2"]);
    assert!(
        error.contains("generation 5 has changed the same"),
        "{error}"
    );
    controlled.tell(&["undo"]);
    controlled.tell(&["undo"]);
    assert_eq!(running(&controlled), file);
    // What leaves no usable host wants more than a number.
    controlled.tell(&["drainHost", "web:main/a"]);
    controlled.tell(&["addHost", "web:main/c", "ip=127.0.0.1:1"]);
    controlled.tell(&["drainHost", "web:main/b"]);
    let added = controlled.refused(&["undo", "9"]);
    assert!(added.contains("would have no usable host"), "{added}");
    controlled.tell(&["undo", "9", "force=true"]);
}

#[test]
fn without_a_terminal_no_name_is_cut_and_a_part_can_be_asked_for() {
    let name = "a name that is much longer than any column of a table";
    let hosts = [Host::new("a"), Host::new("b")];
    let config = web("", "roundr", &[hosts[0].address(), hosts[1].address()]);
    let config = config.replace("name=\"b\"", &format!("name=\"{name}\""));
    let controlled = Controlled::start(&config);
    assert!(controlled.tell(&["status"]).contains(&format!(" {name} ")));
    let part = controlled.tell(&["status", "web:main/a"]);
    assert!(part.contains("\n  a ") && !part.contains(name), "{part}");
    // What an operator wants is none.
    controlled.tell(&["drainHost", "web:main/a"]);
    let problems = controlled.tell(&["status", "problems"]);
    assert!(problems.ends_with("\nno problems\n"), "{problems}");
    // A group without a host for new sessions is one, whoever wanted it.
    controlled.tell(&["drainHost", &format!("web:main/{name}"), "force=true"]);
    let problems = controlled.tell(&["status", "problems"]);
    assert!(problems.contains("group main"), "{problems}");
    let error = controlled.refused(&["watch", "status"]);
    assert!(error.contains("it is for the prompt"), "{error}");
    let error = controlled.refused(&["status", "none"]);
    assert!(error.contains("there is no service \"none\""), "{error}");
}

#[test]
fn shells_are_told_names_and_nothing_where_nobody_answers() {
    let (_hosts, controlled) = start();
    let line = "line=drainHost service=web group=main name=";
    assert_eq!(controlled.tell(&["complete", line]), "name=a\nname=b\n");
    assert_eq!(
        controlled.tell(&["complete", "line=drainHost we"]),
        "web:main/a\nweb:main/b\n"
    );
    let nowhere = ctl(&controlled.place.file("nowhere"), &["complete", line]);
    assert_eq!((nowhere.stdout.as_str(), nowhere.stderr.as_str()), ("", ""));
    assert_ne!(nowhere.status, Some(0));
}

#[test]
fn programs_for_haproxy_get_what_they_know() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    let (_hosts, controlled) = start();
    let ask = |line: &str| {
        let mut socket = UnixStream::connect(&controlled.socket).unwrap();
        socket.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        // The connection ends by itself, as HAProxy's does.
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let stat = ask("show stat\n");
    assert!(stat.starts_with("# pxname,svname,"), "{stat}");
    assert!(stat.contains("\nweb:main,a,"), "{stat}");
    let both = ask("show info;show servers state\n");
    assert!(
        both.contains("Name: txlb\n") && both.contains(" web:main 1 a "),
        "{both}"
    );
    // In the page there is the same.
    assert_eq!(stat.matches("\nweb").count(), 4);
}
