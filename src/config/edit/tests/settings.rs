//! Examples of edits: admin interfaces, users, periodic tasks and the other sections.

use std::time::Duration;

use super::*;
use crate::config::{Access, Admin, Control, Ssh, User, Web};

fn user(name: &str, password: Option<&str>, keys: &[&str]) -> User {
    User {
        name: name.to_owned(),
        password: password.map(str::to_owned),
        access: Access::Full,
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
    }
}

fn admin(config: &mut Config) -> &mut Admin {
    config.admin.as_mut().unwrap()
}

fn users(config: &mut Config) -> &mut Vec<User> {
    &mut admin(config).users
}

#[test]
fn sections_come_in_the_order_of_the_manual() {
    let text = "<config>\n\t<!-- nothing yet -->\n\t<manager>\n\t</manager>\n</config>";
    let change = |config: &mut Config| {
        config.admin = Some(Admin {
            ssh: Some(Ssh {
                listen: Some("22".parse().unwrap()),
                enable: true,
            }),
            web: None,
            users: vec![user(
                "ann",
                None,
                &[
                    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB a&b",
                ],
            )],
        });
        config.manager.config_check.enable = true;
        config.manager.host_check.interval = Duration::from_millis(500);
        config.control = Some(Control::at("/run/s"));
        config.logging.connections = true;
    };
    let expected = r#"<config>
	<!-- nothing yet -->
	<admin>
		<ssh listen="*:22"/>
		<user name="ann" access="full">
			<key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB a&amp;b</key>
		</user>
	</admin>
	<manager>
		<hostCheck interval="0.5"/>
		<configCheck enable="true"/>
	</manager>
	<control socket="/run/s"/>
	<logging connections="true"/>
</config>"#;
    example(text, change, expected);
    let none = text.replace("\t<manager>\n\t</manager>\n", "");
    // Without anything to go by, it comes last.
    assert_eq!(parsed(&changed(&none, change)), parsed(expected));
}

#[test]
fn sections_go() {
    let text =
        "<config>\n  <admin><!-- old --></admin>\n  <control/> <!-- default -->\n</config>\n";
    let change = |config: &mut Config| (config.admin, config.control) = (None, None);
    example(text, change, "<config>\n  <!-- default -->\n</config>\n");
}

#[test]
fn the_old_admin_element_stays_as_long_as_it_says_enough() {
    let text = "<config><admin listen='7001'/></config>";
    let move_it = |config: &mut Config| {
        admin(config).web.as_mut().unwrap().listen = Some("localhost:1".parse().unwrap());
    };
    example(
        text,
        move_it,
        "<config><admin listen='localhost:1'/></config>",
    );
    let secure = |config: &mut Config| admin(config).web.as_mut().unwrap().secure = true;
    let expected = "<config><admin listen='7001' secure='true'/></config>";
    example(text, secure, expected);
    let text_2008 = "<pdconfig><admin secure='secure' listen='7001' refresh='10'/></pdconfig>";
    let never = |config: &mut Config| admin(config).web.as_mut().unwrap().refresh = None;
    example(text_2008, never, &text_2008.replace("10", "0"));
    let insecure = |config: &mut Config| admin(config).web.as_mut().unwrap().secure = false;
    example(
        text_2008,
        insecure,
        &text_2008.replace("'secure'", "'false'"),
    );
    let named = |config: &mut Config| admin(config).web.as_mut().unwrap().names = vec!["a".into()];
    let expected = "<pdconfig><admin><web listen=\"*:7001\" secure=\"true\" refresh=\"10\" \
                    names=\"a\"/></admin></pdconfig>";
    example(text_2008, named, expected);
    example(
        text,
        |config| admin(config).web = None,
        "<config><admin/></config>",
    );
}

#[test]
fn admin_interfaces_are_edited_attribute_by_attribute() {
    let text = "<config>\n  <admin>\n    <web listen='None' enable='no' cert='c' key='k'\n         names='a'/>\n  </admin>\n</config>";
    let change = |config: &mut Config| {
        admin(config).web = Some(Web {
            listen: Some("1".parse().unwrap()),
            enable: true,
            secure: false,
            refresh: Some(Duration::from_secs(3)),
            cert: Some("c".into()),
            key: Some("'\t".into()),
            names: Vec::new(),
        });
    };
    let expected = "<config>\n  <admin>\n    <web listen='*:1' enable='true' cert='c' key='&apos;&#9;'\n         refresh='3'/>\n  </admin>\n</config>";
    example(text, change, expected);
}

#[test]
fn users_and_their_keys() {
    let text = r#"<config>
  <admin>
    <user name="ann" password="$6$x" access="Full" key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann"/>
    <!-- Bob is on leave. -->
    <user name="bob" access="readonly">
      <key> ssh-ed25519 <!-- home -->AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC </key> <!-- laptop -->
      <key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND</key>
    </user>
  </admin>
</config>"#;
    let change = |config: &mut Config| {
        users(config)[0] = user(
            "ann",
            None,
            &[
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIERERERERERERERERERERERERERERERERERERERERERE",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann",
            ],
        );
        users(config)[1].keys = vec![
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND"
                .into(),
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVF"
                .into(),
        ];
        users(config).push(user("cy", Some("h"), &[]));
    };
    let expected = text
        .replace(
            " password=\"$6$x\" access=\"Full\" key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann\"/>",
            " access=\"Full\" key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIERERERERERERERERERERERERERERERERERERERERERE\">\n      <key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann</key>\n    </user>",
        )
        .replace("<key> ssh-ed25519 <!-- home -->AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC </key> ", "")
        .replace("Q0ND</key>", "Q0ND</key>\n      <key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVF</key>")
        .replace(
            "    </user>\n  </admin>",
            "    </user>\n    <user name=\"cy\" password=\"h\" access=\"full\"/>\n  </admin>",
        );
    example(text, change, &expected);
    let expected = text.replace(" key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB ann\"", "");
    example(text, |config| users(config)[0].keys.clear(), &expected);
}

#[test]
fn a_key_that_has_an_element_needs_no_attribute() {
    let text = "<config><admin><user name='a' access='full' key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB'>\
        <key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC</key><!-- new --></user></admin></config>";
    let change = |config: &mut Config| drop(users(config)[0].keys.remove(0));
    example(text, change, &text.replace(" key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB'", ""));
}

#[test]
fn the_old_interval_stays_as_long_as_it_says_enough() {
    let text = "<config><manager hostCheckInterval='15'/></config>";
    let slower = |config: &mut Config| config.manager.host_check.interval = Duration::from_secs(20);
    example(
        text,
        slower,
        "<config><manager hostCheckInterval='20'/></config>",
    );
    let off = |config: &mut Config| config.manager.host_check.enable = false;
    let expected =
        "<config><manager><hostCheck interval=\"15\" enable=\"false\"/></manager></config>";
    example(text, off, expected);
    let on = |config: &mut Config| config.manager.host_check.enable = true;
    example(
        "<config><manager hostCheckInterval='0'/></config>",
        on,
        "<config><manager hostCheckInterval='10'/></config>",
    );
}

#[test]
fn the_older_interval_stays_as_long_as_it_says_enough() {
    let text = "<pdconfig>\n\t<checktime time='120'/> <!-- two minutes -->\n</pdconfig>";
    let slower = |config: &mut Config| config.manager.host_check.interval = Duration::from_secs(20);
    example(text, slower, &text.replace("120", "20"));
    let probe = |config: &mut Config| config.manager.heartbeat.enable = true;
    let heartbeat = "\n\t<manager>\n\t\t<heartbeat enable=\"true\"/>\n\t</manager>";
    let expected = text.replace("\n\t<checktime", &format!("{heartbeat}\n\t<checktime"));
    example(text, probe, &expected);
    let off = |config: &mut Config| config.manager.host_check.enable = false;
    let expected = "<pdconfig>\n\t<manager>\n\t\t<hostCheck interval=\"120\" enable=\"false\"/>\n\t\
                    </manager> <!-- two minutes -->\n</pdconfig>";
    assert_eq!(parsed(&changed(text, off)), parsed(expected));
}

#[test]
fn a_control_socket_that_is_nowhere_stays_until_there_is_one() {
    let text = "<config>\n  <control socket='None'/> <!-- none -->\n  <manager/>\n</config>";
    let other = |config: &mut Config| config.manager.heartbeat.enable = true;
    let edited = changed(text, other);
    assert!(
        edited.contains("<control socket='None'/> <!-- none -->"),
        "{edited}"
    );
    let there = |config: &mut Config| {
        config.control = Some(Control::at("/s"));
    };
    example(text, there, &text.replace("None", "/s"));
}

#[test]
fn an_interval_of_0_is_replaced_before_the_task_is_enabled() {
    let text = "<config><manager><hostCheck interval='0.0'/></manager></config>";
    let on = |config: &mut Config| config.manager.host_check.enable = true;
    example(text, on, &text.replace("0.0", "10"));
    let still_off = |config: &mut Config| {
        config.manager.host_check.interval = Duration::from_secs(7);
    };
    example(
        text,
        still_off,
        &text.replace("'0.0'", "'7' enable='false'"),
    );
}

#[test]
fn the_log() {
    let text = "<config><logging file='a' connections='On'/></config>";
    example(
        text,
        |config| config.logging.file = None,
        &text.replace(" file='a'", ""),
    );
    example(
        text,
        |config| config.logging.connections = false,
        &text.replace("On", "false"),
    );
}
