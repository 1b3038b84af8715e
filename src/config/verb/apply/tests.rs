//! Tests of applying verbs: the next configuration, or the error.

use super::apply_all;
use crate::config::arbitrary::{self, Random};
use crate::config::verb::{Command, CommandError, Verb};
use crate::config::{Config, Limit, print, read};

const BASE: &str = r#"<config>
  <service name="web">
    <listen ip="*:80"/>
    <listen ip="*:81"/>
    <group name="main" enable="true">
      <host name="one" ip="10.0.0.1:80"/>
      <host name="two" ip="10.0.0.2:80"/>
    </group>
    <group name="spare" scheduler="rand">
      <host name="three" ip="10.0.0.3:80"/>
      <host name="twin" ip="10.0.0.3:80"/>
      <host name="four" ip="10.0.0.4:80"/>
    </group>
  </service>
  <service name="mail">
    <listen ip="*:25"/>
    <group name="only" enable="true">
      <host name="post" ip="post:25"/>
    </group>
  </service>
  <admin>
    <user name="ann" password="$1$a$b" access="full"/>
    <user name="bob" access="readonly"><key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB</key></user>
  </admin>
</config>"#;

fn config(text: &str) -> Config {
    read(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .config
}

fn verb(line: &str) -> Verb {
    match line.parse() {
        Ok(Command::Change(verb)) => verb,
        other => panic!("{line}: {other:?}"),
    }
}

/// That `line` does to the configuration what replacing `old` by `new` does to its file.
#[track_caller]
fn does(line: &str, old: &str, new: &str) {
    assert!(BASE.contains(old), "{old}");
    let after = verb(line).apply(&config(BASE));
    let after = after.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(after, config(&BASE.replacen(old, new, 1)), "{line}");
}

const ONE: &str = r#"<host name="one" ip="10.0.0.1:80"/>"#;
const TWO: &str = r#"<host name="two" ip="10.0.0.2:80"/>"#;
const FOUR: &str = r#"<host name="four" ip="10.0.0.4:80"/>"#;

#[test]
fn hosts_come_and_go() {
    let five = r#"<host name="five" ip="db:5" weight="7" state="drain"/>"#;
    let add = "addHost service=web group=main name=five ip=db:5 weight=7 state=drain";
    does(add, TWO, &format!("{TWO}{five}"));
    does(&format!("{add} before=two"), TWO, &format!("{five}{TWO}"));
    does(&format!("{add} before=\"\""), TWO, &format!("{TWO}{five}"));
    does("delHost service=web group=main name=one", ONE, "");
    does("delHost service=web group=spare ip=10.0.0.4:80", FOUR, "");
    does(
        "delHost service=mail group=only name=post force=true",
        r#"<host name="post" ip="post:25"/>"#,
        "",
    );
    let start = BASE.find("<host name=\"three\"").unwrap();
    let end = BASE.find(FOUR).unwrap() + FOUR.len();
    does("delAllHosts service=web group=spare", &BASE[start..end], "");
    does(
        "delAllHosts service=mail group=only force=true",
        r#"<host name="post" ip="post:25"/>"#,
        "",
    );
}

#[test]
fn a_host_is_changed_where_it_is() {
    let host = "service=web group=main name=one";
    does(
        &format!("setWeight {host} weight=9"),
        ONE,
        r#"<host name="one" ip="10.0.0.1:80" weight="9"/>"#,
    );
    for (verb, state) in [
        ("drainHost", "drain"),
        ("hostAdminDown", "down"),
        ("hostAdminUp", "up"),
    ] {
        let changed = format!(r#"<host name="one" ip="10.0.0.1:80" state="{state}"/>"#);
        does(&format!("{verb} {host}"), ONE, &changed);
    }
    does(&format!("setHost {host}"), ONE, ONE);
    does(
        &format!("setHost {host} ip=db:1 weight=0 rename=uno"),
        ONE,
        r#"<host name="uno" ip="db:1" weight="0"/>"#,
    );
    does(&format!("setHost {host} rename=one"), ONE, ONE);
}

#[test]
fn things_move_before_others_or_behind_all() {
    let main = [ONE, "\n      ", TWO].concat();
    let turned = [TWO, ONE].concat();
    for line in [
        "setHost service=web group=main name=two before=one",
        "setHost service=web group=main name=one before=\"\"",
    ] {
        does(line, &main, &turned);
    }
    for line in [
        "setHost service=web group=main name=one before=one",
        "setHost service=web group=main name=one before=two",
        "setHost service=web group=main name=two before=\"\"",
    ] {
        does(line, &main, &main);
    }
    let renamed = [TWO, &ONE.replace("one", "uno")].concat();
    does(
        "setHost service=web group=main name=one before=\"\" rename=uno",
        &main,
        &renamed,
    );
    let names = |line: &str| {
        let config = verb(line).apply(&config(BASE)).unwrap();
        let services = config.services.iter().map(|service| service.name.clone());
        let groups = config.services.iter().flat_map(|service| &service.groups);
        let users = config.admin.iter().flat_map(|admin| &admin.users);
        let names = services.chain(groups.map(|group| group.name.clone()));
        Vec::from_iter(names.chain(users.map(|user| user.name.clone()))).join(" ")
    };
    assert_eq!(
        names("setService service=mail before=web"),
        "mail web only main spare ann bob"
    );
    assert_eq!(
        names("changeScheduler service=web group=main scheduler=leastc before=\"\""),
        "web mail spare main only ann bob"
    );
    assert_eq!(
        names("setUser name=bob before=ann"),
        "web mail main spare only bob ann"
    );
    assert_eq!(
        names(
            "addUser name=eve access=full key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\" before=bob"
        ),
        "web mail main spare only ann eve bob"
    );
    assert_eq!(
        names("newService service=dns listen=53 before=mail"),
        "web dns mail main spare main only ann bob"
    );
    assert_eq!(
        names("newGroup service=web group=new scheduler=rand before=main"),
        "web mail new main spare only ann bob"
    );
}

#[test]
fn groups_come_and_go_and_one_is_enabled() {
    does(
        "newGroup service=mail group=new scheduler=p2c,sticky",
        "</service>\n  <admin>",
        r#"<group name="new" scheduler="p2c,sticky"/></service><admin>"#,
    );
    let spare =
        &BASE[BASE.find("<group name=\"spare\"").unwrap()..BASE.find("</service>").unwrap()];
    does("delGroup service=web group=spare", spare, "");
    let main = &BASE[BASE.find("<group name=\"main\"").unwrap()..BASE.find(spare).unwrap()];
    does(
        "delGroup service=web group=main force=true",
        &[main, "<group name=\"spare\""].concat(),
        "<group name=\"spare\" enable=\"on\"",
    );
    let mut switched = config(BASE);
    switched.services[0].enabled = "spare".to_owned();
    assert_eq!(
        verb("enableGroup service=web group=spare").apply(&config(BASE)),
        Ok(switched)
    );
    does(
        "changeScheduler service=web group=spare scheduler=maglev",
        "scheduler=\"rand\"",
        "scheduler=\"maglev\"",
    );
}

#[test]
fn services_come_and_go_and_listen() {
    does(
        "newService service=dns listen=53",
        "<admin>",
        r#"<service name="dns"><listen ip="*:53"/><group name="main" scheduler="weightlc" enable="1"/></service><admin>"#,
    );
    let web = &BASE[BASE.find("<service").unwrap()..BASE.find("<service name=\"mail\"").unwrap()];
    does("delService service=web", web, "");
    does(
        "setService service=web connectTimeout=0 halfClosedTimeout=2.5",
        "<service name=\"web\">",
        r#"<service name="web" connectTimeout="0" halfClosedTimeout="2.5">"#,
    );
    does(
        "setService service=web idleTimeout=7",
        "\"web\">",
        "\"web\" idleTimeout=\"7\">",
    );
    let second = r#"<listen ip="*:81"/>"#;
    does(
        "addListen service=web ip=82",
        second,
        &format!("{second}<listen ip=\"*:82\"/>"),
    );
    does(
        "addListen service=web ip=[::1]:0 before=81",
        second,
        &format!("<listen ip=\"[::1]:0\"/>{second}"),
    );
    let proxied = r#"<listen ip="*:81" proxy="require" proxyFrom="::1"/>"#;
    does(
        "setListen service=web ip=*:81 proxy=require proxyFrom=::1",
        second,
        proxied,
    );
    let add = "addListen service=web ip=82 proxy=require proxyFrom=::1";
    does(
        add,
        second,
        &format!("{second}{}", proxied.replace("81", "82")),
    );
    does("delListen service=web ip=*:81", second, "");
    does("switchPort service=web from=81 to=83", "*:81", "*:83");
    does(
        "switchPort service=web from=*:81 to=127.0.0.1:81",
        "*:81",
        "127.0.0.1:81",
    );
    does("switchPort service=web from=81 to=81", "*:81", "*:81");
}

#[test]
fn a_port_alone_keeps_the_address_of_its_listener() {
    let listen = verb("switchPort service=mail from=25 to=[::1]:25")
        .apply(&config(BASE))
        .unwrap();
    let switched = verb("switchPort service=mail from=25 to=26")
        .apply(&listen)
        .unwrap();
    assert_eq!(
        switched.services[1].listens[0].address.to_string(),
        "[::1]:26"
    );
}

#[test]
fn users_come_and_go() {
    let ann = r#"<user name="ann" password="$1$a$b" access="full"/>"#;
    let bob = r#"<user name="bob" access="readonly"><key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB</key></user>"#;
    let eve = r#"<user name="eve" password="$6$e$f" access="readonly"><key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC eve</key><key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND</key></user>"#;
    let add = "addUser name=eve password=$6$e$f access=READONLY key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC eve\" key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND\"";
    does(add, bob, &format!("{bob}{eve}"));
    does("delUser name=ann", ann, "");
    does("setUser name=ann password=$6$e$f", "$1$a$b", "$6$e$f");
    does(
        "setUser name=ann access=readonly",
        "access=\"full\"",
        "access=\"readonly\"",
    );
    does(
        "setUser name=bob key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC\"",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC",
    );
    does(
        "setUser name=ann password=\"\" key=\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC\"",
        ann,
        r#"<user name="ann" key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC" access="full"/>"#,
    );
    does(
        "setUser name=bob password=x key=\"\"",
        bob,
        r#"<user name="bob" access="readonly" password="x"/>"#,
    );
    let nobody = verb(add).apply(&Config::default()).unwrap();
    assert_eq!(
        nobody,
        config(&format!("<config><admin>{eve}</admin></config>"))
    );
}

#[test]
fn of_several_verbs_all_are_done_or_none() {
    let base = config(BASE);
    let verbs = [
        verb("newGroup service=mail group=new scheduler=rand"),
        verb("addHost service=mail group=new name=one ip=h:1"),
        verb("enableGroup service=mail group=new"),
        verb("delGroup service=mail group=only"),
    ];
    let after = apply_all(&verbs, &base).unwrap();
    assert_eq!(after.services[1].groups.len(), 1);
    assert_eq!(after.services[1].enabled, "new");
    let wrong = [&verbs[..2], &verbs[3..], &verbs[2..3]].concat();
    let (index, error) = apply_all(&wrong, &base).unwrap_err();
    assert_eq!(index, 2);
    assert!(
        matches!(error, CommandError::EnabledGroup { .. }),
        "{error}"
    );
    assert_eq!(apply_all(&[], &base), Ok(base));
}

#[test]
fn a_configuration_does_not_outgrow_a_file() {
    let mut big = config(BASE);
    let host = big.services[1].groups[0].hosts[0].clone();
    big.services[1].groups[0].hosts = vec![host; Limit::Nodes.max()];
    let add = verb("addHost service=web group=main name=five ip=h:1").apply(&big);
    assert_eq!(add, Err(CommandError::TooMuch(Limit::Nodes)));
    // What makes it no larger is never refused for its size.
    assert!(
        verb("delHost service=web group=main name=one")
            .apply(&big)
            .is_ok()
    );
    assert!(
        verb("setWeight service=web group=main name=one weight=2")
            .apply(&big)
            .is_ok()
    );
}

#[test]
fn whatever_verbs_make_is_what_a_file_could_say() {
    let mut random = Random::new(23);
    let (mut applied, mut refused) = (0, 0);
    for _ in 0..60 {
        let mut config = arbitrary::config(&mut random);
        for _ in 0..30 {
            match arbitrary::verb(&mut random, &config).apply(&config) {
                Ok(next) => (config, applied) = (next, applied + 1),
                Err(_) => refused += 1,
            }
        }
        let users = config.admin.iter_mut().flat_map(|admin| &mut admin.users);
        for user in users {
            user.password = user.password.take().map(|_| "***".to_owned());
        }
        let printed = print(&config);
        let reading = read(printed.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(reading.config, config, "{printed}");
    }
    assert!(applied > 300 && refused > 300, "{applied} {refused}");
}

#[track_caller]
fn refuses(line: &str, message: &str) {
    match verb(line).apply(&config(BASE)) {
        Err(error) => assert_eq!(error.to_string(), message, "{line}"),
        Ok(after) => panic!("{line}: {after:?}"),
    }
}

#[test]
fn listeners_share_no_port_and_are_not_too_many() {
    for (line, message) in [
        (
            "addListen service=web ip=*:79-90",
            "*:79-90 is listened on already, by service \"web\"",
        ),
        (
            "addListen service=web ip=1000-5096",
            "more than 4096 listeners in all services, counting each port of a range",
        ),
    ] {
        refuses(line, message);
    }
}

#[test]
fn what_does_not_exist_is_named_with_what_may_be_meant() {
    for (line, message) in [
        (
            "delService service=wbe",
            "there is no service \"wbe\": is \"web\" meant?",
        ),
        ("delService service=other", "there is no service \"other\""),
        (
            "delHost service=wbe group=main name=one",
            "there is no service \"wbe\": is \"web\" meant?",
        ),
        (
            "delGroup service=web group=mian",
            "service \"web\" has no group \"mian\": is \"main\" meant?",
        ),
        (
            "setWeight service=web group=main name=oen weight=1",
            "group \"main\" of service \"web\" has no host \"oen\": is \"one\" meant?",
        ),
        (
            "delHost service=web group=main ip=10.0.0.9:80",
            "group \"main\" of service \"web\" has no host at 10.0.0.9:80",
        ),
        (
            "delHost service=web group=spare ip=10.0.0.3:80",
            "group \"spare\" of service \"web\" has several hosts at 10.0.0.3:80: say name= for one of \"three\", \"twin\"",
        ),
        (
            "addHost service=web group=main name=five ip=h:1 before=tow",
            "group \"main\" of service \"web\" has no host \"tow\": is \"two\" meant?",
        ),
        (
            "setHost service=web group=main name=one before=four",
            "group \"main\" of service \"web\" has no host \"four\"",
        ),
        (
            "newService service=dns listen=53 before=wep",
            "there is no service \"wep\": is \"web\" meant?",
        ),
        (
            "newGroup service=web group=new scheduler=rand before=old",
            "service \"web\" has no group \"old\"",
        ),
        (
            "delListen service=web ip=*:82",
            "service \"web\" does not listen at *:82: it listens at *:80, *:81",
        ),
        (
            "addListen service=web ip=82 before=127.0.0.1:80",
            "service \"web\" does not listen at 127.0.0.1:80: it listens at *:80, *:81",
        ),
        (
            "switchPort service=web from=82 to=83",
            "service \"web\" has not one listener of port 82: it listens at *:80, *:81",
        ),
        (
            "delUser name=an",
            "there is no user \"an\": is \"ann\" meant?",
        ),
        (
            "setUser name=ann before=bobb",
            "there is no user \"bobb\": is \"bob\" meant?",
        ),
    ] {
        refuses(line, message);
    }
}

#[test]
fn what_is_there_already_is_refused() {
    for (line, message) in [
        (
            "addHost service=web group=main name=one ip=h:1",
            "group \"main\" of service \"web\" has a host \"one\" already",
        ),
        (
            "setHost service=web group=main name=one rename=two",
            "group \"main\" of service \"web\" has a host \"two\" already",
        ),
        (
            "newGroup service=web group=main scheduler=rand",
            "service \"web\" has a group \"main\" already",
        ),
        (
            "newService service=web listen=53",
            "there is a service \"web\" already",
        ),
        (
            "newService service=dns listen=25",
            "*:25 is listened on already, by service \"mail\"",
        ),
        (
            "addListen service=web ip=25",
            "*:25 is listened on already, by service \"mail\"",
        ),
        (
            "addListen service=web ip=80",
            "*:80 is listened on already, by service \"web\"",
        ),
        (
            "switchPort service=web from=80 to=25",
            "*:25 is listened on already, by service \"mail\"",
        ),
        (
            "addUser name=ann access=full password=x",
            "there is a user \"ann\" already",
        ),
    ] {
        refuses(line, message);
    }
}

#[test]
fn what_a_service_or_a_user_cannot_do_without_stays() {
    for (line, message) in [
        (
            "delHost service=mail group=only name=post",
            "group \"only\" of service \"mail\" is enabled and would have no hosts: force=true insists",
        ),
        (
            "delHost service=mail group=only ip=post:25 force=no",
            "group \"only\" of service \"mail\" is enabled and would have no hosts: force=true insists",
        ),
        (
            "delAllHosts service=web group=main",
            "group \"main\" of service \"web\" is enabled and would have no hosts: force=true insists",
        ),
        (
            "delGroup service=web group=main",
            "group \"main\" of service \"web\" is enabled: enable another one first, or insist with force=true",
        ),
        (
            "delGroup service=mail group=only force=true",
            "group \"only\" of service \"mail\" is the only one: add another one first, or remove the service with delService",
        ),
        (
            "delListen service=mail ip=25",
            "service \"mail\" listens nowhere else: switchPort moves it, delService removes it",
        ),
        (
            "addUser name=eve access=full",
            "user \"eve\" could never log in: give a password or a key",
        ),
        (
            "setUser name=ann password=\"\"",
            "user \"ann\" could never log in: give a password or a key",
        ),
        (
            "setUser name=bob key=\"\"",
            "user \"bob\" could never log in: give a password or a key",
        ),
    ] {
        refuses(line, message);
    }
}

#[test]
fn what_was_there_before_is_told_of_what_a_verb_sets() {
    let text = "<config><service name='s' idleTimeout='7'><listen ip='1'/>\
                <route sni='a b' group='h'/><group name='g' enable='1'><host name='a b' ip='a:1' weight='3'/></group>\
                <group name='h'/></service></config>";
    let config = read(text.as_bytes()).unwrap().config;
    let in_g = |verb: &str| verb.replace('@', "service=s group=g name=\"a b\"");
    let cases = [
        ("setWeight @ weight=5", Some("weight=3")),
        ("drainHost @", Some("state=up")),
        ("setHost @ ip=b:2 weight=1", Some("ip=a:1 weight=3")),
        ("setHost @ rename=c", None),
        (
            "delHost @ force=true",
            Some("ip=a:1 weight=3 state=up backup=false each=false"),
        ),
        (
            "delHost service=s group=g ip=a:1",
            Some("name=\"a b\" weight=3 state=up backup=false each=false"),
        ),
        ("enableGroup service=s group=h", Some("group=g")),
        (
            "setListen service=s ip=1 proxy=require proxyFrom=::1",
            Some("proxy=off proxyFrom=\"\""),
        ),
        ("setRoute service=s route=1 sni=a", Some("sni=\"a b\"")),
        ("delRoute service=s route=1", Some("sni=\"a b\" group=h")),
        (
            "changeScheduler service=s group=g scheduler=p2c",
            Some("scheduler=weightlc"),
        ),
        (
            "setGroup service=s group=g stickyPrefix=64",
            Some("stickyPrefix=128"),
        ),
        (
            "setService service=s idleTimeout=0 connectTimeout=1",
            Some("connectTimeout=5 idleTimeout=7"),
        ),
        (
            "setOption name=manager.hostCheck.interval value=5",
            Some("value=10"),
        ),
        ("setOption name=logging.file value=/x", Some("value=\"\"")),
        ("addHost service=s group=g name=n ip=n:1", None),
        ("delUser name=u", None),
    ];
    for (line, was) in cases {
        let verb = verb(&in_g(line));
        assert_eq!(verb.previous_values(&config).as_deref(), was, "{line}");
    }
}
