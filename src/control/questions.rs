//! Answers questions: status, sessions, and views of the configuration.

use std::time::Instant;

use super::controller::{Controller, LIST_TIMEOUT, NO_FILE};
use super::handle::{Response, ResponseData};
use super::status::{Sessions, Status, StoredStatus, table};
use crate::config::verb::{Question, SessionSelection, View, complete};
use crate::config::{edit, hide_passwords, print};

/// Limit of listed sessions.
pub(super) const MAX_LISTED_SESSIONS: usize = 10_000;

impl Controller {
    pub(super) fn answer_question(&mut self, question: &Question) -> Response {
        let data = match question {
            Question::Status(filter) => {
                let names = [&filter.service, &filter.group, &filter.host];
                let [service, group, host] = names.map(Option::as_deref);
                if let Err(why) = self.check_names(service, group, host) {
                    return self.answer(Err(why));
                }
                ResponseData::Status(Box::new(self.status().selected(filter)))
            }
            Question::Sessions(selection) => match self.sessions(selection) {
                Ok(sessions) => ResponseData::Sessions(sessions),
                Err(why) => return self.answer(Err(why)),
            },
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
                let changes = self.history.numbers();
                ResponseData::Lines(complete(line, &with_members, &own, &changes))
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

    /// The open sessions that are selected, the oldest first.
    ///
    /// # Errors
    /// Nothing has such a name.
    fn sessions(&self, selection: &SessionSelection) -> Result<Sessions, String> {
        let filter = self.filter(selection)?;
        let slices = self.data_plane.list_sessions(&filter, MAX_LISTED_SESSIONS);
        let deadline = Instant::now() + LIST_TIMEOUT;
        let mut sessions = Sessions {
            is_part: !selection.is_empty(),
            ..Sessions::default()
        };
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
        Ok(sessions)
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

#[cfg(test)]
mod tests {
    //! Session lists with less room than there are sessions.

    use std::net::{TcpListener, TcpStream};

    use crate::control::{DataPlane, Options};
    use crate::relay::SessionFilter;

    /// A data plane, its clients, and the host's ends of their sessions.
    fn scene(clients: usize) -> (DataPlane, Vec<TcpStream>) {
        // Each client needs four descriptors, more than the soft limit allows.
        crate::os::resources::raise_descriptor_limit().unwrap();
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = host.local_addr().unwrap();
        let text = format!(
            "<config><service name='s'><listen ip='127.0.0.1:0'/><group name='g' enable='1'>\
         <host name='h' ip='{at}'/></group></service></config>"
        );
        let config = crate::config::read(text.as_bytes()).unwrap().config;
        let options = Options::new(2, |_| {});
        let data_plane = DataPlane::start(config, options).unwrap();
        let address = data_plane.status().services[0].addresses[0]
            .socket_address()
            .unwrap();
        let client = |_| {
            let client = TcpStream::connect(address).unwrap();
            [client, host.accept().unwrap().0]
        };
        let ends = (0..clients).flat_map(client).collect();
        (data_plane, ends)
    }

    #[test]
    fn a_list_has_as_many_sessions_as_there_is_room_for_and_counts_the_others() {
        // More sessions than two workers list in one iteration each.
        let (data_plane, _ends) = scene(400);
        let all = SessionFilter::default();
        let of_service = SessionFilter {
            service: Some("s".to_owned()),
            ..SessionFilter::default()
        };
        let of_none = SessionFilter {
            client: "10.0.0.0/8".parse().ok(),
            ..SessionFilter::default()
        };
        let cases = [(0, 0), (7, 7), (300, 300), (10_000, 400)];
        let cases = cases.map(|(room, listed)| (room, listed, 400));
        let cases = cases
            .iter()
            .flat_map(|it| [(&all, *it), (&of_service, *it)]);
        for (filter, (room, listed, open)) in cases.chain([(&of_none, (7, 0, 0))]) {
            let slices: Vec<_> = data_plane.list_sessions(filter, room).iter().collect();
            let mut ids: Vec<u64> = slices
                .iter()
                .flat_map(|slice| slice.sessions.iter().map(|it| it.id))
                .collect();
            ids.sort_unstable();
            ids.dedup();
            let more: usize = slices.iter().map(|slice| slice.more).sum();
            assert_eq!((ids.len(), ids.len() + more), (listed, open));
        }
    }
}
