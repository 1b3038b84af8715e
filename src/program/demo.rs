//! `--demo`: three built-in HTTP hosts that answer with their name, and a configuration for
//! them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use txlb::config::{self, Config};
use txlb::control::Status;
use txlb::sync::Counter;

use crate::exit::{self, Exit};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// First ports to try for the balancer and the admin page, and how many of each.
const PORT: u16 = 8080;
const PAGE_PORT: u16 = 7001;
const PORTS: u16 = 20;

/// The user `demo` with full access, and its password hash. The page listens on the loopback
/// only.
const USER: &str = "<user name=\"demo\" password=\"$6$txlbdemo$XDAnyxHXYbzeKo2ypfGUD2epr4v1IhLQ3gvBKMy2y/uQiBuwJAqFE0ziKC7G1Zbk9jsoMu1BEk3v9Qof3U7yM/\" \
    access=\"full\"/>";

/// Clients of one host at a time; more are closed at once.
const MAX_CLIENTS: usize = 64;

/// Maximum bytes of a request, and the timeout of its client.
const REQUEST_LIMIT: u64 = 8192;
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The hosts, and the configuration as text.
#[derive(Debug)]
pub(crate) struct Demo {
    hosts: Vec<(&'static str, TcpListener)>,
    text: String,
    page_port: Option<u16>,
}

impl Demo {
    /// Binds the hosts' listeners and makes the configuration. `start` answers clients.
    pub(crate) fn new() -> io::Result<(Demo, Config)> {
        let (mut listeners, mut hosts) = (Vec::new(), String::new());
        for name in NAMES {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            hosts += &format!("      <host name=\"{name}\" ip=\"{address}\"/>\n");
            listeners.push((name, listener));
        }
        let page_port = cfg!(feature = "web").then(|| free_port(PAGE_PORT));
        let page_port = page_port.transpose()?;
        let text = format!(
            "<config>\n  <service name=\"demo\">\n    <listen ip=\"127.0.0.1:{}\"/>\n    \
             <group name=\"main\" scheduler=\"roundr\" enable=\"true\">\n{hosts}    \
             </group>\n  </service>\n{}</config>\n",
            free_port(PORT)?,
            page_port.map(admin).unwrap_or_default()
        );
        let reading = config::read(text.as_bytes()).map_err(io::Error::other)?;
        let demo = Demo {
            hosts: listeners,
            text,
            page_port,
        };
        Ok((demo, reading.config))
    }

    pub(crate) fn start(&mut self) -> io::Result<()> {
        let mut hosts = self.hosts.drain(..);
        hosts.try_for_each(|(name, listener)| start_host(name, listener))
    }

    /// Prints what can be tried.
    pub(crate) fn print_introduction(&self, status: &Status) -> Result<(), Exit> {
        let mut text = String::new();
        let addresses = status
            .services
            .iter()
            .flat_map(|service| &service.addresses);
        for address in addresses {
            let url = format!("http://{address}/");
            text += &format!(
                "A balancer over three hosts is at {url}: every request gets the next one.\n\n    \
                 curl {url}\n    for i in 1 2 3 4 5 6; do curl -s {url}; done\n\n"
            );
        }
        if let Some(port) = self.page_port {
            text += &format!(
                "Its admin page is at http://127.0.0.1:{port}/ (user demo, password demo).\n\n"
            );
        }
        text += "It runs this configuration; Ctrl-C ends it.\n\n";
        text += &self.text;
        exit::print(&(text + "\n"))
    }
}

/// The admin page, on the loopback only.
fn admin(port: u16) -> String {
    format!(
        "  <admin>\n    <web listen=\"127.0.0.1:{port}\" refresh=\"2\"/>\n    {USER}\n  </admin>\n"
    )
}

/// The first free port from `first` on.
fn free_port(first: u16) -> io::Result<u16> {
    (first..first + PORTS)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .ok_or_else(|| io::Error::other(format!("the ports from {first} on are all in use")))
}

fn start_host(name: &'static str, listener: TcpListener) -> io::Result<()> {
    let clients = Counter::default();
    thread::Builder::new()
        .name(format!("demo-{name}"))
        .spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else {
                    // Out of descriptors. Sessions that end free some.
                    thread::sleep(PAUSE);
                    continue;
                };
                let Some(counted) = clients.count_below(MAX_CLIENTS) else {
                    continue;
                };
                let answer = move || {
                    let _counted = counted;
                    // A client that leaves early is not an error.
                    let _ = answer(&client, name);
                };
                // Without a thread, the connection is closed.
                let _ = thread::Builder::new().spawn(answer);
            }
        })?;
    Ok(())
}

/// Answers one request, whatever it asks for.
fn answer(mut client: &TcpStream, name: &str) -> io::Result<()> {
    client.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let head = BufReader::new(client.take(REQUEST_LIMIT));
    for line in head.lines() {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!("{name}\n");
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
