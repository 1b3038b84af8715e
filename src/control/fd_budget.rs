//! File descriptor budget: reserves descriptors for everything but sessions, which get the rest.
//! What is not configured reserves none.

use crate::config::{Admin, Config, Endpoint, Host};
use crate::os::{resources, usage};

/// Reserved for standard streams, signals, recovery, and files that are open for a moment: the
/// configuration while saved, a log while reopened.
const RESERVED: u64 = 16;

/// Each admin interface's own descriptors.
const INTERFACE_OWN: u64 = 6;

/// Clients of the control socket, and of the page and the console, waiting ones included; and the
/// largest share of all descriptors for each.
const MAX_CLIENTS: u64 = 32;
const MAX_PEOPLE: u64 = 160;
const CLIENTS_SHARE: u64 = 32;

/// Sockets to name servers, if hosts have names.
const NAMES: u64 = 4;

/// Probes at the same time, and their largest share.
pub(super) const MAX_PROBES: u64 = 1024;
const PROBES_SHARE: u64 = 16;

/// Pipes of a worker, two descriptors each, and the largest share of all pipes. A session without
/// a pipe copies. With few descriptors, sessions go first.
const MAX_PIPES: u64 = 64;
const PIPES_SHARE: u64 = 32;
const FEW: u64 = 4096;
const PIPES_SHARE_OF_FEW: u64 = 128;

/// Limit of probes at the same time.
pub(super) fn probes() -> usize {
    let limit = resources::descriptor_limit().unwrap_or(u64::MAX);
    usize::try_from(probes_of(limit)).unwrap_or(1)
}

fn probes_of(limit: u64) -> u64 {
    (limit / PROBES_SHARE).clamp(1, MAX_PROBES)
}

/// Limit of pipes for each worker.
pub(super) fn pipes(workers: usize) -> usize {
    let each = pipes_of(resources::descriptor_limit().unwrap_or(u64::MAX), workers);
    usize::try_from(each).unwrap_or(0)
}

fn pipes_of(limit: u64, workers: usize) -> u64 {
    let share = match limit < FEW {
        true => PIPES_SHARE_OF_FEW,
        false => PIPES_SHARE,
    };
    (limit / share / (2 * workers.max(1) as u64)).min(MAX_PIPES)
}

/// Sessions by descriptors, two each, with this many workers and listeners.
///
/// # Errors
/// No session is possible: the limit, and what one session would need.
pub(super) fn sessions(
    config: &Config,
    workers: usize,
    listeners: usize,
) -> Result<usize, (u64, u64)> {
    let Some(limit) = resources::descriptor_limit() else {
        return Ok(usize::MAX);
    };
    let reserved = reserved(limit, config, workers, listeners);
    match limit.saturating_sub(reserved) / 2 {
        0 => Err((limit, reserved + 2)),
        sessions => Ok(usize::try_from(sessions).unwrap_or(usize::MAX)),
    }
}

/// Descriptors that sessions do not get.
fn reserved(limit: u64, config: &Config, workers: usize, listeners: usize) -> u64 {
    // An event queue, a waker, pipes and listeners; and a session more than the limit, since
    // workers check the limit at the same time.
    let worker = listeners as u64 + 4 + 2 * pipes_of(limit, workers);
    let is_name =
        |host: &Host| !host.is_template() && matches!(host.address, Endpoint::Name { .. });
    let names = if config.hosts().any(is_name) {
        NAMES
    } else {
        0
    };
    let members = config.hosts().filter(|it| it.is_template()).count() as u64;
    let asked = if members > 0 { NAMES } else { 0 };
    let hosts = config.hosts().count() as u64 + members * Host::MOST_MEMBERS as u64;
    let probes = probes_of(limit).min(hosts);
    RESERVED + worker * workers as u64 + names + asked + probes + interfaces(limit, config)
}

/// Whether the admin page is enabled.
pub(super) fn has_page(config: &Config) -> bool {
    let web = config.admin.as_ref().and_then(|admin| admin.web.as_ref());
    web.is_some_and(|web| web.enable)
}

/// Descriptors of the enabled admin interfaces.
fn interfaces(limit: u64, config: &Config) -> u64 {
    let admin = config.admin.as_ref();
    let ssh = |admin: &Admin| admin.ssh.as_ref().is_some_and(|ssh| ssh.enable);
    let are_open = [
        (config.control.is_some(), MAX_CLIENTS),
        (has_page(config), MAX_PEOPLE),
        (admin.is_some_and(ssh), MAX_PEOPLE),
    ];
    let open = are_open.into_iter().filter(|(is_open, _)| *is_open);
    let clients = open.map(|(_, clients)| INTERFACE_OWN + clients.min(limit / CLIENTS_SHARE));
    // Metrics tell what the process takes.
    let figures = if has_page(config) {
        usage::DESCRIPTORS
    } else {
        0
    };
    clients.sum::<u64>() + figures
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
        let both = 2 * (INTERFACE_OWN + MAX_CLIENTS) + usage::DESCRIPTORS;
        assert_eq!(reserved(1024, 2, all) - reserved(1024, 2, ""), both);
        assert_eq!(
            reserved(64, 2, all) - reserved(64, 2, ""),
            2 * (INTERFACE_OWN + 2) + usage::DESCRIPTORS
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
