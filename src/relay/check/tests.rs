//! Dialogues whose answers come in pieces, are cut anywhere, or never end.

use super::*;
use crate::balance::Random;

fn address() -> Address {
    Address::Ip("10.0.0.1:80".parse().unwrap())
}

fn check(kind: CheckKind, change: impl FnOnce(&mut Check)) -> Arc<Check> {
    let mut check = Check {
        kind,
        ..Check::default()
    };
    change(&mut check);
    Arc::new(check)
}

fn sends(send: &str, expect: &str) -> Arc<Check> {
    check(CheckKind::Send, |check| {
        (check.send, check.expect) = (send.parse().unwrap(), expect.parse().unwrap());
    })
}

fn agent() -> Arc<Check> {
    check(CheckKind::Agent, |check| check.port = Some(80))
}

fn http() -> Arc<Check> {
    check(CheckKind::Http, |_| {})
}

/// The verdict on an answer in these pieces, after which the host ends its side.
fn verdict_of<'a>(check: &Arc<Check>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
    let mut dialogue = Dialogue::new(check, &address());
    if let Some(verdict) = dialogue.connected() {
        return verdict;
    }
    while !dialogue.unsent().is_empty() {
        if let Some(verdict) = dialogue.sent(1) {
            return verdict;
        }
    }
    for piece in pieces {
        if let Some(verdict) = dialogue.received(piece) {
            return verdict;
        }
    }
    dialogue.ended(false)
}

fn reason(verdict: Verdict) -> String {
    match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed(failure) => failure.to_string(),
        Verdict::Report(report) => format!("{report:?}"),
        Verdict::NoReport(why) => format!("nothing: {why}"),
    }
}

fn all_at_once(check: &Arc<Check>, answer: &[u8]) -> String {
    reason(verdict_of(check, [answer]))
}

#[test]
fn a_failed_check_says_what_was_expected_and_what_came() {
    let redis = sends("INFO replication\\r\\n", "role:master");
    let long = [b"a".repeat(79), b"\"bc".to_vec()].concat();
    let table: &[(&Arc<Check>, &[u8], &str)] = &[
        (&check(CheckKind::Tcp, |_| {}), b"", "passed"),
        (&redis, b"$9\r\nrole:master", "passed"),
        (
            &redis,
            b"role:slave\r\n",
            "expected \"role:master\" in the answer, got \"role:slave\\r\\n\" and the end of the \
             connection",
        ),
        (
            &redis,
            b"",
            "expected \"role:master\" in the answer, got the end of the connection",
        ),
        (&sends("", "220 "), b"220 mail ESMTP", "passed"),
        (&sends("QUIT\\r\\n", ""), b"", "passed"),
        (&http(), b"HTTP/1.1 302 Found\r\n", "passed"),
        (
            &http(),
            b"HTTP/1.1 500 Internal Server Error\r\n",
            "expected status 200-399 of GET /, got 500 Internal Server Error",
        ),
        (
            &http(),
            b"\x15\x03\x01\x00\x02\x02\x46",
            "expected status 200-399 of GET /, got a TLS alert: it speaks TLS",
        ),
        (
            &http(),
            b"SSH-2.0-OpenSSH_9\r\n",
            "expected status 200-399 of GET /, got \"SSH-2.0-OpenSSH_9\\r\\n\", which is no HTTP/1",
        ),
        (
            &sends("", "x"),
            &long,
            &format!(
                "expected \"x\" in the answer, got \"{}\"...\" and the end of the connection",
                "a".repeat(79)
            ),
        ),
        (
            &agent(),
            b"up",
            "nothing: expected a line of the agent, got \"up\" and the end of the connection",
        ),
    ];
    for (check, answer, expected) in table {
        assert_eq!(all_at_once(check, answer), *expected, "{check:?}");
    }
}

#[test]
fn silence_a_reset_and_another_address_are_told() {
    let answers = Dialogue::new(&http(), &address());
    assert_eq!(
        reason(answers.timed_out(true)),
        "expected an answer within 1 s, got none"
    );
    assert_eq!(
        reason(answers.timed_out(false)),
        "expected a connection within 1 s, got none"
    );
    assert_eq!(
        reason(answers.ended(true)),
        "expected status 200-399 of GET /, got a reset"
    );
    assert_eq!(
        reason(answers.not_connected(Failure::Refused)),
        "connection refused"
    );
    let elsewhere = check(CheckKind::Tcp, |check| check.port = Some(8008));
    let elsewhere = Dialogue::new(&elsewhere, &address());
    assert_eq!(
        reason(elsewhere.not_connected(Failure::Refused)),
        "10.0.0.1:8008: connection refused"
    );
    let mut half = Dialogue::new(&sends("", "220 "), &address());
    assert_eq!(half.received(b"22"), None);
    assert_eq!(
        reason(half.timed_out(true)),
        "expected \"220 \" in the answer, got \"22\" in 1 s"
    );
}

/// However an answer is cut, the verdict is the same.
#[test]
fn pieces_of_any_size_give_the_same_verdict() {
    let answers: &[&[u8]] = &[
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: x\r\n\r\nbody",
        b"HTTP/1.0 503 Service Unavailable\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"rorole:masterole",
        b"aaaaaaaaaaaaaaaaaab",
        b"drain 50%\nup",
        b"\r\n",
        b"",
    ];
    let checks = [
        http(),
        sends("hello", "role:master"),
        sends("", "aab"),
        agent(),
    ];
    let mut random = Random::new(4);
    for (answer, check) in answers
        .iter()
        .flat_map(|it| checks.iter().map(move |check| (it, check)))
    {
        let whole = all_at_once(check, answer);
        let by_one = verdict_of(check, answer.chunks(1));
        // What is shown of an answer that is no HTTP depends on how much has come.
        let is_same = |text: &str| text.split(", got").next() == whole.split(", got").next();
        assert!(is_same(&reason(by_one)), "{check:?}: {whole}");
        for _ in 0..20 {
            let mut pieces = Vec::new();
            let mut rest = *answer;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + random.index(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            assert!(
                is_same(&reason(verdict_of(check, pieces))),
                "{check:?}: {whole}"
            );
        }
    }
}

#[test]
fn an_answer_is_looked_at_up_to_16_kib() {
    let found = |before: usize| {
        let answer = [b"a".repeat(before), b"needle".to_vec()].concat();
        verdict_of(&sends("", "needle"), answer.chunks(1000)) == Verdict::Passed
    };
    assert!(found(MOST_ANSWER_BYTES - 6));
    assert!(!found(MOST_ANSWER_BYTES - 5));
    let endless = std::iter::repeat(&b"a"[..]);
    let expected = "in the first 16384 bytes of the answer, got \"aaaa";
    assert!(reason(verdict_of(&sends("", "b"), endless.clone())).contains(expected));
    assert!(reason(verdict_of(&agent(), endless)).starts_with("nothing: "));
    let lines = std::iter::repeat(&b"HTTP/1.1 100 Continue\r\n\r\n"[..]);
    assert!(reason(verdict_of(&http(), lines)).starts_with("expected status 200-399 of GET / in"));
}

#[test]
fn an_agent_is_asked_and_its_first_line_counts() {
    let asks = check(CheckKind::Agent, |check| {
        (check.port, check.send) = (Some(9777), "state?\\n".parse().unwrap());
    });
    let mut dialogue = Dialogue::new(&asks, &address());
    assert_eq!(
        (dialogue.connected(), dialogue.unsent()),
        (None, &b"state?\n"[..])
    );
    assert_eq!(dialogue.sent(99), None);
    let report = Verdict::Report(AgentReport::parse(b"drain 50%"));
    assert_eq!(dialogue.received(b"drain"), None);
    assert_eq!(dialogue.received(b" 50%\r\nup\n"), Some(report));
}

#[test]
fn a_host_at_a_unix_socket_is_checked_there_or_at_a_port_of_this_machine() {
    let host = Address::Unix(std::path::Path::new("/run/a").into());
    let at = |port, ip: Option<&str>| {
        let check = Check {
            port,
            ip: ip.map(|ip| ip.parse().unwrap()),
            ..Check::default()
        };
        check_address(&check, &host).to_string()
    };
    assert_eq!(at(None, None), "unix:/run/a");
    assert_eq!(at(None, Some("10.0.0.1")), "unix:/run/a");
    assert_eq!(at(Some(80), None), "127.0.0.1:80");
    assert_eq!(at(Some(80), Some("10.0.0.1")), "10.0.0.1:80");
    let request = http::request(&Check::default(), &host);
    assert!(request.contains("\r\nHost: localhost\r\n"), "{request}");
}
