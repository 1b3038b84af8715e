//! From the bytes of a file to a [`Config`], or to the first thing that is wrong.
//!
//! Both dialects are read alike: PythonDirector's and txLoadBalancer's. Whether
//! the file can be put to use (ports, names, files it mentions) is not asked here.

mod admin;
mod element;
mod schema;
mod service;
mod settings;
mod value;
mod xml;

use std::collections::HashSet;

use roxmltree::{Document, Node};

use self::element::Element;
use self::service::Listens;
use super::error::{Error, ErrorKind, Position};
use super::scan::{BYTE_ORDER_MARK, scan};
use super::{Config, CustomNames};

pub(super) use self::admin::OLD_WEB;
pub(super) use self::schema::NOTE;
pub use self::schema::{AttributeSchema, ChildSchema, ElementSchema, Occurs, schema};
pub(super) use self::settings::{CHECK_TIME, HOST_CHECK_INTERVAL, at_interval};
pub(super) use self::value::{NOWHERE, Value, flag};

/// A configuration, and what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the file says.
    pub config: Config,
    /// What is legal but hardly meant, in the file's order.
    pub warnings: Vec<Warning>,
}

/// Something that is legal but hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it is.
    pub position: Position,
    /// What it is, on one line.
    pub text: String,
}

/// Reads a configuration file, given as its bytes.
///
/// # Errors
///
/// The first thing that is wrong, in the file's order as far as that can be said.
pub fn read(text: &[u8]) -> Result<Reading, Error> {
    read_with(text, &CustomNames::None)
}

/// As [`read`], where schedulers may also have these names.
///
/// # Errors
///
/// As of [`read`].
pub fn read_with(text: &[u8], own: &CustomNames) -> Result<Reading, Error> {
    let scanned = scan(text)?;
    let document =
        Document::parse(&scanned.text).map_err(|error| xml::explain(&error, &scanned))?;
    // Every position is one in the original: the blanked text is as long.
    let root = Element::root(document.root_element(), scanned.original)?;
    let mut warned = Warned::default();
    if let Some(encoding) = scanned.false_encoding {
        warned.0.push((
            0,
            format!("the file says it is {encoding} but is read as UTF-8"),
        ));
    }
    let config = config(&root, own, &mut warned)?;
    warn_of_booleans(document.root_element(), scanned.original, &mut warned);
    Ok(Reading {
        config,
        warnings: warned.positioned(scanned.original),
    })
}

fn config(root: &Element<'_>, own: &CustomNames, warned: &mut Warned) -> Result<Config, Error> {
    let mut config = Config::default();
    let mut names = HashSet::new();
    let mut listens = Listens::new();
    let (mut manager, mut check_time) = (None, None);
    for child in root.children() {
        let child = child?;
        match child.name() {
            "service" => {
                let service = service::service(&child, &mut listens, own, warned)?;
                unique(&mut names, &child, &service.name)?;
                config.services.push(service);
            }
            "admin" => config.admin = Some(admin::admin(&child, warned)?),
            "manager" => {
                config.manager = settings::manager(&child)?;
                manager = Some(child);
            }
            CHECK_TIME => check_time = Some(child),
            "control" => config.control = settings::control(&child)?,
            _ => config.logging = settings::logging(&child)?,
        }
    }
    if let Some(check_time) = check_time {
        settings::check_time(&check_time, manager.as_ref(), &mut config.manager)?;
    }
    if config.services.is_empty() {
        warned.push(
            root,
            "there is no <service>: nothing is balanced".to_owned(),
        );
    }
    Ok(config)
}

/// Warns of booleans that the ancestors had and that say neither true nor false.
fn warn_of_booleans(root: Node<'_, '_>, original: &str, warned: &mut Warned) {
    const BOOLEANS: [&str; 2] = ["enable", "secure"];
    let is_named = |node: &Node<'_, '_>, name| node.tag_name().name() == name;
    // On <admin>, whatever is said is true.
    let elements = root.descendants().filter(|node| !is_named(node, "admin"));
    for node in elements {
        for of in BOOLEANS {
            let Some(found) = node.attribute_node(of) else {
                continue;
            };
            let value = Value {
                of,
                text: found.value(),
                offset: found.range().start,
                original,
            };
            let odd = value.odd_boolean();
            if let Some(odd) = odd.filter(|_| !node.ancestors().any(|it| is_named(&it, NOTE))) {
                warned.0.push((value.offset, odd));
            }
        }
    }
}

/// Takes `name` for `element`, unless one before it has it already.
fn unique(names: &mut HashSet<String>, element: &Element<'_>, name: &str) -> Result<(), Error> {
    if names.insert(name.to_owned()) {
        return Ok(());
    }
    let kind = ErrorKind::DuplicateName {
        element: element.name(),
        name: name.to_owned(),
    };
    match element.value("name") {
        Some(value) => Err(value.error(kind)),
        None => Err(element.error(kind)),
    }
}

/// Warnings, each with the byte that it is about.
#[derive(Default)]
struct Warned(Vec<(usize, String)>);

impl Warned {
    fn push(&mut self, element: &Element<'_>, text: String) {
        self.0.push((element.offset(), text));
    }

    /// In the file's order; one pass over the text counts the lines for all.
    fn positioned(mut self, text: &str) -> Vec<Warning> {
        self.0.sort_by_key(|(offset, _)| *offset);
        let mut position = Position::START;
        let mut counted = if text.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        let with_position = |(offset, warning): (usize, String)| {
            position = position.advanced(text.get(counted..offset).unwrap_or_default());
            counted = counted.max(offset);
            Warning {
                position,
                text: warning,
            }
        };
        self.0.into_iter().map(with_position).collect()
    }
}

#[cfg(test)]
mod tests {
    //! Tests of reading: every element and attribute, and what is made of them.

    use std::time::Duration;

    use super::*;
    use crate::config::{
        Access, Admin, Algorithm, Control, Group, HostState, ListenHost, Logging, Manager, Timeouts,
    };

    mod errors;
    mod hostile;
    mod old_forms;
    mod warnings;

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
        let listens: Vec<_> = web.listens.iter().map(ToString::to_string).collect();
        assert_eq!(listens, ["*:8080", "[::1]:8081"]);
        let timeouts = Timeouts {
            connect: Some(Duration::from_millis(2500)),
            idle: Some(Duration::from_secs(3600)),
            half_closed: None,
        };
        assert_eq!(web.timeouts, timeouts);
        assert_eq!(web.enabled, "blue");
        let [blue, green] = &web.groups[..] else {
            panic!("{web:?}")
        };
        assert_eq!(blue.scheduler.to_string(), "weightrr,sticky");
        assert_eq!(green.scheduler, Algorithm::LeastConns.into());
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
            [
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann"
            ]
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
        let chores = chores.map(|chore| (chore.interval.as_secs(), chore.enable));
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
                connections: true
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
        let weak =
            "9:34: the password of user \"u\" is a weak hash: txlb passwd makes a better one";
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
            .map(|listen| listen.port)
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
        let own = control("amp='False' ampSocket='/a' ampMode='666'");
        assert_eq!(
            (own.amp, own.amp_socket, own.amp_mode),
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
    fn a_door_may_be_named_by_its_port_alone_or_by_none() {
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
}
