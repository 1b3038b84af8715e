//! The configuration in effect, as XML.
//!
//! Every value is written out, defaults included, except password hashes. This is
//! for people to read, not for saving: a saved file keeps its own text.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::{
    Admin, Chore, Config, Group, Host, ListenAddress, Logging, Manager, Service, Ssh, User, Web,
};

/// What stands for a password.
const HIDDEN: &str = "***";

/// The configuration as XML, in the order of txlb.xml(5), each password as `***`.
///
/// Reading it gives the same configuration, passwords aside.
pub fn print(config: &Config) -> String {
    let mut out = Printer {
        out: String::new(),
        depth: 0,
    };
    out.open("config", &[]);
    for service in &config.services {
        out.service(service);
    }
    if let Some(admin) = &config.admin {
        out.admin(admin);
    }
    out.manager(&config.manager);
    if let Some(control) = &config.control {
        out.empty("control", &[("socket", path(&control.socket))]);
    }
    out.logging(&config.logging);
    out.close("config");
    out.out
}

/// An attribute and its value.
type Attribute = (&'static str, String);

struct Printer {
    out: String,
    depth: usize,
}

impl Printer {
    fn service(&mut self, service: &Service) {
        let timeouts = service.timeouts;
        let attributes = [
            ("name", service.name.clone()),
            ("connectTimeout", seconds(timeouts.connect)),
            ("idleTimeout", seconds(timeouts.idle)),
            ("halfClosedTimeout", seconds(timeouts.half_closed)),
        ];
        self.open("service", &attributes);
        for listen in &service.listens {
            self.empty("listen", &[("ip", listen.to_string())]);
        }
        for group in &service.groups {
            self.group(group, group.name == service.enabled);
        }
        self.close("service");
    }

    fn group(&mut self, group: &Group, enabled: bool) {
        let attributes = [
            ("name", group.name.clone()),
            ("scheduler", group.scheduler.to_string()),
            ("enable", enabled.to_string()),
        ];
        if group.hosts.is_empty() {
            return self.empty("group", &attributes);
        }
        self.open("group", &attributes);
        for host in &group.hosts {
            self.host(host);
        }
        self.close("group");
    }

    fn host(&mut self, host: &Host) {
        let attributes = [
            ("name", host.name.clone()),
            ("ip", host.address.to_string()),
            ("weight", host.weight.to_string()),
            ("state", host.state.as_str().to_owned()),
        ];
        self.empty("host", &attributes);
    }

    fn admin(&mut self, admin: &Admin) {
        self.open("admin", &[]);
        if let Some(web) = &admin.web {
            self.web(web);
        }
        if let Some(Ssh { listen, enable }) = &admin.ssh {
            self.empty(
                "ssh",
                &[
                    ("listen", door(listen.as_ref())),
                    ("enable", enable.to_string()),
                ],
            );
        }
        for user in &admin.users {
            self.user(user);
        }
        self.close("admin");
    }

    fn web(&mut self, web: &Web) {
        let mut attributes = vec![
            ("listen", door(web.listen.as_ref())),
            ("enable", web.enable.to_string()),
            ("secure", web.secure.to_string()),
            ("refresh", seconds(web.refresh)),
        ];
        attributes.extend(web.cert.as_deref().map(|file| ("cert", path(file))));
        attributes.extend(web.key.as_deref().map(|file| ("key", path(file))));
        if !web.names.is_empty() {
            attributes.push(("names", web.names.join(" ")));
        }
        self.empty("web", &attributes);
    }

    fn user(&mut self, user: &User) {
        let mut attributes = vec![("name", user.name.clone())];
        attributes.extend(
            user.password
                .as_ref()
                .map(|_| ("password", HIDDEN.to_owned())),
        );
        attributes.push(("access", user.access.as_str().to_owned()));
        if user.keys.is_empty() {
            return self.empty("user", &attributes);
        }
        self.open("user", &attributes);
        for key in &user.keys {
            self.line(format_args!("<key>{}</key>", Escaped(key)));
        }
        self.close("user");
    }

    fn manager(&mut self, manager: &Manager) {
        self.open("manager", &[]);
        self.chore("hostCheck", manager.host_check);
        self.chore("configCheck", manager.config_check);
        self.chore("heartbeat", manager.heartbeat);
        self.close("manager");
    }

    fn chore(&mut self, name: &str, chore: Chore) {
        let interval = seconds(Some(chore.interval));
        self.empty(
            name,
            &[("interval", interval), ("enable", chore.enable.to_string())],
        );
    }

    fn logging(&mut self, logging: &Logging) {
        let mut attributes: Vec<_> = logging
            .file
            .as_deref()
            .map(|file| ("file", path(file)))
            .into_iter()
            .collect();
        attributes.push(("connections", logging.connections.to_string()));
        self.empty("logging", &attributes);
    }

    fn open(&mut self, name: &str, attributes: &[Attribute]) {
        self.line(format_args!("<{name}{}>", Attributes(attributes)));
        self.depth += 1;
    }

    fn empty(&mut self, name: &str, attributes: &[Attribute]) {
        self.line(format_args!("<{name}{}/>", Attributes(attributes)));
    }

    fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.line(format_args!("</{name}>"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        const INDENT: usize = 2;
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{:1$}{line}", "", INDENT * self.depth);
    }
}

struct Attributes<'a>(&'a [Attribute]);

impl fmt::Display for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name}=\"{}\"", Escaped(value)))
    }
}

/// Text as XML has it in an attribute or an element. A line end or a tab would be
/// read as a blank, were it not a reference.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(character)),
            _ => f.write_char(character),
        })
    }
}

fn seconds(duration: Option<Duration>) -> String {
    let duration = duration.unwrap_or_default();
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn door(listen: Option<&ListenAddress>) -> String {
    listen.map_or_else(|| "None".to_owned(), ToString::to_string)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
