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
use self::message::{Answer, Data, Kind, MOST_ALIASES, too_many_aliases};
use super::member_questions::Question;
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

/// Finds the members of a name, sorted. Asks `nameservers`, or those of the system if there are
/// none. A target of a record SRV that cannot be asked for is where it was in `former`. What is
/// said of such targets is the second part.
///
/// # Errors
/// No server answers, or the name has no member: the text says which.
pub(super) fn look_up(
    question: &Question,
    nameservers: &[SocketAddr],
    former: &[Record],
) -> io::Result<(Found<Record>, Option<String>)> {
    let environment = Environment::read();
    if question.each == Each::Address {
        let listed = environment.listed(&question.name);
        if !listed.is_empty() {
            let answers = usable(listed.into_iter().map(Record::at));
            return match answers.is_empty() {
                true => Err(io::Error::other(NO_USABLE)),
                false => Ok((sorted(answers, HOSTS_TTL), None)),
            };
        }
    }
    let client = Client {
        servers: environment.servers(nameservers),
        deadline: Instant::now() + LOOKUP_TIMEOUT,
    };
    let mut why = None;
    for name in environment.candidates(&question.name) {
        let found = match question.each {
            Each::Srv => client.services(&name, former)?,
            Each::Address | Each::No => client.addresses(&name)?,
        };
        match found {
            Members::Some(found, unknown) => return Ok((found, unknown)),
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

const NO_USABLE: &str = "the name has no usable address and port: 0.0.0.0, ::, multicast, \
                         broadcast and link-local addresses and port 0 are no machine's";

/// The longest time until a target is asked for again that could not be.
const FAILED_TARGET_TTL: u32 = 10;

/// What a name has.
enum Members {
    /// These, and what is to be said of targets that cannot be asked for.
    Some(Found<Record>, Option<String>),
    /// Nothing, for this reason.
    None(&'static str),
}

/// Asks name servers until a deadline.
struct Client {
    servers: Servers,
    deadline: Instant,
}

impl Client {
    /// The records of a name, or of the last of the names that it leads to.
    fn records(&self, name: &str, kind: Kind) -> io::Result<Answer> {
        let (mut name, mut ttl) = (name.to_owned(), None);
        for _ in 0..MOST_ALIASES {
            let answer = self.servers.ask(&name, kind, self.deadline)?;
            ttl = ttl.into_iter().chain(answer.ttl).min();
            match answer.alias {
                Some(alias) => name = alias,
                None => return Ok(Answer { ttl, ..answer }),
            }
        }
        Err(io::Error::other(too_many_aliases()))
    }

    /// Both families. Each must answer, so that a server that is silent about one takes no member
    /// away.
    fn addresses(&self, name: &str) -> io::Result<Members> {
        let mut found: Vec<Record> = Vec::new();
        let (mut exists, mut is_empty, mut ttl) = (false, true, None);
        for kind in [Kind::A, Kind::Aaaa] {
            let records = self.records(name, kind)?;
            exists |= records.exists;
            if !records.data.is_empty() {
                is_empty = false;
                ttl = ttl.into_iter().chain(records.ttl).min();
            }
            let addresses = records.data.into_iter().filter_map(Data::into_address);
            found.extend(usable(addresses.map(Record::at)));
            // A name that does not exist has no address of the other family.
            if !exists {
                break;
            }
        }
        Ok(match (found.is_empty(), is_empty, exists) {
            (false, ..) => Members::Some(sorted(found, clamp_ttl(ttl)), None),
            (true, false, _) => Members::None(NO_USABLE),
            (true, true, true) => Members::None(NO_ADDRESS),
            (true, true, false) => Members::None(NO_SUCH_NAME),
        })
    }

    /// Targets that cannot be asked for are where they were in `former`, so that one of them holds
    /// up no other.
    fn services(&self, name: &str, former: &[Record]) -> io::Result<Members> {
        let records = self.records(name, Kind::Srv)?;
        let services = records.data.into_iter().filter_map(Data::into_service);
        let mut services: Vec<SrvRecord> = services.collect();
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
        let mut failed = Vec::new();
        let (mut found, mut is_empty) = (Vec::new(), true);
        for (index, service) in services.into_iter().enumerate() {
            if !known.contains_key(&service.target) {
                if index >= Host::MOST_MEMBERS {
                    // It would be left out.
                    continue;
                }
                let addresses = match self.addresses_of_target(&service.target) {
                    Ok((addresses, own_ttl)) => {
                        ttl = ttl.into_iter().chain(own_ttl).min();
                        addresses
                    }
                    Err(error) => {
                        ttl = ttl.into_iter().chain([FAILED_TARGET_TTL]).min();
                        failed.push((service.target.clone(), error));
                        former_addresses(former, &service.target)
                    }
                };
                known.insert(service.target.clone(), addresses);
            }
            let addresses = known.get(&service.target).into_iter().flatten();
            let record = |ip: &IpAddr| Record {
                ip: *ip,
                srv: Some(service.clone()),
            };
            let records: Vec<Record> = addresses.map(record).collect();
            is_empty &= records.is_empty();
            // IPv4 comes first in this order.
            found.extend(usable(records.into_iter()).into_iter().min());
        }
        let unknown = failed_targets(&failed);
        match (found.is_empty(), unknown) {
            (true, Some(unknown)) => Err(io::Error::other(unknown)),
            (true, None) if is_empty => Ok(Members::None(NO_TARGET)),
            (true, None) => Ok(Members::None(NO_USABLE)),
            (false, unknown) => Ok(Members::Some(sorted(found, clamp_ttl(ttl)), unknown)),
        }
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

/// Where a target was.
fn former_addresses(former: &[Record], target: &str) -> Vec<IpAddr> {
    let of_target = |it: &&Record| it.srv.as_ref().is_some_and(|srv| srv.target == target);
    former.iter().filter(of_target).map(|it| it.ip).collect()
}

/// What is to be said of targets that cannot be asked for: the first, and how many others.
fn failed_targets(failed: &[(String, io::Error)]) -> Option<String> {
    let (target, error) = failed.first()?;
    let others = match failed.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    Some(format!("the target {target}{others}: {error}"))
}

/// Those where sessions can go.
fn usable(records: impl Iterator<Item = Record>) -> Vec<Record> {
    records.filter(Record::is_usable).collect()
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
