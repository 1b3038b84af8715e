//! TLS clients that are routed by the server name and the protocol that they ask for, by the
//! example of txlb.xml(5): curl, OpenSSL, Chromium and Java, with nginx behind txlb.
//!
//! They are Debian's, so these tests are ignored unless asked for.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::examples::{example_with, with};
use crate::support::peer::{Peer, free_address};
use crate::support::txlb::{Folder, Txlb, text};

/// The groups of the example, and a name that each of them has a certificate for.
const GROUPS: [(&str, &str); 3] = [
    ("shop", "*.shop.example.org"),
    ("acme", "acme.example.org"),
    ("main", "www.example.org"),
];

/// A txlb with the service of the example, and an nginx for each group that says which it is.
struct Farm {
    txlb: Txlb,
    folder: Folder,
    _servers: Vec<Peer>,
}

impl Farm {
    fn start() -> Farm {
        let folder = Folder::new();
        let mut service = with(&example_with("<route sni="), &[("*:443", "127.0.0.1:0")]);
        let servers = GROUPS.iter().enumerate().map(|(index, (group, name))| {
            let address = free_address();
            let old = format!("\"10.0.{index}.1:443\"");
            service = with(&service, &[(&old, &format!("\"{address}\""))]);
            server(&folder, group, name, address)
        });
        let servers = servers.collect();
        Farm {
            txlb: Txlb::start(&format!("<config>{service}</config>")),
            folder,
            _servers: servers,
        }
    }

    fn address(&self) -> SocketAddr {
        self.txlb.addresses("tls")[0]
    }

    fn certificate(&self, group: &str) -> PathBuf {
        self.folder.file(&format!("{group}.crt"))
    }
}

/// An nginx with a certificate of its own.
fn server(folder: &Folder, group: &str, name: &str, address: SocketAddr) -> Peer {
    let [key, cert] = ["key", "crt"].map(|kind| folder.file(&format!("{group}.{kind}")));
    let (key, cert) = (text(&key), text(&cert));
    let names = format!("subjectAltName=DNS:{name}");
    let subject = format!("/CN={group}");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj"])
        .args([&subject, "-addext", &names, "-keyout", key, "-out", cert])
        .output();
    succeeded(&made.unwrap());
    let server = format!(
        "server {{ listen {address} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; \
         default_type text/plain; return 200 \"group {group}\\n\"; }}"
    );
    Peer::nginx(folder, group, &server, address)
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Names that clients ask for, and the group that they get.
const NAMES: [(&str, &str); 4] = [
    ("shop.example.org", "shop"),
    ("a.shop.example.org", "shop"),
    ("A.SHOP.Example.ORG", "shop"),
    ("www.example.org", "main"),
];

#[test]
#[ignore = "needs nginx, curl"]
fn curl_gets_the_certificate_of_the_name_that_it_asks_for() {
    let farm = Farm::start();
    let to = format!("::{}", farm.address());
    // The wildcard of the certificate is for one more label.
    for (name, group) in &NAMES[1..] {
        let certificate = farm.certificate(group);
        let asked = Command::new("curl")
            .args(["-sS", "--cacert", text(&certificate), "--connect-to", &to])
            .arg(format!("https://{name}/"))
            .output();
        assert_eq!(
            succeeded(&asked.unwrap()),
            format!("group {group}\n"),
            "{name}"
        );
    }
    // Without a name.
    let asked = Command::new("curl")
        .args(["-sSk", &format!("https://{}/", farm.address())])
        .output();
    assert_eq!(succeeded(&asked.unwrap()), "group main\n");
    // Without TLS: nginx says so in plain text.
    let asked = Command::new("curl")
        .args(["-sS", &format!("http://{}/", farm.address())])
        .output();
    let said = succeeded(&asked.unwrap());
    assert!(
        said.contains("plain HTTP request was sent to HTTPS port"),
        "{said}"
    );
}

/// The subject of the certificate that OpenSSL gets with these options.
fn subject_by_openssl(address: SocketAddr, options: &[&str]) -> String {
    let client = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut client = client.unwrap();
    // It ends when its input does.
    client.stdin.take().unwrap().write_all(b"").unwrap();
    let said = succeeded(&client.wait_with_output().unwrap());
    let subject = said
        .lines()
        .find_map(|line| line.strip_prefix("subject=CN"));
    let subject = subject.unwrap_or_else(|| panic!("{said}"));
    subject.trim_matches([' ', '=']).to_owned()
}

#[test]
#[ignore = "needs nginx, openssl"]
fn openssl_is_routed_by_name_and_protocol() {
    let farm = Farm::start();
    // So many protocols that the hello takes two of the smallest records.
    let names: Vec<_> = (0..100).map(|number| format!("name-{number}")).collect();
    let many = names.join(",") + ",http/1.1";
    let many_acme = format!("acme-tls/1,{many}");
    for (options, group) in [
        (&["-noservername"][..], "main"),
        (&["-servername", "shop.example.org"], "shop"),
        (&["-servername", "x.y.shop.example.org"], "shop"),
        (&["-servername", "shop.example.org."], "shop"),
        (&["-servername", "workshop.example.org"], "main"),
        (&["-noservername", "-alpn", "acme-tls/1,http/1.1"], "acme"),
        (
            &["-servername", "www.example.org", "-alpn", "h2,acme-tls/1"],
            "acme",
        ),
        (&["-servername", "www.example.org", "-alpn", "h2"], "main"),
        (&["-servername", "shop.example.org", "-tls1_2"], "shop"),
        (
            &[
                "-servername",
                "shop.example.org",
                "-max_send_frag",
                "512",
                "-alpn",
                &many,
            ],
            "shop",
        ),
        (
            &[
                "-noservername",
                "-max_send_frag",
                "512",
                "-alpn",
                &many_acme,
            ],
            "acme",
        ),
    ] {
        let subject = subject_by_openssl(farm.address(), options);
        assert_eq!(subject, group, "{options:?}");
    }
}

#[test]
#[ignore = "needs nginx, chromium"]
fn chromium_is_routed_by_name() {
    let farm = Farm::start();
    let port = farm.address().port();
    for (name, group) in &NAMES[1..] {
        let profile = farm.folder.file(&format!("profile-{name}"));
        // Root may not have a sandbox. Nothing is looked up, and nobody else asked.
        let page = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg("--host-resolver-rules=MAP * 127.0.0.1")
            .arg("--ignore-certificate-errors")
            .arg(format!("--user-data-dir={}", text(&profile)))
            .args(["--dump-dom", &format!("https://{name}:{port}/")])
            .output();
        let page = succeeded(&page.unwrap());
        assert!(page.contains(&format!("group {group}\n")), "{name}: {page}");
    }
}

#[test]
#[ignore = "needs nginx, default-jdk-headless"]
fn java_is_routed_by_name() {
    let farm = Farm::start();
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/TlsClient.java");
    let address = farm.address();
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    for (name, group) in NAMES {
        let asked = Command::new("java")
            .args([client, &ip, &port, name])
            .output();
        assert_eq!(
            succeeded(&asked.unwrap()).trim(),
            format!("CN={group}"),
            "{name}"
        );
    }
}
