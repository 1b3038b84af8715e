//! `each` of a host: a host for each member that a name has, and which members these are.
//!
//! The file has the host with the name alone, the template. Its members are hosts like others,
//! named `web@10.0.0.1`; what they are comes from a name server.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::error::{Error, ErrorKind};
use super::value::Value;
use super::{Endpoint, Group, Host, HostState};

/// Whether a host stands for the members of a name, and what tells of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Each {
    /// It is one host.
    #[default]
    No,
    /// There is a host for each address of the name: records A and AAAA.
    Address,
    /// There is a host for each record SRV of the name, with port, weight and priority from it.
    Srv,
}

impl Each {
    /// Every value.
    pub const ALL: [Each; 3] = [Each::No, Each::Address, Each::Srv];

    /// The word for it in files and verbs.
    pub fn as_str(self) -> &'static str {
        match self {
            Each::No => "false",
            Each::Address => "true",
            Each::Srv => "srv",
        }
    }
}

/// Why `each` does not go with the address of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EachError {
    /// The host has an address, which has no members.
    Address,
    /// The host has a port, but the records tell the ports.
    Port,
}

impl fmt::Display for EachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EachError::Address => {
                "each needs a name in ip, such as web.example.org:80: an address has no members"
            }
            EachError::Port => {
                "each=\"srv\" takes the ports from the records: write the name in ip without a port, \
                 such as _http._tcp.example.org"
            }
        })
    }
}

impl From<EachError> for ErrorKind {
    fn from(error: EachError) -> Self {
        ErrorKind::Each(error)
    }
}

impl Value<'_> {
    /// A boolean, or `srv`.
    pub(super) fn each(&self) -> Result<Each, Error> {
        match self.boolean_word() {
            Some(false) => Ok(Each::No),
            Some(true) => Ok(Each::Address),
            None if self.text == Each::Srv.as_str() => Ok(Each::Srv),
            None => Err(self.bad_value("true, false or srv")),
        }
    }
}

/// A member that a name server told of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Its address.
    pub ip: IpAddr,
    /// The record SRV that led to it; `None` for an address of the name itself.
    pub srv: Option<SrvRecord>,
}

/// A record SRV.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SrvRecord {
    /// Which are used first: lower ones.
    pub priority: u16,
    /// Name of the machine, in lower case, without a dot at its end.
    pub target: String,
    /// The port there.
    pub port: u16,
    /// Its share among those of one priority.
    pub weight: u16,
}

impl Record {
    /// A host whose address is this one.
    pub fn at(ip: IpAddr) -> Record {
        Record { ip, srv: None }
    }

    /// Whether sessions can go there: it is the address of one machine, and says which.
    pub fn is_usable(&self) -> bool {
        // An IPv4 address in an IPv6 one leads where the IPv4 one does.
        let ip = self.ip.to_canonical();
        let is_special = match ip {
            // Of the link-local ones, a record cannot tell the interface.
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
            IpAddr::V4(ip) => ip.is_broadcast(),
        };
        let has_port = self.srv.as_ref().is_none_or(|srv| srv.port != 0);
        has_port && !ip.is_unspecified() && !ip.is_multicast() && !is_special
    }
}

impl Host {
    /// The most members of a name.
    pub const MOST_MEMBERS: usize = 1000;

    /// Between the name of a template and what tells its members apart.
    const MEMBER_SEPARATOR: char = '@';

    /// Why `each` makes no sense here, if so.
    pub(super) fn mistake(&self) -> Option<EachError> {
        match (self.each, &self.address) {
            (Each::No, _) => None,
            (Each::Srv, Endpoint::Name { port: 1.., .. }) => Some(EachError::Port),
            (_, Endpoint::Name { .. }) => None,
            (_, _) => Some(EachError::Address),
        }
    }

    /// Whether it stands for the members of a name.
    pub fn is_template(&self) -> bool {
        self.each != Each::No
    }

    /// Whether a host of this name could be a member of it.
    pub fn has_member(&self, name: &str) -> bool {
        self.is_template()
            && name.strip_prefix(&self.name).is_some_and(|rest| {
                rest.strip_prefix(Host::MEMBER_SEPARATOR)
                    .is_some_and(|rest| !rest.is_empty())
            })
    }

    /// The name of a member after the template has got another name.
    pub(crate) fn renamed_member(&self, member: &str, template: &str) -> Option<String> {
        let rest = member.strip_prefix(template)?;
        Some(format!("{}{rest}", self.name))
    }

    /// Its members by these records, in the order of their addresses or records, and how many
    /// there are beyond [`Host::MOST_MEMBERS`].
    pub fn members(&self, records: &[Record]) -> (Vec<Host>, usize) {
        let mut usable: Vec<&Record> = records.iter().filter(|it| it.is_usable()).collect();
        usable.sort_unstable_by_key(|it| (it.srv.as_ref().map(|srv| srv.priority), *it));
        let mut names = HashSet::new();
        let first_priority = usable
            .first()
            .and_then(|it| Some(it.srv.as_ref()?.priority));
        let mut members: Vec<Host> = usable
            .into_iter()
            .map(|record| self.member(record, first_priority))
            .filter(|member| names.insert(member.name.clone()))
            .collect();
        let left_out = members.len().saturating_sub(Host::MOST_MEMBERS);
        members.truncate(Host::MOST_MEMBERS);
        (members, left_out)
    }

    fn member(&self, record: &Record, first_priority: Option<u16>) -> Host {
        let separator = Host::MEMBER_SEPARATOR;
        let (name, port, weight, backup) = match &record.srv {
            None => {
                let port = match &self.address {
                    Endpoint::Name { port, .. } => *port,
                    _ => 0,
                };
                (record.ip.to_string(), port, self.weight, self.backup)
            }
            Some(srv) => (
                format!("{}:{}", srv.target, srv.port),
                srv.port,
                // 0 is the smallest share there; here it would be none.
                (self.weight.saturating_mul(u32::from(srv.weight.max(1)))).min(Host::MAX_WEIGHT),
                self.backup || Some(srv.priority) > first_priority,
            ),
        };
        Host {
            name: format!("{}{separator}{name}", self.name),
            address: Endpoint::Address(SocketAddr::new(record.ip, port)),
            weight,
            backup,
            each: Each::No,
            ..self.clone()
        }
    }
}

impl Group {
    /// Whether a host of it stands for the members of a name.
    pub fn has_templates(&self) -> bool {
        self.hosts.iter().any(Host::is_template)
    }

    /// The host that stands for the member `name`; `None` if a host of the group has that name
    /// itself.
    pub fn template_of(&self, name: &str) -> Option<&Host> {
        if self.hosts.iter().any(|host| host.name == name) {
            return None;
        }
        let templates = self.hosts.iter().filter(|host| host.has_member(name));
        templates.max_by_key(|host| host.name.len())
    }

    /// The group with members in place of its templates. `records` has those of a template's name,
    /// and `state` what an operator wants of a member.
    ///
    /// A member whose name another host has is left out.
    pub fn expand<'a>(
        &self,
        records: impl Fn(&Host) -> &'a [Record],
        state: impl Fn(&str) -> Option<HostState>,
    ) -> Group {
        let own = self.hosts.iter().filter(|host| !host.is_template());
        let mut taken: HashSet<String> = own.map(|host| host.name.clone()).collect();
        let mut hosts = Vec::new();
        for host in &self.hosts {
            if !host.is_template() {
                hosts.push(host.clone());
                continue;
            }
            for mut member in host.members(records(host)).0 {
                if taken.insert(member.name.clone()) {
                    member.state = state(&member.name).unwrap_or(member.state);
                    hosts.push(member);
                }
            }
        }
        Group {
            hosts,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;

    fn group(hosts: &str) -> Group {
        let text = format!(
            "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>{hosts}\
             </group></service></config>"
        );
        let mut config = read(text.as_bytes()).unwrap().config;
        config.services.remove(0).groups.remove(0)
    }

    fn at(ip: &str) -> Record {
        Record::at(ip.parse().unwrap())
    }

    fn srv(ip: &str, target: &str, numbers: [u16; 3]) -> Record {
        let [priority, weight, port] = numbers;
        Record {
            srv: Some(SrvRecord {
                priority,
                target: target.to_owned(),
                port,
                weight,
            }),
            ..at(ip)
        }
    }

    /// Name, address, weight, and whether it is a backup.
    fn seen(hosts: &[Host]) -> Vec<(&str, String, u32, bool)> {
        let seen = |it: &Host| (it.address.to_string(), it.weight, it.backup);
        hosts
            .iter()
            .map(|it| (it.name.as_str(), seen(it)))
            .map(|(name, (address, weight, backup))| (name, address, weight, backup))
            .collect()
    }

    #[test]
    fn each_address_is_a_host() {
        let group =
            group("<host name='web' ip='web.test:80' each='true' weight='3' backup='yes'/>");
        let records = [
            at("2001:db8::1"),
            at("10.0.0.10"),
            at("10.0.0.9"),
            at("10.0.0.9"),
            // Nobody's.
            at("0.0.0.0"),
            at("224.0.0.1"),
            at("255.255.255.255"),
            at("::ffff:0.0.0.0"),
            at("fe80::1"),
            at("::"),
        ];
        let (members, left_out) = group.hosts[0].members(&records);
        assert_eq!(left_out, 0);
        assert_eq!(
            seen(&members),
            [
                ("web@10.0.0.9", "10.0.0.9:80".to_owned(), 3, true),
                ("web@10.0.0.10", "10.0.0.10:80".to_owned(), 3, true),
                ("web@2001:db8::1", "[2001:db8::1]:80".to_owned(), 3, true),
            ]
        );
        assert!(members.iter().all(|it| !it.is_template()));
    }

    #[test]
    fn each_record_is_a_host_with_its_port_and_the_later_ones_are_backups() {
        let group = group("<host name='web' ip='_http._tcp.test' each='srv' weight='2'/>");
        let records = [
            srv("10.0.0.3", "c.test", [20, 7, 82]),
            srv("10.0.0.1", "b.test", [10, 0, 81]),
            srv("10.0.0.1", "a.test", [10, 60000, 80]),
            srv("10.0.0.9", "no-port.test", [1, 1, 0]),
        ];
        let (members, _) = group.hosts[0].members(&records);
        assert_eq!(
            seen(&members),
            [
                ("web@a.test:80", "10.0.0.1:80".to_owned(), 120_000, false),
                ("web@b.test:81", "10.0.0.1:81".to_owned(), 2, false),
                ("web@c.test:82", "10.0.0.3:82".to_owned(), 14, true),
            ]
        );
    }

    #[test]
    fn members_beyond_the_limit_are_counted_and_the_same_ones_stay() {
        let group = group("<host name='web' ip='web.test:80' each='true'/>");
        let mut records: Vec<Record> = (0..1200_u32)
            .map(|number| Record::at(IpAddr::V4((0x0a00_0000 + number + 1).into())))
            .collect();
        let (members, left_out) = group.hosts[0].members(&records);
        assert_eq!((members.len(), left_out), (1000, 200));
        records.reverse();
        assert_eq!(group.hosts[0].members(&records).0, members);
    }

    #[test]
    fn members_take_the_place_of_their_template() {
        let group = group(
            "<host name='a' ip='10.0.0.1:1'/>\
             <host name='web' ip='web.test:80' each='true' state='drain'/>\
             <host name='web@10.0.0.7' ip='10.0.0.2:1'/>",
        );
        let records = [at("10.0.0.7"), at("10.0.0.8"), at("10.0.0.9")];
        let state = |name: &str| (name == "web@10.0.0.8").then_some(HostState::Up);
        let expanded = group.expand(|_| &records, state);
        let names: Vec<_> = expanded
            .hosts
            .iter()
            .map(|it| (it.name.as_str(), it.state))
            .collect();
        assert_eq!(
            names,
            [
                ("a", HostState::Up),
                ("web@10.0.0.8", HostState::Up),
                ("web@10.0.0.9", HostState::Drain),
                ("web@10.0.0.7", HostState::Up),
            ]
        );
        let template = |name| group.template_of(name).map(|it| it.name.as_str());
        assert_eq!(template("web@10.0.0.8"), Some("web"));
        for other in ["web", "web@", "web@10.0.0.7", "a@1", "x"] {
            assert_eq!(template(other), None, "{other}");
        }
    }

    #[test]
    fn what_has_no_members_is_refused() {
        for (host, mistake) in [
            ("ip='10.0.0.1:80' each='true'", Some(EachError::Address)),
            ("ip='[fe80::1%eth0]:80' each='on'", Some(EachError::Address)),
            ("ip='_x._tcp.test:80' each='srv'", Some(EachError::Port)),
            ("ip='10.0.0.1' each='srv'", Some(EachError::Address)),
            ("ip='10.0.0.1:80' each='false'", None),
            ("ip='_x._tcp.test' each='srv'", None),
            ("ip='x.test' each='true'", None),
        ] {
            let text = format!(
                "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
                 <host {host}/></group></service></config>"
            );
            let found = read(text.as_bytes()).map(drop).map_err(|it| it.to_string());
            match mistake {
                None => assert_eq!(found, Ok(()), "{host}"),
                Some(mistake) => {
                    assert!(
                        found.clone().unwrap_err().contains(&mistake.to_string()),
                        "{found:?}"
                    );
                }
            }
        }
    }
}
