//! How a group's hosts are connected to: whose turn it is among the source addresses, and whether
//! by MPTCP.

use std::sync::Arc;

use super::HostPool;
use crate::balance::HostId;
use crate::config::{Group, Source};

/// How the next connection to a host is made.
#[derive(Debug, Clone)]
pub struct SourceTurn {
    /// What is configured.
    pub source: Arc<Source>,
    /// Whether the connection is one of MPTCP.
    pub mptcp: bool,
    /// The number of the connection to this host, so that its connections come from each address
    /// in turn.
    pub number: u32,
}

impl SourceTurn {
    /// What is configured.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

impl HostPool {
    pub(super) fn configure_source(&mut self, group: &Group) {
        self.mptcp = group.mptcp;
        if group.source == Source::Any && !group.mptcp {
            self.source = None;
        } else if self.source.as_deref() != Some(&group.source) {
            self.source = Some(Arc::new(group.source.clone()));
        }
    }

    /// How the next connection to a host is made; `None` where nothing is configured.
    // By host: two hosts and two sources would make pairs if each pick were one turn.
    pub fn next_source(&mut self, id: HostId) -> Option<SourceTurn> {
        let source = Arc::clone(self.source.as_ref()?);
        let turns = &mut self.hosts.get_mut(id)?.source_turns;
        let number = *turns;
        *turns = turns.wrapping_add(1);
        Some(SourceTurn {
            source,
            mptcp: self.mptcp,
            number,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::balance::fixture::{PoolFixture, group};

    #[test]
    fn each_host_has_turns_of_its_own_and_no_source_means_none() {
        let mut fixture = PoolFixture::new("roundr", "a b");
        let (a, b) = (fixture.id("a"), fixture.id("b"));
        assert!(fixture.pool.next_source(a).is_none());
        let mut with_source = group("roundr", "a b");
        with_source.source = "10.0.0.9 10.0.0.10".parse().unwrap();
        fixture.pool.configure(&with_source, 0);
        let mut next = |host| {
            let turn = fixture.pool.next_source(host).unwrap();
            assert_eq!(turn.source(), &with_source.source);
            turn.number
        };
        assert_eq!([next(a), next(b), next(a), next(b)], [0, 0, 1, 1]);
        let mut by_mptcp = group("roundr", "a b");
        by_mptcp.mptcp = true;
        fixture.pool.configure(&by_mptcp, 0);
        assert!(fixture.pool.next_source(a).unwrap().mptcp);
        fixture.pool.configure(&group("roundr", "a b"), 0);
        assert!(fixture.pool.next_source(a).is_none());
    }
}
