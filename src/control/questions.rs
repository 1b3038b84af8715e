//! Answers questions: status, sessions, and views of the configuration.

use std::time::Instant;

use super::controller::{Controller, LIST_TIMEOUT, NO_FILE};
use super::handle::{Response, ResponseData};
use super::status::{Sessions, Status, StoredStatus, table};
use crate::config::verb::{Question, View, complete};
use crate::config::{edit, hide_passwords, print};

/// Limit of listed sessions.
pub(super) const MAX_LISTED_SESSIONS: usize = 10_000;

impl Controller {
    pub(super) fn answer_question(&mut self, question: &Question) -> Response {
        let data = match question {
            Question::Status(filter) => match self.status().selected(filter) {
                Ok(status) => ResponseData::Status(Box::new(status)),
                Err(why) => return self.answer(Err(why)),
            },
            Question::Sessions => ResponseData::Sessions(self.sessions()),
            Question::Ready { service } => return self.ready(service.as_deref()),
            Question::Config { view } => match self.view(*view) {
                Ok(text) => ResponseData::Lines(text.lines().map(str::to_owned).collect()),
                Err(why) => return self.answer(Err(why)),
            },
            Question::Diff if self.stored.is_none() => {
                return self.answer(Err(NO_FILE.to_owned()));
            }
            Question::Diff => ResponseData::Lines(table::script(self.unsaved())),
            Question::History => ResponseData::Lines(self.history.lines()),
            Question::Complete { line } => {
                let own = self.data_plane.own_schedulers();
                let config = self.data_plane.config();
                let with_members = self.data_plane.members.expanded(config);
                ResponseData::Lines(complete(line, &with_members, &own))
            }
            Question::Help { verb } => ResponseData::Lines(table::help(*verb)),
        };
        self.answer(Ok(String::new())).with(data)
    }

    pub(super) fn status(&mut self) -> Status {
        let unsaved = self.unsaved().len();
        let file = self.stored.as_ref().map(|it| it.file.path().to_owned());
        Status {
            stopping: self.stopping,
            stored: StoredStatus {
                file,
                unsaved,
                last_reload: self.last_reload.clone(),
                last_save: self.last_save.clone(),
            },
            ..self.data_plane.status()
        }
    }

    /// The open sessions, the oldest first.
    fn sessions(&self) -> Sessions {
        let slices = self.data_plane.list_sessions(MAX_LISTED_SESSIONS);
        let deadline = Instant::now() + LIST_TIMEOUT;
        let mut sessions = Sessions::default();
        // Ends when all workers have hung up.
        while let Ok(slice) =
            slices.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            sessions.list.extend(slice.sessions);
            sessions.more += slice.more;
        }
        sessions
            .list
            .sort_by_key(|it| (u64::MAX - it.age_ms, it.id));
        sessions
    }

    /// A view of the configuration: in effect, running or stored. Passwords are hidden.
    pub(super) fn view(&self, view: View) -> Result<String, String> {
        let stored = self.stored.as_ref().map(|stored| &stored.file.bytes);
        match (view, stored) {
            // A hash may be part of a name.
            (View::Effect, _) => Ok(hide_passwords(&print(self.data_plane.config()))),
            (View::Running | View::Stored, None) => Err(NO_FILE.to_owned()),
            (View::Running, Some(bytes)) => edit(bytes, self.data_plane.config())
                .map(|edited| shown(&edited))
                .map_err(|error| error.to_string()),
            (View::Stored, Some(bytes)) => Ok(shown(bytes)),
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    hide_passwords(&String::from_utf8_lossy(bytes))
}
