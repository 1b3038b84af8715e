//! The connection log: one line for each session, in HAProxy's tcplog layout, with HAProxy's names.
//!
//! Source: "TCP log format" in HAProxy's configuration manual. The frontend is the service, the
//! backend is `service:group`, the server is the host.

use std::fmt::{self, Write};

use crate::calendar::UtcTime;
use crate::relay::failure::EndReason;
use crate::relay::session_record::SessionRecord;

/// The line of one session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TcpLogLine<'a> {
    pub(crate) session: &'a SessionRecord<'a>,
    /// When the client was accepted, in milliseconds since 1970.
    pub(crate) accepted_wall_ms: u64,
    pub(crate) reason: EndReason,
    /// Sessions open when this one ended, including it: in all, of the service, of the group, of
    /// the host.
    pub(crate) open: [u64; 4],
}

impl fmt::Display for TcpLogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TcpLogLine {
            session, reason, ..
        } = self;
        let (ip, port) = (session.client.ip().to_canonical(), session.client.port());
        let date = UtcTime::of(self.accepted_wall_ms).haproxy();
        write!(f, "{ip}:{port} [{date}] {} ", Escaped(session.service))?;
        write!(f, "{}/", Backend(session.service, session.group))?;
        match &session.host {
            Some(host) => write!(f, "{}", Escaped(host))?,
            None => f.write_str("<NOSRV>")?,
        }
        match session.connect_ms {
            Some(connect_ms) => write!(f, " 0/{connect_ms}/{}", session.age_ms)?,
            None => write!(f, " -1/-1/{}", session.age_ms)?,
        }
        let state = reason.termination_state(session.connect_ms.is_some());
        let (bytes, [all, service, group, host]) = (session.bytes_to_client, self.open);
        write!(f, " {bytes} {state} {all}/{service}/{group}/{host}/")?;
        // The plus says that another host accepted the session in the end.
        match session.retries {
            0 => f.write_char('0')?,
            retries if session.host.is_none() => write!(f, "{retries}")?,
            retries => write!(f, "+{retries}")?,
        }
        f.write_str(" 0/0")?;
        // What HAProxy's layout has no place for follows it, where there is any.
        if let Some(name) = session.server_name {
            write!(f, " sni={}", Escaped(name))?;
        }
        if let Some(via) = session.via {
            write!(f, " via={}:{}", via.ip().to_canonical(), via.port())?;
        }
        match session.seen_by {
            Some(hosts) => write!(f, " seen_by={hosts}"),
            None => Ok(()),
        }
    }
}

/// A name in which spaces, slashes, control characters and percent signs are written as `%XX`. The
/// caller adds the quotes or commas of its format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if matches!(character, ' ' | '/' | '%') || character.is_control() {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// A group as HAProxy's backend: the names of its service and its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backend<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl fmt::Display for Backend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Escaped(self.0), Escaped(self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionRecord<'static> {
        SessionRecord {
            id: 1,
            client: "10.0.1.2:33313".parse().unwrap(),
            via: None,
            server_name: None,
            service: "web",
            group: "main",
            host: Some("one".to_owned()),
            host_address: None,
            started_ms: 0,
            connect_ms: Some(3),
            age_ms: 5007,
            bytes_to_host: 0,
            bytes_to_client: 212,
            retries: 0,
            seen_by: None,
        }
    }

    fn line(session: &SessionRecord<'_>, reason: EndReason) -> String {
        let line = TcpLogLine {
            session,
            accepted_wall_ms: 1_795_366_978_443,
            reason,
            open: [4, 3, 2, 1],
        };
        line.to_string()
    }

    #[test]
    fn a_session_is_one_line_as_haproxy_writes_it() {
        assert_eq!(
            line(&session(), EndReason::Finished),
            "10.0.1.2:33313 [22/Nov/2026:17:02:58.443] web web:main/one 0/3/5007 212 -- 4/3/2/1/0 0/0"
        );
    }

    #[test]
    fn a_session_without_a_host_says_so() {
        let session = SessionRecord {
            client: "[::ffff:10.0.1.2]:33313".parse().unwrap(),
            host: None,
            connect_ms: None,
            bytes_to_client: 0,
            retries: 2,
            ..session()
        };
        assert_eq!(
            line(&session, EndReason::NoHost),
            "10.0.1.2:33313 [22/Nov/2026:17:02:58.443] web web:main/<NOSRV> -1/-1/5007 0 SC 4/3/2/1/2 0/0"
        );
    }

    #[test]
    fn names_cannot_break_the_line() {
        let session = SessionRecord {
            service: "a b/c\n%",
            host: Some("ü\u{85}".to_owned()),
            ..session()
        };
        let text = line(&session, EndReason::Finished);
        assert!(
            text.contains(" a%20b%2Fc%0A%25 a%20b%2Fc%0A%25:main/ü%C2%85 "),
            "{text}"
        );
    }

    #[test]
    fn a_name_is_one_word_and_tells_itself_from_any_other() {
        let backend = Backend("a b/c\n%", "ü\u{85}\"\\,").to_string();
        assert_eq!(backend, "a%20b%2Fc%0A%25:ü%C2%85\"\\,");
    }
}
