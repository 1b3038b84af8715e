//! How the connection log is written: in HAProxy's layout, as JSON, or by a template of fields.
//!
//! The fields of a session are declared once, here: their names are the keys in JSON, and stand
//! between `%{` and `}` in a template.

use std::fmt;

use super::error::{Error, ErrorKind, nearest};
use super::value::Value;

/// The format of the connection log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// HAProxy's tcplog layout.
    #[default]
    Tcplog,
    /// A JSON object a line, with every field. Other lines of the log are objects, too.
    Json,
    /// Text with fields.
    Template(Template),
}

/// Text with fields of a session: at least one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<TemplatePart>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text, as it is.
    Text(String),
    /// The value of a field.
    Field(SessionField),
}

/// Why a text is no log format.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormatError {
    /// It is neither a word for a format nor a template.
    Unknown,
    /// It is longer than [`LogFormat::LONGEST`].
    TooLong,
    /// A `%` that begins neither a field nor `%%`.
    LonePercent,
    /// A field that does not exist.
    UnknownField {
        /// Its name, as written.
        found: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
}

/// Declares the fields: variant, name, and what it says.
macro_rules! session_fields {
    ($($variant:ident $name:literal $help:literal,)+) => {
        /// What may be logged of a session that has ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum SessionField {
            $(#[doc = $help] $variant,)+
        }

        impl SessionField {
            /// All of them, in the order of JSON.
            pub const ALL: &[SessionField] = &[$(SessionField::$variant,)+];

            /// Its name, which never changes.
            pub fn name(self) -> &'static str {
                match self {
                    $(SessionField::$variant => $name,)+
                }
            }
        }
    };
}

session_fields! {
    Instance "instance" "What this txlb is called.",
    Id "id" "The session's number, in hexadecimal digits; no other session of the process has it.",
    Service "service" "The service.",
    Group "group" "The group.",
    Host "host" "The host; none if no host accepted.",
    Client "client" "The client's address; after a PROXY protocol header, the header's.",
    Via "via" "Where the connection itself came from, if a header named another address.",
    Listener "listener" "Where the client connected to.",
    Source "source" "Where the connection to the host came from.",
    HostAddress "host_address" "The host's address.",
    ServerName "server_name" "The name that the TLS client asked for, where routes look at it.",
    Accepted "accepted" "When the client was accepted, in UTC.",
    ConnectMs "connect_ms" "Milliseconds from then until the host accepted.",
    TotalMs "total_ms" "Milliseconds from then until the end.",
    BytesToHost "bytes_to_host" "Bytes sent to the host.",
    BytesToClient "bytes_to_client" "Bytes sent to the client.",
    Tried "tried" "Hosts that were tried and failed this client, in order.",
    Retries "retries" "How many attempts failed.",
    SeenBy "seen_by" "How many hosts saw what the client said, if several did.",
    Reason "reason" "Why the session ended, as in the metrics.",
    State "state" "The same as HAProxy's two letters.",
    Open "open" "Sessions open then, with this one.",
    OpenOfService "open_service" "Those of its service.",
    OpenOfGroup "open_group" "Those of its group.",
    OpenOfHost "open_host" "Those of its host.",
}

impl SessionField {
    fn named(name: &str) -> Option<SessionField> {
        let mut all = SessionField::ALL.iter().copied();
        all.find(|field| field.name() == name)
    }
}

impl LogFormat {
    /// The most bytes of a template.
    pub const LONGEST: usize = 4096;

    /// The formats that are words.
    pub(super) const WORDS: [&str; 2] = ["tcplog", "json"];

    /// Parses `tcplog`, `json` or a template.
    ///
    /// # Errors
    /// It is none of these.
    pub(super) fn parse(text: &str) -> Result<LogFormat, LogFormatError> {
        match text {
            "tcplog" => return Ok(LogFormat::Tcplog),
            "json" => return Ok(LogFormat::Json),
            text if text.len() > LogFormat::LONGEST => return Err(LogFormatError::TooLong),
            _ => {}
        }
        let parts = template_parts(text)?;
        let is_field = |part: &TemplatePart| matches!(part, TemplatePart::Field(_));
        match parts.iter().any(is_field) {
            true => Ok(LogFormat::Template(Template {
                text: text.to_owned(),
                parts,
            })),
            false => Err(LogFormatError::Unknown),
        }
    }
}

impl Value<'_> {
    /// The format of the connection log.
    pub(super) fn log_format(&self) -> Result<LogFormat, Error> {
        LogFormat::parse(self.text).map_err(|error| {
            self.error(ErrorKind::LogFormat {
                of: self.of,
                found: self.text.to_owned(),
                error,
            })
        })
    }
}

/// Takes a template apart.
fn template_parts(text: &str) -> Result<Vec<TemplatePart>, LogFormatError> {
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            plain.push('%');
            rest = after;
            continue;
        }
        let field = after.strip_prefix('{').and_then(|it| it.split_once('}'));
        let (name, after) = field.ok_or(LogFormatError::LonePercent)?;
        let field = SessionField::named(name).ok_or_else(|| LogFormatError::UnknownField {
            found: name.to_owned(),
            nearest: nearest(name, SessionField::ALL.iter().map(|field| field.name())),
        })?;
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
        }
        parts.push(TemplatePart::Field(field));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(TemplatePart::Text(plain));
    }
    Ok(parts)
}

impl Template {
    /// Its text and fields, in order.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }
}

/// As in a file.
impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Tcplog => "tcplog",
            LogFormat::Json => "json",
            LogFormat::Template(template) => &template.text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<TemplatePart> {
        match LogFormat::parse(text) {
            Ok(LogFormat::Template(template)) => template.parts().to_vec(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_template_is_text_with_fields() {
        let (text, field) = (
            |text: &str| TemplatePart::Text(text.to_owned()),
            TemplatePart::Field,
        );
        assert_eq!(
            parts("%{client}%{host}"),
            [field(SessionField::Client), field(SessionField::Host)]
        );
        assert_eq!(
            parts("100%% {x} of %{bytes_to_host}!"),
            [
                text("100% {x} of "),
                field(SessionField::BytesToHost),
                text("!")
            ]
        );
    }

    #[test]
    fn formats_are_spelled_as_they_are_read() {
        for format in ["tcplog", "json", "a %% %{reason}"] {
            assert_eq!(LogFormat::parse(format).unwrap().to_string(), format);
        }
        for field in SessionField::ALL {
            assert_eq!(SessionField::named(field.name()), Some(*field));
        }
    }

    #[test]
    fn what_is_no_format_is_refused_with_its_reason() {
        let unknown = |found: &str, nearest| LogFormatError::UnknownField {
            found: found.to_owned(),
            nearest,
        };
        for (text, error) in [
            ("jsno", LogFormatError::Unknown),
            ("", LogFormatError::Unknown),
            ("50%", LogFormatError::LonePercent),
            ("%{client", LogFormatError::LonePercent),
            ("%{clientt}", unknown("clientt", Some("client"))),
            ("%{}", unknown("", None)),
            (&"x".repeat(LogFormat::LONGEST + 1), LogFormatError::TooLong),
        ] {
            assert_eq!(LogFormat::parse(text), Err(error), "{text}");
        }
    }
}
