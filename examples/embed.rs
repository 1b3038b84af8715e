//! A balancer in your program, in forty lines: listens at the first address, balances over the
//! others, and ends with its standard input.
//!
//!     cargo run --example embed -- 127.0.0.1:8080 127.0.0.1:8001 127.0.0.1:8002

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use txlb::{Algorithm, Balancer};

fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1);
    let listen = addresses.next().ok_or("usage: embed LISTEN HOST ...")?;

    let mut builder = Balancer::builder()
        .service("web")
        .listen(listen)
        .group("prod", Algorithm::LeastConns);
    for (number, address) in addresses.enumerate() {
        builder = builder.host(format!("host{}", number + 1), address);
    }
    let balancer = builder.start()?;
    for address in balancer.addresses("web") {
        println!("listening at {address}");
    }

    // Your program's own work goes here.
    io::stdin().read_to_end(&mut Vec::new())?;

    for host in &balancer.status().services[0].groups[0].hosts {
        println!("{} has served {} sessions", host.name, host.total);
    }
    balancer.shutdown(Duration::from_secs(5));
    Ok(())
}
