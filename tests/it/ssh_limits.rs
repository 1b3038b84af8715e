//! Limits of the SSH server: rejected, slowed and cut clients.
#![cfg(feature = "ssh")]

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

use crate::support::client::{connect, connect_from, who_in_turn};
use crate::support::http::USERS;
use crate::support::ssh::{Client, SshServer, block_on, end_of};
use crate::support::{noise, until};
use russh::keys::Algorithm;

/// The time limit for a login.
const GRACE: Duration = Duration::from_secs(30);

fn from(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// Whether a client from this address is accepted.
fn is_room(ssh: &SshServer, ip: IpAddr) -> bool {
    let mut stream = connect_from(ip, ssh.address);
    let mut seen = vec![0; 1024];
    let length = stream.read(&mut seen).unwrap_or(0);
    let seen = String::from_utf8_lossy(&seen[..length]).into_owned();
    assert!(seen.is_empty() || seen.starts_with("SSH-2.0-txlb\r\n"));
    !seen.contains("there is no room")
}

/// Logs in, and stays.
async fn guest(ssh: &SshServer, ip: IpAddr) -> Client {
    let mut client = Client::connect_from(ip, ssh.address).await.unwrap();
    assert!(client.password("admin", "admin").await);
    client
}

#[test]
fn there_is_room_for_so_many_and_the_others_are_told() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let mut guests = Vec::new();
        for last in [1, 2, 3, 4] {
            for _ in 0..4 {
                guests.push(guest(&ssh, from(last)).await);
            }
            // At once, since others from there stay.
            assert!(Client::connect_from(from(last), ssh.address).await.is_err());
        }
        // After a while, since another may leave.
        assert!(Client::connect_from(from(5), ssh.address).await.is_err());
        drop(guests);
    });
    until("room again", || is_room(&ssh, from(1)));
    block_on(async { Client::of(ssh.address, "admin", "admin").await });
}

#[test]
fn who_says_nothing_makes_room() {
    let ssh = SshServer::open(USERS);
    // More than the connection limit, silent ones and ones in the handshake.
    let crowd = |site: u8| (0..80).map(move |number| [127, 0, site, 1 + number / 4].into());
    let mute: Vec<_> = crowd(1).map(|ip| connect_from(ip, ssh.address)).collect();
    let mut half: Vec<_> = crowd(2).map(|ip| connect_from(ip, ssh.address)).collect();
    for stream in &mut half {
        // It may have been rejected by now.
        let _ = stream.write_all(b"SSH-2.0-x\r\n\0\0\x01");
    }
    block_on(async { guest(&ssh, from(1)).await });
    // Silent clients of the same address keep nobody out, either.
    let same: Vec<_> = (0..4).map(|_| connect(ssh.address)).collect();
    until("room at the same address", || is_room(&ssh, from(1)));
    drop((mute, half, same));
    assert_eq!(who_in_turn(ssh.txlb.address(), 3), "aaa");
}

#[test]
fn a_wrong_password_keeps_no_key_out() {
    let key = crate::support::ssh::key(Algorithm::Ed25519);
    let line = crate::support::ssh::line(&key);
    let eve = format!("<user name=\"eve\" access=\"full\" key=\"{line}\"/>");
    let ssh = SshServer::open(&format!("{USERS}{eve}"));
    block_on(async {
        let mut client = Client::connect(ssh.address).await.unwrap();
        for guess in ["a", "b", "c", "d"] {
            assert!(!client.password("admin", guess).await);
        }
        assert!(!client.password("admin", "admin").await);
        assert!(client.key("eve", &key).await);
    });
}

#[test]
fn who_guesses_is_made_slow() {
    let mut ssh = SshServer::open(USERS);
    block_on(async {
        let mut client = Client::connect(ssh.address).await.unwrap();
        for guess in ["a", "b", "c", "d"] {
            assert!(!client.password("admin", guess).await);
        }
        // The right password is not even checked.
        assert!(!client.password("admin", "admin").await);
        let mut other = Client::connect_from(from(2), ssh.address).await.unwrap();
        assert!(other.password("admin", "admin").await);
    });
    ssh.txlb.wait_for("has come in");
    assert_eq!(
        ssh.txlb
            .count("login failed: user admin from 127.0.0.1 (ssh)"),
        4
    );
    ssh.txlb.wait_for_count("login failed", 4);
}

#[test]
fn after_six_tries_it_is_over() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let mut client = Client::connect(ssh.address).await.unwrap();
        client.none("admin").await;
        // A wrong password is answered after a delay, a cut comes at once.
        let mut tries = 0;
        loop {
            let began = Instant::now();
            let answer = client.handle.authenticate_password("admin", "x").await;
            assert!(!answer.is_ok_and(|it| it.success()));
            if began.elapsed() < Duration::from_millis(200) {
                break;
            }
            tries += 1;
        }
        assert_eq!(tries, 6);
        end_of(&mut client, Duration::from_secs(10)).await;
    });
}

#[test]
fn garbage_is_answered_by_the_end() {
    let ssh = SshServer::open(USERS);
    let noise = noise(7, 100_000);
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-1.5-old\r\n",
        &noise,
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0",
        b"SSH-2.0-x\r\n\0\0\0\x0c\x04\x32aaaaaaaaaaaaaaaa",
        &[b"SSH-2.0-x\r\n".as_slice(), &noise].concat(),
    ];
    for bytes in garbage {
        let mut stream = connect(ssh.address);
        // The connection may end before all is sent.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let began = Instant::now();
        let mut seen = Vec::new();
        let _ = stream.read_to_end(&mut seen);
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(seen.starts_with(b"SSH-2.0-txlb\r\n") || seen.is_empty());
    }
    block_on(async { Client::of(ssh.address, "admin", "admin").await });
    assert_eq!(who_in_turn(ssh.txlb.address(), 3), "aaa");
}

#[test]
fn who_does_not_log_in_is_cut_off_whatever_they_are_doing() {
    let ssh = SshServer::open(USERS);
    let began = Instant::now();
    let mut silent = connect(ssh.address);
    let mut half = connect(ssh.address);
    half.write_all(b"SSH-2.0-x\r\n\0\0\x01").unwrap();
    block_on(async {
        let mut hesitant = Client::connect(ssh.address).await.unwrap();
        hesitant.none("admin").await;
        end_of(&mut hesitant, GRACE * 2).await;
        assert!(began.elapsed() >= GRACE);
    });
    for stream in [&mut silent, &mut half] {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(began.elapsed() < GRACE + Duration::from_secs(10));
    assert!(is_room(&ssh, from(1)));
}
