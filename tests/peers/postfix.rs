//! SMTP behind txlb: Postfix sees who sends, by the example of txlb.xml(5).
//!
//! Debian's Postfix and Exim exclude one another, so that Postfix is unpacked instead of installed,
//! as `.ci/run` does: `apt-get download postfix`, `dpkg -x postfix_*.deb target/postfix`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::examples::{example_with, with};
use crate::support::client::connect_from;
use crate::support::control::Controlled;
use crate::support::peer::{Peer, free_address};
use crate::support::txlb::{Folder, text};
use crate::support::until;

/// A Postfix whose postscreen expects headers. Its package is unpacked in the folder that
/// `TXLB_POSTFIX` names, or in `target/postfix`; it must be started by root.
struct Postfix {
    _master: Peer,
    place: Folder,
}

/// Its settings, but for those of the example and those that have a path.
const MAIN_CF: &str = "compatibility_level = 3.6
myhostname = mail.example.org
mail_owner = mail
setgid_group = games
default_privs = nobody
import_environment = MAIL_CONFIG MAIL_LOGTAG POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH
mynetworks = 127.0.0.0/8
postscreen_access_list = permit_mynetworks
alias_maps =
";

/// The services of Postfix that a greeting needs.
const MASTER_CF: &str = "smtpd pass - - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
";

impl Postfix {
    fn start(address: SocketAddr, settings: &str) -> Postfix {
        let unpacked = std::env::var("TXLB_POSTFIX").unwrap_or("target/postfix".to_owned());
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(unpacked)
            .join("usr");
        let (library, place) = (unpacked.join("lib/postfix"), Folder::new());
        let programs = library.join("sbin");
        let [data, spool, config] = ["data", "spool", "config"].map(|it| place.file(it));
        let queues = "active bounce corrupt defer deferred flush hold incoming maildrop pid \
                      private public saved trace";
        for folder in queues.split_whitespace().map(|it| spool.join(it)) {
            fs::create_dir_all(folder).unwrap();
        }
        for folder in [&data, &config] {
            fs::create_dir(folder).unwrap();
        }
        let chown = Command::new("chown").arg("mail").arg(&data).status();
        let chown_queues = Command::new("sh")
            .args(["-c", "chown mail \"$0\"/*"])
            .arg(&spool)
            .status();
        assert!(chown.unwrap().success() && chown_queues.unwrap().success());
        let main = format!(
            "{MAIN_CF}{settings}queue_directory = {}\ndata_directory = {}\ndaemon_directory = {}\n\
             command_directory = {}\nmaillog_file = {log}\nmaillog_file_prefixes = {log}\n",
            text(&spool),
            text(&data),
            text(&programs),
            text(&unpacked.join("sbin")),
            log = text(&place.file("log")),
        );
        fs::write(config.join("main.cf"), main).unwrap();
        let services = format!("{address} inet n - n - 1 postscreen\n{MASTER_CF}");
        fs::write(config.join("master.cf"), services).unwrap();
        fs::copy(
            unpacked.join("share/postfix/dynamicmaps.cf"),
            config.join("dynamicmaps.cf"),
        )
        .unwrap();
        let mut master = Command::new(programs.join("master"));
        master
            .args(["-c", text(&config), "-d"])
            .env("LD_LIBRARY_PATH", &library);
        Postfix {
            _master: Peer::start_by(master, address),
            place,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.file("log")).unwrap_or_default()
    }
}

#[test]
#[ignore = "needs postfix in target/postfix"]
fn postfix_sees_who_sends() {
    let host = free_address();
    let postfix = Postfix::start(host, &example_with("postscreen_upstream_proxy_protocol"));
    let service = with(
        &example_with("expect=\"ESMTP\""),
        &[("*:25", "127.0.0.1:0"), ("10.0.0.1:25", &host.to_string())],
    );
    let service = with(
        &service,
        &[
            ("<check ", "<check interval=\"0.2\" "),
            ("enable=", "initial=\"down\" enable="),
        ],
    );
    let running = Controlled::start(&format!("<config>{service}</config>"));
    until("the check has passed", || {
        let status = running.tell(&["--json", "status"]);
        status.contains("\"health\":\"healthy\"")
    });
    let address = running.txlb.addresses("smtp")[0];
    for ip in ["127.0.0.77", "127.0.0.78"] {
        let client = connect_from(ip.parse().unwrap(), address);
        let port = client.local_addr().unwrap().port();
        let mut client = BufReader::new(client);
        let mut greeting = String::new();
        client.read_line(&mut greeting).unwrap();
        assert!(
            greeting.starts_with("220 mail.example.org ESMTP"),
            "{greeting}"
        );
        client.get_mut().write_all(b"EHLO x\r\nQUIT\r\n").unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("\n221 "), "{rest}");
        for line in [
            format!(
                "CONNECT from [{ip}]:{port} to [127.0.0.1]:{}",
                address.port()
            ),
            format!("smtpd[*]: connect from unknown[{ip}]"),
        ] {
            let (start, end) = line.split_once("[*]").unwrap_or(("", &line));
            until(&line, || {
                postfix
                    .log()
                    .lines()
                    .any(|it| it.contains(start) && it.contains(end))
            });
        }
    }
    // The first connection is that of `Peer::start_by`, which says nothing.
    let log = postfix.log();
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("haproxy"))
        .collect();
    assert!(
        warnings.len() == 1 && warnings[0].ends_with("haproxy read: EOF"),
        "{warnings:?}"
    );
}
