//! The PROXY protocol between txlb and nginx or HAProxy, on both sides, by the examples of
//! txlb.xml(5).
//!
//! They are Debian's, so these tests are ignored unless asked for.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::examples::{example_with, with};
use crate::support::client::{connect, connect_from};
use crate::support::config::hosts_text;
use crate::support::control::Controlled;
use crate::support::host::Listener;
use crate::support::peer::{Peer, free_address, free_port};
use crate::support::txlb::{Folder, Txlb, text};
use crate::support::until;

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

const LISTENS: &str = "<listen ip=\"127.0.0.1:0\"/><listen ip=\"[::1]:0\"/>";

fn service(name: &str, listens: &str, group: &str, hosts: &[SocketAddr]) -> String {
    format!(
        "<service name=\"{name}\">{listens}<group name=\"main\" scheduler=\"roundr\" \
         enable=\"true\" {group}>{}</group></service>",
        hosts_text(hosts)
    )
}

fn start(services: &str) -> Txlb {
    Txlb::start(&format!("<config>{services}</config>"))
}

/// What nginx says of a session's two ends.
const ENDS: &str = "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr \
                    $proxy_protocol_server_port";

/// An nginx that expects a header and says whose connection it is.
fn nginx(folder: &Folder, address: SocketAddr) -> Peer {
    let server = format!("server {{ listen {address} proxy_protocol; return 200 \"{ENDS}\"; }}");
    Peer::nginx(folder, "nginx", &server, address)
}

/// The two ends in the same way.
fn ends(client: SocketAddr, asked: SocketAddr) -> String {
    let words = [client, asked].map(|it| format!("{} {}", it.ip(), it.port()));
    words.join(" ")
}

fn ends_of(client: &TcpStream) -> String {
    ends(client.local_addr().unwrap(), client.peer_addr().unwrap())
}

/// The body of the answer to a request after these bytes.
fn ask_after(mut client: TcpStream, start: &[u8]) -> String {
    let request = [start, b"GET / HTTP/1.0\r\n\r\n"].concat();
    client.write_all(&request).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    body.to_owned()
}

fn ask(client: TcpStream) -> String {
    ask_after(client, b"")
}

fn haproxy(folder: &Folder, config: &str, address: SocketAddr) -> Peer {
    let timeouts = "timeout connect 5s\n timeout client 30s\n timeout server 30s\n";
    let config = config.replace("TIMEOUTS", timeouts);
    let file = folder.write("haproxy.cfg", config);
    Peer::start("haproxy", &["-db", "-q", "-f", text(&file)], address)
}

/// A header of version 2 for TCP over IPv4 or IPv6.
fn block(client: SocketAddr, asked: SocketAddr, fields: &[u8]) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [client, asked].map(|it| it.port().to_be_bytes()).concat();
    let rest = [&octets(client), &octets(asked), &ports, fields].concat();
    let family = if client.is_ipv4() { 0x11 } else { 0x21 };
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family][..], &length, &rest].concat()
}

fn line(client: SocketAddr, asked: SocketAddr) -> Vec<u8> {
    let (from, to) = (client.ip(), asked.ip());
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from_port, to_port) = (client.port(), asked.port());
    format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
}

#[test]
#[ignore = "needs nginx"]
fn nginx_sees_the_client_and_what_it_asked_for() {
    let (folder, host) = (Folder::new(), free_address());
    let _nginx = nginx(&folder, host);
    // A listener for all addresses gets IPv4 clients within IPv6.
    let listens = [LISTENS, "<listen ip=\"*:0\"/>"];
    let services = ["v1", "v2"].map(|version| {
        let group = format!("sendProxy=\"{version}\"");
        let [own, any] = listens;
        let any = service(&format!("any-{version}"), any, &group, &[host]);
        service(version, own, &group, &[host]) + &any
    });
    let txlb = start(&services.concat());
    for version in ["v1", "v2"] {
        let mut addresses = txlb.addresses(version);
        let any = txlb.addresses(&format!("any-{version}"))[0].port();
        addresses.extend(LOOPBACK.map(|ip| SocketAddr::new(ip, any)));
        assert_eq!(addresses.len(), 4);
        for address in addresses {
            let client = connect(address);
            let expected = ends_of(&client);
            assert_eq!(ask(client), expected, "{version} to {address}");
        }
    }
    no_complaint(&folder);
}

/// nginx logs headers that are missing or that it does not understand.
fn no_complaint(folder: &Folder) {
    let log = fs::read_to_string(folder.file("nginx").join("error.log")).unwrap();
    assert_eq!(log, "");
}

#[test]
#[ignore = "needs nginx"]
fn a_check_of_nginx_sends_a_header_of_its_own() {
    let (folder, host) = (Folder::new(), free_address());
    let _nginx = nginx(&folder, host);
    let services = ["v1", "v2"].map(|version| {
        let group = format!("initial=\"down\" sendProxy=\"{version}\"");
        let check = "<check type=\"http\" status=\"200\" interval=\"0.2\"/>";
        let service = service(version, LISTENS, &group, &[host]);
        with(&service, &[("<host ", &format!("{check}<host "))])
    });
    let running = Controlled::start(&format!("<config>{}</config>", services.concat()));
    until("the checks have passed", || {
        let status = running.tell(&["--json", "status"]);
        status.matches("\"health\":\"healthy\"").count() == 2
    });
    let txlb = &running.txlb;
    for version in ["v1", "v2"] {
        let client = connect(txlb.addresses(version)[0]);
        let expected = ends_of(&client);
        assert_eq!(ask(client), expected, "{version}");
    }
    no_complaint(&folder);
}

#[test]
#[ignore = "needs nginx"]
fn a_web_server_counts_the_client_as_its_own() {
    let (folder, host) = (Folder::new(), free_address());
    let server = with(
        &example_with("real_ip_header"),
        &[
            ("10.0.0.1:80", &host.to_string()),
            ("10.0.0.100", "127.0.0.1"),
            ("}", "return 200 $remote_addr; }"),
        ],
    );
    let _nginx = Peer::nginx(&folder, "nginx", &server, host);
    let service = example_with("<group name=\"nginx\"");
    let service = with(
        &service,
        &[("*:80", "127.0.0.1:0"), ("10.0.0.1:80", &host.to_string())],
    );
    let txlb = start(&service);
    for ip in ["127.0.0.1", "127.0.0.77"] {
        let client = connect_from(ip.parse().unwrap(), txlb.address());
        assert_eq!(ask(client), ip);
    }
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_takes_headers_with_their_checksum_and_id() {
    let (folder, host) = (Folder::new(), free_address());
    let says = "%[src] %[src_port] %[dst] %[dst_port]";
    let config = format!(
        "defaults\n mode http\n TIMEOUTS\nfrontend web\n bind {host} accept-proxy\n \
         http-request return status 200 content-type text/plain \
         lf-string \"{says} [%[fc_pp_unique_id]]\"\n"
    );
    let _haproxy = haproxy(&folder, &config, host);
    let services = ["v1", "v2"].map(|version| {
        let group = format!("sendProxy=\"{version}\"");
        service(version, LISTENS, &group, &[host])
    });
    let txlb = start(&services.concat());
    let mut ids = Vec::new();
    for version in ["v1", "v2", "v2"] {
        for address in txlb.addresses(version) {
            let client = connect(address);
            let expected = ends_of(&client);
            let said = ask(client);
            let (said, id) = said.split_once(" [").unwrap();
            assert_eq!(said, expected, "{version} to {address}");
            match version {
                "v1" => assert_eq!(id, "]"),
                _ => ids.push(id.to_owned()),
            }
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), count), (4, 4), "{ids:?}");
    assert!(ids.iter().all(|id| id.len() > 1), "{ids:?}");
}

/// What a client sends after the header.
const HELLO: &[u8] = b"hello";

/// The bytes that a host gets before the client's, who sends this header.
fn header_for_host(address: SocketAddr, header: &[u8], host: &Listener) -> Vec<u8> {
    let mut client = connect(address);
    client.write_all(&[header, HELLO].concat()).unwrap();
    let mut session = host.accept();
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(HELLO) {
        session.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
    }
    bytes.truncate(bytes.len() - HELLO.len());
    bytes
}

/// The fields of a block after addresses of so many bytes.
fn fields(block: &[u8], address_bytes: usize) -> Vec<(u8, &[u8])> {
    let mut rest = &block[16 + address_bytes..];
    let mut fields = Vec::new();
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        fields.push((*kind, &after[..length]));
        rest = &after[length..];
    }
    assert_eq!(rest, b"");
    fields
}

/// Pairs of addresses of one family, the IPv6 ones with zeros to be shortened.
fn pairs() -> [[SocketAddr; 2]; 3] {
    [
        ["192.0.2.1:4097", "198.51.100.200:80"],
        ["[2001:db8::1:0:0:1]:65535", "[2001:db8:a:b:c:d:e:f]:443"],
        ["[2001:db8:0:1::]:1", "[::1]:25"],
    ]
    .map(|pair| pair.map(|it| it.parse().unwrap()))
}

#[test]
#[ignore = "needs haproxy"]
fn hosts_get_the_bytes_that_haproxy_sends() {
    let (folder, host) = (Folder::new(), Listener::new());
    let hosts = [host.address()];
    let listens = "<listen ip=\"127.0.0.1:0\" proxy=\"require\"/>";
    let services = ["v1", "v2"].map(|version| {
        let group = format!("sendProxy=\"{version}\"");
        service(version, listens, &group, &hosts)
    });
    let txlb = start(&services.concat());
    let [ours_v1, ours_v2] = ["v1", "v2"].map(|name| txlb.addresses(name)[0]);
    for [client, asked] in pairs() {
        let lines = header_for_host(ours_v1, &block(client, asked, &[]), &host);
        let blocks = header_for_host(ours_v2, &line(client, asked), &host);
        let address_bytes = if client.is_ipv4() { 12 } else { 36 };
        // HAProxy sends any ID that it is told to, so that not even the checksum differs.
        let [(3, [_, _, _, _]), (5, id)] = fields(&blocks, address_bytes)[..] else {
            panic!("{blocks:?}");
        };
        let id = std::str::from_utf8(id).unwrap();
        let theirs = [free_address(), free_address()];
        let to = host.address();
        let config = format!(
            "defaults\n mode tcp\n TIMEOUTS\n\
             listen v1\n bind {} accept-proxy\n server a {to} send-proxy\n\
             listen v2\n bind {} accept-proxy\n unique-id-format {id}\n \
             server a {to} send-proxy-v2 proxy-v2-options crc32c,unique-id\n",
            theirs[0], theirs[1]
        );
        let _haproxy = haproxy(&folder, &config, theirs[0]);
        let expected = header_for_host(theirs[0], &line(client, asked), &host);
        assert_eq!(text_of(&lines), text_of(&expected));
        let expected = header_for_host(theirs[1], &line(client, asked), &host);
        assert_eq!(blocks, expected, "{client} {asked}");
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether each of these servers of HAProxy has passed its check on the seventh layer.
fn all_checked(socket: &Path, proxies: &[&str]) -> bool {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"show stat\n").unwrap();
    let mut table = String::new();
    stream.read_to_string(&mut table).unwrap();
    let is_checked = |proxy: &&str| {
        let mut lines = table.lines();
        let line = lines.find(|line| line.starts_with(&format!("{proxy},txlb,")));
        line.unwrap().split(',').any(|field| field == "L7OK")
    };
    proxies.iter().all(is_checked)
}

#[test]
#[ignore = "needs haproxy"]
fn behind_haproxy_the_client_is_haproxys() {
    let (folder, host) = (Folder::new(), free_address());
    let _nginx = nginx(&folder, host);
    let service = with(
        &example_with("proxyFrom=\"10.0.0.99\""),
        &[
            ("*:80", "127.0.0.1:0"),
            ("10.0.0.99", "127.0.0.1"),
            ("10.0.0.1:80", &host.to_string()),
        ],
    );
    let service = with(&service, &[("<group ", "<group sendProxy=\"v1\" ")]);
    let txlb = start(&service);
    let certificate = certificate(&folder, "haproxy", "www.example.org");
    let socket = folder.file("stats");
    let ports = [(); 3].map(|()| free_port());
    let proxies = [
        ("v1", "", "send-proxy"),
        ("v2", "", "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
        (
            "tls",
            " ssl crt ",
            "send-proxy-v2-ssl-cn proxy-v2-options crc32c",
        ),
    ];
    let proxies = proxies.iter().zip(ports).map(|((name, tls, send), port)| {
        let crt = if tls.is_empty() {
            ""
        } else {
            text(&certificate)
        };
        let address = txlb.address();
        format!(
            "listen {name}\n bind 127.0.0.1:{port}{tls}{crt}\n bind [::1]:{port}{tls}{crt}\n \
             option httpchk\n server txlb {address} {send} check inter 100\n"
        )
    });
    let config = format!(
        "global\n stats socket {}\ndefaults\n mode tcp\n TIMEOUTS\n \
         unique-id-format %{{+X}}o%ci_%cp_%fi_%fp\n{}",
        text(&socket),
        proxies.collect::<String>()
    );
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
    let _haproxy = haproxy(&folder, &config, first);
    for port in &ports[..2] {
        for ip in LOOPBACK {
            let client = connect(SocketAddr::new(ip, *port));
            let expected = ends_of(&client);
            assert_eq!(ask(client), expected);
        }
    }
    // With the field for TLS.
    let url = format!("https://127.0.0.1:{}/", ports[2]);
    let output = Command::new("curl")
        .args(["-sk", "-w", " %{local_port}", &url])
        .output();
    let said = text_of(&output.unwrap().stdout);
    let (said, port) = said.rsplit_once(' ').unwrap();
    let expected = format!("127.0.0.1 {port} 127.0.0.1 {}", ports[2]);
    assert_eq!(said, expected);
    until("HAProxy's own checks pass", || {
        all_checked(&socket, &["v1", "v2", "tls"])
    });
    no_complaint(&folder);
}

/// A key and its certificate for this name, in one file.
fn certificate(folder: &Folder, file: &str, name: &str) -> PathBuf {
    let [key, cert] = ["key", "cert"].map(|kind| folder.file(&format!("{file}.{kind}")));
    let subject = format!("/CN={name}");
    let status = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", &subject,
        ])
        .args(["-keyout", text(&key), "-out", text(&cert)])
        .output();
    assert!(status.unwrap().status.success());
    let both = [key, cert].map(|file| fs::read_to_string(file).unwrap());
    folder.write(&format!("{file}.pem"), both.concat())
}

#[test]
#[ignore = "needs nginx"]
fn the_headers_of_cloud_load_balancers_are_understood() {
    let (folder, host) = (Folder::new(), free_address());
    let _nginx = nginx(&folder, host);
    let service = with(
        &example_with("proxyFrom=\"10.0.0.0/16\""),
        &[
            ("*:443", "127.0.0.1:0"),
            ("10.0.0.0/16", "127.0.0.0/8"),
            ("10.0.0.1:443", &host.to_string()),
        ],
    );
    let service = with(&service, &[("<group ", "<group sendProxy=\"v2\" ")]);
    let txlb = start(&service);
    let field = |kind: u8, value: &[u8]| {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind], &length[..], value].concat()
    };
    let asked = "172.31.10.31:80".parse().unwrap();
    // As AWS sends it to an endpoint service: its checksum is for just this header.
    let aws = [
        field(0x03, &[0xE8, 0xD6, 0x89, 0x2D]),
        field(0xEA, b"\x01vpce-08d2bf15fac5001c9"),
        field(0x04, &[0; 36]),
    ];
    // Azure's private link, and Google's private service connect, by the number of a connection.
    let azure = field(0xEE, &[1, 0x45, 0x33, 0x22, 0x11]);
    let google = field(0xE0, &[0xFF, 0xFF, 0xFF, 0xFF, 0xC0, 0xA8, 0x64, 0x02]);
    for (client, fields) in [
        ("172.31.7.113:51442", aws.concat()),
        ("10.20.30.40:50000", azure),
        ("10.20.30.41:50001", google),
    ] {
        let client = client.parse().unwrap();
        let header = block(client, asked, &fields);
        let said = ask_after(connect(txlb.address()), &header);
        assert_eq!(said, ends(client, asked));
    }
    // A health check of theirs.
    let client = connect(txlb.address());
    let expected = ends_of(&client);
    assert_eq!(
        ask_after(client, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        expected
    );
    no_complaint(&folder);
}
