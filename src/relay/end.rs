//! Why a session ended: one list behind log, counters and pages.

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Both sides said their last, and all of it arrived.
    Finished,
    /// The client was gone before it had a host.
    ClientGone,
    /// The client broke the connection.
    ClientReset,
    /// The host broke the connection.
    HostReset,
    /// The idle or half-closed timeout passed; the client had the word.
    ClientSilent,
    /// The idle or half-closed timeout passed; the host had the word.
    HostSilent,
    /// No host accepted, or there was none.
    NoHost,
    /// As `NoHost`, and the last one tried did not answer in time.
    ConnectTimedOut,
    /// This machine had no descriptor or port for the host's end.
    LocalTrouble,
    /// txlb was told to stop.
    Stopped,
}

impl EndReason {
    /// Every reason, in the order of [`EndReason::index`].
    #[doc(hidden)]
    pub const ALL: [EndReason; 10] = [
        EndReason::Finished,
        EndReason::ClientGone,
        EndReason::ClientReset,
        EndReason::HostReset,
        EndReason::ClientSilent,
        EndReason::HostSilent,
        EndReason::NoHost,
        EndReason::ConnectTimedOut,
        EndReason::LocalTrouble,
        EndReason::Stopped,
    ];

    /// Its place in [`EndReason::ALL`], for counters.
    #[doc(hidden)]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word for it, in JSON and metrics: it stays.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::Finished => "finished",
            EndReason::ClientGone => "client_gone",
            EndReason::ClientReset => "client_reset",
            EndReason::HostReset => "host_reset",
            EndReason::ClientSilent => "client_silent",
            EndReason::HostSilent => "host_silent",
            EndReason::NoHost => "no_host",
            EndReason::ConnectTimedOut => "connect_timed_out",
            EndReason::LocalTrouble => "local_trouble",
            EndReason::Stopped => "stopped",
        }
    }

    /// HAProxy's two letters for it: who ended the session, and whether data
    /// was flowing (`D`) or a host still being looked for (`C`).
    ///
    /// Source: "Session state at disconnection" in HAProxy's configuration
    /// manual.
    pub fn termination_state(self, connected: bool) -> &'static str {
        match (self, connected) {
            (EndReason::Finished, _) => "--",
            (EndReason::ClientGone | EndReason::ClientReset, false) => "CC",
            (EndReason::ClientGone | EndReason::ClientReset, true) => "CD",
            (EndReason::HostReset, _) => "SD",
            (EndReason::ClientSilent, _) => "cD",
            (EndReason::HostSilent, _) => "sD",
            (EndReason::NoHost, _) => "SC",
            (EndReason::ConnectTimedOut, _) => "sC",
            (EndReason::LocalTrouble, _) => "RC",
            (EndReason::Stopped, false) => "KC",
            (EndReason::Stopped, true) => "KD",
        }
    }

    /// How the sockets are closed.
    pub(crate) fn closing(self) -> Closing {
        match self {
            EndReason::Finished => Closing::Orderly,
            EndReason::ClientSilent | EndReason::HostSilent => Closing::Deliver,
            _ => Closing::Reset,
        }
    }
}

/// How a session's sockets are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// With the end of the stream.
    Orderly,
    /// With a reset, so that nobody takes a session that was cut for one that ended.
    Reset,
    /// With a reset, but for a peer that has yet to acknowledge what the system has taken
    /// for it: that goes on being delivered, with the end of the stream behind it.
    Deliver,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_indices() {
        for (index, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }

    #[test]
    fn only_a_clean_end_is_closed_without_a_reset() {
        let clean: Vec<_> = EndReason::ALL
            .into_iter()
            .filter(|reason| reason.closing() == Closing::Orderly)
            .collect();
        assert_eq!(clean, [EndReason::Finished]);
    }
}
