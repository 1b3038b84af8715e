//! Checks of hosts by what they say, and agents beside them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::client::{Session, who, who_in_turn};
use crate::support::config::web;
use crate::support::control::Controlled;
use crate::support::host::{Host, Listener, Place};
use crate::support::txlb::{Txlb, run, text};
use crate::support::{pause, until};
use rustix::process::Signal;

/// A service "web" whose group "main" has these checks.
fn checked(checks: &str, hosts: &[SocketAddr]) -> String {
    let config = web("connectTimeout='0.5'", "roundr", hosts);
    config.replacen("enable=\"true\">", &format!("enable=\"true\">{checks}"), 1)
}

/// A server that says the same to everybody, once it was asked if it waits for that, and closes.
#[derive(Clone)]
struct Speaker {
    address: SocketAddr,
    /// What it says, and how many have come.
    said: Arc<Mutex<(String, usize)>>,
}

impl Speaker {
    fn new(answer: &str) -> Speaker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let speaker = Speaker {
            address: listener.local_addr().unwrap(),
            said: Arc::new(Mutex::new((answer.to_owned(), 0))),
        };
        let said = Arc::clone(&speaker.said);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(mut client) = client else { return };
                let answer = {
                    let mut said = said.lock().unwrap();
                    said.1 += 1;
                    said.0.clone()
                };
                client
                    .set_read_timeout(Some(Duration::from_millis(200)))
                    .unwrap();
                if answer.starts_with("HTTP") {
                    let _ = client.read(&mut [0; 1024]);
                }
                let _ = client.write_all(answer.as_bytes());
            }
        });
        speaker
    }

    fn say(&self, answer: &str) {
        answer.clone_into(&mut self.said.lock().unwrap().0);
    }

    fn asked(&self) -> usize {
        self.said.lock().unwrap().1
    }
}

#[test]
fn a_host_that_answers_wrongly_gets_no_sessions() {
    let hosts = [Host::new("a"), Host::new("b")];
    let addresses = hosts.each_ref().map(Host::address);
    let check = "<check type='send' expect='a\\n' interval='0.05' fall='2'/>";
    let mut txlb = Txlb::start(&checked(check, &addresses));
    txlb.wait_for("host web:main/b is down: expected \"a\\n\" in the answer, got \"b\\n\"");
    assert_eq!(who_in_turn(txlb.address(), 6), "aaaaaa");
    // That it accepts sessions does not make it healthy.
    pause(Duration::from_millis(300));
    assert_eq!(txlb.count("is up"), 0);
}

#[test]
fn a_host_is_down_and_up_by_its_http_status() {
    let (host, other) = (Host::new("a"), Host::new("b"));
    let page = Speaker::new("HTTP/1.1 200 OK\r\n\r\n");
    let port = page.address.port();
    let check = format!("<check type='http' port='{port}' interval='0.05' rise='2' fall='2'/>");
    let mut txlb = Txlb::start(&checked(&check, &[host.address(), other.address()]));
    until("the page was asked", || page.asked() > 4);
    page.say("HTTP/1.0 503 Service Unavailable\r\n\r\n");
    let reason = format!(
        "host web:main/a is down: 127.0.0.1:{port}: expected status 200-399 of GET /, got 503 \
         Service Unavailable"
    );
    txlb.wait_for(&reason);
    page.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    txlb.wait_for("host web:main/a is up");
    page.say("\u{15}\u{3}\u{1}\0\u{2}\u{2}F");
    txlb.wait_for("host web:main/a is down");
    assert!(txlb.has_said("it speaks TLS"));
}

#[test]
fn a_host_that_refused_a_session_comes_back_by_its_checks() {
    let (place, other) = (Place::new(), Host::new("b"));
    let hosts = [place.address(), other.address()];
    // A heartbeat or a health check would bring it back at once.
    let config = checked("<check type='tcp' interval='0.2' rise='3'/>", &hosts).replace(
        "</config>",
        "<manager><hostCheck interval='0.05'/><heartbeat interval='0.05' enable='true'/></manager>\
         </config>",
    );
    let mut txlb = Txlb::start(&config);
    assert_eq!(who_in_turn(txlb.address(), 2), "bb");
    txlb.wait_for("host web:main/a is down: connection refused");
    let back = place.listen();
    for _ in 0..3 {
        assert_eq!(txlb.count("is up"), 0);
        drop(back.accept());
    }
    txlb.wait_for("host web:main/a is up");
}

#[test]
fn a_host_that_accepts_and_says_nothing_fails_after_the_timeout_of_the_check() {
    let (silent, other) = (Listener::new(), Host::new("b"));
    let check = "<check type='send' expect='\\n' timeout='0.1' interval='0.1' fall='1'/>";
    let hosts = [silent.address(), other.address()];
    let mut txlb = Txlb::start(&checked(check, &hosts));
    let reason = "host web:main/a is down: expected an answer within 0.1 s, got none";
    txlb.wait_for(reason);
    assert_eq!(who_in_turn(txlb.address(), 3), "bbb");
}

#[test]
fn all_checks_must_hold() {
    let (host, other) = (Host::new("a"), Host::new("b"));
    let [one, two] = [Speaker::new("good"), Speaker::new("good")];
    let check = |speaker: &Speaker| {
        let port = speaker.address.port();
        format!(
            "<check type='send' port='{port}' expect='good' interval='0.05' fall='1' rise='1'/>"
        )
    };
    let checks = check(&one) + &check(&two);
    let mut txlb = Txlb::start(&checked(&checks, &[host.address(), other.address()]));
    until("both were asked", || one.asked() > 2 && two.asked() > 2);
    one.say("bad");
    txlb.wait_for("host web:main/a is down");
    two.say("bad");
    pause(Duration::from_millis(200));
    one.say("good");
    pause(Duration::from_millis(200));
    assert_eq!(txlb.count("is up"), 0);
    two.say("good");
    txlb.wait_for("host web:main/a is up");
}

#[test]
fn a_process_that_was_stopped_blames_no_host() {
    let hosts = [Host::new("a"), Host::new("b")];
    let addresses = hosts.each_ref().map(Host::address);
    // The hosts are threads of this process: the timeout is long for a busy machine.
    let check = "<check type='send' expect='\\n' timeout='1' interval='0.02' fall='1'/>";
    let mut txlb = Txlb::start(&checked(check, &addresses));
    for _ in 0..3 {
        pause(Duration::from_millis(100));
        txlb.signal(Signal::STOP);
        pause(Duration::from_millis(1200));
        txlb.signal(Signal::CONT);
    }
    pause(Duration::from_millis(300));
    assert_eq!(txlb.count("is down"), 0);
}

#[test]
fn an_untried_host_whose_check_failed_is_a_problem() {
    let hosts = [Host::new("a"), Host::new("b")];
    // It stays untried: it may fail more often than it does here.
    let check = "<check type='send' expect='a\\n' timeout='0.1' interval='0.05' fall='1000'/>";
    let running = Controlled::start(&checked(check, &hosts.each_ref().map(Host::address)));
    let problems = || running.tell(&["status", "Prob"]);
    let why = "its last check failed: expected \"a\\n\" in the answer, got \"b\\n\"";
    until("b is a problem", || problems().contains(why));
    let shown = problems();
    assert!(
        shown.contains(" untried ") && !shown.contains(" healthy "),
        "{shown}"
    );
}

#[test]
fn each_result_that_differs_is_logged_if_the_check_says_so() {
    let host = Host::new("a");
    let page = Speaker::new("one");
    let port = page.address.port();
    let check = format!(
        "<check type='send' port='{port}' expect='one' interval='0.05' fall='1000' log='true'/>"
    );
    let mut txlb = Txlb::start(&checked(&check, &[host.address()]));
    until("the first result is logged", || {
        txlb.count("check send of host web:main/a: passed") == 1
    });
    page.say("two");
    txlb.wait_for("check send of host web:main/a: failed: 127.0.0.1:");
    assert!(txlb.has_said("expected \"one\" in the answer, got \"two\""));
    page.say("one");
    txlb.wait_for("check send of host web:main/a: passed");
    txlb.wait_for_count("check send", 3);
    // It has failed less often than it may.
    assert_eq!(txlb.count("is down"), 0);
}

#[test]
fn verbs_change_checks_while_txlb_runs_and_the_file_keeps_its_comments() {
    let hosts = [Host::new("a"), Host::new("b")];
    let addresses = hosts.each_ref().map(Host::address);
    let config = checked("<!-- by name --><check type='tcp'/>", &addresses);
    let mut running = Controlled::start(&config);
    let tell = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        running.tell(&words)
    };
    tell("addCheck service=web group=main type=send expect=a interval=0.05 rise=1 fall=1");
    running
        .txlb
        .wait_for("host web:main/b is down: expected \"a\" in the answer");
    let tell = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        running.tell(&words)
    };
    let reason = r#""last_error":"expected \"a\" in the answer, got \"b\\n\" in 1 s""#;
    let status = tell("--json status").replace([' ', '\n'], "");
    assert!(status.contains(&reason.replace(' ', "")), "{status}");
    tell("setCheck service=web group=main check=2 expect=b");
    running.txlb.wait_for("host web:main/b is up");
    running.txlb.wait_for("host web:main/a is down");
    running.tell(&["delCheck", "service=web", "group=main", "check=1"]);
    running.tell(&["saveConfig"]);
    let saved = fs::read_to_string(running.txlb.config_file()).unwrap();
    assert!(saved.contains("<!-- by name -->"), "{saved}");
    assert!(
        saved.contains("expect=\"b\"") && !saved.contains("type='tcp'"),
        "{saved}"
    );
    // Without checks, hostCheck brings it back.
    running.tell(&["delCheck", "service=web", "group=main", "check=1"]);
    running.tell(&["setOption", "name=manager.hostCheck.interval", "value=0.1"]);
    running.txlb.wait_for("host web:main/a is up");
}

#[test]
fn what_an_agent_says_is_in_force_and_shown_and_never_saved() {
    let hosts = [Host::new("a"), Host::new("b")];
    let addresses = hosts.each_ref().map(Host::address);
    let agent = Speaker::new("ready up 100%\n");
    let address = agent.address;
    let check = format!(
        "<check type='agent' port='{}' interval='0.05'/>",
        address.port()
    );
    // The agent answers for both hosts: only what concerns all is told apart below.
    let mut running = Controlled::start(&checked(&check, &addresses));
    until("the agent was asked", || agent.asked() > 4);
    agent.say("50% maxconn:1\n");
    running
        .txlb
        .wait_for("agent of host web:main/a says ready, 50%, maxconn:1");
    until("both heard it", || {
        running
            .tell(&["status"])
            .matches("agent: ready, 50%, maxconn:1")
            .count()
            == 2
    });
    assert!(
        running
            .tell(&["--json", "status"])
            .contains("\"agent\":\"ready, 50%, maxconn:1\"")
    );
    // One session each, and no third.
    let (one, two) = (
        Session::open(running.txlb.address()),
        Session::open(running.txlb.address()),
    );
    let (third, _) = crate::support::client::fate(running.txlb.address());
    assert_eq!(third, b"");
    let mut names = [one.close(), two.close()];
    names.sort();
    agent.say("maxconn:0 stopped # for lunch\r\n");
    running
        .txlb
        .wait_for("host web:main/a is down: the agent says stopped: for lunch");
    agent.say("up drain\n");
    running.txlb.wait_for("host web:main/a is up");
    until("both drain", || {
        running.tell(&["status"]).matches("drain/").count() == 2
    });
    agent.say("maint\n");
    until("both are down", || {
        running.tell(&["status"]).matches("down/").count() == 2
    });
    agent.say("no end of the line");
    pause(Duration::from_millis(300));
    assert_eq!(running.tell(&["status"]).matches("down/").count(), 2);
    agent.say("ready\n");
    until("both are back", || {
        !running.tell(&["status"]).contains("down/")
    });
    assert!(["a", "b"].contains(&who(running.txlb.address()).as_str()));
    assert_eq!(running.tell(&["diff"]), "");
    // With the check, all is forgotten.
    running.tell(&["delCheck", "service=web", "group=main", "check=1"]);
    assert!(!running.tell(&["status"]).contains("agent:"));
}

#[test]
fn an_agent_that_cannot_be_reached_changes_nothing() {
    let (host, place) = (Host::new("a"), Place::new());
    let check = format!(
        "<check type='agent' port='{}' interval='0.05' timeout='0.1' log='true'/>",
        place.address().port()
    );
    let mut txlb = Txlb::start(&checked(&check, &[host.address()]));
    let no_report = "check agent of host web:main/a: no report: ";
    until("the check is logged", || txlb.count(no_report) > 0);
    assert_eq!(who(txlb.address()), "a");
    let silent = place.fall_silent();
    until("another reason", || txlb.count(no_report) > 1);
    drop(silent);
    assert_eq!(who(txlb.address()), "a");
    assert_eq!(txlb.count("is down"), 0);
}

#[test]
fn a_check_is_printed_with_every_value() {
    let config = checked("<check type='http'/>", &["127.0.0.1:1".parse().unwrap()]);
    let folder = crate::support::txlb::Folder::new();
    let file = folder.write("config.xml", config);
    let printed = run(&["-T", "-f", text(&file)]).stdout;
    let check = "<check type=\"http\" interval=\"2\" timeout=\"1\" rise=\"2\" fall=\"3\" send=\"\" \
                 expect=\"\" path=\"/\" status=\"200-399\" hostname=\"\" log=\"false\"/>";
    assert!(printed.contains(check), "{printed}");
}
