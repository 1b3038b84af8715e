//! An HTTP client that sends exactly what a test says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client::connect;
use super::config::web_service;
use super::txlb::Txlb;

/// A user `admin` with the password `admin`, and a read-only `guest` with the password `guest`.
pub(crate) const USERS: &str = "<user name=\"admin\" password=\"..xpoEyRReGzk\" access=\"full\"/>\
     <user name=\"guest\" password=\"$1$guestgue$0ifPtxIKp36EncYzV2k8U.\" access=\"readonly\"/>";

/// `admin:admin` for HTTP Basic.
pub(crate) const ADMIN: &str = "Basic YWRtaW46YWRtaW4=";

/// `guest:guest` for HTTP Basic.
pub(crate) const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn read(mut stream: impl Read) -> Reply {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        // A compressed body is no text.
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Reply {
            status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    address: SocketAddr,
    method: &'static str,
    path: String,
    host: String,
    headers: String,
    body: String,
}

impl HttpRequest {
    pub(crate) fn get(address: SocketAddr, path: &str) -> HttpRequest {
        HttpRequest {
            address,
            method: "GET",
            path: path.to_owned(),
            host: address.to_string(),
            headers: String::new(),
            body: String::new(),
        }
    }

    /// A request that posts a form.
    pub(crate) fn post(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> HttpRequest {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let kind = "application/x-www-form-urlencoded";
        HttpRequest {
            method: "POST",
            body: fields.join("&"),
            ..HttpRequest::get(address, path).with("Content-Type", kind)
        }
    }

    /// The same request to another path.
    pub(crate) fn at(&self, path: &str) -> HttpRequest {
        HttpRequest {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// The same request to another server.
    pub(crate) fn through(self, address: SocketAddr) -> HttpRequest {
        HttpRequest { address, ..self }
    }

    pub(crate) fn method(self, method: &'static str) -> HttpRequest {
        HttpRequest { method, ..self }
    }

    pub(crate) fn host(self, host: &str) -> HttpRequest {
        HttpRequest {
            host: host.to_owned(),
            ..self
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> HttpRequest {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    /// The same request with these credentials.
    pub(crate) fn by(self, authorization: &str) -> HttpRequest {
        self.with("Authorization", authorization)
    }

    pub(crate) fn send(&self) -> Reply {
        self.send_on(connect(self.address))
    }

    pub(crate) fn send_on(&self, mut stream: TcpStream) -> Reply {
        let HttpRequest {
            method,
            path,
            host,
            headers,
            body,
            ..
        } = self;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n\
             {body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        Reply::read(stream)
    }
}

/// Sends these bytes and reads the response.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    Reply::read(stream)
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A configuration with a service "web" and an admin page.
pub(crate) fn with_page(hosts: &[SocketAddr], attributes: &str, inside: &str) -> String {
    format!(
        "<config>{}<admin><web listen=\"127.0.0.1:0\" {attributes}/>{inside}</admin></config>",
        web_service("", "roundr", hosts)
    )
}

/// The address of the admin page, from the log.
pub(crate) fn page_of(txlb: &Txlb) -> SocketAddr {
    let lines = txlb.seen.iter().rev();
    let mut urls = lines.filter_map(|line| line.split_once("the admin page is at "));
    let (_, url) = urls.next().unwrap_or_else(|| panic!("{:?}", txlb.seen));
    let place = url.split("//").nth(1).and_then(|it| it.split('/').next());
    place.unwrap().parse().unwrap()
}
