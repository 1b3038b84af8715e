//! Name servers of all kinds: each lookup ends, and believes what answers its question alone.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use simple_dns::rdata::{A, AAAA, CNAME, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

use super::message::{Query, Reply};
use super::*;

/// A record as text: name, TTL, kind, and what it says.
fn record(text: &'static str) -> ResourceRecord<'static> {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |index: usize| words[index].parse::<u16>().unwrap();
    let data = match words[2] {
        "A" => RData::A(A {
            address: words[3].parse::<std::net::Ipv4Addr>().unwrap().into(),
        }),
        "AAAA" => RData::AAAA(AAAA {
            address: words[3].parse::<std::net::Ipv6Addr>().unwrap().into(),
        }),
        "CNAME" => RData::CNAME(CNAME(Name::new_unchecked(words[3]))),
        "SRV" => RData::SRV(SRV {
            priority: number(3),
            weight: number(4),
            port: number(5),
            target: Name::new_unchecked(words[6]),
        }),
        other => panic!("{other}"),
    };
    let ttl = words[1].parse().unwrap();
    ResourceRecord::new(Name::new_unchecked(words[0]), CLASS::IN, ttl, data)
}

/// The answer to a message: these records, and those beside them.
fn answer(query: &[u8], records: &[&'static str], others: &[&'static str]) -> Vec<u8> {
    let mut packet = Packet::parse(query).unwrap().into_reply();
    packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
    packet.answers = records.iter().map(|it| record(it)).collect();
    packet.additional_records = others.iter().map(|it| record(it)).collect();
    packet.build_bytes_vec_compressed().unwrap()
}

/// The same for what a name server says of a name it does not know, or otherwise.
fn refusal(query: &[u8], rcode: RCODE) -> Vec<u8> {
    let mut packet = Packet::parse(query).unwrap().into_reply();
    *packet.rcode_mut() = rcode;
    packet.build_bytes_vec().unwrap()
}

fn query(name: &str, kind: Kind) -> Query {
    Query::new(0x1234, name, kind, true).unwrap()
}

fn answered(query: &Query, message: &[u8]) -> Answer {
    match query.reply(message) {
        Some(Reply::Answer(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_of_the_name_are_found_and_others_are_not() {
    let query = query("Web.test", Kind::A);
    let message = answer(
        &query.bytes,
        &[
            "web.test 30 A 10.0.0.1",
            "WEB.test 20 A 10.0.0.2",
            "other.test 1 A 10.0.0.9",
            "web.test 1 AAAA 2001:db8::1",
        ],
        &["web.test 1 A 10.0.0.8"],
    );
    let found = answered(&query, &message);
    let ips: Vec<_> = found
        .data
        .into_iter()
        .filter_map(Data::into_address)
        .collect();
    assert_eq!(
        ips,
        [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])]
    );
    assert_eq!(
        (found.ttl, found.exists, found.alias),
        (Some(20), true, None)
    );
}

#[test]
fn a_chain_of_names_is_followed_and_never_without_end() {
    let query = query("a.test", Kind::A);
    let chain = ["a.test 60 CNAME b.test", "b.test 5 CNAME c.test"];
    let whole = [&chain[..], &["c.test 60 A 10.0.0.1"]].concat();
    let found = answered(&query, &answer(&query.bytes, &whole, &[]));
    assert_eq!(
        (found.data.len(), found.ttl, found.alias),
        (1, Some(5), None)
    );
    // The rest is to be asked for.
    let found = answered(&query, &answer(&query.bytes, &chain, &[]));
    assert_eq!(found.alias.as_deref(), Some("c.test"));
    let circle = ["a.test 60 CNAME b.test", "b.test 60 CNAME a.test"];
    let reply = query.reply(&answer(&query.bytes, &circle, &[]));
    assert!(matches!(reply, Some(Reply::Failed(_))), "{reply:?}");
}

#[test]
fn services_have_all_that_their_record_says() {
    let query = query("_http._tcp.test", Kind::Srv);
    let message = answer(
        &query.bytes,
        &[
            "_http._tcp.test 60 SRV 10 5 8080 Node1.test",
            // Nobody's: no such service, and what is no name.
            "_http._tcp.test 60 SRV 0 0 0 .",
            "_http._tcp.test 60 SRV 0 0 80 no\u{1b}name.test",
        ],
        &["node1.TEST 7 A 10.0.0.1"],
    );
    let found = answered(&query, &message);
    let services: Vec<_> = found
        .data
        .into_iter()
        .filter_map(Data::into_service)
        .collect();
    assert_eq!(
        services,
        [SrvRecord {
            priority: 10,
            weight: 5,
            port: 8080,
            target: "node1.test".to_owned()
        }]
    );
    assert_eq!(
        found.others,
        [("node1.test".to_owned(), IpAddr::from([10, 0, 0, 1]))]
    );
}

#[test]
fn what_is_no_answer_to_the_question_is_passed_over() {
    let query = query("web.test", Kind::A);
    let good = answer(&query.bytes, &["web.test 30 A 10.0.0.1"], &[]);
    assert!(query.reply(&good).is_some());
    let other_id = Query::new(0x1235, "web.test", Kind::A, true).unwrap();
    let other_name = Query::new(0x1234, "wex.test", Kind::A, true).unwrap();
    let other_case = Query::new(0x1234, "wEb.test", Kind::A, true).unwrap();
    let other_kind = Query::new(0x1234, "web.test", Kind::Aaaa, true).unwrap();
    for other in [&other_id, &other_name, &other_case, &other_kind] {
        assert_eq!(query.reply(&answer(&other.bytes, &[], &[])), None);
    }
    // The question itself, nothing, and a part.
    for message in [&query.bytes[..], &[], &good[..2], &good[..12], &good[..20]] {
        assert_eq!(query.reply(message), None);
    }
    // Its question, and garbage after it.
    let mut garbage = good[..good.len() - 3].to_vec();
    assert!(matches!(query.reply(&garbage), Some(Reply::Failed(_))));
    garbage.extend([0xff; 64]);
    assert!(query.reply(&garbage).is_some());
    // Any bytes at all: nothing panics.
    let mut random = crate::config::arbitrary::Random::new(5);
    for _ in 0..20_000 {
        let mut message = good.clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(message.len());
            message[at] = u8::try_from(random.below(256)).unwrap();
        }
        message.truncate(random.below(message.len() + 1));
        let _ = query.reply(&message);
    }
}

#[test]
fn what_a_server_cannot_say_is_told_apart() {
    let query = query("web.test", Kind::A);
    let reply = |rcode| query.reply(&refusal(&query.bytes, rcode)).unwrap();
    assert!(matches!(reply(RCODE::NameError), Reply::Answer(it) if !it.exists));
    assert!(matches!(reply(RCODE::ServerFailure), Reply::Failed(_)));
    assert!(matches!(reply(RCODE::Refused), Reply::Failed(_)));
    assert_eq!(reply(RCODE::FormatError), Reply::NoExtensions);
    let mut cut = answer(&query.bytes, &[], &[]);
    cut[2] |= 2;
    assert_eq!(query.reply(&cut), Some(Reply::Truncated));
    assert!(Query::new(1, &"long.".repeat(60), Kind::A, true).is_none());
}

/// What a server does with a message, which came by TCP or not: sends these.
type Behaviour = dyn Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync;

/// A name server on a thread, for the rest of the test.
fn server(behave: impl Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let behave: Arc<Behaviour> = Arc::new(behave);
    // A port that is free for UDP may be in use for TCP.
    let (udp, tcp) = std::iter::repeat_with(|| UdpSocket::bind("127.0.0.1:0").unwrap())
        .find_map(|udp| {
            let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
            Some((udp, tcp))
        })
        .unwrap();
    let address = udp.local_addr().unwrap();
    let by_tcp = Arc::clone(&behave);
    thread::spawn(move || {
        let mut message = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut message) {
            for reply in behave(&message[..length], false) {
                udp.send_to(&reply, from).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for mut client in tcp.incoming().flatten() {
            let mut length = [0; 2];
            client.read_exact(&mut length).unwrap();
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            client.read_exact(&mut message).unwrap();
            for reply in by_tcp(&message, true) {
                let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                client.write_all(&[&length[..], &reply].concat()).unwrap();
            }
        }
    });
    address
}

fn client(servers: &[SocketAddr]) -> Client {
    Client {
        servers: Servers {
            list: servers.to_vec(),
            timeout: Duration::from_millis(300),
            attempts: 2,
        },
        deadline: Instant::now() + Duration::from_secs(10),
    }
}

fn addresses(servers: &[SocketAddr]) -> Result<Vec<String>, String> {
    match client(servers).addresses("web.test") {
        Ok(Members::Some(found, _)) => {
            let ips = found.answers.into_iter().map(|it| it.ip.to_string());
            Ok(ips.collect())
        }
        Ok(Members::None(why)) => Err(why.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Answers questions for addresses well.
fn good(query: &[u8]) -> Vec<u8> {
    let parsed = Packet::parse(query).unwrap();
    let asks_a = parsed.questions[0].qtype == simple_dns::QTYPE::TYPE(simple_dns::TYPE::A);
    match asks_a {
        true => answer(
            query,
            &["web.test 9 A 10.0.0.1", "web.test 5 A 10.0.0.2"],
            &[],
        ),
        false => answer(query, &["web.test 3 AAAA 2001:db8::1"], &[]),
    }
}

const GOOD: [&str; 3] = ["10.0.0.1", "10.0.0.2", "2001:db8::1"];

#[test]
fn an_answer_that_does_not_fit_comes_by_tcp() {
    let long = server(|query, tcp| {
        let mut reply = good(query);
        if !tcp {
            reply = answer(query, &[], &[]);
            reply[2] |= 2;
        }
        vec![reply]
    });
    assert_eq!(addresses(&[long]).unwrap(), GOOD);
}

#[test]
fn a_server_that_lies_is_not_believed() {
    let liar = server(|query, _| {
        let mut other_id = good(query);
        other_id[0] ^= 1;
        let mut other_question = good(query);
        other_question[13] ^= 1;
        let garbage = vec![0xff; 100];
        let mut too_long = good(query);
        too_long.resize(1400, 0);
        vec![other_id, other_question, garbage, too_long, good(query)]
    });
    assert_eq!(addresses(&[liar]).unwrap(), GOOD);
    let endless = server(|query, _| {
        let mut other_id = good(query);
        other_id[0] ^= 1;
        vec![other_id; 100]
    });
    let started = Instant::now();
    let why = addresses(&[endless]).unwrap_err();
    assert!(
        why.contains("nobody asked for") || why.contains("in time"),
        "{why}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_next_server_is_asked_when_one_is_silent_refuses_or_is_not_there() {
    let silent = server(|_, _| Vec::new());
    let sick = server(|query, _| vec![refusal(query, RCODE::ServerFailure)]);
    let cut = server(|query, tcp| {
        let mut reply = good(query);
        reply[2] |= 2;
        match tcp {
            // Hangs up in the middle.
            true => Vec::new(),
            false => vec![reply],
        }
    });
    let nobody = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let works = server(|query, _| vec![good(query)]);
    for bad in [silent, sick, nobody, cut] {
        assert_eq!(addresses(&[bad, works]).unwrap(), GOOD, "{bad}");
        let started = Instant::now();
        let why = addresses(&[bad]).unwrap_err();
        assert!(why.contains(&bad.to_string()), "{why}");
        assert!(started.elapsed() < Duration::from_secs(5), "{why}");
    }
}

#[test]
fn a_server_without_extensions_is_asked_without() {
    let old = server(|query, _| {
        vec![match Packet::parse(query).unwrap().opt() {
            Some(_) => refusal(query, RCODE::FormatError),
            None => good(query),
        }]
    });
    assert_eq!(addresses(&[old]).unwrap(), GOOD);
}

#[test]
fn a_name_without_members_says_why() {
    let unknown = server(|query, _| vec![refusal(query, RCODE::NameError)]);
    assert_eq!(addresses(&[unknown]).unwrap_err(), NO_SUCH_NAME);
    let empty = server(|query, _| vec![answer(query, &[], &[])]);
    assert_eq!(addresses(&[empty]).unwrap_err(), NO_ADDRESS);
    // One family that cannot be asked for is no family that is empty.
    let half = server(|query, _| {
        let reply = good(query);
        let is_a = Packet::parse(&reply).unwrap().answers.len() == 2;
        vec![match is_a {
            true => reply,
            false => refusal(query, RCODE::ServerFailure),
        }]
    });
    assert!(addresses(&[half]).unwrap_err().contains("SERVFAIL"));
}

#[test]
fn aliases_in_several_answers_are_followed_to_their_end() {
    let circle = server(|query, _| {
        let parsed = Packet::parse(query).unwrap();
        vec![match parsed.questions[0].qname.to_string() == "web.test" {
            true => answer(query, &["web.test 9 CNAME b.test"], &[]),
            false => answer(query, &["b.test 9 CNAME web.test"], &[]),
        }]
    });
    let why = addresses(&[circle]).unwrap_err();
    assert!(why.contains("CNAME"), "{why}");
    let chain = server(|query, _| {
        let parsed = Packet::parse(query).unwrap();
        let asks_a = parsed.questions[0].qtype == simple_dns::QTYPE::TYPE(simple_dns::TYPE::A);
        let is_first = parsed.questions[0].qname.to_string() == "web.test";
        vec![match (is_first, asks_a) {
            (true, _) => answer(query, &["web.test 9 CNAME b.test"], &[]),
            (false, true) => answer(query, &["b.test 2 A 10.0.0.7"], &[]),
            (false, false) => answer(query, &[], &[]),
        }]
    });
    let Ok(Members::Some(found, _)) = client(&[chain]).addresses("web.test") else {
        panic!("no members");
    };
    assert_eq!(found.answers, [Record::at([10, 0, 0, 7].into())]);
    assert_eq!(found.ttl, Duration::from_secs(2));
}

#[test]
fn targets_of_services_are_asked_for_where_the_answer_lacks_them() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let consul = server(move |query, _| {
        let parsed = Packet::parse(query).unwrap();
        let name = parsed.questions[0].qname.to_string();
        let is_a = parsed.questions[0].qtype == simple_dns::QTYPE::TYPE(simple_dns::TYPE::A);
        vec![match (name.as_str(), is_a) {
            ("_web._tcp.test", _) => answer(
                query,
                &[
                    "_web._tcp.test 60 SRV 1 1 8080 a.test",
                    "_web._tcp.test 60 SRV 1 1 8081 a.test",
                    "_web._tcp.test 60 SRV 2 1 80 b.test",
                    "_web._tcp.test 60 SRV 1 1 80 gone.test",
                ],
                &["a.test 0 AAAA 2001:db8::9", "a.test 0 A 10.0.0.1"],
            ),
            ("b.test", true) => {
                count.fetch_add(1, Ordering::Relaxed);
                answer(query, &["b.test 4 A 10.0.0.2", "b.test 4 A 10.0.0.1"], &[])
            }
            _ => refusal(query, RCODE::NameError),
        }]
    });
    let Ok(Members::Some(found, _)) = client(&[consul]).services("_web._tcp.test", &[]) else {
        panic!("no members");
    };
    let seen: Vec<_> = found
        .answers
        .iter()
        .map(|it| {
            let srv = it.srv.as_ref().unwrap();
            (srv.target.as_str(), srv.port, it.ip.to_string())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("a.test", 8080, "10.0.0.1".to_owned()),
            ("a.test", 8081, "10.0.0.1".to_owned()),
            ("b.test", 80, "10.0.0.1".to_owned()),
        ]
    );
    assert_eq!(found.ttl, Duration::from_secs(4));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn an_answer_with_nobodys_addresses_alone_is_no_answer() {
    for (a, aaaa) in [
        ("web.test 9 A 0.0.0.0", "web.test 9 AAAA ::"),
        ("web.test 9 A 224.0.0.1", "web.test 9 AAAA ff02::1"),
        (
            "web.test 9 A 255.255.255.255",
            "web.test 9 AAAA ::ffff:0.0.0.0",
        ),
    ] {
        let blocker = server(move |query, _| {
            let parsed = Packet::parse(query).unwrap();
            let asks_a = parsed.questions[0].qtype == simple_dns::QTYPE::TYPE(simple_dns::TYPE::A);
            vec![answer(query, &[if asks_a { a } else { aaaa }], &[])]
        });
        assert_eq!(addresses(&[blocker]).unwrap_err(), NO_USABLE);
    }
    for records in [
        &["_s.test 60 SRV 1 1 0 a.test"][..],
        &["_s.test 60 SRV 1 1 80 b.test"],
    ] {
        let others = ["a.test 9 A 10.0.0.1", "b.test 9 A 0.0.0.0"];
        let blocker = server(move |query, _| vec![answer(query, records, &others)]);
        let found = client(&[blocker]).services("_s.test", &[]);
        assert!(matches!(found, Ok(Members::None(NO_USABLE))));
    }
}

#[test]
fn a_target_that_cannot_be_asked_for_holds_up_no_other() {
    let half = server(|query, _| {
        let parsed = Packet::parse(query).unwrap();
        let name = parsed.questions[0].qname.to_string();
        vec![match name.as_str() {
            "_s.test" => answer(
                query,
                &[
                    "_s.test 60 SRV 1 1 80 new.test",
                    "_s.test 60 SRV 1 1 80 sick.test",
                    "_s.test 60 SRV 1 1 80 sicker.test",
                ],
                &[],
            ),
            "new.test" => answer(query, &["new.test 60 A 10.0.0.1"], &[]),
            _ => refusal(query, RCODE::ServerFailure),
        }]
    });
    let was = |target: &str, ip: [u8; 4]| Record {
        ip: ip.into(),
        srv: Some(SrvRecord {
            priority: 1,
            target: target.to_owned(),
            port: 80,
            weight: 1,
        }),
    };
    let former = [
        was("gone.test", [10, 0, 0, 8]),
        was("sick.test", [10, 0, 0, 9]),
    ];
    let Ok(Members::Some(found, Some(unknown))) = client(&[half]).services("_s.test", &former)
    else {
        panic!("no members, or all are known");
    };
    let expected = [
        was("new.test", [10, 0, 0, 1]),
        was("sick.test", [10, 0, 0, 9]),
    ];
    assert_eq!(found.answers, expected);
    assert_eq!(found.ttl, Duration::from_secs(FAILED_TARGET_TTL.into()));
    assert!(
        unknown.starts_with("the target sick.test (and 1 more): ") && unknown.contains("SERVFAIL"),
        "{unknown}"
    );
    // Of none is known where it is.
    let sick = server(|query, _| {
        let parsed = Packet::parse(query).unwrap();
        vec![match parsed.questions[0].qname.to_string() == "_s.test" {
            true => answer(query, &["_s.test 60 SRV 1 1 80 sick.test"], &[]),
            false => refusal(query, RCODE::ServerFailure),
        }]
    });
    let why = client(&[sick]).services("_s.test", &[]).err().unwrap();
    assert!(why.to_string().contains("the target sick.test: "), "{why}");
}

#[test]
fn ttls_have_bounds() {
    for (ttl, seconds) in [
        (None, 1),
        (Some(0), 1),
        (Some(7), 7),
        (Some(u32::MAX), 3600),
    ] {
        assert_eq!(clamp_ttl(ttl), Duration::from_secs(seconds));
    }
}
