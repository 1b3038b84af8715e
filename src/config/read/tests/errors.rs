//! Tests of errors: each with its place and its words, and files that are broken at random.

use super::*;
use crate::config::arbitrary::Random;
use crate::config::error::Position;

/// Puts `inner` on a line of its own in a group, so that its columns are its own.
pub(super) fn in_group(inner: &str) -> String {
    with_group(&format!("<group name='g' enable='1'>\n{inner}</group>"))
}

fn in_service(inner: &str) -> String {
    format!("<config><service name='s'>\n{inner}</service></config>")
}

fn in_admin(inner: &str) -> String {
    format!("<config><admin>\n{inner}</admin></config>")
}

fn in_config(inner: &str) -> String {
    format!("<config>\n{inner}</config>")
}

fn whole(text: &str) -> String {
    text.to_owned()
}

pub(super) fn check(wrap: fn(&str) -> String, cases: &[(&str, &str)]) {
    for (inner, message) in cases {
        let text = wrap(inner);
        match read(text.as_bytes()) {
            Ok(_) => panic!("accepted: {text}"),
            Err(error) => assert_eq!(error.to_string(), *message, "{text}"),
        }
    }
}

#[test]
fn wrong_hosts() {
    check(
        in_group,
        &[
            ("<host/>", "2:1: <host> needs the attribute ip"),
            (
                " <host ip='a:'/>",
                "2:8: ip is \"a:\": the port is missing: write a:PORT",
            ),
            (
                "<host ip='::1:80'/>",
                "2:7: ip is \"::1:80\": an IPv6 address goes in brackets: write [ADDRESS]:PORT",
            ),
            (
                "<host ip='a:1' weight='1000001'/>",
                "2:16: weight is \"1000001\" but must be a whole number from 0 to 1000000",
            ),
            (
                "<host ip='a:1' weight='-1'/>",
                "2:16: weight is \"-1\" but must be a whole number from 0 to 1000000",
            ),
            (
                "<host ip='a:1' weight=''/>",
                "2:16: weight is \"\" but must be a whole number from 0 to 1000000",
            ),
            (
                "<host ip='a:1' state='UP'/>",
                "2:16: state is \"UP\" but must be up, drain or down",
            ),
            (
                "<host ip='a:1' name=''/>",
                "2:16: name is \"\" but must be 1 to 255 bytes without control characters",
            ),
            (
                "<host ip='a:1' name='a&#10;b'/>",
                "2:16: name is \"a\\nb\" but must be 1 to 255 bytes without control characters",
            ),
            (
                "<host ip='a:1' name='ü'/><host ip='a:2' name='ü'/>",
                "2:41: a second host named \"ü\": names must differ",
            ),
            (
                "<host ip='a:1' name='host.1'/>\n<client ip='a:2'/>",
                "3:1: a second client named \"host.1\": names must differ",
            ),
            (
                "<host ip='a:1' wieght='1'/>",
                "2:16: <host> has no attribute wieght: is weight meant?",
            ),
            (
                "<host ip='a:1' x:ip='2' xmlns:x='y'/>",
                "2:16: <host> has no attribute x:ip: is ip meant?",
            ),
            (
                "<host ip='a:1' port='2'/>",
                "2:16: <host> has no attribute port: allowed here: name, ip, weight, state, backup, each",
            ),
            (
                "<hots ip='a:1'/>",
                "2:1: <hots> is unknown in <group>: is <host> meant?",
            ),
            (
                "<server ip='a:1'/>",
                "2:1: <server> is unknown in <group>: allowed here: <check>, <host>, <client>",
            ),
        ],
    );
}

#[test]
fn a_control_socket_where_a_service_listens() {
    let with = |path: &str, control: &str| {
        format!(
            "<config><service name='s'><listen ip='unix:{path}'/><group name='g' enable='1'/>\
             </service>\n{control}</config>"
        )
    };
    let taken = |at: &str, path: &str| {
        format!("{at}: unix:{path}, wanted for <control>, is listened on already, at 1:35")
    };
    let default = "/run/txlb/control.sock";
    for (text, expected) in [
        (with("/s", "<control socket='/s'/>"), taken("2:1", "/s")),
        (
            with("/a", "<control socket='/s' ampSocket='/a'/>"),
            taken("2:1", "/a"),
        ),
        (with(default, "<control/>"), taken("2:1", default)),
    ] {
        let errors = read(text.as_bytes()).unwrap_err();
        assert_eq!(errors.to_string(), expected, "{text}");
    }
    for text in [with("/s", "<control socket='/t'/>"), with(default, "")] {
        read(text.as_bytes()).unwrap();
    }
}

#[test]
fn wrong_ranges_of_ports() {
    check(
        in_service,
        &[
            (
                "<listen ip='80-89'/>\n<listen ip='85'/><group name='g' enable='1'/>",
                "3:9: *:85 is listened on already, at 2:9",
            ),
            (
                "<listen ip='1-4097'/><group name='g' enable='1'/>",
                "2:9: more than 4096 listeners in all services, counting each port of a range",
            ),
            (
                "<listen ip='9-8'/><group name='g' enable='1'/>",
                "2:9: ip is \"9-8\": the lower port of a range comes first: write 8-9",
            ),
        ],
    );
}

#[test]
fn wrong_services() {
    let listen_twice = "<listen ip='80'/><group name='g' enable='1'/></service>\
        <service name='t'>\n<listen ip='*:80'/><group name='g' enable='1'/>";
    let name_twice = "<listen ip='80'/><group name='g' enable='1'/></service>\n\
        <service name='s'><listen ip='81'/><group name='g' enable='1'/>";
    check(
        in_service,
        &[
            (
                "<listen ip='80'/>",
                "1:9: <service> needs at least one <group>",
            ),
            (
                "<group name='g' enable='1'/>",
                "1:9: <service> needs at least one <listen>",
            ),
            (
                "<lisen ip='80'/>",
                "2:1: <lisen> is unknown in <service>: is <listen> meant?",
            ),
            (
                "<listen/><group name='g' enable='1'/>",
                "2:1: <listen> needs the attribute ip",
            ),
            (
                "<listen ip='*:http'/><group name='g' enable='1'/>",
                "2:9: ip is \"*:http\": the port must be a number from 0 to 65535",
            ),
            (listen_twice, "3:9: *:80 is listened on already, at 2:9"),
            (
                name_twice,
                "3:10: a second service named \"s\": names must differ",
            ),
            (
                "<listen ip='80'/><group name='g'/>",
                "1:9: no group of service \"s\" is enabled: write enable=\"true\" on one",
            ),
            (
                "<listen ip='80'/><group name='g' enable='1'/>\n<group name='g'/>",
                "3:8: a second group named \"g\": names must differ",
            ),
            (
                "<listen ip='1'/><group name='a' enable='1'/>\n<group name='b' enable='1'/>",
                "3:17: group \"b\" is enabled although \"a\" is: only one may be",
            ),
            (
                "<listen ip='1'/><group name='a' enable='1'/><group name='b'/>\n<enable group='b'/>",
                "3:9: group \"b\" is enabled although \"a\" is: only one may be",
            ),
            (
                "<enable group='mian'/><listen ip='80'/><group name='main'/>",
                "2:9: service \"s\" has no group \"mian\": is \"main\" meant?",
            ),
            (
                "<enable group='blue'/><listen ip='80'/><group name='main'/>",
                "2:9: service \"s\" has no group \"blue\": allowed here: \"main\"",
            ),
            (
                "<listen ip='1'/><group name='a'/><enable group='a'/>\n<enable group='a'/>",
                "3:1: a second <enable> in <service>: only one may be there",
            ),
            (
                "<listen ip='1'/><group name='a' enable='1' scheduler='leastcon,sticky'/>",
                "2:44: there is no scheduler \"leastcon,sticky\": is leastc meant?",
            ),
            (
                "<listen ip='1'/><group name='a' enable='1' scheduler='fastest'/>",
                "2:44: there is no scheduler \"fastest\"",
            ),
        ],
    );
}

#[test]
fn wrong_times() {
    let check = |attribute: &str, value: &str| {
        let text = format!(
            "<config><service name='s' {attribute}='{value}'><listen ip='1'/><group name='g' enable='1'/></service></config>"
        );
        assert_eq!(
            read(text.as_bytes()).unwrap_err().to_string(),
            format!(
                "1:27: {attribute} is \"{value}\" but must be seconds, such as 5 or 0.5, \
                 or with a unit, such as 500ms or 1m, at most ten years"
            )
        );
    };
    check("connectTimeout", "");
    check("connectTimeout", "5 s");
    check("idleTimeout", "NaN");
    check("idleTimeout", "-1");
    check("idleTimeout", "316224001");
    check("halfClosedTimeout", "inf");
    check("halfClosedTimeout", "1e300");
}

#[test]
fn wrong_admin_interfaces_and_users() {
    check(
        in_admin,
        &[
            ("<web/>", "2:1: <web> needs the attribute listen"),
            (
                "<ssh enable='on'/>",
                "2:1: <ssh> needs the attribute listen",
            ),
            (
                "<web listen='None'/>",
                "2:6: listen is \"None\": the port is missing: write None:PORT",
            ),
            (
                "<web listen='1'/>\n<web listen='2'/>",
                "3:1: a second <web> in <admin>: only one may be there",
            ),
            (
                "<web listen='1' cert='' key='k'/>",
                "2:17: cert is \"\" but must be a path",
            ),
            (
                "<web listen='1' cert='c'/>",
                "2:17: cert is there without key: give both or neither",
            ),
            (
                "<web listen='1' secure='no'\n key='k'/>",
                "3:2: key is there without cert: give both or neither",
            ),
            (
                "<web listen='1' names='a.b:80'/>",
                "2:17: names is \"a.b:80\" but must be host names without ports, blanks between them",
            ),
            (
                "<web listen='1' prot='x'/>",
                "2:17: <web> has no attribute prot: allowed here: listen, enable, secure, refresh, cert, key, names",
            ),
            (
                "<user access='full' key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB'/>",
                "2:1: <user> needs the attribute name",
            ),
            (
                "<user name='u' key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB'/>",
                "2:1: <user> needs the attribute access",
            ),
            (
                "<user name='u' access='all' password='x'/>",
                "2:16: access is \"all\" but must be full or readonly",
            ),
            (
                "<user name='u' access='full' password=''/>",
                "2:1: user \"u\" can never log in: give a password attribute or a <key>",
            ),
            (
                "<user name='u' access='full' key='AAAA'/>",
                "2:30: key is \"AAAA\" but must be a public key on one line, such as ssh-ed25519 AAAA...",
            ),
            (
                "<user name='u' access='full'>\n<key>ssh-rsa\nAAAA</key></user>",
                "3:1: key is \"ssh-rsa\\nAAAA\" but must be a public key on one line, such as ssh-ed25519 AAAA...",
            ),
            (
                "<user name='u' access='full' key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB'/>\n<user name='u' access='full' key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB'/>",
                "3:7: a second user named \"u\": names must differ",
            ),
        ],
    );
}

#[test]
fn wrong_settings() {
    check(
        in_config,
        &[
            (
                "<manager><hostcheck/></manager>",
                "2:10: <hostcheck> is unknown in <manager>: is <hostCheck> meant?",
            ),
            (
                "<manager hostCheckInterval='1'><hostCheck/></manager>",
                "2:10: hostCheckInterval is an old form of <hostCheck>, which is there too: remove it",
            ),
            (
                "<checktime time='1'/><manager><hostCheck/></manager>",
                "2:1: <checktime> is an old form of <hostCheck>, which is there too: remove it",
            ),
            (
                "<manager hostCheckInterval='2'/>\n<checktime time='1'/>",
                "3:1: <checktime> is an old form of <hostCheck>, which is there too: remove it",
            ),
            (
                "<control amp='perhaps'/>",
                "2:10: amp is \"perhaps\" but must be true or false",
            ),
            (
                "<control socket='/s' ampSocket='/s'/>",
                "2:22: ampSocket is \"/s\" but must be a path other than that of socket",
            ),
            (
                "<control ampMode='4666'/>",
                "2:10: ampMode is \"4666\" but must be permission bits in octal, such as 0660",
            ),
            ("<checktime/>", "2:1: <checktime> needs the attribute time"),
            (
                "<admin secure='secure'/>",
                "2:1: <admin> needs the attribute listen",
            ),
            (
                "<admin refresh='1'><web listen='2'/></admin>",
                "2:8: refresh of <admin> is an old form of <web>, which is there too: remove it",
            ),
            (
                "<admin listen='1' refresh='maybe'/>",
                "2:19: refresh is \"maybe\" but must be seconds, such as 5 or 0.5, or with a unit, such as 500ms or 1m, at most ten years",
            ),
            (
                "<admin listen='1'><web listen='2'/></admin>",
                "2:8: listen of <admin> is an old form of <web>, which is there too: remove it",
            ),
        ],
    );
}

#[test]
fn settings_that_cannot_be_there() {
    check(
        in_config,
        &[
            (
                "<admin/>\n<admin/>",
                "3:1: a second <admin> in <config>: only one may be there",
            ),
            (
                "<control socket=''/>",
                "2:10: socket is \"\" but must be a path",
            ),
            (
                "<logging file=''/>",
                "2:10: file is \"\" but must be a path",
            ),
            (
                "<host ip='a:1'/>",
                "2:1: <host> is unknown in <config>: \
                 allowed here: <service>, <admin>, <manager>, <checktime>, <control>, <logging>, \
                 <resolver>",
            ),
            (
                "<logging xmlns='x'/>",
                "2:1: <logging> has no attribute xmlns: allowed here: file, connections, format",
            ),
            (
                "<x:logging xmlns:x='y'/>",
                "2:1: <x:logging> is unknown in <config>: is <logging> meant?",
            ),
        ],
    );
}

#[test]
fn files_without_the_right_elements() {
    check(
        whole,
        &[
            ("", "1:1: the file has no element: <config> is missing"),
            (
                "\u{feff}\n <!-- -->",
                "2:10: the file has no element: <config> is missing",
            ),
            (
                "<konfig/>",
                "1:1: the outermost element is <konfig> but must be <config>",
            ),
            (
                "<config>\n<service name='s'>\n",
                "2:1: the file ends inside what begins here",
            ),
            (
                "<config>\n<service name='s",
                "2:1: the file ends inside what begins here",
            ),
            (
                "<config>\n<!-- x </config>",
                "2:1: the file ends inside what begins here",
            ),
            ("<config", "1:1: the file ends inside what begins here"),
        ],
    );
}

#[test]
fn wrong_xml() {
    check(
        whole,
        &[
            (
                "<config>\nü</konfig>",
                "2:2: </konfig> where </config> should be",
            ),
            (
                "global\n  maxconn 100",
                "1:1: this is not XML: a configuration begins with <config>; txlb.xml(5), COMING FROM, \
                 says what words of HAProxy, nginx and pen are here",
            ),
            (
                "<config/>\n<config/>",
                "2:1: nothing of the kind may stand here",
            ),
            (
                "<config/>\n<!DOCTYPE a>",
                "2:1: nothing of the kind may stand here",
            ),
            (
                "<config>&nbsp;</config>",
                "1:9: there is no entity &nbsp;: an & itself is written &amp;",
            ),
            (
                "<config>a & b</config>",
                "1:11: an & itself is written &amp;",
            ),
            (
                "<config><logging file='a<b'/></config>",
                "1:25: a value has no closing quote, or a < that should be written &lt;",
            ),
            (
                "<config><logging file=a/></config>",
                "1:23: the value should be in quotes",
            ),
            (
                "<config><logging file='a' file='b'/></config>",
                "1:27: the attribute file is there twice",
            ),
            (
                "<config>\u{1}</config>",
                "1:9: XML forbids the character U+0001",
            ),
            (
                "<config><!-- a -- b --></config>",
                "1:9: a comment may not have -- in it",
            ),
            (
                "\n<?xml version='1.0'?><config/>",
                "2:1: an XML declaration may only stand at the very beginning",
            ),
            (
                "<config><1/></config>",
                "1:10: not well-formed XML: invalid name token",
            ),
            (
                "<!DOCTYPE config SYSTEM \"ü\"><config><1/></config>",
                "1:38: not well-formed XML: invalid name token",
            ),
        ],
    );
}

/// Everything that the scan and the parser treat on their own, in one small file.
const SAMPLE: &str = "\u{feff}<?xml version=\"1.0\" encoding='UTF-8'?>\r\n\
    <!DOCTYPE config SYSTEM \"x.dtd\"><config>ü<!-- c --><note>x</note><![CDATA[<]]>\
    <service name=\"s&#252;&amp;\" idleTimeout=\"0.5\"><listen ip=\"[::1]:80\"/>\
    <group name=\"g\" scheduler=\"p2c,sticky\" enable=\"yes\">\
    <host name=\"ü\" ip=\"a.b:1\" weight=\"7\"/><client ip='1.2.3.4:5'/></group>\n\
    <enable group='g'/></service><admin><web listen='None' enable='0' refresh='1'/>\
    <user name='u' access='full'><key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB</key></user></admin>\
    <manager><hostCheck interval=\"10.0\"/></manager><logging file='f'/></config>";

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const LIKELY: &[u8] = b"<>/\"'=&;![]-?: \n\0\xff\xc3x0";
    let at = random.below(bytes.len() + 1);
    let until = (at + random.below(30)).min(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => bytes
            .get_mut(at)
            .into_iter()
            .for_each(|byte| *byte ^= 1 << random.below(8)),
        2 => bytes.insert(at, LIKELY[random.below(LIKELY.len())]),
        3 => drop(bytes.drain(at..until)),
        _ => {
            let piece = bytes[at..until].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
    }
}

#[test]
fn no_broken_file_makes_it_panic() {
    let mut random = Random::new(1);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            mutate(&mut bytes, &mut random);
        }
        let Err(errors) = read(&bytes) else { continue };
        refused += 1;
        let mut last = Position::START;
        for error in errors.iter() {
            assert!(error.position >= last);
            last = error.position;
            let shown = error.to_string();
            assert!(
                !shown.contains(char::is_control) && shown.len() < 600,
                "{shown}"
            );
            assert!(shown.len() > "1:1: ".len(), "{error:?}");
        }
    }
    assert!((10_000..20_000).contains(&refused), "{refused}");
}

#[test]
fn noise_is_refused() {
    let mut random = Random::new(2);
    for _ in 0..2_000 {
        let noise: Vec<u8> = (0..random.below(200))
            .map(|_| u8::try_from(random.below(256)).unwrap())
            .collect();
        assert!(read(&noise).is_err());
        let ascii: String = (0..random.below(99))
            .map(|_| *random.pick(&['<', 'a', '>']))
            .collect();
        assert!(read(ascii.as_bytes()).is_err());
    }
}

#[test]
fn a_file_that_is_all_warnings_is_read_in_one_pass() {
    let groups: String = (0..20_000)
        .map(|index| format!("<group name='{index}'/>"))
        .collect();
    let text = with_group(&format!("<group name='g' enable='1'/>{groups}"));
    let started = std::time::Instant::now();
    assert_eq!(warnings(&text).len(), 20_001);
    assert!(started.elapsed() < Duration::from_secs(3));
}
