//! Prints events of a balancer: hosts that fail or recover, sessions that end, and changes.
//! Ends with its standard input.
//!
//!     cargo run --example events -- 127.0.0.1:8080 127.0.0.1:8001 127.0.0.1:8002
//!
//! A line on its standard input is a verb, such as `drainHost service=main group=main
//! name=host1`.

use std::error::Error;
use std::io::{self, BufRead};
use std::thread;
use std::time::Duration;

use txlb::{Balancer, Event};

fn tell(event: &Event) {
    match event {
        Event::HostDown { host, reason } => println!("{host} failed: {reason}"),
        Event::HostUp { host } => println!("{host} is healthy"),
        Event::SessionEnded(session) => println!(
            "{} was served by {} for {} ms: {} bytes there, {} back, {}",
            session.client,
            session.host.as_deref().unwrap_or("nobody"),
            session.total_ms,
            session.bytes_to_host,
            session.bytes_to_client,
            session.reason.as_str(),
        ),
        Event::Recorded(event) => println!("{}: {}", event.topic.as_str(), event.text),
        Event::Missed(events) => println!("{events} events were missed"),
        other => println!("{other:?}"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1);
    let listen = addresses.next().ok_or("usage: events LISTEN HOST ...")?;
    let mut builder = Balancer::builder().listen(listen);
    for (number, address) in addresses.enumerate() {
        builder = builder.host(format!("host{}", number + 1), address);
    }
    let balancer = builder.start()?;
    // Subscribes before clients know the address, so that no event is missed.
    let events = balancer.events();
    let teller = thread::spawn(move || events.for_each(|event| tell(&event)));
    for address in balancer.addresses("main") {
        println!("listening at {address}");
    }

    for line in io::stdin().lock().lines() {
        match balancer.apply(&line?) {
            Ok(done) => println!("generation {}: {}", done.generation, done.message),
            Err(refused) => println!("refused: {refused}"),
        }
    }
    balancer.shutdown(Duration::from_secs(5));
    teller.join().map_err(|_| "the teller panicked")?;
    Ok(())
}
