//! The SSH door itself: who is turned away, who is made slow, and who is cut off.
#![cfg(feature = "ssh")]

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

use crate::support::client::{connect, connect_from, who_in_turn};
use crate::support::http::USERS;
use crate::support::ssh::{Client, Door, block_on, end_of};
use crate::support::{noise, until};
use russh::keys::Algorithm;

/// How long a client may take to log in.
const GRACE: Duration = Duration::from_secs(30);

fn from(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// Whether there is room for somebody from there.
fn is_room(door: &Door, ip: IpAddr) -> bool {
    let mut stream = connect_from(ip, door.address);
    let mut seen = vec![0; 1024];
    let length = stream.read(&mut seen).unwrap_or(0);
    let seen = String::from_utf8_lossy(&seen[..length]).into_owned();
    assert!(seen.is_empty() || seen.starts_with("SSH-2.0-txlb\r\n"));
    !seen.contains("there is no room")
}

/// Logs in, and stays.
async fn guest(door: &Door, ip: IpAddr) -> Client {
    let mut client = Client::connect_from(ip, door.address).await.unwrap();
    assert!(client.password("admin", "admin").await);
    client
}

#[test]
fn there_is_room_for_so_many_and_the_others_are_told() {
    let door = Door::open(USERS);
    block_on(async {
        let mut guests = Vec::new();
        for last in [1, 2, 3, 4] {
            for _ in 0..4 {
                guests.push(guest(&door, from(last)).await);
            }
            // At once, for others there stay.
            assert!(
                Client::connect_from(from(last), door.address)
                    .await
                    .is_err()
            );
        }
        // After a while, for somebody may leave.
        assert!(Client::connect_from(from(5), door.address).await.is_err());
        drop(guests);
    });
    until("room again", || is_room(&door, from(1)));
    block_on(async { Client::of(door.address, "admin", "admin").await });
}

#[test]
fn who_says_nothing_makes_room() {
    let door = Door::open(USERS);
    // More than there are seats, of each kind: mute, and in the middle of the handshake.
    let crowd = |site: u8| (0..80).map(move |number| [127, 0, site, 1 + number / 4].into());
    let mute: Vec<_> = crowd(1).map(|ip| connect_from(ip, door.address)).collect();
    let mut half: Vec<_> = crowd(2).map(|ip| connect_from(ip, door.address)).collect();
    for stream in &mut half {
        // Who has been turned away is.
        let _ = stream.write_all(b"SSH-2.0-x\r\n\0\0\x01");
    }
    block_on(async { guest(&door, from(1)).await });
    // Nor do those of the same address keep anybody out.
    let same: Vec<_> = (0..4).map(|_| connect(door.address)).collect();
    until("room at the same address", || is_room(&door, from(1)));
    drop((mute, half, same));
    assert_eq!(who_in_turn(door.txlb.address(), 3), "aaa");
}

#[test]
fn a_wrong_password_keeps_no_key_out() {
    let key = crate::support::ssh::key(Algorithm::Ed25519);
    let line = crate::support::ssh::line(&key);
    let eve = format!("<user name=\"eve\" access=\"full\" key=\"{line}\"/>");
    let door = Door::open(&format!("{USERS}{eve}"));
    block_on(async {
        let mut client = Client::connect(door.address).await.unwrap();
        for guess in ["a", "b", "c", "d"] {
            assert!(!client.password("admin", guess).await);
        }
        assert!(!client.password("admin", "admin").await);
        assert!(client.key("eve", &key).await);
    });
}

#[test]
fn who_guesses_is_made_slow() {
    let mut door = Door::open(USERS);
    block_on(async {
        let mut client = Client::connect(door.address).await.unwrap();
        for guess in ["a", "b", "c", "d"] {
            assert!(!client.password("admin", guess).await);
        }
        // Right, but it is not even looked at.
        assert!(!client.password("admin", "admin").await);
        let mut other = Client::connect_from(from(2), door.address).await.unwrap();
        assert!(other.password("admin", "admin").await);
    });
    door.txlb.wait_for("has come in");
    assert_eq!(
        door.txlb
            .count("login failed: user admin from 127.0.0.1 (ssh)"),
        4
    );
    assert_eq!(door.txlb.count("login failed"), 4);
}

#[test]
fn after_six_tries_it_is_over() {
    let door = Door::open(USERS);
    block_on(async {
        let mut client = Client::connect(door.address).await.unwrap();
        client.none("admin").await;
        // To be told that it is wrong takes a while, to be shown the door does not.
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
    let door = Door::open(USERS);
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
        let mut stream = connect(door.address);
        // It may be over before all is said.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let began = Instant::now();
        let mut seen = Vec::new();
        let _ = stream.read_to_end(&mut seen);
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(seen.starts_with(b"SSH-2.0-txlb\r\n") || seen.is_empty());
    }
    block_on(async { Client::of(door.address, "admin", "admin").await });
    assert_eq!(who_in_turn(door.txlb.address(), 3), "aaa");
}

#[test]
fn who_does_not_log_in_is_cut_off_whatever_they_are_doing() {
    let door = Door::open(USERS);
    let began = Instant::now();
    let mut silent = connect(door.address);
    let mut half = connect(door.address);
    half.write_all(b"SSH-2.0-x\r\n\0\0\x01").unwrap();
    block_on(async {
        let mut hesitant = Client::connect(door.address).await.unwrap();
        hesitant.none("admin").await;
        end_of(&mut hesitant, GRACE * 2).await;
        assert!(began.elapsed() >= GRACE);
    });
    for stream in [&mut silent, &mut half] {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(began.elapsed() < GRACE + Duration::from_secs(10));
    assert!(is_room(&door, from(1)));
}
