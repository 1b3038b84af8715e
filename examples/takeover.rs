//! Serve until you need to balance: an application answers on its own listener, then turns that
//! port into a balanced one. No client is refused meanwhile.
//!
//!     cargo run --example takeover -- 127.0.0.1:8080
//!
//! A line `balance 127.0.0.1:8001 127.0.0.1:8002` on standard input starts the balancer; the
//! end of standard input stops it.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use txlb::Balancer;

/// The application's own response.
fn answer(mut client: &TcpStream) {
    // A client that has left is not an error.
    let _ = client.write_all(b"the application itself\n");
}

/// Answers clients until `is_balanced`. Clients in the accept backlog and later ones are the
/// balancer's.
fn serve(listener: &TcpListener, is_balanced: &AtomicBool) {
    while !is_balanced.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((client, _)) => answer(&client),
            // The balancer makes the shared socket non-blocking, so accept(2) returns here as well.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let listen = std::env::args().nth(1).ok_or("usage: takeover LISTEN")?;
    let listener = TcpListener::bind(listen)?;
    println!("listening at {}", listener.local_addr()?);

    let is_balanced = Arc::new(AtomicBool::new(false));
    let application = {
        let (listener, is_balanced) = (listener.try_clone()?, Arc::clone(&is_balanced));
        thread::spawn(move || serve(&listener, &is_balanced))
    };

    let mut listener = Some(listener);
    let mut balancer = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        match (words.next(), listener.take()) {
            (Some("balance"), Some(ours)) => {
                is_balanced.store(true, Ordering::Release);
                let mut builder = Balancer::builder().service("application").listener(ours);
                for (number, address) in words.enumerate() {
                    builder = builder.host(format!("host{}", number + 1), address);
                }
                balancer = Some(builder.start()?);
                println!("balanced");
            }
            (_, ours) => {
                listener = ours;
                println!("not understood");
            }
        }
    }
    if let Some(balancer) = balancer {
        balancer.shutdown(Duration::from_secs(5));
        // The application may wait for a client: dropping its listener ends that.
        drop(application);
    }
    Ok(())
}
