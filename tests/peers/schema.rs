//! `etc/txlb.rng` as xmllint understands it: what the reader accepts is valid, and what it refuses
//! for its form is not.
//!
//! Needs Debian's libxml2-utils. That the file is the reader's table is a test without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::txlb::Folder;
use txlb::config::{ElementSchema, read, schema};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file() -> PathBuf {
    top().join("etc/txlb.rng")
}

/// Every configuration in the tree: samples, examples, and files as the ancestors had them.
fn samples() -> Vec<String> {
    let mut samples = Vec::new();
    for folder in ["etc", "etc/txlb"] {
        let entries = fs::read_dir(top().join(folder)).into_iter().flatten();
        let files = entries.flatten().map(|entry| entry.path());
        for file in files.filter(|file| file.extension().is_some_and(|it| it == "xml")) {
            samples.push(fs::read_to_string(file).unwrap());
        }
    }
    for page in ["README.md", "man/txlb.xml.5", "tests/it/samples.rs"] {
        let page = fs::read_to_string(top().join(page)).unwrap();
        for root in ["config", "pdconfig"] {
            let start = format!("<{root}>\n");
            let starts = page.match_indices(&start).map(|(at, _)| at);
            let end = format!("\n</{root}>");
            let ends = |start: usize| page[start..].find(&end).map(|length| start + length);
            let found = starts.filter_map(|start| Some(&page[start..ends(start)?]));
            samples.extend(found.map(|text| format!("{text}{end}\n")));
        }
    }
    samples
}

/// What xmllint says of these: whether each is valid by the schema.
fn verdicts(texts: &[String]) -> Vec<bool> {
    let folder = Folder::new();
    let files: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| folder.write(&format!("{number}.xml"), text))
        .collect();
    let mut xmllint = Command::new("xmllint");
    xmllint
        .args(["--nonet", "--noout", "--relaxng"])
        .arg(file())
        .args(&files);
    let said = String::from_utf8(xmllint.output().unwrap().stderr).unwrap();
    let says = |file: &Path, what: &str| said.contains(&format!("{} {what}\n", file.display()));
    let verdict = |file: &PathBuf| match (says(file, "validates"), says(file, "fails to validate"))
    {
        (true, false) => true,
        (false, true) => false,
        _ => panic!("{said}"),
    };
    files.iter().map(verdict).collect()
}

#[test]
#[ignore = "needs xmllint"]
fn every_sample_is_valid() {
    let samples = samples();
    assert!(samples.len() >= 8, "{}", samples.len());
    for (sample, valid) in samples.iter().zip(verdicts(&samples)) {
        assert!(valid, "{sample}");
    }
}

/// A configuration that has every element but those of [`OLD`].
const WHOLE: &str = r#"<config>
  <service name="s" connectTimeout=".5" idleTimeout="7." halfClosedTimeout="0" firstBytesTimeout="1.5">
    stray text <note lang="en">with <b xmlns="urn:x">anything</b></note>
    <listen ip="*:8080" proxy="require" proxyFrom="10.0.0.0/8, ::1"/>
    <route sni="a.example *.b.example" alpn="h2" group="old"/>
    <group name="g" scheduler="leastc,sticky" sendProxy="v2" replay="16384"><host name="h" ip="127.0.0.1:1" weight="01000000" state="drain"/></group>
    <group name="old" scheduler="leastconns" enable="Nonsense"><client name="h" ip="127.0.0.1:1"/></group>
    <enable group="g"/>
  </service>
  <admin>
    <web listen="localhost:7001" enable="no" secure="true" refresh="10"/>
    <ssh listen="None" enable="false"/>
    <user name="u" password="x" access="ReadOnly"><key>KEY</key></user>
  </admin>
  <manager><hostCheck interval="1"/><configCheck/><heartbeat/></manager>
  <control socket="/x" amp="No" ampSocket="/y" ampMode="0666"/>
  <logging file="/x" connections="true"/>
</config>
"#;

/// The only listener in it.
const LISTEN: &str = r#"<listen ip="*:8080" proxy="require" proxyFrom="10.0.0.0/8, ::1"/>"#;

/// A configuration that has old forms of some.
const OLD: &str = r#"<pdconfig>
  <service name="s">
    <listen ip="*:8080"/>
    <group name="g" scheduler="leastconns"><client ip="127.0.0.1:1"/></group>
    <enable group="g"/>
  </service>
  <admin listen="localhost:7000" secure="secure" refresh="False">
    <user name="u" password="x" access="full"/>
  </admin>
  <checktime time="120"/>
  <control socket="None"/>
</pdconfig>
"#;

/// A key as users have it; it is nobody's.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVERUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVF";

/// Each element of it made wrong in turn, and its attributes.
fn wrong_elements(whole: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_there = |element: &&ElementSchema| {
        let end = |text: &str| text.starts_with([' ', '>', '/']);
        let start = format!("<{}", element.name);
        element.name != "note"
            && whole
                .match_indices(&start)
                .any(|(at, it)| end(&whole[at + it.len()..]))
    };
    for element in schema().iter().filter(is_there) {
        let start = format!("<{}", element.name);
        let at = |text: &str, it: &str| whole.replacen(text, it, 1);
        wrong.push(at(&start, &format!("{start} nobodyKnows=\"this\"")));
        if !element.name.ends_with("config") {
            wrong.push(at(&start, &format!("<nobodyKnows/>{start}")));
        }
        for attribute in element.attributes.iter().filter(|it| it.required) {
            let position = whole.find(&format!("{start} ")).unwrap();
            let (before, rest) = whole.split_at(position);
            let named = format!(" {}=\"", attribute.name);
            let (kept, value) = rest.split_once(&named).unwrap();
            let (_, behind) = value.split_once('"').unwrap();
            wrong.push(format!("{before}{kept}{behind}"));
        }
    }
    wrong
}

fn wrong() -> Vec<String> {
    let mut wrong = [wrong_elements(WHOLE), wrong_elements(OLD)].concat();
    wrong.push(OLD.replacen("refresh=\"False\"", "refresh=\"never\"", 1));
    wrong.push(OLD.replacen("time=\"120\"", "time=\"2 m\"", 1));
    let values = [
        ("ReadOnly", "reader"),
        ("leastc,sticky", "leastc,stick"),
        ("01000000", "1000001"),
        ("drain", "drained"),
        ("\"No\"", "\"nope\""),
        ("0666", "1777"),
        ("\".5\"", "\"5 s\""),
        ("name=\"h\"", "name=\"\""),
        ("\"require\"", "\"yes\""),
        ("\"v2\"", "\"v3\""),
        ("*.b.example", "*b.example"),
        ("\"16384\"", "\"16k\""),
    ];
    wrong.extend(values.map(|(good, bad)| WHOLE.replacen(good, bad, 1)));
    let doubled = [
        "<control socket=\"/x\" amp=\"No\" ampSocket=\"/y\" ampMode=\"0666\"/>",
        "<enable group=\"g\"/>",
        "<heartbeat/>",
    ];
    wrong.extend(doubled.map(|it| WHOLE.replacen(it, &it.repeat(2), 1)));
    wrong.push(WHOLE.replacen(LISTEN, "", 1));
    wrong
}

#[test]
#[ignore = "needs xmllint"]
fn what_the_reader_refuses_for_its_form_is_not_valid() {
    let valid = [WHOLE.replace("KEY", KEY), OLD.to_owned()];
    for text in &valid {
        read(text.as_bytes()).unwrap();
    }
    assert_eq!(verdicts(&valid), [true, true]);
    let wrong: Vec<String> = wrong()
        .iter()
        .map(|text| text.replace("KEY", KEY))
        .collect();
    assert!(wrong.len() > 40, "{}", wrong.len());
    for (text, valid) in wrong.iter().zip(verdicts(&wrong)) {
        assert!(read(text.as_bytes()).is_err(), "{text}");
        assert!(!valid, "{text}");
    }
}
