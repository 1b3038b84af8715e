//! The hosts of `--demo`: they answer HTTP with their name, and can be stopped and started.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use txlb::sync::{Counter, lock};

pub(super) const NAMES: [&str; 3] = ["one", "two", "three"];

/// Clients of one host at a time; more are closed at once.
const MAX_CLIENTS: usize = 64;

/// Maximum bytes of a request, and the timeout of its client.
const REQUEST_LIMIT: u64 = 8192;
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after accept(2) or bind(2) has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// All hosts. A clone shares them.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    hosts: Vec<Host>,
    /// Held while a request stops or starts one: two at once could stop the last two.
    switching: Mutex<()>,
}

#[derive(Debug)]
struct Host {
    name: &'static str,
    address: SocketAddr,
    is_up: Mutex<bool>,
    changed: Condvar,
}

/// A host was stopped or started by a request.
#[derive(Debug)]
pub(super) struct Switched;

/// Why a request to stop or start a host is refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Unknown,
    /// Nobody could answer the request to start one again.
    Last,
}

impl Hosts {
    /// Binds their listeners; clients wait until `start`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind() -> io::Result<(Hosts, Vec<TcpListener>)> {
        let (mut hosts, mut listeners) = (Vec::new(), Vec::new());
        for name in NAMES {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            hosts.push(Host {
                name,
                address: listener.local_addr()?,
                is_up: Mutex::new(true),
                changed: Condvar::new(),
            });
            listeners.push(listener);
        }
        let switching = Mutex::new(());
        Ok((Hosts(Arc::new(Shared { hosts, switching })), listeners))
    }

    /// Starts a thread for each; requests that stop or start a host are told to `switched`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(
        &self,
        listeners: Vec<TcpListener>,
        switched: &Sender<Switched>,
    ) -> io::Result<()> {
        for (number, listener) in listeners.into_iter().enumerate() {
            let (hosts, switched) = (self.clone(), switched.clone());
            thread::Builder::new()
                .name(format!("demo-{number}"))
                .spawn(move || hosts.serve(number, listener, &switched))?;
        }
        Ok(())
    }

    /// Their names and addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.0.hosts.iter().map(|host| (host.name, host.address))
    }

    /// Whether host `number` runs.
    pub(super) fn is_up(&self, number: usize) -> bool {
        self.0
            .hosts
            .get(number)
            .is_some_and(|host| *lock(&host.is_up))
    }

    /// Stops host `number` if it runs, and starts it otherwise.
    pub(super) fn toggle(&self, number: usize) {
        if let Some(host) = self.0.hosts.get(number) {
            host.switch(!self.is_up(number));
        }
    }

    fn serve(&self, number: usize, mut listener: TcpListener, switched: &Sender<Switched>) {
        let Some(host) = self.0.hosts.get(number) else {
            return;
        };
        loop {
            self.accept_until_stopped(host, &listener, switched);
            drop(listener);
            host.wait_until_up();
            listener = loop {
                match TcpListener::bind(host.address) {
                    Ok(listener) => break listener,
                    // Another process may have the port now.
                    Err(_) => thread::sleep(PAUSE),
                }
            };
        }
    }

    fn accept_until_stopped(
        &self,
        host: &Host,
        listener: &TcpListener,
        switched: &Sender<Switched>,
    ) {
        let clients = Counter::default();
        for client in listener.incoming() {
            if !*lock(&host.is_up) {
                return;
            }
            let Ok(client) = client else {
                // Out of descriptors. Sessions that end free some.
                thread::sleep(PAUSE);
                continue;
            };
            let Some(counted) = clients.count_below(MAX_CLIENTS) else {
                continue;
            };
            let (hosts, name, switched) = (self.clone(), host.name, switched.clone());
            let answer = move || {
                let _counted = counted;
                // A client that leaves early is not an error.
                let _ = hosts.answer(&client, name, &switched);
            };
            // Without a thread, the connection is closed.
            let _ = thread::Builder::new().spawn(answer);
        }
    }

    /// Answers one request.
    fn answer(
        &self,
        mut client: &TcpStream,
        name: &str,
        switched: &Sender<Switched>,
    ) -> io::Result<()> {
        client.set_read_timeout(Some(CLIENT_TIMEOUT))?;
        client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
        let mut first = String::new();
        for line in BufReader::new(client.take(REQUEST_LIMIT)).lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if first.is_empty() {
                first = line;
            }
        }
        let (status, body) = self.response(first.split(' ').nth(1).unwrap_or("/"), name, switched);
        write!(
            client,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }

    /// The status and the body for a path: `/stop/NAME`, `/start/NAME`, or any other.
    fn response(
        &self,
        path: &str,
        name: &str,
        switched: &Sender<Switched>,
    ) -> (&'static str, String) {
        let (verb, other) = path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or((path, ""));
        let up = match verb.trim_start_matches('/') {
            "start" => true,
            "stop" => false,
            _ => return ("200 OK", format!("{name}\n")),
        };
        match self.switch(other, up) {
            Ok(()) => {
                // Nobody listens where keys do it.
                let _ = switched.send(Switched);
                let state = if up { "started" } else { "stopped" };
                ("200 OK", format!("{other} is {state}\n"))
            }
            Err(Refusal::Unknown) => {
                let names = NAMES.join(", ");
                (
                    "404 Not Found",
                    format!("say which: {names}, as in /stop/two\n"),
                )
            }
            Err(Refusal::Last) => (
                "409 Conflict",
                format!(
                    "{other} is the last one that runs: start another before, as by /start/two\n"
                ),
            ),
        }
    }

    fn switch(&self, name: &str, up: bool) -> Result<(), Refusal> {
        let _switching = lock(&self.0.switching);
        let host = self.0.hosts.iter().find(|host| host.name == name);
        let host = host.ok_or(Refusal::Unknown)?;
        let others = self.0.hosts.iter().filter(|other| other.name != name);
        if !up && !others.into_iter().any(|other| *lock(&other.is_up)) {
            return Err(Refusal::Last);
        }
        host.switch(up);
        Ok(())
    }
}

impl Host {
    fn switch(&self, up: bool) {
        *lock(&self.is_up) = up;
        self.changed.notify_all();
        if !up {
            // Ends the wait in accept(2). Who else connects at this moment is reset.
            let _ = TcpStream::connect_timeout(&self.address, CLIENT_TIMEOUT);
        }
    }

    fn wait_until_up(&self) {
        let up = self.changed.wait_while(lock(&self.is_up), |up| !*up);
        drop(up.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn all_but_the_last_host_can_be_stopped_by_requests() {
        let (hosts, _listeners) = Hosts::bind().unwrap();
        let (sender, switched) = channel();
        let ask = |path: &str| hosts.response(path, "one", &sender);
        assert_eq!(ask("/"), ("200 OK", "one\n".to_owned()));
        assert_eq!(ask("/stop/two").1, "two is stopped\n");
        assert_eq!(ask("/stop/three").1, "three is stopped\n");
        assert_eq!(ask("/stop/one").0, "409 Conflict");
        assert_eq!(ask("/start/two").1, "two is started\n");
        assert_eq!(ask("/stop/one").0, "200 OK");
        assert_eq!(
            [0, 1, 2].map(|number| hosts.is_up(number)),
            [false, true, false]
        );
        assert_eq!(ask("/stop").0, "404 Not Found");
        assert_eq!(ask("/stop/four").0, "404 Not Found");
        assert_eq!(switched.try_iter().count(), 4);
    }
}
