//! `etc/txlb.rng`, the schema by which editors check and complete a configuration, from the
//! reader's own table.
//!
//! What it accepts is asked of xmllint, in `tests/peers`. It knows no more than elements,
//! attributes and the spelling of values: what these mean is for `txlb -t` to check.

use std::fmt::Write;

use super::Generated;
use txlb::config::{
    AttributeSchema, CheckValue, ChildSchema, ElementSchema, Occurs, Scheduler, ValueKind, schema,
};

const START: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!--
  The configuration of txlb(8), as RELAX NG, for editors; see txlb.xml(5). It knows the
  elements, the attributes and how values are spelled; "txlb -t -f FILE" checks the rest.

  Made by "make generate" from txlb's own table: not to be changed by hand.
-->
<grammar xmlns="http://relaxng.org/ns/structure/1.0" xmlns:a="http://relaxng.org/ns/compatibility/annotations/1.0" datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
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
const RATE: &str =
    r#"<data type="string"><param name="pattern">0*([1-9][0-9]{0,4}|100000)</param></data>"#;
const REPLAY: &str = r#"<data type="string"><param name="pattern">0*[0-9]{1,7}</param></data>"#;
const SERVER_NAMES: &str = r#"<data type="string"><param name="pattern">[\s,]*((\*\.)?[A-Za-z0-9_][A-Za-z0-9_.\-]*([\s,]+(\*\.)?[A-Za-z0-9_][A-Za-z0-9_.\-]*)*)?[\s,]*</param></data>"#;
const BOOLEAN: &str = r#"<data type="string"><param name="pattern">[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff]|[Ee][Nn][Aa][Bb][Ll][Ee]|[Dd][Ii][Ss][Aa][Bb][Ll][Ee]</param></data>"#;
const DIGIT: &str = r#"<data type="string"><param name="pattern">[01]</param></data>"#;
const COUNT: &str =
    r#"<data type="string"><param name="pattern">0*([1-9][0-9]{0,2}|1000)</param></data>"#;
const PORT: &str =
    r#"<data type="string"><param name="pattern">(0*[1-9][0-9]{0,4})?</param></data>"#;
const STATUS: &str = r#"<data type="string"><param name="pattern">[\s,]*[1-9][0-9]{2}(-[1-9][0-9]{2})?([\s,]+[1-9][0-9]{2}(-[1-9][0-9]{2})?)*[\s,]*</param></data>"#;
const MODE: &str = r#"<data type="string"><param name="pattern">0?[0-7]{3}</param></data>"#;
const ANY_CASE: &str = r#"<data type="string"><param name="pattern">[Ff][Uu][Ll][Ll]|[Rr][Ee][Aa][Dd][Oo][Nn][Ll][Yy]</param></data>"#;

/// What a value of this kind is spelled like. Choices come first in lists, so that
/// editors offer them.
fn value(kind: ValueKind) -> Vec<String> {
    let words = |words: &[&str]| -> Vec<String> {
        let words = words.iter();
        words
            .map(|word| format!(r#"<value type="string">{word}</value>"#))
            .collect()
    };
    match kind {
        ValueKind::NewName | ValueKind::Group => vec![NAME.to_owned()],
        ValueKind::Weight => vec![WEIGHT.to_owned()],
        ValueKind::Prefix => vec![PREFIX.to_owned()],
        // A boolean of old, too.
        ValueKind::Refresh => [
            vec![SECONDS.to_owned()],
            words(&["true", "false"]),
            vec![BOOLEAN.to_owned()],
        ]
        .concat(),
        ValueKind::Seconds => vec![SECONDS.to_owned()],
        ValueKind::State => words(&["up", "drain", "down"]),
        ValueKind::Each => [
            words(&["true", "false", "srv"]),
            vec![BOOLEAN.to_owned(), DIGIT.to_owned()],
        ]
        .concat(),
        ValueKind::Initial => words(&["up", "down"]),
        ValueKind::WhenFailed => words(&["keep", "end"]),
        ValueKind::Rate => vec![RATE.to_owned()],
        ValueKind::Replay => vec![REPLAY.to_owned()],
        ValueKind::Proxy => words(&["off", "require"]),
        ValueKind::SendProxy => words(&["off", "v1", "v2"]),
        ValueKind::Timeout => vec![SECONDS.to_owned()],
        ValueKind::ServerNames => vec![SERVER_NAMES.to_owned()],
        ValueKind::Access => [words(&["full", "readonly"]), vec![ANY_CASE.to_owned()]].concat(),
        ValueKind::Flag => [
            words(&["true", "false"]),
            vec![BOOLEAN.to_owned(), DIGIT.to_owned()],
        ]
        .concat(),
        ValueKind::Mode => vec![MODE.to_owned()],
        ValueKind::Check(CheckValue::Kind) => words(&["tcp", "send", "http", "agent"]),
        ValueKind::Check(CheckValue::Time) => vec![SECONDS.to_owned()],
        ValueKind::Check(CheckValue::OptionalTime) => {
            [words(&[""]), vec![SECONDS.to_owned()]].concat()
        }
        ValueKind::Check(CheckValue::Count) => vec![COUNT.to_owned()],
        ValueKind::Check(CheckValue::Port) => vec![PORT.to_owned()],
        ValueKind::Check(CheckValue::Status) => vec![STATUS.to_owned()],
        ValueKind::LooseFlag => {
            // Whatever is not true is false.
            [words(&["true", "false"]), vec!["<text/>".to_owned()]].concat()
        }
        ValueKind::Scheduler => {
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
            let help = attribute.help.replace('<', "&lt;").replace('>', "&gt;");
            push(
                text,
                depth,
                &format!("<a:documentation>{help}</a:documentation>"),
            );
            let values = value(attribute.value_kind);
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
                    for each in &element.attributes {
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

pub(super) fn schema_for_editors() -> Generated {
    let mut text = START.to_owned();
    for each in schema().iter().filter(|each| each.name != "note") {
        element(&mut text, each);
    }
    ("etc/txlb.rng", text + END)
}
