//! Addresses as they are read, printed and refused.

use super::*;

#[test]
fn an_endpoint_is_printed_as_it_is_understood() {
    let cases = [
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.0.0.1:0080", "10.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("[0:0::1]:65535", "[::1]:65535"),
        ("[fe80::1%2]:80", "[fe80::1%2]:80"),
        ("[fe80:0::1%eth0.100]:80", "[fe80::1%eth0.100]:80"),
        ("lorien:1901", "lorien:1901"),
        ("lb_1.example.org.:1", "lb_1.example.org.:1"),
        ("10.0.0.1", "10.0.0.1"),
        ("[0::1]", "[::1]"),
        ("[fe80:0::1%2]", "[fe80::1%2]"),
        ("[fe80::1%eth0]", "[fe80::1%eth0]"),
        ("web.example.org", "web.example.org"),
        ("unix:/run/a b.sock:80", "unix:/run/a b.sock:80"),
    ];
    for (text, printed) in cases {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.to_string(), printed, "{text}");
        assert_eq!(printed.parse::<Endpoint>().unwrap(), endpoint, "{text}");
    }
}

#[test]
fn a_listen_address_is_printed_as_it_is_understood() {
    let cases = [
        ("*:8080", "*:8080"),
        (":8080", "*:8080"),
        ("8080", "*:8080"),
        ("*:0", "*:0"),
        ("0.0.0.0:8080", "0.0.0.0:8080"),
        ("[::]:8080", "[::]:8080"),
        ("[::1]:0", "[::1]:0"),
        ("[fe80::1%2]:80", "[fe80::1%2]:80"),
        ("[fe80:0::1%br-lan]:80", "[fe80::1%br-lan]:80"),
        ("localhost:7001", "localhost:7001"),
        ("5000-5099", "*:5000-5099"),
        ("[0::1]:5000-05099", "[::1]:5000-5099"),
        ("10.0.0.1:5000-65535", "10.0.0.1:5000-65535"),
        ("localhost:5000-5000", "localhost:5000"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
    ];
    for (text, printed) in cases {
        let address: ListenAddress = text.parse().unwrap();
        assert_eq!(address.to_string(), printed, "{text}");
        assert_eq!(printed.parse::<ListenAddress>().unwrap(), address, "{text}");
    }
    let any: ListenAddress = "80".parse().unwrap();
    assert_eq!(any, ListenAddress::new(ListenHost::Any, 80));
}

#[test]
fn ranges_of_one_host_overlap_where_they_share_a_port() {
    let overlaps = |one: &str, two: &str| {
        let [one, two] = [one, two].map(|it| it.parse::<ListenAddress>().unwrap());
        assert_eq!(one.overlaps(&two), two.overlaps(&one));
        one.overlaps(&two)
    };
    assert!(overlaps("*:80", "80"));
    assert!(overlaps("*:80-90", "*:90-99"));
    assert!(overlaps("*:80-90", "*:85"));
    assert!(overlaps("*:1-65535", "*:85-86"));
    assert!(!overlaps("*:80-90", "*:91-99"));
    assert!(!overlaps("*:80-90", "127.0.0.1:80-90"), "as ever");
    assert!(!overlaps("*:0", "*:0"));
    assert!(overlaps("unix:/a", "unix:/a"));
    assert!(!overlaps("unix:/a", "unix:/b"));
    assert!(!overlaps("unix:/a", "*:1-65535"));
}

#[test]
fn a_path_is_absolute_and_no_longer_than_a_socket_may_have() {
    let long = |bytes: usize| format!("unix:/{}", "a".repeat(bytes - 1));
    let error = |text: &str| {
        let error = text.parse::<Endpoint>().unwrap_err();
        assert_eq!(text.parse::<ListenAddress>().unwrap_err(), error);
        error.to_string()
    };
    assert!(long(107).parse::<Endpoint>().is_ok());
    assert_eq!(
        error(&long(108)),
        "the path of a Unix socket has at most 107 bytes, and this one has 108"
    );
    for text in ["unix:", "unix:run/a", "unix:/run/"] {
        assert!(error(text).contains("is no absolute path: write one such as unix:/run"));
    }
    assert!(error("unix:@name").starts_with("abstract Unix sockets (@NAME) are not supported"));
    assert!(error("unix:/a\nb").ends_with("no control characters"));
}

#[test]
fn the_error_for_a_wrong_endpoint_says_what_would_be_right() {
    let cases = [
        ("", "the address is empty: write HOST:PORT"),
        ("lorien:", "the port is missing: write lorien:PORT"),
        ("*", "the host is missing: write HOST:PORT"),
        (
            "10.0.1",
            "10.0.1 is not an IPv4 address: four numbers from 0 to 255",
        ),
        (
            "[::g]",
            "[::g] is not an IPv6 address: write one such as [::1]:PORT",
        ),
        (
            "::1",
            "an IPv6 address goes in brackets: write [ADDRESS]:PORT",
        ),
        ("[::1]80", "the port is missing: write [::1]80:PORT"),
        ("80", "the host is missing: write HOST:80"),
        (":80", "the host is missing: write HOST:80"),
        ("*:80", "the host is missing: write HOST:80"),
        ("lorien:0", "the port must be a number from 1 to 65535"),
        ("10.0.0.1:0", "the port must be a number from 1 to 65535"),
        ("lorien:65536", "the port must be a number from 1 to 65535"),
        ("lorien:+80", "the port must be a number from 1 to 65535"),
        ("[::1]:", "the port must be a number from 1 to 65535"),
        (
            "::1:80",
            "an IPv6 address goes in brackets: write [ADDRESS]:PORT",
        ),
        (
            "[::g]:80",
            "[::g] is not an IPv6 address: write one such as [::1]:PORT",
        ),
        (
            "[::1:80",
            "[::1:80 is not an IPv6 address: write one such as [::1]:PORT",
        ),
        (
            "10.0.0.256:80",
            "10.0.0.256 is not an IPv4 address: four numbers from 0 to 255",
        ),
        (
            "10.0.1:80",
            "10.0.1 is not an IPv4 address: four numbers from 0 to 255",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(
            text.parse::<Endpoint>().unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

#[test]
fn the_error_for_a_wrong_listen_address_says_what_would_be_right() {
    let cases = [
        ("None", "the port is missing: write None:PORT"),
        ("70000", "the port must be a number from 0 to 65535"),
        ("*:http", "the port must be a number from 0 to 65535"),
        ("*:0-9", "the port must be a number from 1 to 65535"),
        ("*:1-", "the port must be a number from 1 to 65535"),
        ("-", "the port must be a number from 1 to 65535"),
        (
            "*:99-90",
            "the lower port of a range comes first: write 90-99",
        ),
        (
            "[fe80::1%a b]:80",
            "%a b is not an interface: write one such as [fe80::1%eth0]:PORT",
        ),
        (
            "::1",
            "an IPv6 address goes in brackets: write [ADDRESS]:PORT",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(
            text.parse::<ListenAddress>().unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

#[test]
fn a_name_is_what_a_resolver_would_take() {
    let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    assert_eq!(longest.len(), 253);
    for name in [
        "a",
        "a-b",
        "_srv.x",
        "example.org.",
        "xn--nxasmq6b",
        &longest,
    ] {
        assert!(is_host_name(name), "{name}");
    }
    let too_long = format!("{longest}b");
    let label_too_long = "a".repeat(64);
    for name in [
        "",
        ".",
        "a..b",
        "-a",
        "a b",
        "bücher",
        "a\n",
        &too_long,
        &label_too_long,
    ] {
        assert!(!is_host_name(name), "{name}");
    }
}
