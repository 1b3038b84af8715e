//! Tests of routes and of PROXY protocol in a file: what is read, wrong and warned of.

use super::errors::check;
use super::{parse, warnings};
use crate::config::{Network, ProxyVersion};
use std::time::Duration;

/// A service with two groups, in which this is the second line.
fn in_service(inner: &str) -> String {
    format!(
        "<config><service name='s'><listen ip='1'/>\n{inner}\n<group name='g' enable='1'>\
         <host ip='a:1'/></group><group name='x'><host ip='a:1'/></group></service></config>"
    )
}

#[test]
fn each_attribute_is_read() {
    let config = parse(
        "<config><service name='s' firstBytesTimeout='2.5'>\
         <listen ip='1' proxy='require' proxyFrom='10.1.2.3/8, ::1'/><listen ip='2'/>\
         <route group='x' sni='A.example.org. *.B.example'/><route alpn='h2,http/1.1' group='g'/>\
         <group name='g' enable='1' sendProxy='v2' replay='16384'/><group name='x'/>\
         </service></config>",
    );
    let service = &config.services[0];
    assert_eq!(service.first_bytes_timeout, Duration::from_millis(2500));
    let [with, without] = &service.listens[..] else {
        panic!("{service:?}");
    };
    assert!(with.proxy && !without.proxy);
    let networks: Vec<_> = with.proxy_from.iter().map(Network::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1"]);
    let [by_name, by_protocol] = &service.routes[..] else {
        panic!("{service:?}");
    };
    assert_eq!(by_name.sni, ["a.example.org", "*.b.example"]);
    assert_eq!((by_name.alpn.len(), by_name.group.as_str()), (0, "x"));
    assert_eq!(by_protocol.alpn, ["h2", "http/1.1"]);
    let [first, second] = &service.groups[..] else {
        panic!("{service:?}");
    };
    let of = |group: &crate::config::Group| (group.send_proxy, group.replay);
    assert_eq!(of(first), (Some(ProxyVersion::V2), 16384));
    assert_eq!(of(second), (None, 0));
    assert_eq!(
        parse(&in_service("")).services[0].first_bytes_timeout,
        Duration::from_secs(5)
    );
}

#[test]
fn wrong_routes() {
    let names = "names such as a.example.org or *.example.org, blanks between them, at most 1024, \
                 other letters than a to z as in DNS (xn--)";
    let name_error = |found: &str| format!("2:8: sni is \"{found}\" but must be {names}");
    let star = name_error("*");
    let inner_star = name_error("a.*.example");
    let letters = name_error("bücher.example");
    let many = "a ".repeat(1025);
    let shown = format!("{}...", &many[..64]);
    let too_many = name_error(&shown);
    let many = format!("<route sni='{many}' group='x'/>");
    check(
        in_service,
        &[
            (
                "<route group='x'/>",
                "2:1: a route needs sni or alpn: which clients it is for",
            ),
            (
                "<route sni='' group='x'/>",
                "2:1: a route needs sni or alpn: which clients it is for",
            ),
            ("<route sni='a'/>", "2:1: <route> needs the attribute group"),
            (
                "<route sni='a' group='y'/>",
                "2:16: service \"s\" has no group \"y\": is \"g\" meant?",
            ),
            (
                "<route sni='a' group='other'/>",
                "2:16: service \"s\" has no group \"other\": allowed here: \"g\", \"x\"",
            ),
            (
                "<route snj='a' group='x'/>",
                "2:8: <route> has no attribute snj: is sni meant?",
            ),
            ("<route sni='*' group='x'/>", &star),
            ("<route sni='a.*.example' group='x'/>", &inner_star),
            ("<route sni='bücher.example' group='x'/>", &letters),
            (&many, &too_many),
            (
                "<route alpn='hä' group='x'/>",
                "2:8: alpn is \"hä\" but must be protocols of ALPN such as h2 or http/1.1, blanks \
                 between them, at most 1024, each of 255 printable ASCII characters at most",
            ),
        ],
    );
}

#[test]
fn wrong_attributes_for_what_comes_first() {
    check(
        in_service,
        &[
            (
                "<listen ip='2' proxy='yes'/>",
                "2:16: proxy is \"yes\" but must be off or require",
            ),
            (
                "<listen ip='2' proxyFrom='all'/>",
                "2:16: proxyFrom is \"all\" but must be addresses or networks such as \
                 10.0.0.0/8, blanks between them, at most 1024",
            ),
            (
                "<group name='y' sendProxy='1'/>",
                "2:17: sendProxy is \"1\" but must be off, v1 or v2",
            ),
            (
                "<group name='y' replay='1048577'/>",
                "2:17: replay is \"1048577\" but must be a whole number of bytes from 0 to 1048576",
            ),
        ],
    );
    let with_timeout = |value: &str| {
        format!(
            "<config>\n<service name='s' firstBytesTimeout='{value}'><listen ip='1'/>\
             <group name='g' enable='1'/></service></config>"
        )
    };
    check(
        with_timeout,
        &[(
            "0",
            "2:19: firstBytesTimeout is \"0\" but must be seconds, such as 5 or 0.5, more than 0 \
             and at most ten years",
        )],
    );
}

#[test]
fn what_makes_no_difference_is_warned_of() {
    let of = |inner: &str| warnings(&in_service(inner));
    let route = "<route sni='a.example' group='x'/>";
    assert_eq!(of(route), [""; 0]);
    assert_eq!(
        of("<listen ip='2' proxy='require' proxyFrom='::1'/>"),
        [""; 0]
    );
    assert_eq!(
        of("<listen ip='2' proxyFrom='::1'/>"),
        ["2:16: proxyFrom means nothing without proxy=\"require\""]
    );
    assert_eq!(
        of(&format!(
            "{route}<route sni='b A.example' alpn='h2' group='g'/>"
        )),
        [
            "2:35: an earlier route has \"a.example\" already, with all that alpn says here: its \
             clients go there"
        ]
    );
    assert_eq!(
        of("<route alpn='h2 h3' group='x'/><route alpn='h3' group='g'/>"),
        ["2:32: an earlier route has all that alpn says here: its clients go there"]
    );
    let drained =
        "<route sni='a' group='y'/><group name='y'><host ip='b:1' state='drain'/></group>";
    assert_eq!(
        of(drained),
        [
            "2:27: group \"y\" has a route, but no host of it is in service: all sessions of that \
             end"
        ]
    );
}

#[test]
fn a_host_that_is_to_speak_first_is_warned_of_where_clients_are_waited_for() {
    let with = |route: &str, check: &str| {
        let group = format!("<group name='y'><host ip='b:1'/>{check}</group>");
        warnings(&in_service(&format!("{route}{group}")))
    };
    let route = "<route sni='a' group='x'/>";
    let greeting = "<check type='send' expect='220'/>";
    assert_eq!(
        with(route, "<check type='send' send='a' expect='b'/>"),
        [""; 0]
    );
    assert_eq!(with("", greeting), [""; 0]);
    let warned = with(route, greeting).concat();
    assert!(
        warned.contains("a check of group \"y\" waits for its hosts to speak first"),
        "{warned}"
    );
}

#[test]
fn what_means_nothing_at_a_unix_socket_or_only_there_is_warned_of() {
    let of = |inner: &str| warnings(&in_service(inner));
    let unix = |attributes: &str| of(&format!("<listen ip='unix:/run/a'{attributes}/>"));
    assert_eq!(unix(" mode='0600' proxy='require'"), [""; 0]);
    assert_eq!(
        unix(" mptcp='1' interface='eth0'"),
        [
            "2:1: mptcp means nothing at unix:/run/a: a Unix socket does not have it",
            "2:1: interface means nothing at unix:/run/a: a Unix socket does not have it"
        ]
    );
    assert_eq!(
        of("<listen ip='2' mode='0600'/>"),
        ["2:1: mode means nothing at *:2: only a Unix socket has it"]
    );
    let group = "<group name='y' source='10.0.0.1'><host ip='unix:/run/a'/></group>";
    assert_eq!(
        of(group),
        ["2:1: source and mptcp of group \"y\" mean nothing for its hosts at Unix sockets"]
    );
}
