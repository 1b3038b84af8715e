//! What becomes of sessions for which there are only hosts that lead back here.

use super::{Phase, Session};

/// How long a session waits whose hosts all lead back here.
const CIRCLE_PATIENCE_MS: u64 = 1000;

impl Session {
    /// Nobody is left to try but hosts that lead back here. Waits for a second: an address
    /// may be on its way to another machine. And clients that come again at once, as long as
    /// the configuration is wrong, come less often.
    pub(crate) fn handle_circle(&mut self, now_ms: u64) {
        let until_ms = self.started_ms + CIRCLE_PATIENCE_MS;
        if now_ms < until_ms {
            self.phase = Phase::Paused { until_ms };
        } else {
            self.handle_nobody(now_ms);
        }
    }
}
