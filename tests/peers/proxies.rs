//! The admin page behind real proxies, set up as txlb(8) says.
//!
//! Ignored unless asked for, for they need Debian's nginx, apache2-bin and caddy. That a
//! browser's page works there was looked at by hand.
#![cfg(feature = "web")]

use std::net::SocketAddr;
use std::process::Command;

use crate::support::http::{ADMIN, HttpRequest, Reply};
use crate::support::page::Page;
use crate::support::peer::{Peer, free_address};
use crate::support::txlb::{Folder, text};

const MANUAL: &str = include_str!("../../man/txlb.8");

/// What the manual says for this proxy, with the page's address.
fn from_manual(proxy: &str, page: SocketAddr) -> String {
    let (_, rest) = MANUAL.split_once(".Ss Behind a reverse proxy").unwrap();
    let (_, rest) = rest
        .split_once(&format!("\nIn {proxy}, inside of"))
        .unwrap();
    let (_, rest) = rest.split_once(".Bd -literal -offset indent\n").unwrap();
    let (snippet, _) = rest.split_once(".Ed").unwrap();
    assert!(snippet.contains("127.0.0.1:7001"), "{snippet}");
    snippet.replace("127.0.0.1:7001", &page.to_string())
}

/// A client of the page that goes through a proxy.
struct Client {
    proxy: SocketAddr,
}

impl Client {
    fn ask(&self, ask: HttpRequest) -> Reply {
        let host = format!("lb.example.org:{}", self.proxy.port());
        let ask = ask.through(self.proxy).host(&host).by(ADMIN);
        ask.with("Connection", "close").send()
    }

    fn look(&self, path: &str) -> Reply {
        self.ask(HttpRequest::get(self.proxy, path))
    }
}

/// Looks at the page and presses a button, as browsers do that say where they come from
/// in the one way and in the other.
fn page_works(page: &Page, proxy: SocketAddr) {
    let client = Client { proxy };
    let moved = client.look("/lb");
    assert!([301, 302].contains(&moved.status), "{moved:?}");
    assert!(moved.header("Location").unwrap().ends_with("/lb/"));
    for path in ["/lb/", "/lb/style.css", "/lb/api/status", "/lb/stats;csv"] {
        assert_eq!(client.look(path).status, 200, "{path}");
    }
    let token = page.hidden("token");
    let origin = format!("https://lb.example.org:{}", proxy.port());
    for (header, value, status) in [
        ("Sec-Fetch-Site", "same-origin", 303),
        ("Origin", origin.as_str(), 303),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Origin", "https://evil.example", 403),
    ] {
        let generation = page.generation().to_string();
        let press = page.button("setWeight", &token, &generation);
        let press = press.at("/lb/do?refresh=5");
        let reply = client.ask(press.with(header, value));
        assert_eq!(reply.status, status, "{header}: {value}: {reply:?}");
        if status == 303 {
            let next = reply.header("Location").unwrap();
            assert!(
                next.starts_with("./?notice=") && next.ends_with("&refresh=5"),
                "{next}"
            );
            let shown = client.look(&format!("/lb/{}", &next[2..]));
            assert!(shown.body.contains("Done: setWeight"), "{shown:?}");
        }
    }
}

#[test]
#[ignore = "needs nginx"]
fn it_works_behind_nginx() {
    let (page, folder, proxy) = (Page::open(), Folder::new(), free_address());
    let servers = format!(
        "server {{ listen {proxy};\n{} }}",
        from_manual("nginx", page.address)
    );
    let _nginx = Peer::nginx(&folder, "nginx", &servers, proxy);
    page_works(&page, proxy);
}

#[test]
#[ignore = "needs apache2-bin"]
fn it_works_behind_apache() {
    let (page, folder, proxy) = (Page::open(), Folder::new(), free_address());
    let place = text(folder.path());
    let modules: String = ["mpm_event", "authz_core", "alias", "proxy", "proxy_http"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let config = format!(
        "ServerName lb.example.org\nPidFile {place}/pid\nErrorLog {place}/error.log\n\
         DefaultRuntimeDir {place}\nListen {proxy}\n{modules}\
         <VirtualHost {proxy}>\n{}</VirtualHost>\n",
        from_manual("Apache", page.address)
    );
    let file = folder.write("apache.conf", config);
    let options = ["-X", "-d", place, "-f", text(&file)];
    let _apache = Peer::start("apache2", &options, proxy);
    page_works(&page, proxy);
}

#[test]
#[ignore = "needs caddy"]
fn it_works_behind_caddy() {
    let (page, folder, proxy) = (Page::open(), Folder::new(), free_address());
    let config = format!(
        "{{\n\tadmin off\n}}\nhttp://lb.example.org:{} {{\n\tbind 127.0.0.1\n{}}}\n",
        proxy.port(),
        from_manual("Caddy", page.address)
    );
    let file = folder.write("Caddyfile", config);
    let mut caddy = Command::new("caddy");
    caddy
        .args(["run", "--adapter", "caddyfile", "--config", text(&file)])
        .env("XDG_DATA_HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path());
    let _caddy = Peer::start_by(caddy, proxy);
    page_works(&page, proxy);
}
