//! Examples of edits: services, groups and hosts.

use super::*;
use crate::config::{Group, Host, HostState, Listener, Route, Service};

/// A file as operators write them.
const FILE: &str = r#"<?xml version="1.0"?>
<!DOCTYPE config SYSTEM "config.dtd">
<!-- Ours. -->
<config>
    <service name='web'>
        <listen ip="8080"/>   <!-- all addresses -->

        <!-- Since the move. -->
        <group name="blue" scheduler="leastconns" enable="Yes">
            <host name="one"   ip="10.0.0.1:80" weight="5" /> <!-- the big one -->
            <client ip="10.0.0.2:80"/>
            <!-- Lent to us. -->
            <host name="three"
                  ip="10.0.0.3:80"/>
        </group>

        <group name="green"><note>spare</note></group>
    </service>
</config>
"#;

fn host(name: &str, ip: &str) -> Host {
    Host {
        name: name.to_owned(),
        address: ip.parse().unwrap(),
        ..Host::default()
    }
}

fn group(name: &str, hosts: Vec<Host>) -> Group {
    let name = name.to_owned();
    let scheduler = "roundr".parse().unwrap();
    Group {
        name,
        scheduler,
        hosts,
        ..Group::default()
    }
}

fn blue(config: &mut Config) -> &mut Vec<Host> {
    &mut config.services[0].groups[0].hosts
}

/// [`FILE`] with one part of it replaced by another, for each pair.
fn with(parts: &[(&str, &str)]) -> String {
    let mut text = FILE.to_owned();
    for (old, new) in parts {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    text
}

#[test]
fn a_value_is_changed_where_it_stands() {
    let expected = with(&[("weight=\"5\"", "weight=\"7\"")]);
    example(FILE, |config| blue(config)[0].weight = 7, &expected);
    // Whatever the spacing, and in whatever quotes.
    let text = FILE.replace("weight=\"5\"", "weight  =\n'&#x35;'");
    let expected = text.replace("&#x35;", "7");
    example(&text, |config| blue(config)[0].weight = 7, &expected);
}

#[test]
fn a_value_that_was_not_there_is_added_behind_the_last() {
    let expected = with(&[(
        "10.0.0.1:80\" weight=\"5\" />",
        "10.0.0.1:80\" weight=\"5\" state=\"down\" />",
    )]);
    example(
        FILE,
        |config| blue(config)[0].state = HostState::Down,
        &expected,
    );
    let expected = with(&[
        (
            "ip=\"10.0.0.3:80\"/>",
            "ip=\"10.0.0.3:80\"\n                  weight=\"0\"/>",
        ),
        ("name='web'", "name='web' idleTimeout='0.5'"),
    ]);
    let change = |config: &mut Config| {
        blue(config)[2].weight = 0;
        let idle = Some(std::time::Duration::from_millis(500));
        config.services[0].timeouts.idle = idle;
    };
    example(FILE, change, &expected);
}

#[test]
fn a_host_goes_with_its_line() {
    let expected = with(&[(
        "            <host name=\"three\"\n                  ip=\"10.0.0.3:80\"/>\n",
        "",
    )]);
    example(FILE, |config| drop(blue(config).pop()), &expected);
}

#[test]
fn what_else_is_on_its_line_stays() {
    let text = with(&[(
        "<client ip=\"10.0.0.2:80\"/>",
        "<client name=\"two\" ip=\"10.0.0.2:80\"/>",
    )]);
    let expected = text.replace(
        "<host name=\"one\"   ip=\"10.0.0.1:80\" weight=\"5\" /> ",
        "",
    );
    example(&text, |config| drop(blue(config).remove(0)), &expected);
}

#[test]
fn a_host_without_a_name_gets_the_one_it_has_before_its_number_changes() {
    let expected = with(&[
        (
            "<host name=\"one\"   ip=\"10.0.0.1:80\" weight=\"5\" /> ",
            "",
        ),
        (
            "<client ip=\"10.0.0.2:80\"/>",
            "<client ip=\"10.0.0.2:80\" name=\"host.1\"/>",
        ),
    ]);
    example(FILE, |config| drop(blue(config).remove(0)), &expected);
}

#[test]
fn a_host_comes_as_its_neighbour_stands() {
    let new = "\n            <host name=\"four\" ip=\"10.0.0.4:80\" weight=\"9\" state=\"drain\"/>";
    let four = || Host {
        weight: 9,
        state: HostState::Drain,
        ..host("four", "10.0.0.4:80")
    };
    let last = "ip=\"10.0.0.3:80\"/>";
    let expected = with(&[(last, &format!("{last}{new}"))]);
    example(FILE, |config| blue(config).push(four()), &expected);
    let first = "<!-- the big one -->";
    let text = with(&[("<client", "<client name='two'")]);
    let expected = text.replace(first, &format!("{first}{new}"));
    example(&text, |config| blue(config).insert(1, four()), &expected);
    let before = "enable=\"Yes\">";
    let expected = text.replace(before, &format!("{before}{new}"));
    example(&text, |config| blue(config).insert(0, four()), &expected);
}

#[test]
fn the_first_host_of_a_group_is_one_step_further_in() {
    let change = |config: &mut Config| config.services[0].groups[1].hosts.push(host("a", "b:1"));
    let expected = with(&[(
        "<note>spare</note>",
        "<note>spare</note>\n            <host name=\"a\" ip=\"b:1\"/>\n        ",
    )]);
    example(FILE, change, &expected);
    let text = with(&[("><note>spare</note></group>", " />")]);
    let expected = text.replace(
        "\"green\" />",
        "\"green\">\n            <host name=\"a\" ip=\"b:1\"/>\n        </group>",
    );
    example(&text, change, &expected);
    let text = with(&[("><note>spare</note></group>", ">\n        </group>")]);
    example(&text, change, &expected);
}

#[test]
fn all_hosts_may_change_at_once() {
    let one_a_line = "            <host name=\"one\"   ip=\"10.0.0.1:80\" weight=\"5\" />";
    let expected = with(&[
        (&one_a_line[12..], ""),
        ("            <client ip=\"10.0.0.2:80\"/>\n", ""),
        (
            "<host name=\"three\"\n                  ip=\"10.0.0.3:80\"/>",
            "<host name=\"x\" ip=\"b:1\"/>\n            <host name=\"y\" ip=\"b:2\"/>",
        ),
        (" <!-- the big one -->", "<!-- the big one -->"),
    ]);
    let change = |config: &mut Config| *blue(config) = vec![host("x", "b:1"), host("y", "b:2")];
    example(FILE, change, &expected);
}

#[test]
fn a_host_moves_with_the_comment_behind_it() {
    let text = with(&[("<client", "<client name='two'")]);
    let line = "            <host name=\"one\"   ip=\"10.0.0.1:80\" weight=\"5\" /> <!-- the big one -->\n";
    let last = "ip=\"10.0.0.3:80\"/>\n";
    let expected = text
        .replace(line, "")
        .replace(last, &format!("{last}{line}"));
    example(&text, |config| blue(config).rotate_left(1), &expected);
    // What is changed in it comes along.
    let change = |config: &mut Config| {
        blue(config)[0].weight = 6;
        blue(config).rotate_left(1);
    };
    example(
        &text,
        change,
        &expected.replace("weight=\"5\"", "weight=\"6\""),
    );
}

#[test]
fn a_renamed_host_keeps_its_line() {
    let expected = with(&[
        ("\"one\" ", "\"uno\" "),
        (
            "<client ip=\"10.0.0.2:80\"/>",
            "<client ip=\"10.0.0.2:80\" name=\"due\"/>",
        ),
    ]);
    let change = |config: &mut Config| {
        blue(config)[0].name = "uno".to_owned();
        blue(config)[1].name = "due".to_owned();
    };
    example(FILE, change, &expected);
}

#[test]
fn elements_on_one_line_stay_on_it() {
    let text = "<config><service name='s'><listen ip='1'/>\
        <group name='g' enable='1'><host name='a' ip='h:1'/> <host name='b' ip='h:2'/></group>\
        </service></config>";
    let new = host("c", "h:3");
    example(
        text,
        |config| blue(config).push(new.clone()),
        &text.replace("'h:2'/>", "'h:2'/> <host name=\"c\" ip=\"h:3\"/>"),
    );
    example(
        text,
        |config| blue(config).truncate(1),
        &text.replace(" <host name='b' ip='h:2'/>", ""),
    );
    example(
        text,
        |config| drop(blue(config).remove(0)),
        &text.replace("<host name='a' ip='h:1'/> ", ""),
    );
    let text = text.replace("<host name='a' ip='h:1'/> <host name='b' ip='h:2'/>", "");
    example(
        &text,
        |config| blue(config).push(new.clone()),
        &text.replace("'1'></g", "'1'><host name=\"c\" ip=\"h:3\"/></g"),
    );
}

#[test]
fn a_listener_comes_goes_and_changes_its_port() {
    let listen = |text: &str| Listener::at(text.parse().unwrap());
    let expected = with(&[("ip=\"8080\"", "ip=\"*:8081\"")]);
    let change = |config: &mut Config| config.services[0].listens[0] = listen("*:8081");
    example(FILE, change, &expected);
    let all = "<!-- all addresses -->";
    let expected = with(&[(all, &format!("{all}\n        <listen ip=\"[::1]:9\"/>"))]);
    example(
        FILE,
        |config| config.services[0].listens.push(listen("[::1]:9")),
        &expected,
    );
    let gone = |config: &mut Config| drop(config.services[0].listens.remove(0));
    let expected = expected.replace("<listen ip=\"8080\"/>   ", "");
    let two = with(&[(all, &format!("{all}\n        <listen ip=\"[::1]:9\"/>"))]);
    example(&two, gone, &expected);
}

#[test]
fn a_listener_changes_without_moving_and_routes_come_and_go() {
    let proxy = |config: &mut Config| {
        let listener = &mut config.services[0].listens[0];
        listener.proxy = true;
        listener.proxy_from = vec!["10.0.0.0/8".parse().unwrap()];
    };
    let expected = with(&[(
        "ip=\"8080\"",
        "ip=\"8080\" proxy=\"require\" proxyFrom=\"10.0.0.0/8\"",
    )]);
    example(FILE, proxy, &expected);
    let all = "<!-- all addresses -->";
    let new = "\n        <route sni=\"a.test\" group=\"green\"/>";
    let routed = with(&[(all, &format!("{all}{new}"))]);
    let route = |name: &str, group: &str| Route {
        sni: vec![name.to_owned()],
        alpn: Vec::new(),
        group: group.to_owned(),
    };
    let add = |config: &mut Config| config.services[0].routes.push(route("a.test", "green"));
    example(FILE, add, &routed);
    let other = routed.replace("group=\"green\"", "group=\"green\" alpn=\"h2\"");
    let change = |config: &mut Config| config.services[0].routes[0].alpn = vec!["h2".to_owned()];
    example(&routed, change, &other);
    let more = routed.replace(new, &format!("{}{new}", new.replace("a.test", "b.test")));
    let before = |config: &mut Config| {
        config.services[0]
            .routes
            .insert(0, route("b.test", "green"));
    };
    example(&routed, before, &more);
    example(&routed, |config| config.services[0].routes.clear(), FILE);
}

#[test]
fn another_group_is_enabled_where_the_file_says_it() {
    let enable = |config: &mut Config| config.services[0].enabled = "green".to_owned();
    let expected = with(&[
        ("enable=\"Yes\"", "enable=\"false\""),
        ("name=\"green\"", "name=\"green\" enable=\"true\""),
    ]);
    example(FILE, enable, &expected);
    let text = with(&[
        (" enable=\"Yes\"", ""),
        (
            "    </service>",
            "        <enable group='blue'/>\n    </service>",
        ),
    ]);
    example(
        &text,
        enable,
        &text.replace("group='blue'", "group='green'"),
    );
    // Said twice, it is no longer said twice.
    let text = with(&[(
        "    </service>",
        "        <enable group='blue'/>\n    </service>",
    )]);
    let expected = text
        .replace("group='blue'", "group='green'")
        .replace("\"Yes\"", "\"false\"");
    example(&text, enable, &expected);
}

#[test]
fn a_group_comes_before_the_old_enable_element() {
    let text = with(&[
        (" enable=\"Yes\"", ""),
        (
            "    </service>",
            "        <enable group='blue'/>\n    </service>",
        ),
    ]);
    let spare = "<group name=\"green\"><note>spare</note></group>";
    let new = "\n        <group name=\"red\" scheduler=\"roundr\">\n            \
               <host name=\"a\" ip=\"b:1\"/>\n        </group>";
    let change = |config: &mut Config| {
        let service = &mut config.services[0];
        service.groups.push(group("red", vec![host("a", "b:1")]));
        service.enabled = "red".to_owned();
    };
    let expected = text
        .replace(spare, &format!("{spare}{new}"))
        .replace("group='blue'", "group='red'");
    example(&text, change, &expected);
}

#[test]
fn groups_change_places_with_all_that_is_in_them() {
    let start = FILE.find("        <group name=\"blue\"").unwrap();
    let end = FILE.find("</group>\n").unwrap() + "</group>".len();
    let green = "        <group name=\"green\"><note>spare</note></group>\n";
    let blue_text = &FILE[start..end];
    let moved = FILE
        .replace(&format!("\n{blue_text}"), "")
        .replace(green, &format!("{green}{blue_text}\n"));
    let other = FILE
        .replace(green, "")
        .replace(blue_text, &format!("{green}{blue_text}"));
    let edited = changed(FILE, |config| config.services[0].groups.reverse());
    assert!([moved, other].contains(&edited), "{edited}");
}

#[test]
fn a_service_comes_behind_the_others_and_goes_alone() {
    let service = Service {
        name: "mail".to_owned(),
        listens: vec![Listener::at("*:25".parse().unwrap())],
        groups: vec![group("main", Vec::new())],
        enabled: "main".to_owned(),
        ..Service::default()
    };
    let new = r#"
    <service name="mail">
        <listen ip="*:25"/>
        <group name="main" scheduler="roundr" enable="true"/>
    </service>"#;
    let end = "    </service>";
    let expected = with(&[(end, &format!("{end}{new}"))]);
    let add = |config: &mut Config| config.services.push(service.clone());
    example(FILE, add, &expected);
    example(&expected, |config| drop(config.services.pop()), FILE);
    example(
        "<config/>",
        add,
        &format!("<config>{}\n</config>", new.replace("    ", "  ")),
    );
    example(
        "\u{feff}<?xml version='1.0'?>\r\n<config>\r\n\t<manager/>\r\n</config>",
        add,
        &format!(
            "\u{feff}<?xml version='1.0'?>\r\n<config>{}\r\n\t<manager/>\r\n</config>",
            new.replace('\n', "\r\n").replace("    ", "\t")
        ),
    );
}

#[test]
fn taking_an_element_out_makes_no_end_of_cdata() {
    let text = with(&[(
        "<client ip=\"10.0.0.2:80\"/>",
        "]]<client name=\"x\" ip=\"c:2\"/>>",
    )]);
    let expected = text.replace("<client name=\"x\" ip=\"c:2\"/>", " ");
    example(&text, |config| drop(blue(config).remove(1)), &expected);
}
