//! Hosts that die, each in its own way, for the `failover` row.
//!
//! A host answers each line of a client by `pong` and its name.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::Outcome;
use super::folder::{Folder, free_address};
use super::process::Process;

/// What a client sends.
pub(crate) const PING: &[u8] = b"ping\n";

/// What a good answer begins with.
pub(crate) const PONG: &str = "pong ";

/// The first word of the command line of a host in a namespace.
pub(crate) const WORD: &str = "host-that-dies";

/// How a host dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    Refuses,
    /// Its accept backlog is full: the kernel drops what comes.
    Silent,
    Closes,
    Resets,
    SaysNothing,
    AnswersWrongly,
    /// It is in a namespace whose link goes down, with sessions open.
    PoweredOff,
}

impl Death {
    pub(crate) const ALL: [Death; 7] = [
        Death::Refuses,
        Death::Silent,
        Death::Closes,
        Death::Resets,
        Death::SaysNothing,
        Death::AnswersWrongly,
        Death::PoweredOff,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Death::Refuses => "refuses",
            Death::Silent => "silent: its accept backlog is full",
            Death::Closes => "accepts and closes",
            Death::Resets => "accepts and resets",
            Death::SaysNothing => "accepts and says nothing",
            Death::AnswersWrongly => "answers wrongly",
            Death::PoweredOff => "powered off",
        }
    }
}

/// Pause of a host that has nothing to accept.
const LOOK: Duration = Duration::from_millis(2);

/// How soon a host's sessions notice its death.
const NOTICE: Duration = Duration::from_millis(100);

/// A host in this process.
pub(crate) struct Mortal {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    name: String,
    death: OnceLock<Death>,
    over: AtomicBool,
}

impl Mortal {
    pub(crate) fn start(name: &str, listener: TcpListener) -> Outcome<Mortal> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            ..Shared::default()
        });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || serve(&listener, address, &theirs));
        Ok(Mortal { address, shared })
    }

    pub(crate) fn die(&self, death: Death) {
        let _ = self.shared.death.set(death);
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn serve(listener: &TcpListener, address: SocketAddr, shared: &Arc<Shared>) {
    while !shared.is_over() {
        match shared.death.get() {
            Some(Death::Refuses) => return,
            Some(Death::Silent) => {
                let _waiting = fill_backlog(listener, address);
                while !shared.is_over() {
                    thread::sleep(LOOK);
                }
                return;
            }
            _ => {}
        }
        match listener.accept() {
            Ok((stream, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || drop(answer(stream, &shared)));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// Connects until the kernel takes no more.
fn fill_backlog(listener: &TcpListener, address: SocketAddr) -> Vec<TcpStream> {
    let _ = rustix::net::listen(listener, 0);
    let connect = || TcpStream::connect_timeout(&address, NOTICE).ok();
    std::iter::from_fn(connect).take(5_000).collect()
}

/// Answers a client until it goes, or the host dies.
fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(NOTICE))?;
    let mut line = [0; 64];
    while !shared.is_over() {
        match shared.death.get() {
            Some(Death::Refuses) => return Ok(()),
            Some(Death::Resets) => return Ok(set_socket_linger(&stream, Some(Duration::ZERO))?),
            Some(Death::Closes) => {
                stream.shutdown(Shutdown::Write)?;
                // What is not read would make it a reset.
                while stream.read(&mut line)? > 0 {}
                return Ok(());
            }
            _ => {}
        }
        match stream.read(&mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => match shared.death.get() {
                None => stream.write_all(format!("{PONG}{}\n", shared.name).as_bytes())?,
                Some(Death::AnswersWrongly) => stream.write_all(b"error\n")?,
                Some(_) => {}
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A machine to power off: a namespace with a link to this one. Needs root.
pub(crate) struct Machine {
    namespace: String,
}

/// The two ends of the link, of the range for benchmarks (RFC 2544).
const HERE: &str = "198.18.77.1/30";
const THERE: &str = "198.18.77.2/30";

impl Machine {
    pub(crate) fn start() -> Outcome<Machine> {
        let id = std::process::id();
        let machine = Machine {
            namespace: format!("txlb-bench-{id}"),
        };
        let (name, link) = (&machine.namespace, format!("txb{id}"));
        for line in [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name eth0 netns {name}"),
            format!("addr add {HERE} dev {link}"),
            format!("link set {link} up"),
            format!("-n {name} addr add {THERE} dev eth0"),
            format!("-n {name} link set eth0 up"),
        ] {
            ip(&line)?;
        }
        Ok(machine)
    }

    /// Starts a host there.
    pub(crate) fn host(&self, folder: &Folder, name: &str) -> Outcome<(SocketAddr, Process)> {
        let mut address = free_address()?;
        address.set_ip([198, 18, 77, 2].into());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]);
        command.arg(std::env::current_exe()?);
        command.args([WORD, name, &address.to_string()]);
        let mut process = Process::start("a host", &mut command, &folder.fresh("host.log"))?;
        process.wait_listening(address)?;
        Ok((address, process))
    }

    pub(crate) fn power_off(&self) -> Outcome<()> {
        ip(&format!("-n {} link set eth0 down", self.namespace))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The link goes with it.
        let _ = ip(&format!("netns del {}", self.namespace));
    }
}

fn ip(line: &str) -> Outcome<()> {
    let output = Command::new("ip").args(line.split(' ')).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {line}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// A host in a namespace: runs until it is killed.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [name, address] = arguments else {
        return Err("a host needs a name and an address".into());
    };
    let _host = Mortal::start(name, TcpListener::bind(address.as_str())?)?;
    loop {
        thread::park();
    }
}
