//! Keeps `etc/txlb.rng`, the schema by which editors check and complete a configuration,
//! and the reader's own table together.
//!
//! `TXLB_WRITE=1 cargo test --test editors` writes it anew. What the schema accepts is asked
//! of xmllint, in tests that are ignored unless asked for. It knows no more than elements,
//! attributes and the spelling of values: what these mean is for `txlb -t` to check.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::txlb::Folder;
use txlb::config::{AttributeSchema, ChildSchema, ElementSchema, Occurs, Scheduler, read, schema};

const START: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!--
  The configuration of txlb(8), as RELAX NG, for editors; see txlb.xml(5). It knows the
  elements, the attributes and how values are spelled; "txlb -t -f FILE" checks the rest.

  Made from txlb's own table by tests/editors.rs: not to be changed by hand.
-->
<grammar xmlns="http://relaxng.org/ns/structure/1.0" datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <start>
    <choice>
      <ref name="config"/>
      <ref name="pdconfig"/>
    </choice>
  </start>
"#;

/// A note may hold anything, and stand anywhere between texts, which mean nothing.
const END: &str = r#"
  <define name="note">
    <element name="note">
      <ref name="anything"/>
    </element>
  </define>

  <define name="ignored">
    <interleave>
      <text/>
      <zeroOrMore>
        <ref name="note"/>
      </zeroOrMore>
    </interleave>
  </define>

  <define name="anything">
    <zeroOrMore>
      <choice>
        <text/>
        <attribute>
          <anyName/>
        </attribute>
        <element>
          <anyName/>
          <ref name="anything"/>
        </element>
      </choice>
    </zeroOrMore>
  </define>
</grammar>
"#;

const NAME: &str = r#"<data type="string"><param name="minLength">1</param><param name="maxLength">255</param></data>"#;
const SECONDS: &str = r#"<data type="string"><param name="pattern">([0-9]+(\.[0-9]*)?|\.[0-9]+)(ms|s|m|h|d)?</param></data>"#;
const WEIGHT: &str =
    r#"<data type="string"><param name="pattern">0*([0-9]{1,6}|1000000)</param></data>"#;
const PREFIX: &str = r#"<data type="string"><param name="pattern">0*([1-9][0-9]?|1[01][0-9]|12[0-8])</param></data>"#;
const BOOLEAN: &str = r#"<data type="string"><param name="pattern">[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff]|[Ee][Nn][Aa][Bb][Ll][Ee]|[Dd][Ii][Ss][Aa][Bb][Ll][Ee]</param></data>"#;
const DIGIT: &str = r#"<data type="string"><param name="pattern">[01]</param></data>"#;
const MODE: &str = r#"<data type="string"><param name="pattern">0?[0-7]{3}</param></data>"#;
const ANY_CASE: &str = r#"<data type="string"><param name="pattern">[Ff][Uu][Ll][Ll]|[Rr][Ee][Aa][Dd][Oo][Nn][Ll][Yy]</param></data>"#;

/// What the value of an attribute is spelled like. Choices come first in lists, so that
/// editors offer them.
fn value(attribute: &str) -> Vec<String> {
    let words = |words: &[&str]| -> Vec<String> {
        let words = words.iter();
        words
            .map(|word| format!(r#"<value type="string">{word}</value>"#))
            .collect()
    };
    match attribute {
        "name" | "group" => vec![NAME.to_owned()],
        "weight" => vec![WEIGHT.to_owned()],
        "stickyPrefix" => vec![PREFIX.to_owned()],
        // A boolean of old, too.
        "refresh" => [
            vec![SECONDS.to_owned()],
            words(&["true", "false"]),
            vec![BOOLEAN.to_owned()],
        ]
        .concat(),
        "interval" | "time" | "hostCheckInterval" | "connectTimeout" | "idleTimeout"
        | "halfClosedTimeout" => vec![SECONDS.to_owned()],
        "state" => words(&["up", "drain", "down"]),
        "access" => [words(&["full", "readonly"]), vec![ANY_CASE.to_owned()]].concat(),
        "amp" | "connections" => [
            words(&["true", "false"]),
            vec![BOOLEAN.to_owned(), DIGIT.to_owned()],
        ]
        .concat(),
        "ampMode" => vec![MODE.to_owned()],
        "enable" | "secure" => {
            // Whatever is not true is false.
            [words(&["true", "false"]), vec!["<text/>".to_owned()]].concat()
        }
        "scheduler" => {
            let spellings =
                Scheduler::spellings().flat_map(|it| [it.to_owned(), format!("{it},sticky")]);
            let spellings: Vec<String> = spellings.collect();
            words(&spellings.iter().map(String::as_str).collect::<Vec<_>>())
        }
        _ => vec!["<text/>".to_owned()],
    }
}

fn push(text: &mut String, depth: usize, line: &str) {
    writeln!(text, "{}{line}", "  ".repeat(depth)).unwrap();
}

/// Writes `inside` between the tags of `name`.
fn within(text: &mut String, depth: usize, name: &str, inside: impl FnOnce(&mut String, usize)) {
    push(text, depth, &format!("<{name}>"));
    inside(text, depth + 1);
    let name = name.split(' ').next().unwrap();
    push(text, depth, &format!("</{name}>"));
}

fn attribute(text: &mut String, depth: usize, attribute: &AttributeSchema) {
    let write = |text: &mut String, depth| {
        let tag = format!("attribute name=\"{}\"", attribute.name);
        within(text, depth, &tag, |text, depth| {
            let values = value(attribute.name);
            match &values[..] {
                [one] => push(text, depth, one),
                several => within(text, depth, "choice", |text, depth| {
                    several.iter().for_each(|each| push(text, depth, each));
                }),
            }
        });
    };
    match attribute.required {
        true => write(text, depth),
        false => within(text, depth, "optional", write),
    }
}

fn child(text: &mut String, depth: usize, child: &ChildSchema) {
    let occurs = match child.occurs {
        Occurs::AtMostOnce => "optional",
        Occurs::AnyNumber => "zeroOrMore",
        Occurs::AtLeastOnce => "oneOrMore",
    };
    within(text, depth, occurs, |text, depth| {
        push(text, depth, &format!("<ref name=\"{}\"/>", child.name));
    });
}

fn element(text: &mut String, element: &ElementSchema) {
    text.push('\n');
    within(
        text,
        1,
        &format!("define name=\"{}\"", element.name),
        |text, depth| {
            within(
                text,
                depth,
                &format!("element name=\"{}\"", element.name),
                |text, depth| {
                    for each in element.attributes {
                        attribute(text, depth, each);
                    }
                    match element.children {
                        [] => push(text, depth, "<ref name=\"ignored\"/>"),
                        children => within(text, depth, "interleave", |text, depth| {
                            push(text, depth, "<ref name=\"ignored\"/>");
                            children.iter().for_each(|each| child(text, depth, each));
                        }),
                    }
                },
            );
        },
    );
}

/// The schema as it should be.
fn made() -> String {
    let mut text = START.to_owned();
    for each in schema().iter().filter(|each| each.name != "note") {
        element(&mut text, each);
    }
    text + END
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file() -> PathBuf {
    top().join("etc/txlb.rng")
}

#[test]
fn the_schema_is_the_readers_table() {
    let made = made();
    if std::env::var_os("TXLB_WRITE").is_some() {
        fs::write(file(), &made).unwrap();
    }
    let found = fs::read_to_string(file()).unwrap_or_default();
    let advice =
        "etc/txlb.rng is not as the reader's table: TXLB_WRITE=1 cargo test --test editors";
    assert!(found == made, "{advice}");
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
    for page in ["README.md", "man/txlb.xml.5", "tests/samples.rs"] {
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
  <service name="s" connectTimeout=".5" idleTimeout="7." halfClosedTimeout="0">
    stray text <note lang="en">with <b xmlns="urn:x">anything</b></note>
    <listen ip="*:8080"/>
    <group name="g" scheduler="leastc,sticky"><host name="h" ip="127.0.0.1:1" weight="01000000" state="drain"/></group>
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
    ];
    wrong.extend(values.map(|(good, bad)| WHOLE.replacen(good, bad, 1)));
    let doubled = [
        "<control socket=\"/x\" amp=\"No\" ampSocket=\"/y\" ampMode=\"0666\"/>",
        "<enable group=\"g\"/>",
        "<heartbeat/>",
    ];
    wrong.extend(doubled.map(|it| WHOLE.replacen(it, &it.repeat(2), 1)));
    wrong.push(WHOLE.replacen("<listen ip=\"*:8080\"/>", "", 1));
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
