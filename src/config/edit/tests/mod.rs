//! Tests of editing: what holds for any file and any change. Examples are in `services` and
//! `settings`.

mod random;
mod services;
mod settings;

use std::collections::HashSet;

use roxmltree::{Document, Node};

use self::random::{change, number_hosts, remarks, spell_randomly};
use super::*;
use crate::config::arbitrary::{self, Random};

fn parsed(text: &str) -> Config {
    read(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .config
}

/// The text, edited into what `change` makes of its configuration.
fn changed(text: &str, change: impl FnOnce(&mut Config)) -> String {
    let mut wanted = parsed(text);
    change(&mut wanted);
    let edited = edit(text.as_bytes(), &wanted).unwrap_or_else(|error| panic!("{error}\n{text}"));
    String::from_utf8(edited).unwrap()
}

/// What `change` must make of `text`.
fn example(text: &str, change: impl FnOnce(&mut Config), expected: &str) {
    let edited = changed(text, change);
    assert_eq!(edited, expected, "\n{edited}\n--- should be\n{expected}");
}

/// A configuration, and a text that reads as it.
fn written(random: &mut Random) -> (Config, String) {
    let mut config = arbitrary::config(random);
    number_hosts(&mut config, random);
    let text = spell_randomly(&config, random);
    assert_eq!(parsed(&text), config, "{text}");
    (config, text)
}

fn edited_into(text: &str, wanted: &Config) -> String {
    let edited = edit(text.as_bytes(), wanted).unwrap_or_else(|error| panic!("{error}\n{text}"));
    String::from_utf8(edited).unwrap()
}

/// Edits in place only, so that the fallback hides no mistake.
fn edited_in_place(text: &str, wanted: &Config) -> String {
    let edited = edited(text.as_bytes(), &parsed(text), wanted, EditMode::InPlace).unwrap();
    assert_eq!(parsed(&edited), *wanted, "{text}\n-->\n{edited}");
    edited
}

#[test]
fn editing_into_the_same_changes_not_a_byte() {
    let mut random = Random::new(11);
    for _ in 0..300 {
        let (config, text) = written(&mut random);
        assert_eq!(edited_into(&text, &config), text);
        // Not even by the edits themselves, which see all there is.
        assert_eq!(edited_in_place(&text, &config), text);
    }
}

#[test]
fn any_file_can_be_edited_into_any_other_configuration() {
    let mut random = Random::new(12);
    for _ in 0..300 {
        let (_, text) = written(&mut random);
        let (mut wanted, _) = written(&mut random);
        let edited = edited_in_place(&text, &wanted);
        // Where names are the same, elements are reused.
        number_hosts(&mut wanted, &mut random);
        edited_in_place(&edited, &wanted);
    }
}

#[test]
fn small_changes_one_after_the_other_all_arrive() {
    let mut random = Random::new(13);
    for _ in 0..60 {
        let (mut config, mut text) = written(&mut random);
        for _ in 0..30 {
            change(&mut config, &mut random, true);
            text = edited_in_place(&text, &config);
        }
    }
}

#[test]
fn a_section_rewritten_as_a_whole_says_the_same() {
    let mut random = Random::new(14);
    for _ in 0..200 {
        let (mut config, text) = written(&mut random);
        let have = config.clone();
        change(&mut config, &mut random, true);
        change(&mut config, &mut random, true);
        let edited = edited(text.as_bytes(), &have, &config, EditMode::Whole).unwrap();
        assert_eq!(parsed(&edited), config, "{text}\n-->\n{edited}");
    }
}

/// What elements there are, by their names and those of what they are in.
fn paths(config: &Config) -> HashSet<Vec<String>> {
    let mut paths = HashSet::new();
    let mut add = |path: &[&str]| paths.insert(path.iter().map(|&it| it.to_owned()).collect());
    for service in &config.services {
        add(&["service", &service.name]);
        for group in &service.groups {
            add(&["service", &service.name, &group.name]);
            for host in &group.hosts {
                add(&["service", &service.name, &group.name, &host.name]);
            }
        }
    }
    paths
}

/// The remarks of `text` that are in no element that `wanted` has no more.
fn must_stay<'a>(text: &'a str, have: &Config, wanted: &Config) -> Vec<&'a str> {
    let wanted = paths(wanted);
    let blanked = scan(text.as_bytes()).unwrap().text;
    let document = Document::parse(&blanked).unwrap();
    let mut gone = Vec::new();
    for (service, node) in have
        .services
        .iter()
        .zip(list::children(document.root_element(), &["service"]))
    {
        let path = vec!["service".to_owned(), service.name.clone()];
        gone.extend((!wanted.contains(&path)).then(|| node.range()));
        for (group, node) in service.groups.iter().zip(list::children(node, &["group"])) {
            let path = [&path[..], std::slice::from_ref(&group.name)].concat();
            gone.extend((!wanted.contains(&path)).then(|| node.range()));
            for (host, node) in group
                .hosts
                .iter()
                .zip(list::children(node, &["host", "client"]))
            {
                let path = [&path[..], std::slice::from_ref(&host.name)].concat();
                gone.extend((!wanted.contains(&path)).then(|| node.range()));
            }
        }
        // Listeners and routes have no names: what is in them may go.
        let nameless = list::children(node, &["listen", "route"]);
        gone.extend(nameless.iter().map(Node::range));
    }
    let sections = list::children(
        document.root_element(),
        &[
            "admin",
            "manager",
            "checktime",
            "control",
            "logging",
            "resolver",
        ],
    );
    gone.extend(sections.iter().map(Node::range));
    let place = |remark: &str| remark.as_ptr() as usize - text.as_ptr() as usize;
    let stays = |remark: &&str| !gone.iter().any(|range| range.contains(&place(remark)));
    remarks(text).into_iter().filter(stays).collect()
}

#[test]
fn remarks_stay_in_order_unless_what_they_are_in_goes() {
    let mut random = Random::new(15);
    let mut seen = 0;
    for _ in 0..150 {
        let (mut config, mut text) = written(&mut random);
        for _ in 0..8 {
            let have = config.clone();
            change(&mut config, &mut random, false);
            let edited = edited_in_place(&text, &config);
            let left = remarks(&edited);
            let before = remarks(&text);
            let mut all = before.iter();
            assert!(
                left.iter().all(|remark| all.any(|it| it == remark)),
                "{text}\n-->\n{edited}"
            );
            let must = must_stay(&text, &have, &config);
            let mut all = left.iter();
            assert!(
                must.iter().all(|remark| all.any(|it| it == remark)),
                "{text}\n-->\n{edited}"
            );
            seen += must.len();
            text = edited;
        }
    }
    assert!(seen > 10_000, "{seen}");
}

#[test]
fn all_remarks_are_there_after_moves() {
    let mut random = Random::new(16);
    for _ in 0..200 {
        let (mut config, text) = written(&mut random);
        config.services.reverse();
        for service in &mut config.services {
            service.groups.reverse();
            service
                .groups
                .iter_mut()
                .for_each(|group| group.hosts.reverse());
        }
        let edited = edited_in_place(&text, &config);
        let sorted = |text| {
            let mut remarks: Vec<String> = remarks(text).into_iter().map(str::to_owned).collect();
            remarks.sort();
            remarks
        };
        assert_eq!(sorted(&text), sorted(&edited), "{text}\n-->\n{edited}");
    }
}

#[test]
fn a_changed_weight_changes_the_bytes_of_its_value_alone() {
    let mut random = Random::new(17);
    let mut seen = 0;
    for _ in 0..300 {
        let (mut config, text) = written(&mut random);
        let blanked = scan(text.as_bytes()).unwrap().text.into_owned();
        let document = Document::parse(&blanked).unwrap();
        let nodes = document.descendants().filter(|node| {
            node.has_tag_name("group") && node.parent().is_some_and(|it| it.has_tag_name("service"))
        });
        let nodes: Vec<_> = nodes
            .flat_map(|group| list::children(group, &["host", "client"]))
            .collect();
        let groups = config
            .services
            .iter_mut()
            .flat_map(|service| &mut service.groups);
        let hosts = groups.flat_map(|group| &mut group.hosts);
        let Some((host, node)) = hosts
            .zip(nodes)
            .find(|(_, node)| node.has_attribute("weight"))
        else {
            continue;
        };
        host.weight = (host.weight + 1) % 1000;
        let range = node.attribute_node("weight").unwrap().range_value();
        let expected = [
            &text[..range.start],
            &host.weight.to_string(),
            &text[range.end..],
        ]
        .concat();
        assert_eq!(edited_into(&text, &config), expected);
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_new_host_is_put_in_and_nothing_else_is_touched() {
    let mut random = Random::new(18);
    let mut seen = 0;
    for _ in 0..300 {
        let (mut config, text) = written(&mut random);
        let mut groups = config
            .services
            .iter_mut()
            .flat_map(|service| &mut service.groups);
        let Some(group) = groups.find(|group| !group.hosts.is_empty()) else {
            continue;
        };
        let mut new = group.hosts[0].clone();
        new.name = "new".to_owned();
        group.hosts.push(new);
        let edited = edited_into(&text, &config);
        let same = |pair: &(u8, u8)| pair.0 == pair.1;
        let before = text.bytes().zip(edited.bytes()).take_while(same).count();
        let behind = text
            .bytes()
            .rev()
            .zip(edited.bytes().rev())
            .take_while(same)
            .count();
        assert!(before + behind >= text.len(), "{text}\n-->\n{edited}");
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn what_no_file_can_say_is_refused() {
    let text =
        "<config><service name='s'><listen ip='1'/><group name='g' enable='1'/></service></config>";
    let mut wanted = parsed(text);
    wanted.services[0].name = "a\nb".to_owned();
    assert_eq!(
        edit(text.as_bytes(), &wanted),
        Err(EditError::Inexpressible)
    );
    wanted.services[0].listens.clear();
    assert_eq!(
        edit(text.as_bytes(), &wanted),
        Err(EditError::Inexpressible)
    );
}

#[test]
fn a_text_that_is_no_configuration_is_refused() {
    let error = edit(b"<konfig/>", &Config::default()).unwrap_err();
    assert!(matches!(error, EditError::Unreadable(_)), "{error}");
}

#[test]
fn a_file_that_would_become_too_large_keeps_its_comments() {
    let comment = format!("<!--{}-->", "x".repeat((1 << 20) - 60));
    let text = format!("<config>{comment}</config>");
    let mut wanted = parsed(&text);
    wanted.manager.config_check.enable = true;
    let error = edit(text.as_bytes(), &wanted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file cannot take the changes: the file is larger than 1048576 bytes"
    );
}

#[test]
fn a_large_file_is_turned_around_in_a_moment() {
    let hosts: String = (0..20_000)
        .map(|number| format!("<host name='{number}' ip='a:1'/>\n"))
        .collect();
    let text = format!(
        "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>{hosts}</group></service></config>"
    );
    let mut wanted = parsed(&text);
    wanted.services[0].groups[0].hosts.reverse();
    edited_in_place(&text, &wanted);
}
