//! A running txlb with an admin page, and a user's requests to it.

use std::net::SocketAddr;

use super::host::Host;
use super::http::{ADMIN, HttpRequest, Reply, USERS, page_of, with_page};
use super::txlb::Txlb;

/// A balancer with the host `a`, an admin page and two users.
pub(crate) struct Page {
    pub(crate) txlb: Txlb,
    pub(crate) address: SocketAddr,
    pub(crate) host: Host,
}

impl Page {
    pub(crate) fn open() -> Page {
        Page::open_at(([127, 0, 0, 1], 0).into())
    }

    /// With the page at this address.
    pub(crate) fn open_at(address: SocketAddr) -> Page {
        let host = Host::new("a");
        let config = with_page(&[host.address()], "names=\"lb.example.org\"", USERS);
        let config = config.replace("127.0.0.1:0\" names", &format!("{address}\" names"));
        let txlb = Txlb::start(&config);
        Page {
            address: page_of(&txlb),
            txlb,
            host,
        }
    }

    /// A page as the administrator gets it.
    pub(crate) fn look(&self, path: &str) -> Reply {
        HttpRequest::get(self.address, path).by(ADMIN).send()
    }

    /// The response to a verb of the administrator.
    pub(crate) fn tell(&self, verb: &str, fields: &[(&str, &str)]) -> Reply {
        let path = format!("/api/{verb}");
        HttpRequest::post(self.address, &path, fields)
            .by(ADMIN)
            .send()
    }

    /// The generation of the configuration in force.
    pub(crate) fn generation(&self) -> u64 {
        number(&self.look("/api/status").body, "generation")
    }

    /// The value of a hidden form field.
    pub(crate) fn hidden(&self, name: &str) -> String {
        let page = self.look("/").body;
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("{page}"));
        rest.split('"').next().unwrap().to_owned()
    }

    /// Presses the button `verb` of host a, the only one, with the tick that this takes.
    pub(crate) fn button(&self, verb: &str, token: &str, generation: &str) -> HttpRequest {
        let fields = [
            ("token", token),
            ("generation", generation),
            ("verb", verb),
            ("service", "web"),
            ("group", "main"),
            ("name", "a"),
            ("weight", "7"),
            ("force", "true"),
        ];
        HttpRequest::post(self.address, "/do", &fields)
    }
}

/// The first number with this name in JSON text.
pub(crate) fn number(json: &str, name: &str) -> u64 {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
