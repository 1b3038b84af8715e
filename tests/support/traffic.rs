//! Sessions that begin and end while something else happens, and a host at every address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::client::Session;
use super::host::{Host, Listener};
use super::pause;

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
        let (over, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::<AtomicUsize>::default(),
        );
        let client = |_| {
            let (over, done) = (Arc::clone(&over), Arc::clone(&done));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut session = Session::open(address);
                    session.echo(1000);
                    session.close();
                    done.fetch_add(1, Ordering::Relaxed);
                    pause(Duration::from_millis(3));
                }
            })
        };
        let threads = (0..4).map(client).collect();
        Traffic {
            over,
            done,
            threads,
        }
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
