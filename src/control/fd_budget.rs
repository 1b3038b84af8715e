//! What the descriptors of this process are for: a share for each use, so that sessions
//! never take what keeps everything else going. What is not configured gets none.
//!
//! Only the sums; the limit itself is the system's.

use crate::config::{Admin, Config, Endpoint};
use crate::os::descriptors;

/// Kept for what is always there (streams, signals, recovery) and for files that are open
/// for a moment: the configuration while it is saved, a log while another is opened.
const RESERVED: u64 = 16;

/// What each interface for people and programs has for itself.
const INTERFACE_OWN: u64 = 6;

/// Kept for the clients of the control socket, and for those of the page and of the console,
/// the ones that wait included; and the share that each may have at most.
const MAX_CLIENTS: u64 = 32;
const MAX_PEOPLE: u64 = 160;
const CLIENTS_SHARE: u64 = 32;

/// Sockets to name servers, if there are names.
const NAMES: u64 = 4;

/// Probes under way at the same time, and the share that they may have at most.
const MAX_PROBES: u64 = 1024;
const PROBES_SHARE: u64 = 16;

/// Pipes that a worker may have, two descriptors each, and the share that those of all
/// workers may have. Who finds none copies. Where descriptors are few, sessions go first.
const MAX_PIPES: u64 = 64;
const PIPES_SHARE: u64 = 32;
const FEW: u64 = 4096;
const PIPES_SHARE_OF_FEW: u64 = 128;

/// How many probes may be under way.
pub(super) fn probes() -> usize {
    let limit = descriptors::limit().unwrap_or(u64::MAX);
    usize::try_from(probes_of(limit)).unwrap_or(1)
}

fn probes_of(limit: u64) -> u64 {
    (limit / PROBES_SHARE).clamp(1, MAX_PROBES)
}

/// How many pipes each of the `workers` may have.
pub(super) fn pipes(workers: usize) -> usize {
    let each = pipes_of(descriptors::limit().unwrap_or(u64::MAX), workers);
    usize::try_from(each).unwrap_or(0)
}

fn pipes_of(limit: u64, workers: usize) -> u64 {
    let share = match limit < FEW {
        true => PIPES_SHARE_OF_FEW,
        false => PIPES_SHARE,
    };
    (limit / share / (2 * workers.max(1) as u64)).min(MAX_PIPES)
}

/// How many sessions there are descriptors for, two each, with so many workers and
/// listeners.
///
/// # Errors
/// There is room for none: the limit, and what would be needed for one.
pub(super) fn sessions(
    config: &Config,
    workers: usize,
    listeners: usize,
) -> Result<usize, (u64, u64)> {
    let Some(limit) = descriptors::limit() else {
        return Ok(usize::MAX);
    };
    let reserved = reserved(limit, config, workers, listeners);
    match limit.saturating_sub(reserved) / 2 {
        0 => Err((limit, reserved + 2)),
        sessions => Ok(usize::try_from(sessions).unwrap_or(usize::MAX)),
    }
}

/// What is not for sessions.
fn reserved(limit: u64, config: &Config, workers: usize, listeners: usize) -> u64 {
    // An event queue, a waker, pipes and listeners; and one session more than there is room
    // for, since workers look for room at the same time.
    let worker = listeners as u64 + 4 + 2 * pipes_of(limit, workers);
    let hosts = || {
        config
            .services
            .iter()
            .flat_map(|it| &it.groups)
            .flat_map(|it| &it.hosts)
    };
    let is_name = |host: &crate::config::Host| matches!(host.address, Endpoint::Name { .. });
    let names = if hosts().any(is_name) { NAMES } else { 0 };
    let probes = probes_of(limit).min(hosts().count() as u64);
    RESERVED + worker * workers as u64 + names + probes + interfaces(limit, config)
}

/// Those of the interfaces for people and programs that are open.
fn interfaces(limit: u64, config: &Config) -> u64 {
    let admin = config.admin.as_ref();
    let web = |admin: &Admin| admin.web.as_ref().is_some_and(|web| web.enable);
    let ssh = |admin: &Admin| admin.ssh.as_ref().is_some_and(|ssh| ssh.enable);
    let are_open = [
        (config.control.is_some(), MAX_CLIENTS),
        (admin.is_some_and(web), MAX_PEOPLE),
        (admin.is_some_and(ssh), MAX_PEOPLE),
    ];
    let open = are_open.into_iter().filter(|(is_open, _)| *is_open);
    open.map(|(_, clients)| INTERFACE_OWN + clients.min(limit / CLIENTS_SHARE))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(hosts: usize, others: &str) -> Config {
        let hosts = "<host ip='127.0.0.1:1'/>".repeat(hosts);
        let text = format!(
            "<config><service name='s'><listen ip='127.0.0.1:0'/><group name='g' enable='1'>\
             {hosts}</group></service>{others}</config>"
        );
        crate::config::read(text.as_bytes()).unwrap().config
    }

    #[test]
    fn what_is_not_configured_gets_no_descriptors() {
        let all = "<control socket='/c'/><admin><web listen='127.0.0.1:0'/></admin>";
        let reserved = |limit, hosts, others| reserved(limit, &config(hosts, others), 2, 1);
        assert!(reserved(1024, 2, "") <= 40 && reserved(64, 2, "") <= 30);
        let both = 2 * (INTERFACE_OWN + MAX_CLIENTS);
        assert_eq!(reserved(1024, 2, all) - reserved(1024, 2, ""), both);
        assert_eq!(
            reserved(64, 2, all) - reserved(64, 2, ""),
            2 * (INTERFACE_OWN + 2)
        );
        assert_eq!(reserved(1024, 100, "") - reserved(1024, 0, ""), 64);
        let named = "<service name='n'><listen ip='127.0.0.1:0'/><group name='g' enable='1'>\
                     <host ip='a.example:1'/></group></service>";
        assert_eq!(reserved(1024, 0, named) - reserved(1024, 0, ""), NAMES + 1);
    }

    #[test]
    fn pipes_are_few_where_descriptors_are() {
        let each = [64, 1024, 4096, 20_000, u64::MAX].map(|limit| pipes_of(limit, 2));
        assert_eq!(each, [0, 2, 32, 64, 64]);
    }
}
