//! The samples that come with txlb, and files written for its ancestors, run
//! and serve on all of their listeners.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use support::client::{who, who_in_turn};
use support::host::Host;
use support::txlb::{Folder, Txlb, run, text};

/// The samples in `etc`, with their names.
fn samples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let samples = files.filter(|file| file.extension().is_some_and(|it| it == "xml"));
    samples
        .map(|file| {
            (
                text(&file).to_owned(),
                std::fs::read_to_string(&file).unwrap(),
            )
        })
        .collect()
}

/// The text with every listener at a port the system chooses.
fn at_free_ports(text: &str) -> String {
    let mut parts = text.split("<listen ip=\"");
    let mut result = parts.next().unwrap().to_owned();
    for part in parts {
        let (address, rest) = part.split_once('"').unwrap();
        let (ip, _port) = address.rsplit_once(':').unwrap();
        result += &format!("<listen ip=\"{ip}:0\"{rest}");
    }
    result
}

#[test]
fn the_samples_are_good_without_a_warning() {
    let mut files: Vec<_> = samples().into_iter().map(|(file, _)| file).collect();
    assert!(files.len() >= 2);
    // What is installed is for this machine's own folders, so it is not started here.
    files.push(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/txlb/config.xml").to_owned());
    for file in files {
        let checked = run(&["-t", "-f", &file]);
        assert_eq!(checked.status, Some(0), "{checked:?}");
        assert_eq!(
            checked.stderr,
            format!("{file}: the configuration is good\n")
        );
    }
}

#[test]
fn the_samples_start_and_serve() {
    for (_, sample) in samples() {
        let host = Host::new("a");
        // All the addresses that the samples have hosts at are this one's: who
        // is at them on this machine, if anybody, is no concern of the test.
        let hosts =
            ["8081", "8082", "8083", "8026", "8027"].map(|port| format!("127.0.0.1:{port}"));
        let here = host.address().to_string();
        let sample = at_free_ports(&sample);
        let config = hosts
            .iter()
            .fold(sample, |text, place| text.replace(place, &here));
        let mut txlb = Txlb::start(&config);
        for address in txlb.addresses("web") {
            assert_eq!(who(address), "a");
        }
        assert_eq!(txlb.stop(), Some(0));
    }
}

/// PythonDirector's dialect: `<client>`, `<enable>`, long names of schedulers,
/// the door as an attribute, `<manager>` with one.
const OLD: &str = r#"<!-- A director of old -->
<config>
  <service name="Www">
    <listen ip="127.0.0.1:0"/>
    <listen ip="0.0.0.0:0"/>
    <group name="one" scheduler="leastconns">
      <client name="a" ip="HOST-A"/>
      <client name="b" ip="HOST-B"/>
    </group>
    <group name="two" scheduler="roundrobin">
      <host name="c" ip="HOST-C"/>
    </group>
    <enable group="one"/>
  </service>
  <service name="Mail">
    <listen ip="localhost:0"/>
    <group name="only" scheduler="leastconnsrr">
      <client name="c" ip="HOST-C"/>
      <client ip="HOST-A"/>
    </group>
    <enable group="only"/>
  </service>
  <admin listen="127.0.0.1:0">
    <user name="root" password="..xpoEyRReGzk" access="full"/>
    <user name="guest" password="..xpoEyRReGzk" access="readonly"/>
  </admin>
  <manager hostCheckInterval="10.0"/>
</config>
"#;

/// txLoadBalancer's dialect, as it was written by hand and by itself.
const NEW: &str = r#"<?xml version="1.0"?>
<!DOCTYPE config SYSTEM "config.dtd">
<config>
  <service name="Www">
    <listen ip="127.0.0.1:0"/>
    <listen ip="*:0"/>
    <group name="one" scheduler="leastc" enable="True">
      <host name="a" ip="HOST-A" weight="1"/>
      <host name="b" ip="HOST-B" weight="1"/>
    </group>
    <group name="two" scheduler="weightr" enable="False">
      <host name="c" ip="HOST-C" weight="20"/>
    </group>
  </service>
  <service name="Mail">
    <note>Moved here in spring.</note>
    <listen ip="localhost:0"/>
    <group name="only" scheduler="leastcrr" enable="true">
      <host name="c" ip="HOST-C"/>
      <host name="a" ip="HOST-A"/>
    </group>
  </service>
  <admin>
    <web listen="*:0" enable="true" secure="true" refresh="10"/>
    <ssh listen="None" enable="False"/>
    <user name="admin" password="..xpoEyRReGzk" access="full"/>
  </admin>
  <manager>
    <hostCheck interval="10.0" enable="true"/>
    <configCheck interval="10" enable="false"/>
    <heartbeat interval="20" enable="false"/>
  </manager>
</config>
"#;

#[test]
fn files_of_both_ancestors_run_and_serve_on_all_listeners() {
    for dialect in [OLD, NEW] {
        let hosts = ["a", "b", "c"].map(Host::new);
        let mut config = dialect.to_owned();
        for (letter, host) in ["A", "B", "C"].into_iter().zip(&hosts) {
            config = config.replace(&format!("HOST-{letter}"), &host.address().to_string());
        }
        let mut txlb = Txlb::start(&config);
        let www = txlb.addresses("Www");
        assert_eq!(www.len(), 2);
        assert_eq!(
            www.iter()
                .map(|address| who_in_turn(*address, 2))
                .collect::<String>(),
            "abab"
        );
        let mail = txlb.addresses("Mail");
        assert!(!mail.is_empty());
        for address in mail {
            let mut names = [who(address), who(address)];
            names.sort();
            assert_eq!(names, ["a", "c"]);
        }
        assert_eq!(txlb.stop(), Some(0));
    }
}

#[test]
fn an_ancestors_log_is_written_where_its_file_says() {
    let folder = Folder::new();
    let log = folder.file("director.log");
    let logging = format!("<logging file=\"{}\"/></config>", text(&log));
    let config = OLD
        .replace("</config>", &logging)
        .replace("HOST-", "127.0.0.1:900");
    let config = config
        .replace("900A", "9001")
        .replace("900B", "9002")
        .replace("900C", "9003");
    let file = folder.write("config.xml", config);
    let mut txlb = Txlb::spawn(support::txlb::command(&["-f", text(&file)]), Folder::new());
    support::until("it has started", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains(" runs as process "))
    });
    assert_eq!(txlb.stop(), Some(0));
}
