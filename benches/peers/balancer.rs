//! The balancers: their configurations and commands.
//!
//! All do the same: TCP, least connections, two threads or processes, no log.

use std::env;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Outcome;
use super::folder::{Folder, free_address};
use super::process::Process;

/// The txlb that was built by `cargo bench`, or the one that `TXLB_PROGRAM` names by its path
/// from the top of the tree.
fn own() -> PathBuf {
    let named = env::var_os("TXLB_PROGRAM").filter(|name| !name.is_empty());
    let named = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_txlb").into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join(named)
}

/// Debian's path of the module that makes nginx a TCP balancer.
pub(crate) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Sessions that each balancer must allow: two descriptors each, and 20,000 is a common limit.
const SESSIONS: usize = 9_400;

/// A balancer to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Txlb,
    Haproxy,
    /// With `option splice-auto`: splices when it expects a gain.
    HaproxyAuto,
    /// With `option splice-response`: splices everything from the hosts.
    HaproxySplice,
    Nginx,
    Pen,
    /// A bare loop: see `floor`.
    Floor,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Txlb => "txlb",
            Peer::Haproxy => "haproxy",
            Peer::HaproxyAuto => "haproxy, splice-auto",
            Peer::HaproxySplice => "haproxy, splice-response",
            Peer::Nginx => "nginx stream",
            Peer::Pen => "pen",
            Peer::Floor => "bare loop",
        }
    }

    /// Whether it differs from another peer for bulk only.
    pub(crate) fn is_for_bulk(self) -> bool {
        matches!(self, Peer::HaproxyAuto | Peer::HaproxySplice)
    }
}

/// What a balancer has to do.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// Addresses for clients; at least one.
    pub(crate) listens: Vec<SocketAddr>,
    pub(crate) hosts: Vec<SocketAddr>,
    pub(crate) workers: usize,
    /// Whether hosts get a PROXY protocol header.
    pub(crate) sends_header: bool,
}

impl Task {
    /// One free address, these hosts, two workers.
    pub(crate) fn new(hosts: &[SocketAddr]) -> Outcome<Task> {
        Ok(Task {
            listens: vec![free_address()?],
            hosts: hosts.to_vec(),
            workers: 2,
            sends_header: false,
        })
    }
}

/// A running balancer.
pub(crate) struct Balancer {
    pub(crate) process: Process,
    /// The first address for clients.
    pub(crate) address: SocketAddr,
}

impl Balancer {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(folder: &Folder, peer: Peer, task: &Task) -> Outcome<Balancer> {
        let mut command = command(folder, peer, task)?;
        let log = folder.fresh(&format!("{}.log", peer.name()));
        let mut process = Process::start(peer.name(), &mut command, &log)?;
        process.wait_listening(task.listens[0])?;
        Ok(Balancer {
            process,
            address: task.listens[0],
        })
    }
}

/// Writes the configuration, and returns the command that runs in the foreground.
pub(crate) fn command(folder: &Folder, peer: Peer, task: &Task) -> Outcome<Command> {
    let program = match peer {
        Peer::Txlb => {
            let control = folder.fresh("control");
            let file = folder.write("txlb.xml", &txlb(task, &control))?;
            return Ok(txlb_command(&file, task.workers));
        }
        Peer::Haproxy | Peer::HaproxyAuto | Peer::HaproxySplice => "haproxy".into(),
        Peer::Nginx => "nginx".into(),
        Peer::Pen => "pen".into(),
        Peer::Floor => env::current_exe()?,
    };
    let mut command = Command::new(program);
    match peer {
        Peer::Txlb => {}
        Peer::Haproxy => return haproxy_command(folder, &haproxy(task, SESSIONS, "", "")),
        Peer::HaproxyAuto => {
            let text = haproxy(task, SESSIONS, "maxpipes 64", "option splice-auto");
            return haproxy_command(folder, &text);
        }
        Peer::HaproxySplice => {
            let text = haproxy(task, SESSIONS, "maxpipes 64", "option splice-response");
            return haproxy_command(folder, &text);
        }
        Peer::Nginx => {
            let errors = folder.fresh("nginx-error.log");
            let pid = folder.fresh("nginx.pid");
            let file = folder.write("nginx.conf", &nginx(task, &pid, &errors))?;
            command.arg("-e").arg(errors).arg("-c").arg(file);
        }
        Peer::Pen => pen(&mut command, task),
        Peer::Floor => {
            command.arg(super::floor::WORD);
            command.arg(task.workers.to_string());
            command.arg(task.listens[0].to_string());
            command.args(task.hosts.iter().map(SocketAddr::to_string));
        }
    }
    Ok(command)
}

/// txlb with this file.
pub(crate) fn txlb_command(file: &Path, workers: usize) -> Command {
    let mut command = Command::new(own());
    command.arg("-f").arg(file);
    command.args(["-w", &workers.to_string()]);
    command
}

/// txlb's configuration: a service for each listener, all with the same hosts. It has a control
/// socket, as most users have: then txlb records sessions for client look-ups.
fn txlb(task: &Task, control: &Path) -> String {
    let header = if task.sends_header {
        "sendProxy=\"v2\""
    } else {
        ""
    };
    let services = task.listens.iter().enumerate();
    let services = services
        .map(|(number, listen)| service(&format!("s{number}"), *listen, &task.hosts, header, ""));
    let (services, control) = (services.collect::<String>(), control.display());
    format!("<config>\n{services}<control socket=\"{control}\"/>\n</config>\n")
}

/// A `<service>` element, with more attributes and these checks in its group.
pub(crate) fn service(
    name: &str,
    listen: SocketAddr,
    hosts: &[SocketAddr],
    attributes: &str,
    checks: &str,
) -> String {
    let mut text = format!(
        "<service name=\"{name}\"><listen ip=\"{listen}\"/>\n\
         <group name=\"hosts\" scheduler=\"leastc\" enable=\"true\" {attributes}>{checks}\n"
    );
    for (number, host) in hosts.iter().enumerate() {
        let _ = writeln!(text, "<host name=\"h{number}\" ip=\"{host}\"/>");
    }
    text + "</group></service>\n"
}

/// HAProxy with this configuration.
pub(crate) fn haproxy_command(folder: &Folder, text: &str) -> Outcome<Command> {
    let mut command = Command::new("haproxy");
    let file = folder.write("haproxy.cfg", text)?;
    command.args(["-db", "-f"]).arg(file);
    Ok(command)
}

/// HAProxy's configuration for `sessions`, with more lines for all and for its proxy. Splicing takes
/// `maxpipes`: without a limit it wants more descriptors for pipes than there are.
pub(crate) fn haproxy(task: &Task, sessions: usize, global: &str, proxy: &str) -> String {
    let mut text = format!(
        "global\n nbthread {}\n maxconn {sessions}\n {global}\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
         listen bench\n balance leastconn\n {proxy}\n",
        task.workers
    );
    for listen in &task.listens {
        let _ = writeln!(text, " bind {listen}");
    }
    let header = if task.sends_header {
        "send-proxy-v2"
    } else {
        ""
    };
    for (number, host) in task.hosts.iter().enumerate() {
        let _ = writeln!(text, " server h{number} {host} {header}");
    }
    text
}

/// The workers share the hosts' state, so that least connections counts all. Each accepts from
/// a socket of its own.
fn nginx(task: &Task, pid: &Path, errors: &Path) -> String {
    // Where the module is built in, there is nothing to load.
    let module = match Path::new(STREAM_MODULE).exists() {
        true => format!("load_module {STREAM_MODULE};"),
        false => String::new(),
    };
    let mut text = format!(
        "{module} daemon off; worker_processes {}; pid {}; error_log {};\n\
         events {{ worker_connections {}; }}\n\
         stream {{ upstream hosts {{ zone hosts 1m; least_conn;\n",
        task.workers,
        pid.display(),
        errors.display(),
        2 * SESSIONS,
    );
    for host in &task.hosts {
        let _ = writeln!(text, "server {host};");
    }
    let header = if task.sends_header {
        "proxy_protocol on;"
    } else {
        ""
    };
    let _ = write!(text, "}}\nserver {{ {header}");
    text += " proxy_pass hosts; proxy_timeout 1h; proxy_connect_timeout 5s;\n";
    for listen in &task.listens {
        let _ = writeln!(text, "listen {listen} backlog=4096 reuseport;");
    }
    text + "} }\n"
}

/// pen calls least connections "by weight": the fewest connections over weight, here all 1.
/// `-r` turns off stickiness by client address, since there is one address here.
fn pen(command: &mut Command, task: &Task) {
    command.args(["-f", "-r", "-W", "-q", "4096"]);
    command.args(["-x", &SESSIONS.to_string()]);
    command.arg(task.listens[0].to_string());
    command.args(task.hosts.iter().map(|host| format!("{host}:0:0:1")));
}
