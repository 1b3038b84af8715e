//! Starts a connect to a host, and sees whom it has reached.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::net::sockopt;

use crate::os::addresses;

/// Starts to connect to `address`, without waiting for it.
///
/// # Errors
/// As of connect(2), but `EADDRNOTAVAIL` is for want of a local port alone, and a socket
/// that is connected to itself was refused: nobody listens there.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).map_err(|error| {
        if error.kind() == ErrorKind::AddrNotAvailable && !addresses::has_source_address(address) {
            return io::Error::other(format!(
                "this machine has no {} address to reach it from",
                if address.is_ipv4() { "IPv4" } else { "IPv6" }
            ));
        }
        error
    })?;
    // One system call, and only for hosts with a port that could be our own end's.
    if addresses::local_port_range().contains(&address.port()) && is_itself(&socket, address) {
        // With a reset no TIME_WAIT is left, so the host can bind its port.
        let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        return Err(ErrorKind::ConnectionRefused.into());
    }
    Ok(socket)
}

/// Whether the system has chosen the peer's own port for this end. On one machine the
/// socket then connects to itself (TCP's simultaneous open), if nobody listens there.
fn is_itself(socket: &TcpStream, peer: SocketAddr) -> bool {
    socket.local_addr().is_ok_and(|local| {
        local.port() == peer.port() && (local.ip() == peer.ip() || peer.ip().is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_with_both_ends_at_one_address_is_connected_to_itself() {
        use rustix::net::{AddressFamily, SocketType, bind, socket};
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let own = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&own, &loopback).unwrap();
        let own = std::net::TcpStream::from(own);
        let address = own.local_addr().unwrap();
        rustix::net::connect(&own, &address).unwrap();
        let own = TcpStream::from_std(own);
        assert!(is_itself(&own, address));
        let listener = TcpListener::bind(loopback).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!is_itself(&TcpStream::connect(address).unwrap(), address));
    }

    #[test]
    fn a_dead_host_is_refused_however_often_it_is_tried() {
        let dead = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = dead.local_addr().unwrap();
        drop(dead);
        for _ in 0..100 {
            if let Err(error) = connect(address) {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            }
        }
    }
}
