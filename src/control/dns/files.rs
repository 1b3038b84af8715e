//! `/etc/resolv.conf` and `/etc/hosts`: parsed, read at each lookup, and kept for a process that
//! cannot read them any more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::exchange::Servers;
use crate::config::Resolver;
use crate::os::files::read_file;
use crate::sync::lock;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// Bytes of each file that are read.
const MOST_BYTES: u64 = 1 << 20;

/// Domains that are searched.
const MOST_DOMAINS: usize = 32;

/// The files as they were read last.
static LAST: Mutex<[Option<String>; 2]> = Mutex::new([None, None]);

/// Reads the files and keeps them, before a chroot hides them. Where the new root has files of
/// these names, they are used.
pub fn preload() {
    Environment::read();
}

/// What the files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    nameservers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with fewer dots is searched in the domains first.
    ndots: usize,
    timeout: Duration,
    attempts: u32,
    hosts: String,
}

impl Environment {
    /// Reads the files, or takes what they said last.
    pub(super) fn read() -> Environment {
        let mut last = lock(&LAST);
        for (path, text) in [RESOLV_CONF, HOSTS].into_iter().zip(&mut *last) {
            if let Ok(bytes) = read_file(Path::new(path), MOST_BYTES) {
                *text = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        let [resolv_conf, hosts] = last.clone().map(Option::unwrap_or_default);
        drop(last);
        Environment::parse(&resolv_conf, hosts)
    }

    /// Parses as resolv.conf(5) says; what is unknown is passed over.
    fn parse(resolv_conf: &str, hosts: String) -> Environment {
        let mut it = Environment {
            nameservers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            hosts,
        };
        for line in resolv_conf.lines() {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                Some("nameserver") => {
                    let ip = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    if it.nameservers.len() < Resolver::MOST_NAMESERVERS {
                        let with_port = |ip| SocketAddr::new(ip, Resolver::PORT);
                        it.nameservers.extend(ip.map(with_port));
                    }
                }
                // The last one counts.
                Some("search" | "domain") => {
                    let domains = words.map(|word| word.trim_matches('.').to_owned());
                    let domains = domains.filter(|domain| !domain.is_empty());
                    it.search = domains.take(MOST_DOMAINS).collect();
                }
                Some("options") => words.for_each(|word| it.set_option(word)),
                _ => {}
            }
        }
        if it.nameservers.is_empty() {
            let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
            it.nameservers = vec![SocketAddr::new(localhost, Resolver::PORT)];
        }
        it
    }

    fn set_option(&mut self, word: &str) {
        let Some((name, number)) = word.split_once(':') else {
            return;
        };
        let Ok(number) = number.parse::<u32>() else {
            return;
        };
        match name {
            "ndots" => self.ndots = number.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5),
            _ => {}
        }
    }

    /// The servers to ask: `own`, or those of the file.
    pub(super) fn servers(&self, own: &[SocketAddr]) -> Servers {
        let list = match own.is_empty() {
            true => self.nameservers.clone(),
            false => own.to_vec(),
        };
        Servers {
            list,
            timeout: self.timeout,
            attempts: self.attempts,
        }
    }

    /// The full names that a name may stand for, in the order in which they are tried.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|domain| format!("{name}.{domain}"))
            .collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let own_place = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(own_place, name.to_owned());
        names
    }

    /// The addresses that `/etc/hosts` has for a name.
    pub(super) fn listed(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut found = Vec::new();
        for line in self.hosts.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let ip = words.next().and_then(|word| word.parse::<IpAddr>().ok());
            if let Some(ip) = ip
                && words.any(|word| word.eq_ignore_ascii_case(name))
            {
                found.push(ip);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(resolv_conf: &str) -> Environment {
        Environment::parse(resolv_conf, String::new())
    }

    #[test]
    fn the_file_is_read_as_the_system_reads_it() {
        let text = "# of a container\n\
            nameserver 10.96.0.10\n\
            nameserver\t2001:db8::53\n\
            nameserver fe80::1%eth0\n\
            nameserver 10.0.0.1\nnameserver 10.0.0.2\n\
            search a.test b.test\n\
            search default.svc.cluster.local svc.cluster.local. cluster.local\n\
            options ndots:5 timeout:60 attempts:0 edns0 rotate ndots:x\nsortlist 10.0.0.0\n";
        let found = parse(text);
        let servers = found.servers(&[]);
        let addresses = ["10.96.0.10:53", "[2001:db8::53]:53", "10.0.0.1:53"];
        assert_eq!(
            servers.list,
            addresses.map(|it| it.parse::<SocketAddr>().unwrap())
        );
        assert_eq!(found.search.len(), 3);
        assert_eq!((found.ndots, servers.attempts), (5, 1));
        assert_eq!(servers.timeout, Duration::from_secs(30));
        let own: SocketAddr = "127.0.0.1:8600".parse().unwrap();
        assert_eq!(found.servers(&[own]).list, [own]);
        let empty = parse("").servers(&[]);
        assert_eq!(empty.list, ["127.0.0.1:53".parse::<SocketAddr>().unwrap()]);
        assert_eq!((empty.attempts, empty.timeout.as_secs()), (2, 5));
    }

    #[test]
    fn a_name_with_few_dots_is_searched_first() {
        let few = parse("search a.test b.test\noptions ndots:2\n");
        assert_eq!(
            few.candidates("web.x"),
            ["web.x.a.test", "web.x.b.test", "web.x"]
        );
        assert_eq!(
            few.candidates("web.x.y"),
            ["web.x.y", "web.x.y.a.test", "web.x.y.b.test"]
        );
        assert_eq!(few.candidates("web."), ["web"]);
        assert_eq!(parse("").candidates("web"), ["web"]);
    }

    #[test]
    fn hosts_of_the_file_have_all_their_addresses() {
        let hosts = "127.0.0.1 localhost\n\
            10.0.0.1\tweb.test web # the first\n10.0.0.2 WEB\n2001:db8::1 web\n\
            # 10.0.0.3 web\nx web\n10.0.0.4 webb\n10.0.0.5\n";
        let environment = Environment::parse("", hosts.to_owned());
        let listed = |name: &str| -> Vec<String> {
            let listed = environment.listed(name).into_iter();
            listed.map(|ip| ip.to_string()).collect()
        };
        assert_eq!(listed("web"), ["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
        assert_eq!(listed("Web.test."), ["10.0.0.1"]);
        assert_eq!(listed("we"), Vec::<String>::new());
    }

    #[test]
    fn the_files_of_this_machine_are_read_and_kept() {
        preload();
        let last = lock(&LAST).clone();
        for (text, path) in last.iter().zip([RESOLV_CONF, HOSTS]) {
            assert_eq!(text.is_some(), Path::new(path).is_file(), "{path}");
        }
    }
}
