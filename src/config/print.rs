//! The configuration in effect, as XML, and how an element is written at all.
//!
//! Printing writes every value out, defaults included, except password hashes: it
//! is for people to read, not for saving. A saved file keeps its own text; what is
//! new in it is written here too.

use std::fmt::{self, Write as _};

use super::Config;
use super::serialize::{self, Attribute, Content, Form};
use crate::non_printing::letters;

/// What stands for a password.
pub(super) const HIDDEN: &str = "***";

/// The configuration as XML, in the order of txlb.xml(5), each password as `***`.
///
/// Reading it gives the same configuration, passwords aside.
pub fn print(config: &Config) -> String {
    let mut shown = config.clone();
    let users = shown.admin.iter_mut().flat_map(|admin| &mut admin.users);
    for password in users.filter_map(|user| user.password.as_mut()) {
        HIDDEN.clone_into(password);
    }
    let style = Style {
        line_end: "\n",
        unit: "  ",
        defaults: true,
    };
    let mut text = style.written(&serialize::config(&shown), "");
    text.push('\n');
    text
}

/// How elements are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style<'a> {
    /// What ends a line; nothing puts everything on one.
    pub(super) line_end: &'a str,
    /// One level of indentation.
    pub(super) unit: &'a str,
    /// Whether values are written that would be the same if left out.
    pub(super) defaults: bool,
}

impl Style<'_> {
    /// An element whose first line is indented already, by `indentation`.
    pub(super) fn written(&self, form: &Form, indentation: &str) -> String {
        let mut out = String::new();
        self.write(form, indentation, &mut out);
        out
    }

    fn write(&self, form: &Form, indentation: &str, out: &mut String) {
        let Form { name, content, .. } = form;
        *out += &format!("<{name}");
        let needed = |it: &&Attribute| self.defaults || !it.is_default;
        for attribute in form.attributes.iter().filter(needed) {
            if let Some(value) = &attribute.value {
                *out += &format!(" {}=\"{}\"", attribute.name, Escaped(value, '"'));
            }
        }
        match content {
            Content::Text(text) => *out += &format!(">{}</{name}>", Escaped(text, '"')),
            Content::Elements(children) if children.is_empty() => *out += "/>",
            Content::Elements(children) => {
                out.push('>');
                let inner = self.inside(indentation);
                for child in children {
                    *out += &self.lead(&inner);
                    self.write(child, &inner, out);
                }
                *out += &self.lead(indentation);
                *out += &format!("</{name}>");
            }
        }
    }

    /// The indentation one level further in.
    pub(super) fn inside(&self, indentation: &str) -> String {
        format!("{indentation}{}", self.unit)
    }

    /// What precedes an element that is indented so.
    pub(super) fn lead(&self, indentation: &str) -> String {
        match self.line_end {
            "" => String::new(),
            line_end => format!("{line_end}{indentation}"),
        }
    }
}

/// Text as XML has it in an element, or between such quotes. A line end or a tab
/// would be read as a blank, were it not a reference; nor can others be seen.
pub(super) struct Escaped<'a>(pub(super) &'a str, pub(super) char);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Escaped(text, quote) = self;
        letters(text).try_for_each(|letter| match letter {
            ('&', _) => f.write_str("&amp;"),
            ('<', _) => f.write_str("&lt;"),
            ('>', _) => f.write_str("&gt;"),
            ('"', _) if *quote == '"' => f.write_str("&quot;"),
            ('\'', _) if *quote == '\'' => f.write_str("&apos;"),
            (character, true) => write!(f, "&#{};", u32::from(character)),
            (character, false) => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    //! Tests of printing: what is read again is what was printed.

    use super::*;
    use std::time::Duration;

    use crate::config::random::Random;
    use crate::config::{
        Access, Admin, Algorithm, Control, Endpoint, Group, Host, HostState, ListenAddress,
        ListenHost, Scheduler, Service, Ssh, Timeouts, User, arbitrary, read,
    };

    #[test]
    fn what_is_printed_reads_as_what_was_there() {
        let mut random = Random::new(3);
        for _ in 0..300 {
            let mut config = arbitrary::config(&mut random);
            for user in config.admin.iter_mut().flat_map(|admin| &mut admin.users) {
                user.password = Some("***".to_owned());
            }
            let printed = print(&config);
            let reading =
                read(printed.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{printed}"));
            assert_eq!(reading.config, config, "{printed}");
        }
    }

    #[test]
    fn the_print_shows_every_value_and_no_password() {
        let name = "<&\"'>\u{a0}ü".to_owned();
        let host = Host {
            name: "one".to_owned(),
            address: Endpoint::Name {
                host: "lorien".to_owned(),
                port: 80,
            },
            weight: 1,
            state: HostState::Up,
        };
        let scheduler = Scheduler {
            algorithm: Algorithm::LeastConns,
            sticky: true,
        };
        let groups = vec![Group {
            name: "g".to_owned(),
            scheduler,
            sticky_prefix: 64,
            hosts: vec![host],
        }];
        let listens = vec![ListenAddress {
            host: ListenHost::Any,
            port: 8080,
        }];
        let timeouts = Timeouts {
            idle: Some(Duration::from_millis(1500)),
            ..Timeouts::default()
        };
        let service = Service {
            name,
            timeouts,
            listens,
            groups,
            enabled: "g".to_owned(),
        };
        let user = User {
        name: "ann".to_owned(),
        password: Some("secret".to_owned()),
        access: Access::ReadOnly,
        keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB <ann>".to_owned()],
    };
        let admin = Admin {
            ssh: Some(Ssh {
                listen: None,
                enable: false,
            }),
            users: vec![user],
            web: None,
        };
        let control = Some(Control::at("a\tb"));
        let config = Config {
            services: vec![service],
            admin: Some(admin),
            control,
            ..Config::default()
        };
        assert_eq!(print(&config), PRINTED);
    }

    const PRINTED: &str = r#"<config>
  <service name="&lt;&amp;&quot;'&gt; ü" connectTimeout="5" idleTimeout="1.5" halfClosedTimeout="300">
    <listen ip="*:8080"/>
    <group name="g" scheduler="leastc,sticky" stickyPrefix="64" enable="true">
      <host name="one" ip="lorien:80" weight="1" state="up"/>
    </group>
  </service>
  <admin>
    <ssh listen="None" enable="false"/>
    <user name="ann" password="***" access="readonly">
      <key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB &lt;ann&gt;</key>
    </user>
  </admin>
  <manager>
    <hostCheck interval="10" enable="true"/>
    <configCheck interval="30" enable="false"/>
    <heartbeat interval="60" enable="false"/>
  </manager>
  <control socket="a&#9;b" amp="true" ampMode="0660"/>
  <logging connections="false"/>
</config>
"#;
}
