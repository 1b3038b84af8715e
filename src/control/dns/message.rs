//! Messages of DNS, without I/O: a question, whether bytes are the answer to it, and what that
//! says.

use std::net::IpAddr;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use crate::config::{SrvRecord, is_host_name};

/// The longest message that a server may send by UDP: it passes every network whole (EDNS0).
pub(super) const UDP_BYTES: u16 = 1232;

/// The bytes before the question.
const HEADER_BYTES: usize = 12;

/// Names that one leads to (CNAME), in one answer and in several.
pub(super) const MOST_ALIASES: usize = 8;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
    Srv,
}

impl Kind {
    fn record_type(self) -> TYPE {
        match self {
            Kind::A => TYPE::A,
            Kind::Aaaa => TYPE::AAAA,
            Kind::Srv => TYPE::SRV,
        }
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Address(IpAddr),
    Service(SrvRecord),
}

impl Data {
    pub(super) fn into_address(self) -> Option<IpAddr> {
        match self {
            Data::Address(ip) => Some(ip),
            Data::Service(_) => None,
        }
    }

    pub(super) fn into_service(self) -> Option<SrvRecord> {
        match self {
            Data::Service(service) => Some(service),
            Data::Address(_) => None,
        }
    }
}

/// What a server says about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether there is such a name.
    pub(super) exists: bool,
    /// The records of the kind that was asked for.
    pub(super) data: Vec<Data>,
    /// The least TTL of the records that led here, in seconds.
    pub(super) ttl: Option<u32>,
    /// The name to ask for instead: this one leads there, and the answer does not say what is there.
    pub(super) alias: Option<String>,
    /// Addresses of other names that the answer has, too.
    pub(super) others: Vec<(String, IpAddr)>,
}

/// What the answer to a question is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Answer(Answer),
    /// It did not fit: TCP is needed.
    Truncated,
    /// The server does not know EDNS0.
    NoExtensions,
    /// The server cannot or will not say, or what it says cannot be parsed.
    Failed(String),
}

/// A question, as sent.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) bytes: Vec<u8>,
    name: String,
    kind: Kind,
    /// Where the question ends in the bytes.
    question_end: usize,
}

impl Query {
    /// A question. `None` if the name is too long.
    pub(super) fn new(id: u16, name: &str, kind: Kind, extensions: bool) -> Option<Query> {
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let qtype = QTYPE::TYPE(kind.record_type());
        let question = Question::new(
            Name::new(name).ok()?,
            qtype,
            QCLASS::CLASS(CLASS::IN),
            false,
        );
        packet.questions.push(question);
        let question_end = packet.build_bytes_vec().ok()?.len();
        if extensions {
            *packet.opt_mut() = Some(OPT {
                opt_codes: Vec::new(),
                udp_packet_size: UDP_BYTES,
                version: 0,
            });
        }
        Some(Query {
            bytes: packet.build_bytes_vec().ok()?,
            name: name.to_ascii_lowercase(),
            kind,
            question_end,
        })
    }

    /// What a message says to this question; `None` if it is no answer to it: it has another id or
    /// another question, byte by byte, or is none.
    pub(super) fn reply(&self, message: &[u8]) -> Option<Reply> {
        const RESPONSE: u8 = 0x80;
        const TRUNCATED: u8 = 0x02;
        const RCODE_BITS: u8 = 0x0f;
        const FORMAT_ERROR: u8 = 1;
        const NOT_IMPLEMENTED: u8 = 4;
        let flags = *message.get(2)?;
        let rcode = message.get(3)? & RCODE_BITS;
        let is_mine = message.get(..2) == self.bytes.get(..2) && flags & RESPONSE != 0;
        if !is_mine {
            return None;
        }
        if [FORMAT_ERROR, NOT_IMPLEMENTED].contains(&rcode) {
            // Such an answer may be without the question.
            return Some(Reply::NoExtensions);
        }
        let question = HEADER_BYTES..self.question_end;
        if message.get(question.clone()) != self.bytes.get(question) {
            return None;
        }
        if flags & TRUNCATED != 0 {
            return Some(Reply::Truncated);
        }
        Some(match Packet::parse(message) {
            Ok(packet) => self.read(&packet),
            Err(error) => Reply::Failed(format!("its answer cannot be understood: {error}")),
        })
    }

    fn read(&self, packet: &Packet<'_>) -> Reply {
        match packet.rcode() {
            RCODE::NoError | RCODE::NameError => {}
            RCODE::ServerFailure => return Reply::Failed("it says SERVFAIL".to_owned()),
            RCODE::Refused => return Reply::Failed("it refuses to answer".to_owned()),
            other => return Reply::Failed(format!("it says {other:?}")),
        }
        let mut answer = Answer {
            exists: packet.rcode() == RCODE::NoError,
            data: Vec::new(),
            ttl: None,
            alias: None,
            others: Vec::new(),
        };
        let mut name = self.name.clone();
        for _ in 0..=MOST_ALIASES {
            let mut alias = None;
            let of_name = packet.answers.iter().filter(|it| text(&it.name) == name);
            for record in of_name.filter(|it| it.class == CLASS::IN) {
                if let RData::CNAME(target) = &record.rdata {
                    alias = Some(text(&target.0));
                    answer.add_ttl(record.ttl);
                } else if record.rdata.type_code() == self.kind.record_type() {
                    answer.data.extend(data(&record.rdata));
                    answer.add_ttl(record.ttl);
                }
            }
            match alias {
                Some(alias) if answer.data.is_empty() => name = alias,
                _ => {
                    if name != self.name && answer.data.is_empty() && answer.exists {
                        answer.alias = Some(name).filter(|name| is_host_name(name));
                    }
                    answer.others = addresses(packet);
                    return Reply::Answer(answer);
                }
            }
        }
        Reply::Failed(too_many_aliases())
    }
}

/// Why a name is not followed further.
pub(super) fn too_many_aliases() -> String {
    format!("the name leads to more than {MOST_ALIASES} others (CNAME)")
}

impl Answer {
    fn add_ttl(&mut self, ttl: u32) {
        // More than 31 bits are 0, as RFC 2181 says.
        let ttl = if ttl > i32::MAX.unsigned_abs() {
            0
        } else {
            ttl
        };
        self.ttl = self.ttl.into_iter().chain([ttl]).min();
    }
}

/// A name in lower case, without a dot at its end.
fn text(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

/// What a record says; `None` for one that leads to no machine.
fn data(rdata: &RData<'_>) -> Option<Data> {
    match rdata {
        RData::A(a) => Some(Data::Address(IpAddr::V4(a.address.into()))),
        RData::AAAA(aaaa) => {
            let ip = IpAddr::V6(aaaa.address.into());
            Some(Data::Address(ip.to_canonical()))
        }
        RData::SRV(srv) => {
            let target = text(&srv.target);
            is_host_name(&target).then_some(Data::Service(SrvRecord {
                priority: srv.priority,
                target,
                port: srv.port,
                weight: srv.weight,
            }))
        }
        _ => None,
    }
}

/// The addresses that an answer has beside what was asked for.
fn addresses(packet: &Packet<'_>) -> Vec<(String, IpAddr)> {
    let records = packet.additional_records.iter();
    records
        .filter(|record| record.class == CLASS::IN)
        .filter_map(|record| Some((text(&record.name), data(&record.rdata)?.into_address()?)))
        .collect()
}
