//! Keeps the manual pages in step with the configuration reader and the verbs.

use std::collections::BTreeSet;

use crate::support::txlb::run;

use txlb::config::verb::table::{Kind, commands};
use txlb::config::{ElementSchema, Limit, Scheduler, schema};

const PAGE: &str = include_str!("../../man/txlb.xml.5");
const PROGRAM_PAGE: &str = include_str!("../../man/txlb.8");
const VERBS_PAGE: &str = include_str!("../../man/txlbctl.8");

/// The page's text about an element: its own section, and its old forms.
fn description(element: &ElementSchema) -> String {
    let section = format!(".Ss {}", element.name);
    let old_form = format!(".It Ic {}", element.name);
    let mut inside = false;
    let mut text = String::new();
    for line in PAGE.lines() {
        if [".Ss ", ".Sh ", ".It Ic "]
            .iter()
            .any(|heading| line.starts_with(heading))
        {
            let is_old_form = line == old_form || line.starts_with(&format!("{old_form} "));
            inside = line == section || is_old_form;
        }
        if inside {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Whether `macro_name` marks up `word` somewhere in `text`.
fn marks_up(text: &str, macro_name: &str, word: &str) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix('.'))
        .any(|line| {
            let mut words = line.split_whitespace();
            words.any(|each| each == macro_name) && words.any(|each| each == word)
        })
}

#[test]
fn every_element_is_described_with_all_its_attributes() {
    for element in schema() {
        let text = description(element);
        assert!(!text.is_empty(), "<{}> is not described", element.name);
        for attribute in &element.attributes {
            let described = marks_up(&text, "Cm", attribute.name);
            assert!(
                described,
                "{} of <{}> is not described",
                attribute.name, element.name
            );
        }
    }
}

#[test]
fn every_attribute_is_described_with_its_default() {
    let mut defaults = 0;
    for element in schema() {
        // An old form has the default of the new one.
        let section = format!("\n.Ss {}\n", element.name);
        let Some((_, section)) = PAGE.split_once(&section) else {
            continue;
        };
        let section = section.split("\n.Ss ").next().unwrap();
        let section = section.split("\n.Sh ").next().unwrap();
        for attribute in &element.attributes {
            let Some(default) = &attribute.default else {
                continue;
            };
            let item = format!("\n.It Cm {}\n", attribute.name);
            let Some((_, item)) = section.split_once(&item) else {
                continue;
            };
            let item = item.split("\n.It Cm").next().unwrap();
            let words = item.split_whitespace();
            let words: Vec<_> = words.filter(|it| ![".Cm", ".Pa"].contains(it)).collect();
            let words = words.join(" ");
            let (_, said) = words.split_once("default is ").unwrap_or_default();
            let said = said.split([' ', ':']).next().unwrap().trim_end_matches('.');
            assert_eq!(said, default, "{} of <{}>", attribute.name, element.name);
            defaults += 1;
        }
    }
    assert!(defaults > 15, "{defaults}");
}

#[test]
fn every_element_names_the_elements_in_it() {
    // An element with two names is described under one.
    for element in schema().iter().filter(|element| element.name != "pdconfig") {
        for child in element
            .children
            .iter()
            .filter(|child| child.name != "client")
        {
            let holds = marks_up(&description(element), "Ic", child.name);
            assert!(
                holds,
                "<{}> is not mentioned with <{}>",
                child.name, element.name
            );
        }
    }
}

#[test]
fn nothing_is_described_that_does_not_exist() {
    let elements = PAGE
        .split("\n.Sh ")
        .find(|section| section.starts_with("ELEMENTS"))
        .unwrap();
    for name in elements
        .lines()
        .filter_map(|line| line.strip_prefix(".Ss "))
    {
        let element = schema().iter().find(|element| element.name == name);
        let element = element.unwrap_or_else(|| panic!("there is no <{name}>"));
        let text = description(element);
        for attribute in text.lines().filter_map(|line| line.strip_prefix(".It Cm ")) {
            let exists = element
                .attributes
                .iter()
                .any(|known| known.name == attribute);
            assert!(exists, "<{name}> has no {attribute}");
        }
    }
}

#[test]
fn every_spelling_of_a_scheduler_is_listed() {
    for spelling in Scheduler::spellings() {
        let listed = marks_up(PAGE, "Cm", spelling);
        assert!(listed, "{spelling} is not listed");
    }
}

#[test]
fn every_command_is_listed_with_all_it_takes() {
    // The verbs of a batch are explained together.
    let alone = commands()
        .iter()
        .filter(|command| command.kind() != Kind::Batch);
    let mut listed = 0;
    for command in alone {
        let item = format!(".It Ic {}", command.name);
        let item = VERBS_PAGE
            .lines()
            .filter_map(|line| line.strip_prefix(&item))
            .find(|rest| rest.is_empty() || rest.starts_with(' '));
        let item = item.unwrap_or_else(|| panic!("{} is not listed", command.name));
        let (needed, optional) = item.split_once("Op").unwrap_or((item, ""));
        let keys = |text: &str| -> BTreeSet<String> {
            let words = text.split_whitespace();
            words
                .filter_map(|word| word.strip_suffix('='))
                .map(str::to_owned)
                .collect()
        };
        let taken = |needed: bool| -> BTreeSet<String> {
            let keys = command.keys().iter().filter(|key| !key.bare);
            keys.filter(|key| (key.required || key.instead_of.is_some()) == needed)
                .map(|key| key.name.to_owned())
                .collect()
        };
        assert_eq!(keys(needed), taken(true), "{}", command.name);
        assert_eq!(keys(optional), taken(false), "{}", command.name);
        listed += 1;
    }
    let (_, verbs) = VERBS_PAGE.split_once(".Sh VERBS").unwrap();
    let verbs = verbs.split_once("\n.Sh ").unwrap().0;
    assert_eq!(verbs.matches("\n.It Ic ").count(), listed);
}

/// The options of `-h`, as the pages spell them, and their help.
fn options() -> Vec<(String, String)> {
    let usage = run(&["-h"]).stdout;
    let (_, options) = usage.split_once("Options:\n").unwrap();
    let lines = options.lines().map(str::trim);
    let options = lines.filter(|line| line.starts_with('-')).map(|line| {
        let first = line.split([' ', ',']).next().unwrap();
        (format!(".It Fl {}", &first[1..]), line.to_owned())
    });
    options.collect()
}

#[test]
fn every_option_is_described_where_it_belongs() {
    let options = options();
    assert!(options.len() > 15, "{options:?}");
    for (item, line) in options {
        let described = |page: &str| {
            let mut items = page.lines().filter_map(|line| line.strip_prefix(&item));
            items.any(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        assert!(described(PROGRAM_PAGE), "{line}");
        assert!(!line.contains(" ctl: ") || described(VERBS_PAGE), "{line}");
    }
}

#[test]
fn every_page_has_the_sections_that_people_look_for() {
    let sections = [
        (
            PROGRAM_PAGE,
            &[
                "SIGNALS",
                "FILES",
                "EXIT STATUS",
                "EXAMPLES",
                "SECURITY CONSIDERATIONS",
            ][..],
        ),
        (
            PAGE,
            &[
                "FILES",
                "EXAMPLES",
                "COMING FROM",
                "SECURITY CONSIDERATIONS",
            ],
        ),
        (
            VERBS_PAGE,
            &[
                "FILES",
                "EXIT STATUS",
                "EXAMPLES",
                "SECURITY CONSIDERATIONS",
            ],
        ),
    ];
    for (page, sections) in sections {
        for section in sections {
            assert!(page.contains(&format!("\n.Sh {section}\n")), "{section}");
        }
    }
}

#[test]
fn what_others_are_told_to_use_exists() {
    let (_, table) = PAGE.split_once(".Sh COMING FROM").unwrap();
    let table = table.split_once("\n.Sh ").unwrap().0;
    let here = table.lines().filter_map(|line| line.split_once(" Ta "));
    let mut names = 0;
    for (_, here) in here {
        let mut is_attribute = false;
        for word in here.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "Cm" | "Ic" => is_attribute = word == "Cm",
                // What follows is prose, a command line, or a display.
                "No" | "Ns" | "Fl" | "txlb" | "a" | "what" | "no" | "always" | "absolute"
                | "the" => break,
                "sticky" => {}
                name => {
                    let known = match is_attribute {
                        true => {
                            Scheduler::spellings().any(|it| it == name)
                                || schema()
                                    .iter()
                                    .flat_map(|it| &it.attributes)
                                    .any(|it| it.name == name)
                        }
                        false => {
                            commands().iter().any(|it| it.name == name)
                                || schema().iter().any(|it| it.name == name)
                        }
                    };
                    assert!(known, "there is no {name}");
                    names += 1;
                }
            }
        }
    }
    assert!(names > 30, "{names}");
}

#[test]
fn every_limit_is_given() {
    let (_, limits) = PAGE.split_once(".Sh LIMITS").unwrap();
    let limits = limits.split_once(".Sh ").unwrap().0.replace('\n', " ");
    let expected = [
        (Limit::Bytes, "bytes"),
        (Limit::Levels, "elements inside"),
        (Limit::Nodes, "elements, texts"),
        (Limit::Attributes, "attributes"),
        (Limit::Namespaces, "namespace"),
    ];
    for (limit, what) in expected {
        let text = format!("{} {what}", limit.max());
        assert!(limits.contains(&text), "{text} is missing");
    }
}

#[test]
fn the_examples_are_read_without_a_warning() {
    let blocks = PAGE.split(".Bd -literal -offset indent\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|block| block.split(".Ed").next().unwrap())
        .collect();
    let read = |example: &str| {
        // The page's backslash, its lines that go on in the next, and a whole hash, which is too
        // long to read.
        let hash = format!("$6$salt${}", "a".repeat(86));
        let example = example.replace("\\\n", "").replace("\\e", "\\");
        let example = example.replace("$6$...", &hash);
        let reading = txlb::config::read(example.as_bytes()).unwrap();
        assert_eq!(reading.warnings, []);
    };
    let of = |start| blocks.iter().filter(move |block| block.starts_with(start));
    assert_eq!(of("<config>").chain(of("<pdconfig>")).count(), 4);
    of("<config>")
        .chain(of("<pdconfig>"))
        .for_each(|it| read(it));
    let parts = of("<listen ").chain(of("<route "));
    let parts: String = parts.copied().collect();
    assert_eq!(parts.matches("/>").count(), 4, "{parts}");
    let groups = ["b", "mail", "certificates"]
        .map(|name| format!("<group name=\"{name}\"><host ip=\"10.0.0.1:1\"/></group>"));
    read(&format!(
        "<config><service name=\"a\">{parts}<group name=\"g\" enable=\"true\">\
         <host ip=\"10.0.0.1:1\"/></group>{}</service></config>",
        groups.concat()
    ));
    assert_eq!(of("<check ").count(), 8);
    for check in of("<check ") {
        read(&format!(
            "<config><service name=\"a\"><listen ip=\"*:1\"/><group name=\"b\" enable=\"true\">{check}\
             <host ip=\"10.0.0.1:1\"/></group></service></config>"
        ));
    }
}
