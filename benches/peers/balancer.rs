//! The balancers: what each is told, and how it is started.
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

/// The built txlb, with the release profile by `cargo bench`; or the one that
/// `TXLB_PROGRAM` names, from the top of the tree.
fn own() -> PathBuf {
    let named = env::var_os("TXLB_PROGRAM").filter(|name| !name.is_empty());
    let named = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_txlb").into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join(named)
}

/// Debian's place for the module that makes nginx a TCP balancer.
pub(crate) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Sessions that each must be able to have: two descriptors each, and 20,000 of
/// these is a usual limit.
const SESSIONS: usize = 9_400;

/// Who balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Txlb,
    Haproxy,
    /// With `option splice-auto`: splices where it thinks that this pays.
    HaproxyAuto,
    /// With `option splice-response`: splices whatever comes from the hosts.
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

    /// Whether it differs from another peer in how it does bulk, and in nothing else.
    pub(crate) fn is_for_bulk(self) -> bool {
        matches!(self, Peer::HaproxyAuto | Peer::HaproxySplice)
    }
}

/// What a balancer is to do.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// Where clients come in; at least one.
    pub(crate) listens: Vec<SocketAddr>,
    pub(crate) hosts: Vec<SocketAddr>,
    pub(crate) workers: usize,
}

impl Task {
    /// One free address, these hosts, two workers.
    pub(crate) fn new(hosts: &[SocketAddr]) -> Outcome<Task> {
        Ok(Task {
            listens: vec![free_address()?],
            hosts: hosts.to_vec(),
            workers: 2,
        })
    }
}

/// A balancer that runs.
pub(crate) struct Balancer {
    pub(crate) process: Process,
    /// Where clients come in.
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

/// The command that runs it in the foreground, its configuration written.
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
        Peer::Haproxy => {
            let file = folder.write("haproxy.cfg", &haproxy(task, ""))?;
            command.args(["-db", "-f"]).arg(file);
        }
        Peer::HaproxyAuto => {
            let file = folder.write("haproxy.cfg", &haproxy(task, "option splice-auto"))?;
            command.args(["-db", "-f"]).arg(file);
        }
        Peer::HaproxySplice => {
            let file = folder.write("haproxy.cfg", &haproxy(task, "option splice-response"))?;
            command.args(["-db", "-f"]).arg(file);
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

/// txlb's configuration: a service for each listener, all over the same hosts. As users have
/// it, with a control socket: sessions are noted for those who ask there.
fn txlb(task: &Task, control: &Path) -> String {
    let services = task.listens.iter().enumerate();
    let services =
        services.map(|(number, listen)| service(&format!("s{number}"), *listen, &task.hosts));
    let (services, control) = (services.collect::<String>(), control.display());
    format!("<config>\n{services}<control socket=\"{control}\"/>\n</config>\n")
}

/// A service as txlb's configuration has it.
pub(crate) fn service(name: &str, listen: SocketAddr, hosts: &[SocketAddr]) -> String {
    let mut text = format!(
        "<service name=\"{name}\"><listen ip=\"{listen}\"/>\n\
         <group name=\"hosts\" scheduler=\"leastc\" enable=\"true\">\n"
    );
    for (number, host) in hosts.iter().enumerate() {
        let _ = writeln!(text, "<host name=\"h{number}\" ip=\"{host}\"/>");
    }
    text + "</group></service>\n"
}

fn haproxy(task: &Task, splice: &str) -> String {
    // Pipes are descriptors too: without a limit it wants more than there are.
    let pipes = if splice.is_empty() { "" } else { "maxpipes 64" };
    let mut text = format!(
        "global\n nbthread {}\n maxconn {SESSIONS}\n {pipes}\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n {splice}\n\
         listen bench\n balance leastconn\n",
        task.workers
    );
    for listen in &task.listens {
        let _ = writeln!(text, " bind {listen}");
    }
    for (number, host) in task.hosts.iter().enumerate() {
        let _ = writeln!(text, " server h{number} {host}");
    }
    text
}

/// The workers share what they know of the hosts, or each would have least
/// connections of its own; and each has a socket of its own to accept from.
fn nginx(task: &Task, pid: &Path, errors: &Path) -> String {
    // Where nginx has the module built in, there is nothing to load.
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
    text += "}\nserver { proxy_pass hosts; proxy_timeout 1h;\n";
    for listen in &task.listens {
        let _ = writeln!(text, "listen {listen} backlog=4096 reuseport;");
    }
    text + "} }\n"
}

/// By weight is what pen calls least connections: the least of connections over
/// weight, all weights being 1. `-r` keeps it from sending a client, by its
/// address, to the host it had before: there is one address here.
fn pen(command: &mut Command, task: &Task) {
    command.args(["-f", "-r", "-W", "-q", "4096"]);
    command.args(["-x", &SESSIONS.to_string()]);
    command.arg(task.listens[0].to_string());
    command.args(task.hosts.iter().map(|host| format!("{host}:0:0:1")));
}
