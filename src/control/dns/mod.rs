//! Finds the members of a name: by `/etc/hosts`, and by name servers.
//!
//! Names of single hosts are left to the system's resolver, which tells no TTL and no SRV records.
//! Here a lookup asks, waits and is bounded in time; it runs on a thread of the resolver.

mod exchange;
mod files;
#[cfg(feature = "internals")]
mod fuzz;
mod message;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use self::exchange::Servers;
use self::files::Environment;
use self::message::{Answer, Data, Kind, Service};
use super::members::Question;
use super::resolver::Found;
use crate::config::{Each, Host, Record, SrvRecord};

pub use files::preload;
#[cfg(feature = "internals")]
pub use fuzz::fuzz_dns_reply;

/// How long a lookup may take, with all servers, domains and further names.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds of the time that answers hold. A name server that says 0 is not asked without end.
const TTL: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];

/// How long `/etc/hosts` holds.
const HOSTS_TTL: Duration = Duration::from_secs(10);

/// Names that one leads to (CNAME) in several answers.
const MOST_ALIASES: usize = 8;

/// Finds the members of a name, sorted. Asks `nameservers`, or those of the system if there are
/// none.
///
/// # Errors
/// No server answers, or the name has no member: the text says which.
pub(super) fn look_up(
    question: &Question,
    nameservers: &[SocketAddr],
) -> io::Result<Found<Record>> {
    let environment = Environment::read();
    if question.each == Each::Address {
        let listed = environment.listed(&question.name);
        if !listed.is_empty() {
            let answers = listed.into_iter().map(Record::at).collect();
            return Ok(sorted(answers, HOSTS_TTL));
        }
    }
    let client = Client {
        servers: environment.servers(nameservers),
        deadline: Instant::now() + LOOKUP_TIMEOUT,
    };
    let mut why = None;
    for name in environment.candidates(&question.name) {
        let found = match question.each {
            Each::Srv => client.services(&name)?,
            Each::Address | Each::No => client.addresses(&name)?,
        };
        match found {
            Members::Some(found) => return Ok(found),
            // What the first candidate lacks is what the name lacks.
            Members::None(reason) => why = why.or(Some(reason)),
        }
    }
    Err(io::Error::other(why.unwrap_or(NO_SUCH_NAME)))
}

/// Why a name has no members.
const NO_SUCH_NAME: &str = "the name server knows no such name";
const NO_ADDRESS: &str = "the name has no address (records A and AAAA)";
const NO_SERVICE: &str = "the name has no record SRV";
const NO_TARGET: &str = "no target of its records SRV has an address";

/// What a name has.
enum Members {
    Some(Found<Record>),
    /// Nothing, for this reason.
    None(&'static str),
}

/// The records of a name.
struct Records {
    /// Whether there is such a name.
    exists: bool,
    data: Vec<Data>,
    ttl: Option<u32>,
    /// Addresses of other names that the answer has, too.
    others: Vec<(String, IpAddr)>,
}

/// Asks name servers until a deadline.
struct Client {
    servers: Servers,
    deadline: Instant,
}

impl Client {
    /// The records of a name, and of the names that it leads to.
    fn records(&self, name: &str, kind: Kind) -> io::Result<Records> {
        let (mut name, mut ttl) = (name.to_owned(), None);
        for _ in 0..MOST_ALIASES {
            let Answer {
                exists,
                data,
                ttl: found_ttl,
                alias,
                others,
            } = self.servers.ask(&name, kind, self.deadline)?;
            ttl = ttl.into_iter().chain(found_ttl).min();
            match alias {
                Some(alias) => name = alias,
                None => {
                    return Ok(Records {
                        exists,
                        data,
                        ttl,
                        others,
                    });
                }
            }
        }
        Err(io::Error::other(format!(
            "the name leads to more than {MOST_ALIASES} others (CNAME)"
        )))
    }

    /// Both families. Each must answer, so that a server that is silent about one takes no member
    /// away.
    fn addresses(&self, name: &str) -> io::Result<Members> {
        let mut found: Vec<Record> = Vec::new();
        let (mut exists, mut ttl) = (false, None);
        for kind in [Kind::A, Kind::Aaaa] {
            let records = self.records(name, kind)?;
            exists |= records.exists;
            if !records.data.is_empty() {
                ttl = ttl.into_iter().chain(records.ttl).min();
            }
            let addresses = records.data.into_iter().filter_map(Data::into_address);
            found.extend(addresses.map(Record::at));
            // A name that does not exist has no address of the other family.
            if !exists {
                break;
            }
        }
        Ok(match (found.is_empty(), exists) {
            (false, _) => Members::Some(sorted(found, clamp_ttl(ttl))),
            (true, true) => Members::None(NO_ADDRESS),
            (true, false) => Members::None(NO_SUCH_NAME),
        })
    }

    fn services(&self, name: &str) -> io::Result<Members> {
        let records = self.records(name, Kind::Srv)?;
        let mut services: Vec<Service> = records
            .data
            .into_iter()
            .filter_map(Data::into_service)
            .collect();
        if services.is_empty() {
            let why = match records.exists {
                true => NO_SERVICE,
                false => NO_SUCH_NAME,
            };
            return Ok(Members::None(why));
        }
        services.sort();
        services.dedup();
        let mut ttl = records.ttl;
        let mut known: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (name, ip) in records.others {
            known.entry(name).or_default().push(ip);
        }
        let mut found = Vec::new();
        for (index, service) in services.into_iter().enumerate() {
            if index >= Host::MOST_MEMBERS && !known.contains_key(&service.target) {
                // It would be left out.
                continue;
            }
            if !known.contains_key(&service.target) {
                let (addresses, own_ttl) = self.addresses_of_target(&service.target)?;
                ttl = ttl.into_iter().chain(own_ttl).min();
                known.insert(service.target.clone(), addresses);
            }
            let addresses = known.get(&service.target).into_iter().flatten();
            // IPv4 comes first in this order.
            if let Some(ip) = addresses.min() {
                found.push(Record {
                    ip: *ip,
                    srv: Some(SrvRecord {
                        priority: service.priority,
                        target: service.target,
                        port: service.port,
                        weight: service.weight,
                    }),
                });
            }
        }
        Ok(match found.is_empty() {
            true => Members::None(NO_TARGET),
            false => Members::Some(sorted(found, clamp_ttl(ttl))),
        })
    }

    /// The addresses of a target; none if it has none.
    fn addresses_of_target(&self, target: &str) -> io::Result<(Vec<IpAddr>, Option<u32>)> {
        for kind in [Kind::A, Kind::Aaaa] {
            let records = self.records(target, kind)?;
            let addresses = records.data.into_iter().filter_map(Data::into_address);
            let addresses: Vec<IpAddr> = addresses.collect();
            if !addresses.is_empty() {
                return Ok((addresses, records.ttl));
            }
        }
        Ok((Vec::new(), None))
    }
}

fn clamp_ttl(seconds: Option<u32>) -> Duration {
    let [least, most] = TTL;
    Duration::from_secs(seconds.unwrap_or(0).into()).clamp(least, most)
}

/// Each once, in an order that does not depend on the server's.
fn sorted(mut answers: Vec<Record>, ttl: Duration) -> Found<Record> {
    answers.sort_unstable();
    answers.dedup();
    Found { answers, ttl }
}

#[cfg(test)]
mod tests;
