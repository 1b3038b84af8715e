//! The samples that come with txlb, and files written for its ancestors, serve on all of their
//! listeners.

use std::fs;
use std::path::Path;

use crate::support::client::{who, who_in_turn};
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, command, run, text};
use crate::support::until;

/// The samples in `etc`, with their names.
fn samples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let files = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let samples = files.filter(|file| file.extension().is_some_and(|it| it == "xml"));
    samples
        .map(|file| (text(&file).to_owned(), fs::read_to_string(&file).unwrap()))
        .collect()
}

/// The text with every listener at a port that the system chooses.
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
    // The installed configuration uses this machine's folders, so it is not started here.
    files.push(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/txlb/config.xml").to_owned());
    let folder = Folder::new();
    for file in files {
        // The installer makes its folders, and its ports may be in use.
        let sample = at_free_ports(&fs::read_to_string(file).unwrap());
        let sample = sample.replace("/var/log/txlb", text(folder.path()));
        let file = folder.write("sample.xml", sample);
        let checked = run(&["-t", "-f", text(&file)]);
        assert_eq!(checked.status, Some(0), "{checked:?}");
        assert_eq!(
            checked.stderr,
            format!("{}: the configuration is good\n", file.display())
        );
    }
}

#[test]
fn the_samples_start_and_serve() {
    for (_, sample) in samples() {
        let host = Host::new("a");
        // All hosts of the samples are on the loopback. What listens there does not matter.
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

/// PythonDirector's dialect: `<pdconfig>`, `<client>`, `<enable>`, long names of schedulers,
/// the page as attributes, `<checktime>`.
const OLD: &str = r#"<!-- A director of old -->
<pdconfig>
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
  <admin listen="127.0.0.1:0" refresh="10">
    <user name="root" password="..xpoEyRReGzk" access="full"/>
    <user name="guest" password="..xpoEyRReGzk" access="readonly"/>
  </admin>
  <checktime time="120"/>
</pdconfig>
"#;

/// What Apple's calendar server wrote for its own PythonDirector.
const CALENDAR: &str = r#"
<pdconfig>

    <service name="Www">
        <listen ip=":0" />
<listen ip="127.0.0.1:0" />
    <group name="main" scheduler="leastconns">
        <host name="caldav-8009" ip="HOST-A" />
<host name="caldav-8010" ip="HOST-B" />
        </group>
        <enable group="main" />
    </service>


    <service name="Mail">
        <listen ip=":0" />
    <group name="main" scheduler="leastconnsrr">
        <host name="caldav-8443" ip="HOST-A" />
<host name="caldav-8444" ip="HOST-C" />
        </group>
        <enable group="main" />
    </service>

    <control socket="CONTROL" />
</pdconfig>
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
    <web secure="True" enable="True" listen="*:0" refresh="False" />
    <ssh listen="None" enable="False"/>
    <user name="admin" password="..xpoEyRReGzk" access="full"/>
  </admin>
  <manager>
    <hostCheck interval="10.0" enable="true"/>
    <configCheck interval="10" enable="false"/>
    <heartbeat interval="20" enable="false"/>
  </manager>
  <control socket="None" />
</config>
"#;

#[test]
fn files_of_both_ancestors_run_and_serve_on_all_listeners() {
    for dialect in [OLD, CALENDAR, NEW] {
        let hosts = ["a", "b", "c"].map(Host::new);
        let folder = Folder::new();
        let mut config = dialect.replace("CONTROL", text(&folder.file("pydir.sock")));
        for (letter, host) in ["A", "B", "C"].into_iter().zip(&hosts) {
            config = config.replace(&format!("HOST-{letter}"), &host.address().to_string());
        }
        let mut txlb = Txlb::start(&config);
        let www = txlb.addresses("Www");
        assert!(www.len() >= 2, "{www:?}");
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
    let logging = format!("<logging file=\"{}\"/></pdconfig>", text(&log));
    let config = OLD
        .replace("</pdconfig>", &logging)
        .replace("HOST-", "127.0.0.1:900");
    let config = config
        .replace("900A", "9001")
        .replace("900B", "9002")
        .replace("900C", "9003");
    let file = folder.write("config.xml", config);
    let mut txlb = Txlb::spawn(command(&["-f", text(&file)]), Folder::new());
    until("it has started", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains(" runs as process "))
    });
    assert_eq!(txlb.stop(), Some(0));
}

/// An ancestor's page from before July 2008, and a group that does not exist.
const NOT_ENABLED: &str = r#"<pdconfig>
  <service name="web">
    <listen ip="0.0.0.0:8080"/>
    <group name="servers" scheduler="roundrobin"><host name="a" ip="127.0.0.1:7001"/></group>
    <enable group="web"/>
  </service>
  <admin listen="localhost:7000" secure="secure" refresh="10">
    <user name="admin" password="..xpoEyRReGzk" access="full"/>
  </admin>
</pdconfig>
"#;

#[test]
fn a_file_that_was_an_error_for_its_own_program_is_one_still() {
    let folder = Folder::new();
    let file = folder.write("config.xml", NOT_ENABLED);
    let checked = run(&["-t", "-f", text(&file)]);
    let why = "5:13: service \"web\" has no group \"web\": allowed here: \"servers\"";
    assert_eq!(checked.status, Some(65));
    assert_eq!(checked.stderr, format!("{}:{why}\n", file.display()));
    let mended = NOT_ENABLED.replace("group=\"web\"", "group=\"servers\"");
    let file = folder.write("mended.xml", mended);
    let shown = run(&["-T", "-f", text(&file)]);
    assert_eq!(shown.status, Some(0), "{shown:?}");
    let web = r#"<web listen="localhost:7000" enable="true" secure="true" refresh="10"/>"#;
    assert!(shown.stdout.contains(web), "{}", shown.stdout);
}

#[test]
fn a_control_socket_called_none_is_made_nowhere() {
    let folder = Folder::new();
    let config = NEW.replace("HOST-", "127.0.0.1:900A");
    let config = config
        .replace("AA", "1")
        .replace("AB", "2")
        .replace("AC", "3");
    let file = folder.write("config.xml", config);
    let mut command = command(&["-f", text(&file)]);
    command.current_dir(folder.path());
    let mut txlb = Txlb::spawn(command, folder);
    txlb.wait_for(" runs as process ");
    assert!(!txlb.folder.file("None").exists());
    assert_eq!(txlb.stop(), Some(0));
}
