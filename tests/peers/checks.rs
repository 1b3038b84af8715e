//! The checks of txlb.xml(5), EXAMPLES, of what each is for: nginx, PostgreSQL, Redis, Exim and
//! MariaDB; and an agent, which HAProxy asks, too.
//!
//! They are Debian's, so these tests are ignored unless asked for. PostgreSQL runs as its own user,
//! for which the tests must run as root.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::control::Controlled;
use crate::support::peer::{Peer, free_address, free_port};
use crate::support::txlb::{Folder, text};
use crate::support::{TIMEOUT, until};

const MANUAL: &str = include_str!("../../man/txlb.xml.5");

/// The one check among the manual's examples with this in it, made quicker.
fn check_with(part: &str) -> String {
    let (_, examples) = MANUAL.split_once(".Sh EXAMPLES").unwrap();
    let examples = examples.replace("\\\n", "").replace("\\e", "\\");
    let checks = examples.split("<check ").skip(1);
    let checks = checks.map(|rest| rest.split("/>").next().unwrap());
    let found: Vec<_> = checks.filter(|check| check.contains(part)).collect();
    assert_eq!(found.len(), 1, "{part}");
    format!("<check interval=\"0.2\" fall=\"2\" {}/>", found[0])
}

/// A service whose hosts, named a, b and so on, have this check.
fn service(name: &str, check: &str, hosts: &[SocketAddr]) -> String {
    let hosts = crate::support::config::hosts_text(hosts);
    format!(
        "<service name=\"{name}\"><listen ip=\"127.0.0.1:0\"/><group name=\"main\" \
         scheduler=\"roundr\" enable=\"true\">{check}{hosts}</group></service>"
    )
}

fn start(services: &str) -> Controlled {
    Controlled::start(&format!("<config>{services}</config>"))
}

/// Waits until a host has failed for this reason, and expects it in the status.
fn wait_down(running: &mut Controlled, host: &str, reason: &str) {
    let line = format!("host {host} is down: {reason}");
    running.txlb.wait_for(&line);
    let status = running.tell(&["status"]);
    // It breaks lines between words.
    let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains(reason), "{reason} is not in {status}");
}

/// The output of a program, which must succeed.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first line that a server says on its own.
fn greeting(address: SocketAddr) -> String {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// Two addresses with the same port, for checks of a `port` beside each host.
fn pair() -> [SocketAddr; 2] {
    let port = free_port();
    [1, 2].map(|last| ([127, 0, 0, last], port).into())
}

#[test]
#[ignore = "needs nginx"]
fn a_page_of_http_tells_by_its_status() {
    let folder = Folder::new();
    let hosts = [free_address(), free_address(), free_address()];
    // Another page and another name would fail: the path and the name of the check count.
    let nginx = |name: &str, address: SocketAddr, health: &str| {
        let servers = format!(
            "server {{ listen {address} default_server; return 404; }}\n\
             server {{ listen {address}; server_name www.example.org; \
             location = /health {{ return {health}; }} location = /who {{ return 200 {name}; }} }}"
        );
        Peer::nginx(&folder, name, &servers, address)
    };
    let _a = nginx("a", hosts[0], "200");
    let b = nginx("b", hosts[1], "500");
    let _c = nginx("c", hosts[2], "302 /elsewhere");
    let check = check_with("path=\"/health\"");
    let mut running = start(&service("web", &check, &hosts));
    wait_down(
        &mut running,
        "web:main/b",
        "expected status 200-399 of GET /health, got 500 Internal Server Error",
    );
    let address = running.txlb.address();
    let who = || {
        let url = format!("http://{address}/who");
        output("curl", &["-s", "-H", "Host: www.example.org", &url])
    };
    let names: String = (0..4).map(|_| who()).collect();
    assert!(names == "acac" || names == "caca", "{names}");
    b.quit();
    let _b = nginx("b", hosts[1], "204");
    running.txlb.wait_for("host web:main/b is up");
    let mut names: Vec<_> = (0..3).map(|_| who()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
#[ignore = "needs nginx"]
fn tls_answers_a_client_hello_and_plain_text_does_not() {
    let folder = Folder::new();
    let hosts = [free_address(), free_address(), free_address()];
    let [key, cert] = ["key", "cert"].map(|name| folder.file(name));
    let (key, cert) = (text(&key), text(&cert));
    let request = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-keyout", key, "-out",
        cert,
    ];
    output("openssl", &request);
    let nginx = |name: &str, address: SocketAddr, tls: &str| {
        let server = format!("server {{ listen {address} {tls} return 200 {name}; }}");
        Peer::nginx(&folder, name, &server, address)
    };
    let tls = |version: &str| {
        format!("ssl; ssl_protocols {version}; ssl_certificate {cert}; ssl_certificate_key {key};")
    };
    let _a = nginx("a", hosts[0], &tls("TLSv1.2"));
    let _b = nginx("b", hosts[1], &tls("TLSv1.3"));
    let _c = nginx("c", hosts[2], ";");
    let check = check_with("\\x16\\x03");
    let mut running = start(&service("web", &check, &hosts));
    wait_down(
        &mut running,
        "web:main/c",
        "expected \"\\x16\\x03\" in the answer, got \"HTTP/1.1 400 Bad Request",
    );
    let url = format!("https://{}/", running.txlb.address());
    let names: String = (0..4).map(|_| output("curl", &["-sk", &url])).collect();
    assert!(names == "abab" || names == "baba", "{names}");
    running.txlb.wait_for_count("is down", 1);
}

#[test]
#[ignore = "needs exim4-daemon-light"]
fn a_mail_server_greets_whom_it_takes() {
    let folder = Folder::new();
    let hosts = [free_address(), free_address()];
    // Exim leaves root behind before it writes.
    let place = folder.file("mail");
    fs::create_dir(&place).unwrap();
    output("chmod", &["777", text(&place)]);
    let exim = |access: &str, address: SocketAddr| {
        let place = text(&place);
        let config = format!(
            "primary_hostname = mail.example.org\nspool_directory = {place}\n\
             log_file_path = {place}/%slog\npid_file_path = {place}/{access}.pid\n\
             keep_environment =\ntls_advertise_hosts =\nhost_lookup =\n\
             acl_smtp_connect = connect\nbegin acl\nconnect:\n  {access}\n"
        );
        let config = folder.write(access, config);
        let at = format!("{}.{}", address.ip(), address.port());
        Peer::start("exim4", &["-bdf", "-C", text(&config), "-oX", &at], address)
    };
    let _a = exim("accept", hosts[0]);
    let _b = exim("deny", hosts[1]);
    let check = check_with("expect=\"220 \"");
    let mut running = start(&service("web", &check, &hosts));
    wait_down(
        &mut running,
        "web:main/b",
        "expected \"220 \" in the answer, got \"550 Administrative prohibition\\r\\n\"",
    );
    for _ in 0..2 {
        let greeting = greeting(running.txlb.address());
        assert!(
            greeting.starts_with("220 mail.example.org ESMTP Exim"),
            "{greeting}"
        );
    }
}

#[test]
#[ignore = "needs redis"]
fn sessions_go_to_the_master_of_redis_and_follow_it() {
    let hosts = [free_address(), free_address()];
    let redis = |address: SocketAddr| {
        let port = address.port().to_string();
        let options = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--repl-diskless-sync-delay",
            "0",
            "--save",
            "",
            "--dir",
            "/",
        ];
        Peer::start("redis-server", &options, address)
    };
    let [a, _b] = hosts.map(redis);
    let ask = |address: SocketAddr, words: &[&str]| {
        let port = address.port().to_string();
        output("redis-cli", &[&["-e", "-p", &port], words].concat())
    };
    let master = hosts[0].port().to_string();
    ask(hosts[1], &["replicaof", "127.0.0.1", &master]);
    until("the replica has it all", || {
        ask(hosts[1], &["info", "replication"]).contains("master_link_status:up")
    });
    let check = check_with("role:master");
    let mut running = start(&service("web", &check, &hosts));
    let address = running.txlb.address();
    wait_down(
        &mut running,
        "web:main/b",
        "expected \"role:master\" in the answer, got ",
    );
    for value in ["1", "2"] {
        assert_eq!(ask(address, &["set", "name", value]).trim(), "OK");
    }
    until("it is replicated", || {
        ask(hosts[1], &["get", "name"]).trim() == "2"
    });
    drop(a);
    running.txlb.wait_for("host web:main/a is down");
    ask(hosts[1], &["replicaof", "no", "one"]);
    running.txlb.wait_for("host web:main/b is up");
    assert_eq!(ask(address, &["get", "name"]).trim(), "2");
    assert_eq!(ask(address, &["set", "name", "3"]).trim(), "OK");
    // The old master comes back as a replica of the new one, and gets no sessions.
    let _a = redis(hosts[0]);
    let master = hosts[1].port().to_string();
    ask(hosts[0], &["replicaof", "127.0.0.1", &master]);
    until("the old master follows", || {
        ask(hosts[0], &["get", "name"]).trim() == "3"
    });
    for value in ["4", "5"] {
        assert_eq!(ask(address, &["set", "name", value]).trim(), "OK");
    }
}

/// A primary of PostgreSQL and its copy, as a standby.
pub(crate) struct Postgres {
    programs: PathBuf,
    pub(crate) folder: Folder,
}

impl Postgres {
    pub(crate) fn new() -> Postgres {
        let versions = fs::read_dir("/usr/lib/postgresql").unwrap();
        let newest = versions.map(|it| it.unwrap().path()).max().unwrap();
        let cluster = Postgres {
            programs: newest.join("bin"),
            folder: Folder::new(),
        };
        let place = cluster.folder.file("data");
        output("install", &["-d", "-o", "postgres", text(&place)]);
        let (a, b) = (cluster.data("a"), cluster.data("b"));
        let (a, b) = (text(&a), text(&b));
        let initdb = [
            "-D",
            a,
            "-U",
            "txlb",
            "-A",
            "trust",
            "--no-sync",
            "--locale=C",
        ];
        cluster.run("initdb", &initdb);
        let copy = format!("cp -r {a} {b} && touch {b}/standby.signal");
        output(
            "setpriv",
            &[&AS_POSTGRES[..], &["sh", "-c", &copy]].concat(),
        );
        cluster
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.file("data").join(name)
    }

    fn program(&self, name: &str) -> String {
        text(&self.programs.join(name)).to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.program(program);
        output(
            "setpriv",
            &[&AS_POSTGRES[..], &[&program], arguments].concat(),
        );
    }

    pub(crate) fn start(&self, name: &str, address: SocketAddr, setting: &str) -> Peer {
        let (program, data) = (self.program("postgres"), self.data(name));
        let (ip, port) = (address.ip(), address.port().to_string());
        let listen = format!("listen_addresses={ip}");
        let server = [
            &program,
            "-D",
            text(&data),
            "-p",
            &port,
            "-c",
            &listen,
            "-c",
            "fsync=off",
            "-c",
            "unix_socket_directories=",
            "-c",
            "log_min_messages=panic",
            "-c",
            setting,
        ];
        Peer::start("setpriv", &[&AS_POSTGRES[..], &server].concat(), address)
    }
}

const AS_POSTGRES: [&str; 3] = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];

/// Whether the server behind an address is a standby.
fn is_standby(address: SocketAddr) -> bool {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let ask = "select pg_is_in_recovery()";
    let options = [
        "-h", &ip, "-p", &port, "-U", "txlb", "-wAtc", ask, "postgres",
    ];
    output("psql", &options) == "t\n"
}

#[test]
#[ignore = "needs postgresql"]
fn postgresql_that_lets_no_client_in_gets_no_sessions() {
    let (cluster, hosts) = (Postgres::new(), pair());
    let a = cluster.start("a", hosts[0], "hot_standby=on");
    let b = cluster.start("b", hosts[1], "hot_standby=off");
    let check = check_with("expect=\"R\\0\\0\\0\"");
    let mut running = start(&service("web", &check, &hosts));
    running
        .txlb
        .wait_for("host web:main/b is down: expected \"R\\0\\0\\0\" in the answer, got \"E\\0");
    for _ in 0..2 {
        assert!(!is_standby(running.txlb.address()));
    }
    // A standby that lets clients in does pass.
    b.quit();
    let b = cluster.start("b", hosts[1], "hot_standby=on");
    running.txlb.wait_for("host web:main/b is up");
    let mut standbys = [(); 2].map(|()| is_standby(running.txlb.address()));
    standbys.sort_unstable();
    assert_eq!(standbys, [false, true]);
    assert_eq!(running.txlb.count("web:main/a is down"), 0);
    a.quit();
    b.quit();
}

#[test]
#[ignore = "needs postgresql"]
fn sessions_go_to_the_primary_of_postgresql_and_follow_it() {
    let (cluster, hosts, beside) = (Postgres::new(), pair(), pair());
    let a = cluster.start("a", hosts[0], "hot_standby=on");
    let b = cluster.start("b", hosts[1], "hot_standby=on");
    let patroni = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/patroni.py");
    let postgres = hosts[0].port().to_string();
    let psql = cluster.program("psql");
    let _patroni = beside.map(|address| {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        Peer::start("python3", &[patroni, &ip, &port, &postgres, &psql], address)
    });
    let port = format!("port=\"{}\"", beside[0].port());
    let by_patroni = check_with("path=\"/primary\"").replace("port=\"8008\"", &port);
    let by_login = check_with("in_hot_standby");
    let services = service("patroni", &by_patroni, &hosts) + &service("login", &by_login, &hosts);
    let mut running = start(&services);
    let reasons = [
        (
            "patroni:main/b",
            format!(
                "{}: expected status 200 of GET /primary, got 503",
                beside[1]
            ),
        ),
        (
            "login:main/b",
            "expected \"in_hot_standby\\0off\" in the answer, got \"R\\0".to_owned(),
        ),
    ];
    let is_down = |running: &mut Controlled, host: &str, reason: &str| {
        let line = format!("host {host} is down: {reason}");
        until(&line, || running.txlb.count(&line) > 0);
    };
    for (host, reason) in &reasons {
        is_down(&mut running, host, reason);
    }
    let addresses = ["patroni", "login"].map(|name| running.txlb.addresses(name)[0]);
    let never_a_standby = || {
        for address in addresses {
            assert!(!is_standby(address) && !is_standby(address));
        }
    };
    never_a_standby();
    a.quit();
    for host in ["patroni:main/a", "login:main/a"] {
        is_down(&mut running, host, "");
    }
    cluster.run("pg_ctl", &["promote", "-D", text(&cluster.data("b"))]);
    for name in ["patroni", "login"] {
        let line = format!("host {name}:main/b is up");
        until(&line, || running.txlb.count(&line) > 0);
    }
    never_a_standby();
    b.quit();
}

#[test]
#[ignore = "needs mariadb"]
fn mariadb_greets_and_lets_the_user_of_the_check_in() {
    let (folder, host) = (Folder::new(), free_address());
    let (data, socket) = (folder.file("data"), folder.file("socket"));
    fs::create_dir(&data).unwrap();
    let data = format!("--datadir={}", text(&data));
    let install = [
        "--no-defaults",
        "--user=root",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
        &data,
    ];
    output("mariadb-install-db", &install);
    let port = format!("--port={}", host.port());
    let socket = format!("--socket={}", text(&socket));
    let log = format!("--log-error={}", text(&folder.file("log")));
    let server = [
        "--no-defaults",
        "--user=root",
        "--bind-address=127.0.0.1",
        &data,
        &port,
        &socket,
        &log,
    ];
    let _mariadb = Peer::start("mariadbd", &server, host);
    let ask = |options: &[&str], statement: &str| {
        let options = [&["--no-defaults"], options, &["-BNe", statement]].concat();
        output("mariadb", &options)
    };
    let root = ["-u", "root", socket.as_str()];
    ask(&root, "create user txlb@'127.0.0.1'");
    let by_login = check_with("mysql_native_password");
    let by_greeting = check_with("expect=\"_password\"");
    let mut running =
        start(&(service("web", &by_login, &[host]) + &service("greeting", &by_greeting, &[host])));
    until("both checks have passed", || {
        running
            .tell(&["--json", "status"])
            .matches("\"health\":\"healthy\"")
            .count()
            == 2
    });
    let through = format!("-P{}", running.txlb.address().port());
    let client = ["-u", "txlb", "-h", "127.0.0.1", &through, "--protocol=tcp"];
    assert_eq!(ask(&client, "select 1 + 1").trim(), "2");
    ask(&root, "alter user txlb@'127.0.0.1' account lock");
    running
        .txlb
        .wait_for("host web:main/a is down: expected \"\\0\\0\\x02\\0\\0\\0\" in the answer, got ");
    ask(&root, "alter user txlb@'127.0.0.1' account unlock");
    running.txlb.wait_for("host web:main/a is up");
    assert_eq!(running.txlb.count("greeting:main/a is down"), 0);
}

/// What an agent has made of a host: how it is, its percent, and its most sessions (0: any number).
type Ruling = (&'static str, u32, u32);

/// The ruling that HAProxy shows for its only server.
fn haproxy_ruling(socket: &Path) -> Ruling {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"show stat\n").unwrap();
    let mut table = String::new();
    stream.read_to_string(&mut table).unwrap();
    let line = table
        .lines()
        .find(|line| line.starts_with("web,a,"))
        .unwrap();
    let fields: Vec<_> = line.split(',').collect();
    let number = |field: usize| fields[field].parse().unwrap_or(0);
    let state = match fields[17].split(' ').next().unwrap() {
        "DRAIN" => "drain",
        "MAINT" => "maint",
        "DOWN" => "down",
        // A server without a check of another type is "no check".
        "UP" | "no" => "up",
        other => panic!("{other}"),
    };
    (state, number(18), number(6))
}

/// The ruling that txlb shows for its only host.
fn own_ruling(running: &Controlled) -> Ruling {
    let status = running.tell(&["--json", "status"]);
    let Some((_, agent)) = status.split_once("\"agent\":\"") else {
        return ("", 0, 0);
    };
    let agent = agent.split('"').next().unwrap();
    let mut words = agent.split(", ");
    let state = match words.next().unwrap() {
        "maint" => "maint",
        _ if status.contains("\"health\":\"failed\"") => "down",
        "drain" => "drain",
        _ => "up",
    };
    let (mut percent, mut most) = (100, 0);
    for word in words {
        if let Some(number) = word.strip_suffix('%') {
            percent = number.parse().unwrap();
        } else if let Some(number) = word.strip_prefix("maxconn:") {
            most = number.parse().unwrap();
        }
    }
    (state, percent, most)
}

#[test]
#[ignore = "needs haproxy"]
fn an_agent_tells_txlb_the_same_as_haproxy() {
    let (folder, host, agent) = (Folder::new(), free_address(), free_address());
    let (said, socket) = (folder.write("said", "up ready\n"), folder.file("socket"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/agent.py");
    let port = agent.port().to_string();
    let _agent = Peer::start("python3", &[script, &port, text(&said)], agent);
    let config = format!(
        "global\n stats socket {}\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 5s\n \
         timeout server 5s\nlisten web\n bind {host}\n server a {host} weight 100 agent-check \
         agent-port {port} agent-inter 100\n",
        text(&socket)
    );
    let config = folder.write("haproxy.cfg", config);
    let _haproxy = Peer::start("haproxy", &["-db", "-q", "-f", text(&config)], host);
    let check = check_with("port=\"9777\"").replace("9777", &port);
    let running = start(&service("web", &check, &[host]));
    // HAProxy's manual has `failed`, too. HAProxy 2.6 ignores it; txlb takes it as `fail`.
    let table: &[(&str, Ruling)] = &[
        ("up ready", ("up", 100, 0)),
        ("drain", ("drain", 100, 0)),
        ("50%", ("drain", 50, 0)),
        ("maxconn:5 ready", ("up", 50, 5)),
        ("maint", ("maint", 50, 5)),
        ("100% READY", ("up", 100, 5)),
        ("down # for lunch", ("down", 100, 5)),
        ("drain, 75%", ("down", 75, 5)),
        ("up", ("drain", 75, 5)),
        ("ready maxconn:0", ("up", 75, 0)),
        ("stopped", ("down", 75, 0)),
        ("up 0%", ("up", 0, 0)),
        ("fail 200%", ("down", 200, 0)),
        ("maint\tup,", ("maint", 200, 0)),
        ("ready fail", ("down", 200, 0)),
        ("up nonsense 60%", ("up", 60, 0)),
    ];
    for (line, expected) in table {
        folder.write("said", format!("{line}\n"));
        until(&format!("HAProxy after {line}: {expected:?}"), || {
            haproxy_ruling(&socket) == *expected
        });
        until(&format!("txlb after {line}: {expected:?}"), || {
            own_ruling(&running) == *expected
        });
    }
}
