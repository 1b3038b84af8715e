//! `--demo`: a balancer over three built-in HTTP hosts that can be stopped, and a client that
//! counts what becomes of its requests.

mod folder;
mod hosts;
mod keys;
mod traffic;

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, access};
use txlb::os::state;

use self::folder::Folder;
use self::hosts::{Hosts, Switched};
use self::keys::{Keys, Targets};
use self::traffic::Traffic;
use crate::daemon::executable;
use crate::exit::{self, Exit};
use crate::privileges::Identity;

/// First ports to try for the balancer, the admin page and the console, and how many of each.
const PORT: u16 = 8080;
const PAGE_PORT: u16 = 7001;
const CONSOLE_PORT: u16 = 2222;
const PORTS: u16 = 20;

/// The user `demo` with full access, and its password hash. Everything listens on the loopback
/// only.
const USER: &str = "<user name=\"demo\" password=\"$6$txlbdemo$XDAnyxHXYbzeKo2ypfGUD2epr4v1IhLQ3gvBKMy2y/uQiBuwJAqFE0ziKC7G1Zbk9jsoMu1BEk3v9Qof3U7yM/\" \
    access=\"full\"/>";

/// Without a terminal, the counts are printed so long after a host was stopped or started.
const REPORT_AFTER: Duration = Duration::from_secs(2);

/// The demonstration. Dropping this restores the terminal; the folder goes with the process.
pub(crate) struct Demo {
    // Dropped first: the client's last counts are printed where the status line was.
    keys: Option<Keys>,
    /// Of the balancer.
    address: SocketAddr,
    hosts: Hosts,
    /// Until `start`.
    listeners: Vec<TcpListener>,
    switched: (Sender<Switched>, Option<Receiver<Switched>>),
    traffic: Traffic,
    folder: Arc<Folder>,
    file: PathBuf,
    text: String,
    ports: AdminPorts,
}

/// Where the admin interfaces of this build listen.
struct AdminPorts {
    page: Option<u16>,
    console: Option<u16>,
}

impl Demo {
    /// Binds the hosts' listeners and writes the configuration, for `owner` if txlb changes its
    /// user. `start` answers clients.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn prepare(owner: Option<&Identity>) -> io::Result<Demo> {
        let (hosts, listeners) = Hosts::bind()?;
        // Another user may not be able to read the key that this one has.
        let has_console = cfg!(feature = "ssh") && owner.is_none() && may_keep_a_key();
        let ports = AdminPorts {
            page: cfg!(feature = "web")
                .then(|| free_port(PAGE_PORT))
                .transpose()?,
            console: has_console.then(|| free_port(CONSOLE_PORT)).transpose()?,
        };
        let folder = Folder::make(owner)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(PORT)?));
        let text = configuration(address, &hosts, &ports, &folder.file("control.sock"));
        let file = folder.write("config.xml", &text, owner)?;
        let (sender, switched) = channel();
        Ok(Demo {
            keys: None,
            address,
            hosts,
            listeners,
            switched: (sender, Some(switched)),
            traffic: Traffic::to(address),
            folder: Arc::new(folder),
            file,
            text,
            ports,
        })
    }

    /// The file with the configuration.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Starts the hosts.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let listeners = std::mem::take(&mut self.listeners);
        self.hosts.start(listeners, &self.switched.0)
    }

    /// Prints what can be tried, and begins it: with keys at a terminal, else by requests. `stop`
    /// ends txlb.
    ///
    /// # Errors
    /// If standard output cannot be written to, or the terminal cannot be used.
    pub(crate) fn show(&mut self, stop: impl Fn() + Send + 'static) -> Result<(), Exit> {
        let has_keys = keys::are_possible();
        exit::print(&self.introduction(has_keys))?;
        let begun = match has_keys {
            true => self.begin_with_keys(Box::new(stop)),
            false => self.begin_with_requests(),
        };
        begun.map_err(|error| Exit::from_io(&error))
    }

    fn begin_with_keys(&mut self, stop: Box<dyn Fn() + Send>) -> io::Result<()> {
        self.traffic.begin()?;
        self.keys = Some(Keys::start(Targets {
            hosts: self.hosts.clone(),
            traffic: self.traffic.clone(),
            folder: Arc::clone(&self.folder),
            stop,
        })?);
        Ok(())
    }

    fn begin_with_requests(&mut self) -> io::Result<()> {
        let Some(switched) = self.switched.1.take() else {
            return Ok(());
        };
        let traffic = self.traffic.clone();
        let thread = thread::Builder::new().name("demo-counts".to_owned());
        thread.spawn(move || report(&switched, &traffic)).map(drop)
    }

    fn introduction(&self, has_keys: bool) -> String {
        let url = format!("http://{}/", self.address);
        let mut lines = vec![
            (format!("curl {url}"), "the next of three hosts answers"),
            (format!("for i in 1 2 3 4 5 6; do curl -s {url}; done"), ""),
            (
                format!("curl {url}stop/two"),
                "stops one of them; start/two starts it",
            ),
        ];
        if let Some(port) = self.ports.page {
            let page = format!("http://127.0.0.1:{port}/");
            lines.push((page, "admin page: user demo, password demo"));
        }
        if let Some(port) = self.ports.console {
            let console = format!("ssh -p {port} demo@127.0.0.1");
            lines.push((console, "console: password demo"));
        }
        let (program, socket) = (program(), self.folder.file("control.sock"));
        let ctl = format!("{program} ctl -C {}", socket.display());
        lines.push((ctl, "the same from this machine"));
        let mut text = format!(
            "txlb balances over three hosts by this configuration:\n\n{}\n",
            self.text
        );
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "It is in {}, until txlb ends. Try:\n",
            self.file.display()
        );
        let with_comment = lines.iter().filter(|(_, what)| !what.is_empty());
        let width = with_comment.map(|(command, _)| command.len()).max();
        let width = width.unwrap_or(0);
        for (command, what) in &lines {
            let _ = match what.is_empty() {
                true => writeln!(text, "    {command}"),
                false => writeln!(text, "    {command:width$}  # {what}"),
            };
        }
        text += match has_keys {
            true => {
                "\nThe keys 1, 2 and 3 stop and start a host, k keeps the file, q ends txlb.\n\n"
            }
            false => "\nCtrl-C ends it.\n\n",
        };
        text
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.keys.take());
        if self.traffic.has_begun() {
            // Nobody may read it any more.
            let _ = exit::print(&format!("{}\n", self.traffic));
        }
    }
}

/// The client begins when the first host is stopped or started: before, requests get the hosts in
/// turn. Its counts are printed after each such event.
fn report(switched: &Receiver<Switched>, traffic: &Traffic) {
    let print = |text: &str| {
        // Nobody may read it. The demonstration goes on.
        let _ = exit::print(text);
    };
    while let Ok(Switched) = switched.recv() {
        if !traffic.has_begun() {
            match traffic.begin() {
                Ok(()) => print("a client sends requests from now on, and counts them\n"),
                Err(error) => return print(&format!("txlb: there is no client: {error}\n")),
            }
        }
        loop {
            match switched.recv_timeout(REPORT_AFTER) {
                Ok(Switched) => {}
                Err(RecvTimeoutError::Timeout) => break print(&format!("{traffic}\n")),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

fn configuration(address: SocketAddr, hosts: &Hosts, ports: &AdminPorts, socket: &Path) -> String {
    let mut text = format!(
        "<config>\n  <service name=\"demo\">\n    <listen ip=\"{address}\"/>\n    \
         <group name=\"main\" scheduler=\"roundr\" enable=\"true\">\n      \
         <check type=\"http\" interval=\"1\"/>\n"
    );
    for (name, address) in hosts.addresses() {
        text += &format!("      <host name=\"{name}\" ip=\"{address}\"/>\n");
    }
    text += "    </group>\n  </service>\n";
    if ports.page.is_some() || ports.console.is_some() {
        text += "  <admin>\n";
        if let Some(port) = ports.page {
            text += &format!("    <web listen=\"127.0.0.1:{port}\" refresh=\"2\"/>\n");
        }
        if let Some(port) = ports.console {
            text += &format!("    <ssh listen=\"127.0.0.1:{port}\"/>\n");
        }
        text += &format!("    {USER}\n  </admin>\n");
    }
    let socket = socket.display();
    text + &format!("  <control socket=\"{socket}\"/>\n</config>\n")
}

/// The first free port from `first` on.
fn free_port(first: u16) -> io::Result<u16> {
    (first..first + PORTS)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .ok_or_else(|| io::Error::other(format!("the ports from {first} on are all in use")))
}

/// Whether the console's key has a place. Without one, there is no console.
fn may_keep_a_key() -> bool {
    let folder = state::folder("txlb").ok();
    let existing = folder
        .as_deref()
        .and_then(|it| it.ancestors().find(|part| part.exists()));
    existing.is_some_and(|it| access(it, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

/// This program as a command.
fn program() -> String {
    let path = executable();
    let here = std::env::current_dir();
    let short = here
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short.unwrap_or(path).display().to_string()
}
