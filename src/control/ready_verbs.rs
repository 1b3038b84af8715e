//! The verbs that say whether clients may be sent here: ready, resign and resume.

use super::changes::UNCHANGED;
use super::controller::Controller;
use super::handle::{Response, ResponseData};

/// The answer to `resign`.
pub(super) const RESIGNED: &str = "resigned: not ready any more; clients that come are served";

impl Controller {
    /// Executes `resign` and `resume`: says whether what asks for readiness shall send clients here.
    pub(super) fn resign(&mut self, resign: bool) -> Response {
        let message = match (self.data_plane.resigned, resign) {
            (was, is) if was == is => UNCHANGED,
            (_, true) => RESIGNED,
            (_, false) => "resumed: ready again if the services are",
        };
        self.data_plane.resigned = resign;
        self.answer(Ok(message.to_owned())).with_message()
    }

    /// Executes the verb `ready`. It fails while new sessions are not served.
    pub(super) fn ready(&mut self, service: Option<&str>) -> Response {
        if let Err(why) = self.check_names(service, None, None) {
            return self.answer(Err(why));
        }
        let readiness = self.status().readiness();
        let mut lines = readiness.reasons(service);
        let outcome = match lines.first() {
            Some(reason) => Err(format!("not ready: {reason}")),
            None => Ok(String::new()),
        };
        match (lines.len(), service) {
            (0, None) => lines.push("every service can take new sessions".to_owned()),
            (0, Some(service)) => lines.push(format!("service {service} can take new sessions")),
            // The error says it.
            (1, _) => lines.clear(),
            _ => {}
        }
        self.answer(outcome).with(ResponseData::Lines(lines))
    }
}
