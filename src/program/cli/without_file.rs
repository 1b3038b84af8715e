//! The configuration that the options alone stand for: `-L`, `-B` and `-S`.
//!
//! Whether they may be given at all is the parser's business.

use getopts::Matches;
use txlb::config::{
    Algorithm, Config, Endpoint, Group, Host, HostState, ListenAddress, Scheduler, Service,
    Timeouts,
};

use super::wrong;
use crate::exit::Exit;

/// The configuration that `-L`, `-B` and `-S` stand for.
pub(super) fn config(matches: &Matches) -> Result<Config, Exit> {
    let listens = matches.opt_strs("L");
    let hosts = matches.opt_strs("B");
    if listens.is_empty() || hosts.is_empty() {
        return Err(wrong("-L (where to listen) and -B (a host) go together"));
    }
    let scheduler = match matches.opt_str("S") {
        None => Scheduler::from(Algorithm::LeastConns),
        Some(text) => text.parse().map_err(|_| {
            let known: Vec<_> = Scheduler::spellings().collect();
            wrong(&format!(
                "-S {text}: there is no such scheduler; there are {}",
                known.join(", ")
            ))
        })?,
    };
    let group = Group {
        name: "main".to_owned(),
        scheduler,
        sticky_prefix: Group::WHOLE_ADDRESS,
        hosts: (0..)
            .zip(&hosts)
            .map(|(number, text)| host(number, text))
            .collect::<Result<_, _>>()?,
    };
    let listen = |text: &String| {
        text.parse::<ListenAddress>()
            .map_err(|error| wrong(&format!("-L {text}: {error}")))
    };
    let service = Service {
        name: "main".to_owned(),
        timeouts: Timeouts::default(),
        listens: listens.iter().map(listen).collect::<Result<_, _>>()?,
        enabled: group.name.clone(),
        groups: vec![group],
    };
    Ok(Config {
        services: vec![service],
        ..Config::default()
    })
}

fn host(number: usize, text: &str) -> Result<Host, Exit> {
    let bad = |what: &str| wrong(&format!("-B {text}: {what}"));
    let (address, weight) = match text.split_once(',') {
        None => (text, 1),
        Some((address, option)) => {
            let weight = option
                .strip_prefix("weight=")
                .ok_or_else(|| bad("only weight=N may follow"))?;
            let weight = weight
                .parse()
                .ok()
                .filter(|&weight| weight <= Host::MAX_WEIGHT);
            (
                address,
                weight.ok_or_else(|| bad("a weight is a number from 0 to 1000000"))?,
            )
        }
    };
    let address: Endpoint = address.parse().map_err(|error| bad(&format!("{error}")))?;
    Ok(Host {
        name: format!("host.{number}"),
        address,
        weight,
        state: HostState::Up,
    })
}
