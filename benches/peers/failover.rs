//! What clients notice of a host that dies, for each way of dying.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use super::balancer::{self, Peer, Task, haproxy, haproxy_command, service, txlb_command};
use super::folder::{Folder, free_listener};
use super::mortal::{Death, Machine, Mortal, PING, PONG};
use super::options::Options;
use super::process::{Process, pause};
use super::report::Report;
use super::table::Table;

/// Pause between two clients.
const EVERY: Duration = Duration::from_millis(10);

/// How long a client waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions that are open when the host dies.
const OPEN: usize = 30;

/// Name of the host that dies.
const DOOMED: &str = "doomed";

/// A balancer with its way of noticing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Txlb,
    /// With `failAfter` and without checks.
    FailAfter,
    Haproxy,
    Nginx,
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Contender::Txlb => "txlb, check",
            Contender::FailAfter => "txlb, failAfter",
            Contender::Haproxy => "haproxy, check",
            Contender::Nginx => "nginx stream",
        }
    }
}

/// How often hosts are checked, and how long clients are watched.
#[derive(Debug, Clone, Copy)]
struct Pace {
    interval: Duration,
    watched: Duration,
}

/// What clients saw of one death.
#[derive(Debug, Clone)]
struct Seen {
    errors: usize,
    /// From the death until the last client with an error came; `None` if it goes on.
    last: Option<Duration>,
    /// When sessions that were open on the host ended, and how many did not.
    ended: Vec<Duration>,
    left: usize,
}

pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    let mut contenders = vec![Contender::Txlb, Contender::FailAfter, Contender::Haproxy];
    if peers.contains(&Peer::Nginx) {
        contenders.push(Contender::Nginx);
    }
    let pace = Pace {
        interval: options.or_quick(Duration::from_secs(2), Duration::from_millis(200)),
        watched: options.or_quick(Duration::from_secs(25), Duration::from_millis(2_500)),
    };
    let mut head = vec!["the host".to_owned()];
    head.extend(contenders.iter().map(|it| it.name().to_owned()));
    let mut table = Table::with_head(head);
    for death in Death::ALL {
        if death == Death::PoweredOff && !rustix::process::geteuid().is_root() {
            eprintln!("peers: a host is powered off in a network namespace, which takes root");
            continue;
        }
        let seen = die(folder, &contenders, death, pace)?;
        eprintln!("Failover: {death:?} {seen:?}");
        let cells = seen.iter().map(|it| it.errors_cell(pace));
        table.row(
            [death.words().to_owned()]
                .into_iter()
                .chain(cells)
                .collect(),
        );
        if death == Death::PoweredOff {
            let cells = seen.iter().map(|it| it.ended_cell(pace));
            let first = "its open sessions end".to_owned();
            table.row([first].into_iter().chain(cells).collect());
        }
    }
    let words = format!(
        "One of three hosts dies, under 100 new clients a second that each want an answer within \
         {} s. Clients without one, and seconds from the death until the last of them; watched \
         for {} s. Checks are sent every {} s and fail a host at the third failure in a row. \
         nginx has no checks of its own; all have a connect timeout of 5 s.",
        ANSWER_TIMEOUT.as_secs_f64(),
        pace.watched.as_secs_f64(),
        pace.interval.as_secs_f64(),
    );
    report.section("Failover", &words, &table);
    Ok(())
}

/// All contenders at the same time, each with hosts of its own.
fn die(folder: &Folder, contenders: &[Contender], death: Death, pace: Pace) -> Outcome<Vec<Seen>> {
    let machine = match death {
        Death::PoweredOff => Some(Machine::start()?),
        _ => None,
    };
    let machine = machine.as_ref();
    let ready = Barrier::new(contenders.len());
    thread::scope(|scope| {
        let threads: Vec<_> = contenders
            .iter()
            .map(|it| {
                let ready = &ready;
                scope.spawn(move || watch(folder, *it, death, machine, pace, ready))
            })
            .collect();
        let seen = threads.into_iter().map(|it| match it.join() {
            Ok(seen) => seen,
            Err(_) => Err("a client has panicked".into()),
        });
        seen.collect()
    })
}

/// One contender: its hosts, its clients, and the death.
fn watch(
    folder: &Folder,
    contender: Contender,
    death: Death,
    machine: Option<&Machine>,
    pace: Pace,
    ready: &Barrier,
) -> Outcome<Seen> {
    let prepared = Scene::start(folder, contender, machine, pace);
    // All wait for each other, also for one that could not start.
    ready.wait();
    let mut scene = prepared?;
    let died = Instant::now();
    match (machine, &scene.doomed) {
        (Some(machine), _) => machine.power_off()?,
        (None, Some(doomed)) => doomed.die(death),
        (None, None) => {}
    }
    pause(pace.watched)?;
    scene.balancer.check()?;
    let clients = scene.clients.stop();
    if clients
        .iter()
        .any(|client| !client.is_served && client.start < died - ANSWER_TIMEOUT)
    {
        return Err(format!("{}: errors before the death", contender.name()).into());
    }
    let failed = clients.iter().filter(|client| !client.is_served);
    let last = failed
        .clone()
        .map(|client| client.start.saturating_duration_since(died))
        .max();
    let goes_on = last.is_some_and(|last| last + 2 * ANSWER_TIMEOUT > pace.watched);
    let ended = scene.open.iter().map(|session| session.ended(died));
    let (ended, left): (Vec<_>, Vec<_>) = ended.flatten().partition(Option::is_some);
    Ok(Seen {
        errors: failed.count(),
        last: last.or(Some(Duration::ZERO)).filter(|_| !goes_on),
        ended: ended.into_iter().flatten().collect(),
        left: left.len(),
    })
}

impl Seen {
    fn errors_cell(&self, pace: Pace) -> String {
        match self.last {
            _ if self.errors == 0 => "0".to_owned(),
            Some(last) => format!("{}, {:.1} s", self.errors, last.as_secs_f64()),
            None => format!("{}, > {} s", self.errors, pace.watched.as_secs_f64()),
        }
    }

    fn ended_cell(&self, pace: Pace) -> String {
        let all = self.ended.len() + self.left;
        match self.ended.iter().max() {
            Some(last) if self.left == 0 => format!("all {all}, {:.1} s", last.as_secs_f64()),
            _ => format!(
                "{} of {all} in {} s",
                self.ended.len(),
                pace.watched.as_secs_f64()
            ),
        }
    }
}

/// A balancer in front of three hosts, with clients.
struct Scene {
    balancer: Process,
    clients: Clients,
    open: Vec<OpenSession>,
    /// `None` if it is on another machine.
    doomed: Option<Mortal>,
    _others: Vec<Mortal>,
    _process: Option<Process>,
}

impl Scene {
    fn start(
        folder: &Folder,
        contender: Contender,
        machine: Option<&Machine>,
        pace: Pace,
    ) -> Outcome<Scene> {
        let others = ["one", "two"].map(|name| Mortal::start(name, free_listener()?));
        let others = others.into_iter().collect::<Outcome<Vec<_>>>()?;
        let (at, doomed, process) = match machine {
            Some(machine) => {
                let (address, process) = machine.host(folder, DOOMED)?;
                (address, None, Some(process))
            }
            None => {
                let doomed = Mortal::start(DOOMED, free_listener()?)?;
                (doomed.address, Some(doomed), None)
            }
        };
        let hosts = [at, others[0].address, others[1].address];
        let task = Task::new(&hosts)?;
        let listen = task.listens[0];
        let mut command = command(folder, contender, &task, pace)?;
        let log = folder.fresh(&format!("{}.log", contender.name()));
        let mut balancer = Process::start(contender.name(), &mut command, &log)?;
        balancer.wait_listening(listen)?;
        let clients = Clients::start(listen);
        let open = match machine {
            Some(_) => (0..OPEN).map(|_| OpenSession::start(listen)).collect(),
            None => Ok(Vec::new()),
        }?;
        // Every host has passed a check by then.
        pause(2 * pace.interval)?;
        Ok(Scene {
            balancer,
            clients,
            open,
            doomed,
            _others: others,
            _process: process,
        })
    }
}

fn command(folder: &Folder, contender: Contender, task: &Task, pace: Pace) -> Outcome<Command> {
    let seconds = pace.interval.as_secs_f64();
    let check = format!(
        "<check type=\"send\" send=\"ping\\n\" expect=\"{PONG}\" interval=\"{seconds}\" \
         timeout=\"{seconds}\" rise=\"2\" fall=\"3\"/>"
    );
    let txlb = |attributes: &str, check: &str| {
        let service = service("s", task.listens[0], &task.hosts, attributes, check);
        let text = format!("<config>{service}</config>\n");
        Ok(txlb_command(&folder.write("failover.xml", &text)?, 2))
    };
    match contender {
        Contender::Txlb => txlb("whenFailed=\"end\"", &check),
        Contender::FailAfter => txlb("whenFailed=\"end\" failAfter=\"3\"", ""),
        Contender::Haproxy => {
            let check = format!(
                "option redispatch\n option tcp-check\n tcp-check send ping\\n\n \
                 tcp-check expect string pong\n default-server check inter {}ms fall 3 rise 2 \
                 on-marked-down shutdown-sessions",
                pace.interval.as_millis()
            );
            haproxy_command(folder, &haproxy(task, 4_000, "", &check))
        }
        Contender::Nginx => balancer::command(folder, Peer::Nginx, task),
    }
}

/// A client, and whether it was answered.
#[derive(Debug, Clone, Copy)]
struct Client {
    start: Instant,
    is_served: bool,
}

/// New clients at a steady rate.
struct Clients {
    over: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<Client>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Clients {
    fn start(address: SocketAddr) -> Clients {
        let (over, done) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<Client>>>::default(),
        );
        let (theirs, results) = (Arc::clone(&over), Arc::clone(&done));
        let thread = thread::spawn(move || {
            let mut clients = Vec::new();
            while !theirs.load(Ordering::Relaxed) {
                let results = Arc::clone(&results);
                clients.push(thread::spawn(move || {
                    let start = Instant::now();
                    let is_served = ask(address).is_ok_and(|line| line.starts_with(PONG));
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push(Client { start, is_served });
                }));
                clients.retain(|it| !it.is_finished());
                thread::sleep(EVERY);
            }
            for client in clients {
                let _ = client.join();
            }
        });
        Clients {
            over,
            done,
            thread: Some(thread),
        }
    }

    /// All clients so far. Waits for the last answers.
    fn stop(&mut self) -> Vec<Client> {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop();
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    line_of(&mut stream)
}

/// One exchange.
fn line_of(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(PING)?;
    let mut line = [0; 64];
    match stream.read(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        length => Ok(String::from_utf8_lossy(&line[..length]).into_owned()),
    }
}

/// A session with an exchange now and then.
struct OpenSession {
    is_doomed: bool,
    ended: Arc<Mutex<Option<Instant>>>,
}

impl OpenSession {
    fn start(address: SocketAddr) -> Outcome<OpenSession> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let is_doomed = line_of(&mut stream)?.ends_with(&format!("{DOOMED}\n"));
        let session = OpenSession {
            is_doomed,
            ended: Arc::default(),
        };
        let theirs = Arc::clone(&session.ended);
        thread::spawn(move || {
            // Ends with the session, at the latest when its balancer is stopped.
            loop {
                match line_of(&mut stream) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                    // Its host may be silent: the session is still there.
                    _ => thread::sleep(10 * EVERY),
                }
            }
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        });
        Ok(session)
    }

    /// When it ended, if it did. `None` for a session of another host.
    fn ended(&self, died: Instant) -> Option<Option<Duration>> {
        let ended = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let after = ended.map(|at| at.saturating_duration_since(died));
        self.is_doomed.then_some(after)
    }
}
