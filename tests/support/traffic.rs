//! Sessions that begin and end while something else happens, and a host at every address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::client::Session;
use super::host::{Host, Listener};
use super::{pause, until};

/// A host at all addresses of loopback, which says at which one a client came, and echoes.
pub(crate) fn host_everywhere() -> Host {
    let listener = Listener::from(TcpListener::bind("0.0.0.0:0").unwrap());
    Host::that(listener, "", |mut stream: TcpStream, _| {
        let mut bytes = [0; 4096];
        let mut answer = format!("{}\n", stream.local_addr().unwrap().ip()).into_bytes();
        while stream.write_all(&answer).is_ok() {
            match stream.read(&mut bytes) {
                Ok(length @ 1..) => answer = bytes[..length].to_vec(),
                _ => return,
            }
        }
    })
}

/// Sessions that begin and end, on some threads, until it is dropped.
pub(crate) struct Traffic {
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(address: SocketAddr) -> Traffic {
        Traffic::of(address, [1000; 4], Duration::from_millis(3))
    }

    /// With a thread for each of these lengths, which its sessions echo, and a rest after each
    /// session.
    pub(crate) fn of(address: SocketAddr, lengths: [usize; 4], rest: Duration) -> Traffic {
        let (over, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let client = |length| {
            let (over, done) = (Arc::clone(&over), Arc::clone(&done));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut session = Session::open(address);
                    session.echo(length);
                    session.close();
                    done.fetch_add(1, Ordering::Relaxed);
                    pause(rest);
                }
            })
        };
        let threads = lengths.map(client).into();
        Traffic {
            over,
            done,
            threads,
        }
    }

    /// Waits until more than so many further sessions are over.
    pub(crate) fn go_on(&self, more: usize) {
        let before = self.done.load(Ordering::Relaxed);
        until("sessions", || {
            self.done.load(Ordering::Relaxed) > before + more
        });
    }

    /// Ends it. A session that failed has ended its thread by a panic. Returns how many there were.
    pub(crate) fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a session has failed");
        }
        self.done.load(Ordering::Relaxed)
    }
}
