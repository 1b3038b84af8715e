//! A name server that says what a test wants, by UDP and TCP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const A: u16 = 1;
const SRV: u16 = 33;
const TRUNCATED: u8 = 0x02;
const NO_SUCH_NAME: u8 = 3;

/// Bytes of an answer by UDP.
const UDP_BYTES: usize = 1232;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// What it knows; of what it does not, that it does not exist.
    Good,
    /// That everything exists, and nothing is there.
    Empty,
    /// That nothing exists.
    Denies,
    Fails,
    Silent,
    /// First with another id and to another question, then well.
    Lies,
}

#[derive(Debug)]
struct Zone {
    mood: Mood,
    /// Data of records, by name and type.
    records: HashMap<(String, u16), Vec<Vec<u8>>>,
    ttl: u32,
}

/// A name server on loopback, until the end of the test program.
#[derive(Debug, Clone)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    pub(crate) fn start() -> NameServer {
        // A port that is free for UDP may be in use for TCP.
        let (udp, tcp) = std::iter::repeat_with(|| UdpSocket::bind("127.0.0.1:0").unwrap())
            .find_map(|udp| {
                let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
                Some((udp, tcp))
            })
            .unwrap();
        let address = udp.local_addr().unwrap();
        let server = NameServer {
            address,
            zone: Arc::new(Mutex::new(Zone {
                mood: Mood::Good,
                records: HashMap::new(),
                ttl: 1,
            })),
            asked: Arc::default(),
        };
        let (by_udp, by_tcp) = (server.clone(), server.clone());
        thread::spawn(move || by_udp.serve_udp(&udp));
        thread::spawn(move || by_tcp.serve_tcp(&tcp));
        server
    }

    /// Sets the addresses of a name.
    pub(crate) fn set_addresses(&self, name: &str, ips: impl IntoIterator<Item = Ipv4Addr>) {
        let data = ips.into_iter().map(|ip| ip.octets().to_vec());
        self.set(name, A, data.collect());
    }

    /// Sets the records SRV of a name: priority, weight, port, target.
    pub(crate) fn set_services(&self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let data = services.iter().map(|(priority, weight, port, target)| {
            let numbers = [*priority, *weight, *port].map(u16::to_be_bytes).concat();
            [numbers, encode_name(target)].concat()
        });
        self.set(name, SRV, data.collect());
    }

    fn set(&self, name: &str, kind: u16, data: Vec<Vec<u8>>) {
        let mut zone = self.zone.lock().unwrap();
        zone.records.insert((name.to_owned(), kind), data);
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.zone.lock().unwrap().mood = mood;
    }

    /// Questions so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// As an element of a configuration.
    pub(crate) fn element(&self) -> String {
        format!("<resolver nameservers=\"{}\"/>", self.address)
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut message = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            for mut reply in self.replies(&message[..length]) {
                if reply.len() > UDP_BYTES {
                    reply.truncate(question_end(&reply));
                    reply[2] |= TRUNCATED;
                    reply[6..12].fill(0);
                }
                let _ = socket.send_to(&reply, from);
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        for mut client in listener.incoming().flatten() {
            let mut length = [0; 2];
            let _ = client.read_exact(&mut length);
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            if client.read_exact(&mut message).is_err() {
                continue;
            }
            if let Some(reply) = self.replies(&message).pop() {
                let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                let _ = client.write_all(&[&length[..], &reply].concat());
            }
        }
    }

    fn replies(&self, query: &[u8]) -> Vec<Vec<u8>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let zone = self.zone.lock().unwrap();
        let reply = |rcode, data: &[Vec<u8>]| reply(query, rcode, data, zone.ttl);
        match zone.mood {
            Mood::Good => vec![zone.answer(query)],
            Mood::Lies => {
                let truth = zone.answer(query);
                let (mut other_id, mut other_question) = (truth.clone(), truth.clone());
                other_id[0] ^= 0xff;
                other_question[13] ^= 1;
                vec![other_id, other_question, vec![0xff; 30], truth]
            }
            Mood::Empty => vec![reply(0, &[])],
            Mood::Denies => vec![reply(NO_SUCH_NAME, &[])],
            Mood::Fails => vec![reply(2, &[])],
            Mood::Silent => Vec::new(),
        }
    }
}

impl Zone {
    fn answer(&self, query: &[u8]) -> Vec<u8> {
        let end = question_end(query);
        let kind = u16::from_be_bytes([query[end - 4], query[end - 3]]);
        let name = decode_name(&query[12..]);
        match self.records.get(&(name.clone(), kind)) {
            Some(data) if !data.is_empty() => reply(query, 0, data, self.ttl),
            _ => {
                let exists = self.records.iter();
                let exists = exists.filter(|((other, _), data)| *other == name && !data.is_empty());
                let rcode = if exists.count() > 0 { 0 } else { NO_SUCH_NAME };
                reply(query, rcode, &[], self.ttl)
            }
        }
    }
}

/// A reply with records of the name and type that were asked for.
fn reply(query: &[u8], rcode: u8, data: &[Vec<u8>], ttl: u32) -> Vec<u8> {
    let end = question_end(query);
    let kind = &query[end - 4..end - 2];
    let count = u16::try_from(data.len()).unwrap().to_be_bytes();
    let mut reply = query[..2].to_vec();
    reply.extend([0x84, 0x80 | rcode, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    reply.extend(&query[12..end]);
    for data in data {
        // The name in the question.
        reply.extend([0xc0, 12]);
        reply.extend(kind);
        reply.extend([0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    }
    reply
}

fn question_end(message: &[u8]) -> usize {
    let mut at = 12;
    while message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    at + 5
}

fn decode_name(mut bytes: &[u8]) -> String {
    let mut labels = Vec::new();
    while bytes[0] != 0 {
        let (label, rest) = bytes[1..].split_at(bytes[0].into());
        labels.push(String::from_utf8_lossy(label).into_owned());
        bytes = rest;
    }
    labels.join(".")
}

fn encode_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes = Vec::new();
    for label in labels {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// The addresses 127.1.0.1 and so on, this many.
pub(crate) fn loopbacks(count: u8) -> impl Iterator<Item = Ipv4Addr> {
    (1..=count).map(|number| Ipv4Addr::new(127, 1, 0, number))
}
