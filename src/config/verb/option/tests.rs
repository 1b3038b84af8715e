//! Tests of options: each does what the attribute in the file does.

use super::*;
use crate::config::verb::{Command, Verb, apply_all};
use crate::config::{print, read, schema};

fn config(inside: &str) -> Config {
    let is_whole = inside.starts_with("<config ") || inside.starts_with("<config>");
    let text = match is_whole {
        true => inside.to_owned(),
        false => format!("<config>{inside}</config>"),
    };
    read(text.as_bytes()).unwrap().config
}

fn applied(config: &Config, name: &str, value: &str) -> Result<Config, String> {
    let mut next = config.clone();
    set(&mut next, name, value).map_err(|refusal| refusal.to_string())?;
    apply_all(&[set_option(name, value)], config).map_err(|(_, refusal)| refusal.to_string())
}

fn set_option(name: &str, value: &str) -> Verb {
    let command = Command::from_pairs("setOption", &[("name", name), ("value", value)]);
    command.unwrap().into_change().unwrap()
}

const FULL: &str = r#"<config watch="true">
    <admin>
      <web listen="localhost:7001" enable="true" secure="true" refresh="10" cert="C" key="K" names="a b"/>
      <ssh listen="localhost:2222" enable="true"/>
    </admin>
    <manager>
      <hostCheck interval="1" enable="false"/>
      <configCheck interval="2" enable="true"/>
      <heartbeat interval="3" enable="true"/>
    </manager>
    <control socket="S" amp="false" ampSocket="A" ampMode="0666"/>
    <logging file="F" connections="true"/>
</config>"#;

#[test]
fn every_attribute_of_the_file_is_an_option() {
    let mut expected = vec!["admin", "admin.web", "admin.ssh", "control"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for (prefix, name) in [
        ("admin.", "web"),
        ("admin.", "ssh"),
        ("manager.", "hostCheck"),
        ("manager.", "configCheck"),
        ("manager.", "heartbeat"),
        ("", "config"),
        ("", "control"),
        ("", "logging"),
    ] {
        let element = schema()
            .iter()
            .find(|element| element.name == name)
            .unwrap();
        let attributes = element.attributes.iter();
        expected.extend(attributes.map(|attribute| format!("{prefix}{name}.{}", attribute.name)));
    }
    let mut found: Vec<_> = options().iter().map(|option| option.path.clone()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn an_option_does_what_the_attribute_does() {
    let full = config(FULL);
    for option in options().iter().filter(|option| !option.is_element()) {
        let (_, attribute) = option.path.rsplit_once('.').unwrap();
        let element = option.path.rsplit('.').nth(1).unwrap();
        let value = option.value(&full).unwrap();
        let written = format!(" {attribute}=\"{value}\"");
        let start = FULL.find(&format!("<{element} ")).unwrap();
        let at = start + FULL[start..].find(&written).unwrap();
        let without = [&FULL[..at], &FULL[at + written.len()..]].concat();
        // An enabled interface needs an address, a certificate its key.
        if !["listen", "cert", "key"].contains(&attribute) {
            let removed = applied(&full, &option.path, "").unwrap();
            assert_eq!(print(&removed), print(&config(&without)), "{}", option.path);
            assert_eq!(applied(&removed, &option.path, &value).unwrap(), full);
        }
        let again = applied(&full, &option.path, &value).unwrap();
        assert_eq!(again, full, "{}", option.path);
    }
}

#[test]
fn an_element_comes_and_goes() {
    let (full, none) = (config(FULL), config(""));
    for name in ["admin", "admin.web", "admin.ssh", "control"] {
        assert_eq!(applied(&full, name, "true").unwrap(), full);
        assert_eq!(applied(&none, name, "no").unwrap(), none);
        for value in ["", "false"] {
            let gone = applied(&full, name, value).unwrap();
            let option = option(name).unwrap();
            assert_eq!(option.value(&full).as_deref(), Some("true"));
            assert_eq!(option.value(&gone), None);
        }
    }
    assert_eq!(applied(&none, "admin", "1").unwrap(), config("<admin/>"));
    assert_eq!(
        applied(&none, "control", "1").unwrap(),
        config("<control/>")
    );
    let listen = r#"<admin><web listen="7001"/></admin>"#;
    assert_eq!(
        applied(&none, "admin.web.listen", "7001").unwrap(),
        config(listen)
    );
    let closed = r#"<admin><ssh enable="no"/></admin>"#;
    assert_eq!(
        applied(&none, "admin.ssh.enable", "no").unwrap(),
        config(closed)
    );
    let socket = r#"<control socket="/s"/>"#;
    assert_eq!(
        applied(&none, "control.socket", "/s").unwrap(),
        config(socket)
    );
}

#[test]
fn nothing_is_taken_out_of_what_is_not_there() {
    let none = config("");
    for option in options() {
        assert_eq!(
            applied(&none, &option.path, "").unwrap(),
            none,
            "{}",
            option.path
        );
    }
}

#[test]
fn an_enabled_admin_interface_has_an_address_to_listen_at() {
    let (full, none) = (config(FULL), config(""));
    for interface in ["web", "ssh"] {
        let [element, listen, enable] =
            ["", ".listen", ".enable"].map(|end| format!("admin.{interface}{end}"));
        let nowhere = format!("there is no address to listen on: set {listen} first");
        assert_eq!(applied(&none, &element, "true"), Err(nowhere.clone()));
        assert_eq!(applied(&none, &enable, "true"), Err(nowhere.clone()));
        let open = format!("the admin interface is enabled: set {enable} to false first");
        for nothing in ["", "None"] {
            assert_eq!(applied(&full, &listen, nothing), Err(open.clone()));
            let closed = applied(&full, &enable, "false").unwrap();
            let nowhere_to = applied(&closed, &listen, nothing).unwrap();
            assert_eq!(applied(&nowhere_to, &enable, "on"), Err(nowhere.clone()));
        }
    }
    let nowhere = "there is no address to listen on: set admin.web.listen first";
    assert_eq!(
        applied(&none, "admin.web.secure", "true").unwrap_err(),
        nowhere
    );
}

#[test]
fn a_certificate_comes_and_goes_with_its_key() {
    let (full, none) = (config(FULL), config(r#"<admin><web listen="1"/></admin>"#));
    let set = |name: &str, value: &str| set_option(&format!("admin.web.{name}"), value);
    let half = |option, other| {
        let words = format!(
            "admin.web.{option} would be without admin.web.{other}: set both, or neither, \
         between begin and commit"
        );
        Err(words)
    };
    assert_eq!(applied(&none, "admin.web.cert", "C"), half("cert", "key"));
    assert_eq!(applied(&none, "admin.web.key", "K"), half("key", "cert"));
    assert_eq!(applied(&full, "admin.web.cert", ""), half("key", "cert"));
    let both = apply_all(&[set("key", "K"), set("cert", "C")], &none).unwrap();
    let web = both.admin.unwrap().web.unwrap();
    assert!(web.cert.is_some() && web.key.is_some());
    let neither = apply_all(&[set("key", ""), set("cert", "")], &full).unwrap();
    let web = neither.admin.unwrap().web.unwrap();
    assert!(web.cert.is_none() && web.key.is_none());
    // The verb that is named is one of them.
    let verbs = [set("cert", "C"), set("secure", "1")];
    assert_eq!(apply_all(&verbs, &none).unwrap_err().0, 0);
    let gone = apply_all(&[set("cert", ""), verbs[1].clone()], &full);
    assert!(gone.is_err());
    // Without <web> there is neither.
    assert!(applied(&full, "admin.web", "").is_ok());
}

#[test]
fn an_interval_of_0_switches_a_chore_off_as_in_the_file() {
    let changed = applied(&config(FULL), "manager.heartbeat.interval", "0").unwrap();
    let heartbeat = changed.manager.heartbeat;
    assert_eq!((heartbeat.interval.as_secs(), heartbeat.enable), (3, false));
}

#[test]
fn what_is_no_option_or_no_value_is_refused() {
    let none = config("");
    for (name, value, message) in [
        (
            "manager.hostcheck.intervall",
            "5",
            "there is no option \"manager.hostcheck.intervall\": is manager.hostCheck.interval meant?",
        ),
        (
            "color",
            "red",
            "there is no option \"color\": help setOption lists them",
        ),
        (
            "manager.hostCheck.interval",
            "5 s",
            "manager.hostCheck.interval is \"5 s\" but must be seconds, such as 5 or 0.5, or with a unit, such as 500ms or 1m, at most ten years",
        ),
        (
            "admin.web.listen",
            "localhost",
            "admin.web.listen is \"localhost\": the port is missing: write localhost:PORT",
        ),
        (
            "admin.web.names",
            "a:1",
            "admin.web.names is \"a:1\" but must be host names without ports, blanks between them",
        ),
    ] {
        assert_eq!(applied(&none, name, value).unwrap_err(), message);
        assert_eq!(check(name, value).unwrap_err().to_string(), message);
    }
}
