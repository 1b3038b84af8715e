//! Tests of printing: what is read again is what was printed.

use super::*;
use std::time::Duration;

use crate::config::random::Random;
use crate::config::{
    Access, Admin, Algorithm, Control, Endpoint, Group, Host, HostState, ListenAddress, ListenHost,
    Scheduler, Service, Ssh, Timeouts, User, arbitrary, read,
};

#[test]
fn what_is_printed_reads_as_what_was_there() {
    let mut random = Random::new(3);
    for _ in 0..300 {
        let mut config = arbitrary::config(&mut random);
        for user in config.admin.iter_mut().flat_map(|admin| &mut admin.users) {
            user.password = Some("***".to_owned());
        }
        let printed = print(&config);
        let reading = read(printed.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(reading.config, config, "{printed}");
    }
}

#[test]
fn the_print_shows_every_value_and_no_password() {
    let name = "<&\"'>\u{a0}ü".to_owned();
    let host = Host {
        name: "one".to_owned(),
        address: Endpoint::Name {
            host: "lorien".to_owned(),
            port: 80,
        },
        weight: 1,
        state: HostState::Up,
    };
    let scheduler = Scheduler {
        algorithm: Algorithm::LeastConns,
        sticky: true,
    };
    let groups = vec![Group {
        name: "g".to_owned(),
        scheduler,
        sticky_prefix: 64,
        hosts: vec![host],
    }];
    let listens = vec![ListenAddress {
        host: ListenHost::Any,
        port: 8080,
    }];
    let timeouts = Timeouts {
        idle: Some(Duration::from_millis(1500)),
        ..Timeouts::default()
    };
    let service = Service {
        name,
        timeouts,
        listens,
        groups,
        enabled: "g".to_owned(),
    };
    let user = User {
        name: "ann".to_owned(),
        password: Some("secret".to_owned()),
        access: Access::ReadOnly,
        keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB <ann>".to_owned()],
    };
    let admin = Admin {
        ssh: Some(Ssh {
            listen: None,
            enable: false,
        }),
        users: vec![user],
        web: None,
    };
    let control = Some(Control::at("a\tb"));
    let config = Config {
        services: vec![service],
        admin: Some(admin),
        control,
        ..Config::default()
    };
    assert_eq!(print(&config), PRINTED);
}

const PRINTED: &str = r#"<config>
  <service name="&lt;&amp;&quot;'&gt; ü" connectTimeout="5" idleTimeout="1.5" halfClosedTimeout="300">
    <listen ip="*:8080"/>
    <group name="g" scheduler="leastc,sticky" stickyPrefix="64" enable="true">
      <host name="one" ip="lorien:80" weight="1" state="up"/>
    </group>
  </service>
  <admin>
    <ssh listen="None" enable="false"/>
    <user name="ann" password="***" access="readonly">
      <key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB &lt;ann&gt;</key>
    </user>
  </admin>
  <manager>
    <hostCheck interval="10" enable="true"/>
    <configCheck interval="30" enable="false"/>
    <heartbeat interval="60" enable="false"/>
  </manager>
  <control socket="a&#9;b" amp="true" ampMode="0660"/>
  <logging connections="false"/>
</config>
"#;
