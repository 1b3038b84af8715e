//! A line of the connection log: in HAProxy's layout, as JSON, or by a template of fields.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::SocketAddr;

use super::tcplog::{Escaped, TcpLogLine};
use crate::calendar::UtcTime;
use crate::config::{LogFormat, SessionField, Template, TemplatePart};
use crate::json::{Json, Object};
use crate::os::address::Address;

/// How sessions are logged.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionLog {
    pub(crate) format: LogFormat,
    /// What this txlb is called.
    pub(crate) instance: String,
}

impl SessionLog {
    /// Whether the format has this field. HAProxy's layout has those of [`TcpLogLine`] alone.
    pub(crate) fn has(&self, field: SessionField) -> bool {
        match &self.format {
            LogFormat::Tcplog => false,
            LogFormat::Json => true,
            LogFormat::Template(template) => template.parts().contains(&TemplatePart::Field(field)),
        }
    }
}

/// The line of one session.
#[derive(Debug)]
pub(crate) struct SessionLine<'a> {
    pub(crate) log: &'a SessionLog,
    pub(crate) line: TcpLogLine<'a>,
    /// The names of the hosts that failed this client, in order.
    pub(crate) tried: Vec<String>,
    /// Where the client connected to.
    pub(crate) listener: Option<SocketAddr>,
    /// Where the connection to the host came from.
    pub(crate) source: Option<SocketAddr>,
}

/// The value of a field.
enum FieldValue<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    List(&'a [String]),
    Nothing,
}

impl fmt::Display for SessionLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.log.format {
            LogFormat::Tcplog => write!(f, "{}", self.line),
            LogFormat::Json => {
                let fields = SessionField::ALL.iter();
                let object = fields.fold(Object::new(), |object, field| {
                    object.with(field.name(), self.value(*field))
                });
                f.write_str(&Json::from(object).into_text())
            }
            LogFormat::Template(template) => self.write_template(template, f),
        }
    }
}

impl SessionLine<'_> {
    fn write_template(&self, template: &Template, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        template.parts().iter().try_for_each(|part| match part {
            TemplatePart::Text(text) => f.write_str(text),
            TemplatePart::Field(field) => write!(f, "{}", self.value(*field)),
        })
    }

    fn value(&self, field: SessionField) -> FieldValue<'_> {
        let TcpLogLine {
            session,
            accepted_wall_ms,
            reason,
            open: [all, of_service, of_group, of_host],
        } = self.line;
        match field {
            SessionField::Instance => self.log.instance.as_str().into(),
            SessionField::Id => format!("{:x}", session.id).into(),
            SessionField::Service => session.service.into(),
            SessionField::Group => session.group.into(),
            SessionField::Host => session.host.as_deref().into(),
            SessionField::Client => Some(session.client.clone()).into(),
            SessionField::Via => session.via.clone().into(),
            SessionField::Listener => self.listener.map(Address::Ip).into(),
            SessionField::Source => self.source.map(Address::Ip).into(),
            SessionField::HostAddress => session.host_address.clone().into(),
            SessionField::ServerName => session.server_name.into(),
            SessionField::Accepted => UtcTime::of(accepted_wall_ms).iso().into(),
            SessionField::ConnectMs => session.connect_ms.into(),
            SessionField::TotalMs => Some(session.age_ms).into(),
            SessionField::BytesToHost => Some(session.bytes_to_host).into(),
            SessionField::BytesToClient => Some(session.bytes_to_client).into(),
            SessionField::Tried => FieldValue::List(&self.tried),
            SessionField::Retries => Some(session.retries as u64).into(),
            SessionField::SeenBy => session.seen_by.map(|hosts| hosts as u64).into(),
            SessionField::Reason => reason.as_str().into(),
            SessionField::State => reason
                .termination_state(session.connect_ms.is_some())
                .into(),
            SessionField::Open => Some(all).into(),
            SessionField::OpenOfService => Some(of_service).into(),
            SessionField::OpenOfGroup => Some(of_group).into(),
            SessionField::OpenOfHost => Some(of_host).into(),
        }
    }
}

/// One word, so that fields can be told apart: `-` for nothing, commas in lists.
impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::Text(text) => write!(f, "{}", Escaped(text)),
            FieldValue::Number(number) => write!(f, "{number}"),
            FieldValue::List([]) | FieldValue::Nothing => f.write_char('-'),
            FieldValue::List(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                let comma = if index > 0 { "," } else { "" };
                write!(f, "{comma}{}", Escaped(item))
            }),
        }
    }
}

impl From<FieldValue<'_>> for Json {
    fn from(value: FieldValue<'_>) -> Json {
        match value {
            FieldValue::Text(text) => text.as_ref().into(),
            FieldValue::Number(number) => number.into(),
            FieldValue::List(items) => Json::list(items.iter().map(String::as_str)),
            FieldValue::Nothing => None::<u64>.into(),
        }
    }
}

impl<'a> From<&'a str> for FieldValue<'a> {
    fn from(text: &'a str) -> Self {
        FieldValue::Text(text.into())
    }
}

impl From<String> for FieldValue<'_> {
    fn from(text: String) -> Self {
        FieldValue::Text(text.into())
    }
}

impl<'a> From<Option<&'a str>> for FieldValue<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(FieldValue::Nothing, Into::into)
    }
}

impl From<Option<u64>> for FieldValue<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(FieldValue::Nothing, FieldValue::Number)
    }
}

impl From<Option<Address>> for FieldValue<'_> {
    fn from(address: Option<Address>) -> Self {
        let text = |address: Address| match address {
            Address::Ip(it) => SocketAddr::new(it.ip().to_canonical(), it.port()).to_string(),
            Address::Unix(_) => address.to_string(),
        };
        address.map_or(FieldValue::Nothing, |it| text(it).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use crate::relay::failure::EndReason;
    use crate::relay::session_record::SessionRecord;

    fn session() -> SessionRecord<'static> {
        SessionRecord {
            id: 0x1_0000_0000_002a,
            client: "[::ffff:10.0.1.2]:33313".parse().unwrap(),
            via: None,
            server_name: None,
            service: "we\"b",
            group: "ma in",
            host: Some("two".to_owned()),
            host_address: Some("[2001:db8::2]:80".parse().unwrap()),
            started_ms: 0,
            connect_ms: Some(3),
            age_ms: 5007,
            bytes_to_host: 71,
            bytes_to_client: 212,
            retries: 2,
            seen_by: None,
        }
    }

    fn line(format: &str, session: &SessionRecord<'_>, reason: EndReason) -> String {
        let format = format.replace('&', "&amp;").replace('"', "&quot;");
        let text = format!("<config><logging format=\"{format}\"/></config>");
        let log = SessionLog {
            format: read(text.as_bytes()).unwrap().config.logging.format,
            instance: "lb1".to_owned(),
        };
        let line = SessionLine {
            log: &log,
            line: TcpLogLine {
                session,
                accepted_wall_ms: 1_795_366_978_443,
                reason,
                open: [4, 3, 2, 1],
            },
            tried: vec!["one".to_owned(), "o,n e".to_owned()],
            listener: Some("10.0.0.9:80".parse().unwrap()),
            source: Some("[2001:db8::9]:41000".parse().unwrap()),
        };
        line.to_string()
    }

    #[test]
    fn json_has_every_field() {
        assert_eq!(
            line("json", &session(), EndReason::Finished),
            r#"{"instance":"lb1","id":"100000000002a","service":"we\"b","group":"ma in","host":"two","#
                .to_owned()
                + r#""client":"10.0.1.2:33313","via":null,"listener":"10.0.0.9:80","#
                + r#""source":"[2001:db8::9]:41000","host_address":"[2001:db8::2]:80","server_name":null,"#
                + r#""accepted":"2026-11-22T17:02:58.443Z","connect_ms":3,"total_ms":5007,"#
                + r#""bytes_to_host":71,"bytes_to_client":212,"tried":["one","o,n e"],"retries":2,"#
                + r#""seen_by":null,"reason":"finished","state":"--","open":4,"open_service":3,"#
                + r#""open_group":2,"open_host":1}"#
        );
    }

    #[test]
    fn each_field_of_a_template_is_one_word() {
        let template =
            "%{client}>%{service}/%{group} %{tried} %{via} %{bytes_to_host} 100%% %{state}";
        assert_eq!(
            line(template, &session(), EndReason::HostReset),
            "10.0.1.2:33313>we\"b/ma%20in one,o,n%20e - 71 100% SD"
        );
        let session = SessionRecord {
            host: None,
            connect_ms: None,
            ..session()
        };
        assert_eq!(
            line(
                "%{host} %{connect_ms} %{reason}",
                &session,
                EndReason::NoHost
            ),
            "- - no_host"
        );
    }
}
