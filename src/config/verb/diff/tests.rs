//! Tests of `diff`: that the verbs lead from one configuration to the other, and are few.

use super::{diff, script};
use crate::config::arbitrary::{Random, config, related_config, verb};
use crate::config::verb::{Command, Verb, apply_all};
use crate::config::{Config, read};

fn reading(text: &str) -> Config {
    let text = format!("<config>{text}</config>");
    read(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .config
}

/// The verbs of a script, and what a console would make of them.
fn verbs_of(script: &str) -> Vec<Verb> {
    let commands = script.lines().map(|line| line.parse().unwrap());
    let verbs = commands.filter_map(|command| match command {
        Command::Change(verb) => Some(verb),
        Command::Batch(_) => None,
        other => panic!("{other:?}"),
    });
    verbs.collect()
}

/// That the difference leads from one to the other, as it is and as a script.
fn leads(from: &Config, to: &Config) -> Vec<Verb> {
    let verbs = diff(from, to);
    let script = script(&verbs);
    let after = apply_all(&verbs, from)
        .unwrap_or_else(|(index, refusal)| panic!("{}: {refusal}\n{script}", verbs[index]));
    assert_eq!(after, *to, "{script}");
    assert_eq!(verbs_of(&script), verbs);
    verbs
}

#[test]
fn a_difference_leads_from_any_configuration_to_any_other() {
    let mut random = Random::new(7);
    for _ in 0..300 {
        let (from, to) = (config(&mut random), config(&mut random));
        leads(&from, &to);
        assert_eq!(diff(&from, &from), []);
    }
}

#[test]
fn a_difference_leads_to_a_configuration_that_has_much_in_common() {
    let mut random = Random::new(11);
    for _ in 0..400 {
        let from = config(&mut random);
        let to = related_config(&mut random, &from);
        leads(&from, &to);
        leads(&to, &from);
    }
}

#[test]
fn what_a_few_verbs_do_a_few_verbs_do_again() {
    let mut random = Random::new(13);
    let (mut done, mut found) = (0, 0);
    for _ in 0..300 {
        let from = config(&mut random);
        let mut to = from.clone();
        for _ in 0..5 {
            if let Ok(next) = verb(&mut random, &to).apply(&to) {
                (to, done) = (next, done + 1);
            }
        }
        found += leads(&from, &to).len();
    }
    assert!(done > 500, "only {done} verbs could be applied");
    // Some do nothing or undo another; some moves of listeners take more than one.
    assert!(found <= done, "{found} verbs for {done}");
}

const BASE: &str = r#"<service name="web"><listen ip="80"/><group name="main" enable="1">
        <host name="a" ip="h:1"/><host name="b" ip="h:2"/><host name="c" ip="h:3"/></group>
        <group name="spare"/></service><admin><web listen="7001"/>
        <user name="ann" password="$1$a$b" access="full"/></admin>"#;

/// What is replaced in it by what, and the one verb for that.
const SMALL: &[(&str, &str, &str)] = &[
    (
        "h:2\"",
        "h:2\" weight=\"5\"",
        "setWeight service=web group=main name=b weight=5",
    ),
    (
        "h:2\"",
        "h:2\" state=\"down\"",
        "hostAdminDown service=web group=main name=b",
    ),
    (
        "h:2\"",
        "h:9\"",
        "setHost service=web group=main name=b ip=h:9",
    ),
    (
        "<host name=\"b\" ip=\"h:2\"/>",
        "",
        "delHost service=web group=main name=b",
    ),
    (
        "<host name=\"c\" ip=\"h:3\"/>",
        "<host name=\"d x\" ip=\"h:4\"/><host name=\"c\" ip=\"h:3\"/>",
        "addHost service=web group=main name=\"d x\" ip=h:4 before=c",
    ),
    (
        "\"main\"",
        "\"main\" scheduler=\"rand\"",
        "changeScheduler service=web group=main scheduler=rand",
    ),
    (
        "listen ip=\"80\"",
        "listen ip=\"81\"",
        "switchPort service=web from=*:80 to=*:81",
    ),
    (
        "<listen ip=\"80\"/>",
        "<listen ip=\"80\"/><listen ip=\"81\"/>",
        "addListen service=web ip=*:81",
    ),
    (
        "<listen ip=\"80\"/>",
        "<listen ip=\"80\" proxy=\"require\" proxyFrom=\"::1\"/>",
        "setListen service=web ip=*:80 proxy=require proxyFrom=::1",
    ),
    (
        "<listen ip=\"80\"/>",
        "<listen ip=\"80\"/><route sni=\"a.test b.test\" group=\"spare\"/>",
        "addRoute service=web sni=\"a.test b.test\" group=spare force=true",
    ),
    (
        "\"web\">",
        "\"web\" firstBytesTimeout=\"9\">",
        "setService service=web firstBytesTimeout=9",
    ),
    (
        "\"main\"",
        "\"main\" sendProxy=\"v2\" replay=\"4096\"",
        "setGroup service=web group=main sendProxy=v2 replay=4096",
    ),
    (
        "\"web\">",
        "\"web\" idleTimeout=\"9\">",
        "setService service=web idleTimeout=9",
    ),
    (
        "<group name=\"spare\"/>",
        "",
        "delGroup service=web group=spare",
    ),
    ("$1$a$b", "$6$c$d", "setUser name=ann password=$6$c$d"),
    (
        "<web listen=\"7001\"/>",
        "",
        "setOption name=admin.web value=\"\"",
    ),
    (
        "7001\"",
        "7001\" secure=\"on\"",
        "setOption name=admin.web.secure value=true",
    ),
    (
        "</admin>",
        "</admin><control/>",
        "setOption name=control.socket value=/run/txlb/control.sock",
    ),
];

#[test]
fn a_difference_is_as_small_as_it_can_be_said() {
    for (old, new, expected) in SMALL {
        assert!(BASE.contains(old), "{old}");
        let verbs = leads(&reading(BASE), &reading(&BASE.replacen(old, new, 1)));
        assert_eq!(script(&verbs), format!("{expected}\n"));
    }
}

#[test]
fn several_verbs_are_one_change() {
    let from =
        reading(r#"<service name="s"><listen ip="1"/><group name="g" enable="1"/></service>"#);
    let to = reading(
        r#"<service name="s"><listen ip="1"/><group name="h" enable="1">
           <host name="a" ip="h:1" weight="2"/></group></service>"#,
    );
    assert_eq!(script(&[]), "");
    let expected = "\
begin
newGroup service=s group=h scheduler=weightlc
addHost service=s group=h name=a ip=h:1 weight=2
enableGroup service=s group=h
delGroup service=s group=g
commit
";
    assert_eq!(script(&diff(&from, &to)), expected);
}

#[test]
fn services_swap_their_listeners() {
    let services = |a: &str, b: &str, c: &str| {
        let service = |name: &str, port: &str| {
            format!(
                r#"<service name="{name}"><listen ip="{port}"/><group name="g" enable="1"/></service>"#
            )
        };
        reading(&[service("a", a), service("b", b), service("c", c)].concat())
    };
    let from = services("1", "2", "3");
    assert_eq!(leads(&from, &services("2", "1", "3")).len(), 3);
    assert_eq!(leads(&from, &services("2", "3", "1")).len(), 4);
    // A row that ends somewhere free needs no detour.
    assert_eq!(leads(&from, &services("2", "3", "4")).len(), 3);
}

#[test]
fn ranges_of_ports_grow_split_join_and_change_services() {
    let with = |listens: [&str; 2]| {
        let listens = listens.map(|ips| {
            let ips = ips.split(' ').map(|ip| format!("<listen ip='{ip}'/>"));
            ips.collect::<String>()
        });
        let [one, two] = listens;
        reading(&format!(
            "<service name='a'>{one}<group name='g' enable='1'/></service>\
             <service name='b'>{two}<group name='g' enable='1'/></service>"
        ))
    };
    let states = [
        ["10-19", "30-39"],
        ["10-25", "30-39"],
        ["30-39", "10-19"],
        ["10 11", "12"],
        ["12 10", "11"],
        ["10-12", "1"],
        ["1", "10-12"],
        ["10-11 12-19", "20-29"],
        ["12-20 10", "11 21-39"],
        ["0", "1-65"],
    ]
    .map(with);
    for from in &states {
        for to in &states {
            leads(from, to);
        }
    }
}

#[test]
fn several_listeners_of_which_the_system_chooses_the_port_are_told_apart() {
    let listens = |addresses: &[&str]| {
        let listens = addresses.iter().map(|ip| format!("<listen ip=\"{ip}\"/>"));
        let listens: String = listens.collect();
        reading(&format!(
            r#"<service name="s">{listens}<group name="g" enable="1"/></service>"#
        ))
    };
    let lists: [&[&str]; 5] = [
        &["0"],
        &["0", "80"],
        &["80", "0"],
        &["0", "80", "0"],
        &["0", "0", "81", "80"],
    ];
    for (from, to) in lists
        .iter()
        .flat_map(|from| lists.iter().map(move |to| (from, to)))
    {
        leads(&listens(from), &listens(to));
    }
}

#[test]
fn routes_never_lead_to_a_group_that_is_gone() {
    let service = |routes: &str, groups: &str| {
        reading(&format!(
            r#"<service name="s"><listen ip="1"/>{routes}<group name="g" enable="1"/>{groups}</service>"#
        ))
    };
    let from = service(
        r#"<route sni="a" group="x"/><route sni="b" group="g"/>"#,
        r#"<group name="x"/>"#,
    );
    let to = service(
        r#"<route sni="a" alpn="h2" group="y"/><route sni="b" group="g"/>"#,
        r#"<group name="y"/>"#,
    );
    let expected = "\
begin
newGroup service=s group=y scheduler=weightlc
setRoute service=s route=1 alpn=h2 group=y force=true
delGroup service=s group=x
commit
";
    assert_eq!(script(&leads(&from, &to)), expected);
}

#[test]
fn listeners_of_one_address_differ_in_more_than_that() {
    let service = |listens: &str| {
        reading(&format!(
            r#"<service name="s">{listens}<group name="g" enable="1"/></service>"#
        ))
    };
    let [plain, proxied] = ["<listen ip=\"0\"/>", "<listen ip=\"0\" proxy=\"require\"/>"];
    let lists: Vec<String> = [
        &[plain][..],
        &[proxied],
        &[plain, proxied],
        &[proxied, plain],
        &[proxied, "<listen ip=\"80\" proxy=\"require\"/>", plain],
        &["<listen ip=\"80\"/>", proxied, proxied],
    ]
    .iter()
    .map(|list| list.concat())
    .collect();
    for (from, to) in lists
        .iter()
        .flat_map(|from| lists.iter().map(move |to| (from, to)))
    {
        leads(&service(from), &service(to));
    }
    // One alone keeps its port.
    let verbs = leads(&service(plain), &service(proxied));
    assert_eq!(script(&verbs), "setListen service=s ip=*:0 proxy=require\n");
}

#[test]
fn hosts_are_never_all_gone_in_between() {
    let group = |hosts: &str| {
        reading(&format!(
            r#"<service name="s"><listen ip="1"/><group name="g" enable="1">{hosts}</group></service>"#
        ))
    };
    let (one, two) = (
        r#"<host name="a" ip="h:1"/>"#,
        r#"<host name="b" ip="h:1"/>"#,
    );
    let replaced = leads(&group(one), &group(two));
    assert_eq!(
        script(&replaced),
        "begin\naddHost service=s group=g name=b ip=h:1\ndelHost service=s group=g name=a\ncommit\n"
    );
    let emptied = leads(&group(&[one, two].concat()), &group(""));
    assert_eq!(
        script(&emptied),
        "delAllHosts service=s group=g force=true\n"
    );
}
