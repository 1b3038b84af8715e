//! Tests of reading: every element and attribute, old forms, and warnings.

mod checks;
mod errors;
mod routes;
mod several;

use std::time::Duration;

use super::*;
use crate::config::{
    Access, Admin, Algorithm, Control, Group, HostState, ListenHost, Logging, Manager, Timeouts,
    Web,
};

fn parse(text: &str) -> Config {
    read(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .config
}

fn warnings(text: &str) -> Vec<String> {
    let reading = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let shown = |warning: &Warning| format!("{}: {}", warning.position, warning.text);
    reading.warnings.iter().map(shown).collect()
}

/// A service whose only group is `group`.
fn with_group(group: &str) -> String {
    format!("<config><service name='s'><listen ip='1'/>{group}</service></config>")
}

fn first_group(config: &Config) -> &Group {
    &config.services[0].groups[0]
}

fn admin(inner: &str) -> Admin {
    parse(&format!("<config><admin>{inner}</admin></config>"))
        .admin
        .unwrap()
}

fn manager(element: &str) -> Manager {
    parse(&format!("<config>{element}</config>")).manager
}

/// What txLoadBalancer's users have.
const NEW_DIALECT: &str = r#"<?xml version="1.0"?>
<config>
  <service name="web" connectTimeout="2.5" idleTimeout="3600" halfClosedTimeout="0">
    <listen ip="*:8080"/>
    <listen ip="[::1]:8081"/>
    <group name="blue" scheduler="weightrr,sticky" enable="True">
      <host name="one" ip="10.0.0.1:80" weight="5" state="drain"/>
      <host ip="two.example.org:80"/>
    </group>
    <group name="green" enable="False"><host ip="10.0.0.3:80" state="down" weight="0"/></group>
  </service>
  <admin>
    <web listen="localhost:7001" secure="Yes" refresh="10" cert="c.pem" key="k.pem"
         names="lb.example.org, 10.0.0.9"/>
    <ssh listen="None" enable="False"/>
    <user name="ann" password="$6$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" access="Full" key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann"/>
    <user name="bob" access="readonly"><key> ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC </key><key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND</key></user>
  </admin>
  <manager>
    <hostCheck interval="10.0"/>
    <configCheck interval="2" enable="on"/>
    <heartbeat/>
  </manager>
  <control/>
  <logging file="/var/log/lb.log" connections="1"/>
</config>"#;

/// What PythonDirector's users have.
const OLD_DIALECT: &str = r#"<pdconfig>
  <!-- a comment -->
  <service name="mail">
    <listen ip="127.0.0.1:8025"/>
    <group name="a" scheduler="roundrobin"><client name="x" ip="one:25"/><client ip="two:25"/></group>
    <group name="b" scheduler="lweighted"><host name="y" ip="three:25"/></group>
    <enable group="b"/>
  </service>
  <admin listen="localhost:7001"><user name="u" password="abcdefghijklm" access="full"/></admin>
  <manager hostCheckInterval="15"/>
  <logging file="pydir.log"/>
</pdconfig>"#;

#[test]
fn the_services_of_the_new_dialect_are_read() {
    let config = parse(NEW_DIALECT);
    let [web] = &config.services[..] else {
        panic!("{config:?}")
    };
    let listens: Vec<_> = web
        .listens
        .iter()
        .map(|it| it.address.to_string())
        .collect();
    assert_eq!(listens, ["*:8080", "[::1]:8081"]);
    let timeouts = Timeouts {
        connect: Some(Duration::from_millis(2500)),
        idle: Some(Duration::from_secs(3600)),
        half_closed: None,
        ..Timeouts::default()
    };
    assert_eq!(web.timeouts, timeouts);
    assert_eq!(web.enabled, "blue");
    let [blue, green] = &web.groups[..] else {
        panic!("{web:?}")
    };
    assert_eq!(blue.scheduler.to_string(), "weightrr,sticky");
    assert_eq!(green.scheduler, Algorithm::WeightedLeastConns.into());
    let shown = |group: &Group| -> Vec<String> {
        let line = |host: &crate::config::Host| {
            format!(
                "{} {} {} {}",
                host.name,
                host.address,
                host.weight,
                host.state.as_str()
            )
        };
        group.hosts.iter().map(line).collect()
    };
    assert_eq!(
        shown(blue),
        ["one 10.0.0.1:80 5 drain", "host.1 two.example.org:80 1 up"]
    );
    assert_eq!(shown(green), ["host.0 10.0.0.3:80 0 down"]);
}

#[test]
fn the_settings_of_the_new_dialect_are_read() {
    let config = parse(NEW_DIALECT);
    let admin = config.admin.unwrap();
    let web = admin.web.unwrap();
    assert_eq!(web.listen.unwrap().to_string(), "localhost:7001");
    assert!(web.enable && web.secure);
    assert_eq!(web.refresh, Some(Duration::from_secs(10)));
    assert_eq!(
        (web.cert.unwrap(), web.key.unwrap()),
        ("c.pem".into(), "k.pem".into())
    );
    assert_eq!(web.names, ["lb.example.org", "10.0.0.9"]);
    let ssh = admin.ssh.unwrap();
    assert_eq!((ssh.listen, ssh.enable), (None, false));
    let [ann, bob] = &admin.users[..] else {
        panic!("{:?}", admin.users)
    };
    assert_eq!(
        (ann.password.as_deref(), ann.access),
        (
            Some(
                "$6$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            ),
            Access::Full
        )
    );
    assert_eq!(
        ann.keys,
        ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann"]
    );
    assert_eq!(
        (bob.password.as_deref(), bob.access),
        (None, Access::ReadOnly)
    );
    assert_eq!(
        bob.keys,
        [
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND"
        ]
    );
    let chores = [
        config.manager.host_check,
        config.manager.config_check,
        config.manager.heartbeat,
    ];
    let chores = chores.map(|task| (task.interval.as_secs(), task.enable));
    assert_eq!(chores, [(10, true), (2, true), (60, false)]);
    assert_eq!(
        config.control.unwrap().socket.to_str(),
        Some("/run/txlb/control.sock")
    );
    let file = Some("/var/log/lb.log".into());
    assert_eq!(
        config.logging,
        Logging {
            file,
            connections: true,
            ..Logging::default()
        }
    );
    let light = "10:5: every host of group \"green\" has weight 0: none gets sessions";
    assert_eq!(warnings(NEW_DIALECT), [light]);
}

#[test]
fn the_old_dialect_is_read() {
    let config = parse(OLD_DIALECT);
    let mail = &config.services[0];
    assert_eq!(mail.timeouts, Timeouts::default());
    assert_eq!(mail.enabled, "b");
    assert_eq!(mail.groups[0].scheduler, Algorithm::RoundRobin.into());
    assert_eq!(mail.groups[1].scheduler, Algorithm::Weighted.into());
    let names: Vec<_> = mail.groups[0]
        .hosts
        .iter()
        .map(|host| host.name.as_str())
        .collect();
    assert_eq!(names, ["x", "host.1"]);
    let web = config.admin.unwrap().web.unwrap();
    assert!(web.enable && !web.secure);
    assert_eq!(web.listen.unwrap().to_string(), "localhost:7001");
    assert_eq!(config.manager.host_check.interval, Duration::from_secs(15));
    // The ancestor knew no other kind of hash.
    let weak = "9:34: the password of user \"u\" is a weak hash: txlb passwd makes a better one";
    assert_eq!(warnings(OLD_DIALECT), [weak]);
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(&with_group(
        "<group name='g' enable='1'><host ip='a:1'/></group>",
    ));
    let host = &first_group(&config).hosts[0];
    assert_eq!((host.weight, host.state), (1, HostState::Up));
    let default = Config {
        services: config.services.clone(),
        ..Config::default()
    };
    assert_eq!(config, default);
}

#[test]
fn order_is_the_files_whatever_the_elements() {
    let text = "<config><logging/><manager/><service name='s'>\
    <enable group='z'/><group name='z'/><listen ip='2'/><group name='a'/><listen ip='1'/>\
    </service><admin/></config>";
    let config = parse(text);
    let names: Vec<_> = config.services[0]
        .groups
        .iter()
        .map(|group| &group.name)
        .collect();
    assert_eq!(names, ["z", "a"]);
    let ports: Vec<_> = config.services[0]
        .listens
        .iter()
        .map(|listen| listen.address.port)
        .collect();
    assert_eq!(ports, [2, 1]);
    assert_eq!(config.admin, Some(Admin::default()));
}

#[test]
fn two_hosts_at_one_address_are_two_hosts() {
    let text = "<group name='g' enable='1'><host ip='a:1'/><client ip='a:1'/></group>";
    assert_eq!(first_group(&parse(&with_group(text))).hosts.len(), 2);
}

#[test]
fn five_words_are_true_and_all_others_false() {
    let enabled = |word: &str| {
        admin(&format!("<ssh listen='1' enable='{word}'/>"))
            .ssh
            .unwrap()
            .enable
    };
    for word in [
        "yes", "1", "on", "enable", "true", "TRUE", "True", "On", "YES",
    ] {
        assert!(enabled(word), "{word}");
    }
    for word in [
        "no", "0", "off", "false", "False", "", "2", "enabled", " true", "y",
    ] {
        assert!(!enabled(word), "{word}");
    }
}

#[test]
fn a_group_may_be_enabled_in_both_ways_at_once() {
    let groups = "<group name='a'/><group name='b' enable='yes'/><enable group='b'/>";
    assert_eq!(parse(&with_group(groups)).services[0].enabled, "b");
    let groups = "<enable group='a'/><group name='a' enable='false'/><group name='b'/>";
    assert_eq!(parse(&with_group(groups)).services[0].enabled, "a");
}

#[test]
fn what_is_for_people_is_ignored() {
    let text = "\u{feff}<?xml version='1.0' encoding='US-ASCII'?>\n\
    <!DOCTYPE config PUBLIC '-//x' \"config.dtd\">\n<?php oh ?>\n<config>stray &amp; text\n\
    <note>any <b xmlns='x' c='d'>thing<note/></b></note><![CDATA[<service>]]>\n\
    <service name='s'>text<listen ip='1'><note/>text</listen><!-- <group/> -->\n\
    <group name='g' enable='1'>text<host ip='a:1'>text<note/></host></group></service>\n\
    <admin><user name='u' access='full'>text<key><!-- mine --><note>old</note>ssh-ed25519\
    <![CDATA[ AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB]]></key></user></admin></config>\n<!-- end -->";
    let config = parse(text);
    assert_eq!(first_group(&config).hosts.len(), 1);
    assert_eq!(
        config.admin.unwrap().users[0].keys,
        ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"]
    );
    assert_eq!(warnings(text), [""; 0]);
}

#[test]
fn amp_may_have_a_socket_of_its_own() {
    let control = |attributes: &str| {
        let config = parse(&format!(
            "<config><control socket='/s' {attributes}/></config>"
        ));
        config.control.unwrap()
    };
    assert_eq!(control(""), Control::at("/s"));
    let custom = control("amp='False' ampSocket='/a' ampMode='666'");
    assert_eq!(
        (custom.amp, custom.amp_socket, custom.amp_mode),
        (false, Some("/a".into()), 0o666)
    );
}

#[test]
fn references_in_values_are_resolved() {
    let text = "<group name='&lt;&#x201c;&amp;&apos;&quot;&#252;' enable='1'/>";
    assert_eq!(
        first_group(&parse(&with_group(text))).name,
        "<\u{201c}&'\"ü"
    );
    let text = "<group name='two\n\twords' enable='1'/>";
    assert_eq!(first_group(&parse(&with_group(text))).name, "two  words");
}

#[test]
fn an_admin_interface_may_be_given_by_its_port_alone_or_by_none() {
    let listen = admin("<ssh listen='2222'/>").ssh.unwrap().listen.unwrap();
    assert_eq!((listen.host, listen.port), (ListenHost::Any, 2222));
    assert_eq!(
        admin("<web listen='None' enable='False'/>")
            .web
            .unwrap()
            .listen,
        None
    );
    assert_eq!(admin("<web enable='0'/>").web.unwrap().listen, None);
    let kept = admin("<web listen='2222' enable='0'/>").web.unwrap();
    assert_eq!(
        (kept.listen.map(|listen| listen.port), kept.enable),
        (Some(2222), false)
    );
}

#[test]
fn an_interval_of_0_switches_a_chore_off() {
    let text = "<manager><hostCheck interval='0' enable='1'/><heartbeat interval='5' enable='1'/>\
    </manager>";
    let read = manager(text);
    let default = Manager::default();
    assert_eq!(
        (read.host_check.interval, read.host_check.enable),
        (default.host_check.interval, false)
    );
    assert_eq!(
        (read.heartbeat.interval.as_secs(), read.heartbeat.enable),
        (5, true)
    );
    assert!(
        !manager("<manager hostCheckInterval='0.0'/>")
            .host_check
            .enable
    );
    assert!(manager("<manager><hostCheck/></manager>").host_check.enable);
}

#[test]
fn the_outermost_element_has_two_names() {
    let inner = "<service name='s'><listen ip='1'/><group name='g' enable='1'/></service>";
    let [new, old] = ["config", "pdconfig"].map(|name| parse(&format!("<{name}>{inner}</{name}>")));
    assert_eq!(new, old);
}

#[test]
fn the_page_may_be_said_by_attributes_of_admin() {
    let web = |attributes: &str| {
        let config = parse(&format!("<pdconfig><admin {attributes}/></pdconfig>"));
        config.admin.unwrap().web.unwrap()
    };
    let old = web("listen='localhost:7000' secure='secure' refresh='10'");
    let new = admin("<web listen='localhost:7000' secure='true' refresh='10'/>");
    assert_eq!(Some(old), new.web);
    assert_eq!(web("listen='1'").refresh, Some(Web::REFRESH));
    // Whatever was said there made it HTTPS, but for what says that it is not.
    for (word, secure) in [
        ("secure", true),
        ("", true),
        ("1", true),
        ("False", false),
        ("no", false),
    ] {
        assert_eq!(
            web(&format!("listen='1' secure='{word}'")).secure,
            secure,
            "{word}"
        );
    }
}

#[test]
fn the_page_refreshes_itself_as_often_as_is_said() {
    let refresh = |word: &str| {
        let web = admin(&format!("<web listen='1' refresh='{word}'/>")).web;
        web.unwrap().refresh.map(|refresh| refresh.as_secs())
    };
    for word in ["False", "false", "no", "off", "0", "0.0"] {
        assert_eq!(refresh(word), None, "{word}");
    }
    for word in ["True", "yes", "on", "enable", "30"] {
        assert_eq!(refresh(word), Some(30), "{word}");
    }
    assert_eq!((refresh("1"), refresh("10")), (Some(1), Some(10)));
    assert_eq!(
        admin("<web listen='1'/>").web.unwrap().refresh,
        Some(Web::REFRESH)
    );
}

#[test]
fn failed_hosts_are_tried_as_often_as_checktime_says() {
    let check = |text: &str| manager(text).host_check;
    let new = check("<manager><hostCheck interval='120'/></manager>");
    assert_eq!(check("<checktime time='120'/>"), new);
    assert_eq!(
        check("<checktime time='120'/><manager><heartbeat/></manager>"),
        new
    );
    assert!(!check("<checktime time='0'/>").enable);
}

#[test]
fn a_control_socket_may_be_nowhere() {
    let control = |element: &str| parse(&format!("<config>{element}</config>")).control;
    assert_eq!(control("<control socket='None'/>"), None);
    assert!(control("<control socket='./None'/>").is_some());
    assert!(control("<control/>").is_some());
}

#[test]
fn what_is_hardly_meant_is_warned_of_where_it_is() {
    assert_eq!(
        warnings("<config/>"),
        ["1:1: there is no <service>: nothing is balanced"]
    );
    let text = "\u{feff}<config>\n  <admin>\n<user name='u' access='full' password='secret'/></admin>\n\
        <service name='ü'><listen ip='1'/><group name='g' enable='1'/>\n\
        <group name='h'></group></service></config>";
    let expected = [
        "3:1: the password of user \"u\" matches nothing: it is no crypt(3) hash of a known kind",
        "4:35: group \"g\" has no hosts",
        "5:1: group \"h\" has no hosts",
    ];
    assert_eq!(warnings(text), expected);
    let text = "<config><service name='s'><listen ip='1'/>\n\
        <group name='g' enable='1'><host ip='a:1' state='down'/><host ip='a:2' weight='0'/></group>\n\
        <group name='h'><host ip='a:1' weight='0'/></group>\n\
        <group name='i'><host ip='a:1' state='drain'/></group></service></config>";
    let expected = [
        "2:1: group \"g\" is enabled, but no host of it is in service: all sessions end",
        "3:1: every host of group \"h\" has weight 0: none gets sessions",
    ];
    assert_eq!(warnings(text), expected);
    let text = "<config><service name='s'><listen ip='1'/>\n\
        <group name='g' enable='1' initial='down'><host ip='a:1' backup='true'/></group>\n\
        <group name='h'><host ip='a:1' backup='true'/><host ip='a:2' weight='2'/></group>\n\
        <group name='i' scheduler='leastc'><host ip='a:1' weight='2'/></group></service>\n\
        <manager><hostCheck enable='false'/></manager></config>";
    let expected = [
        "2:1: every host of group \"g\" is a backup: none is one of another",
        "4:1: group \"i\" has weights, which leastc does not look at: weightlc does",
        "5:1: new hosts of group \"g\" wait for a check (initial=\"down\"), but hostCheck is off",
    ];
    assert_eq!(warnings(text), expected);
    let text = "<?xml version='1.0' encoding='latin1'?><config><service name='ü'><listen ip='1'/>\
        <group name='g' enable='1'><host ip='a:1'/></group></service></config>";
    assert_eq!(
        warnings(text),
        ["1:1: the file says it is latin1 but is read as UTF-8"]
    );
}

#[test]
fn every_kind_of_hash_is_known() {
    let warnings = |hash| {
        warnings(&format!(
            "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
             <host ip='a:1'/></group></service><admin>\n\
             <user name='u' access='full' password='{hash}'/></admin></config>"
        ))
    };
    let hash = |start: &str, length| start.to_owned() + &"a".repeat(length);
    for hash in [
        hash("$5$a$", 43),
        hash("$6$a$", 86),
        hash("$2b$12$", 53),
        hash("$2y$12$", 53),
    ] {
        assert_eq!(warnings(hash), [""; 0]);
    }
    for (hash, doubt) in [
        (
            "abcdefghijk./".to_owned(),
            "is a weak hash: txlb passwd makes",
        ),
        (hash("$1$a$", 22), "is a weak hash: txlb passwd makes"),
        (hash("$6$a$", 80), "matches nothing: it is cut off"),
        (
            hash("$6$rounds=999999999$a$", 86),
            "matches nothing: it would take too long",
        ),
        (
            hash("$2b$31$", 53),
            "matches nothing: it would take too long",
        ),
        (hash("$2b$15$", 53), "takes about 2457 ms to check"),
    ] {
        let warnings = warnings(hash);
        let start = format!("2:1: the password of user \"u\" {doubt}");
        assert!(warnings[0].starts_with(&start), "{warnings:?}");
    }
}

#[test]
fn a_boolean_that_is_neither_is_warned_of_or_an_error() {
    let text = "<config><note secure='x'><x enable='y'/></note><admin>\n\
        <web listen='7001' enable='yse' secure='ture'/>\n\
        <ssh listen='2222' enable='2'/></admin></config>";
    let expected = [
        "1:1: there is no <service>: nothing is balanced",
        "2:20: enable is \"yse\", which is taken for false: is yes meant?",
        "2:33: secure is \"ture\", which is taken for false: is true meant?",
        "3:20: enable is \"2\", which is taken for false: is 1 meant?",
    ];
    assert_eq!(warnings(text), expected);
    let new = read(b"<config><logging connections='ture'/></config>").unwrap_err();
    assert_eq!(
        new.to_string(),
        "1:18: connections is \"ture\" but must be true or false"
    );
}

#[test]
fn ignored_elements_are_warned_of() {
    let text = "<config><service name='s'><listen ip='1'/>\n\
        <group name='g' scheduler='roundr' enable='1'><host name='a' ip='h:1' weight='5'/>\
        <host name='b' ip='h:1'/></group>\n\
        <group name='h' scheduler='weightr'><host ip='h:1' weight='5'/></group></service>\n\
        <admin><ssh listen='2222'/></admin></config>";
    let expected = [
        "2:1: group \"g\" has weights, which roundr does not look at: weightrr does",
        "2:1: group \"g\" has h:1 twice, as \"a\" and \"b\": it gets twice the sessions",
        "4:8: there is no <user>: all logins are rejected",
    ];
    assert_eq!(warnings(text), expected);
}

#[test]
fn the_samples_are_read_without_a_warning() {
    for sample in [
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/config.xml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/minimal.xml")),
    ] {
        assert_eq!(warnings(sample), [""; 0]);
    }
}
