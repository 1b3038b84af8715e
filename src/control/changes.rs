//! Changes by verbs: check, prepare, put in force, commit, log. All of it happens, or nothing.

use super::apply::{ConfigChange, NewListeners};
use super::config_file::File;
use super::controller::Controller;
use super::data_plane::Listening;
use super::handle::{Actor, Response};
use super::listeners::ResolveScope;
use super::reconfigure::Prepared;
use super::running::Renames;
use crate::config::verb::{Verb, apply_all};
use crate::config::{Config, Warning};
use crate::log_targets;
use crate::relay::Topic;

impl Controller {
    /// Makes one change of all `verbs`.
    pub(super) fn change(&mut self, actor: &Actor, verbs: &[Verb]) -> Response {
        let outcome = self.try_change(actor, verbs);
        if let Err(why) = &outcome {
            let shown = match verbs {
                [verb] => verb.to_string(),
                _ => format!("{} changes at once", verbs.len()),
            };
            log::info!(target: log_targets::ANSWERS, "refused: {shown}; by {actor}: {why}");
        }
        self.answer(outcome)
    }

    fn try_change(&mut self, actor: &Actor, verbs: &[Verb]) -> Result<String, String> {
        if self.stopping {
            return Err("txlb is stopping".to_owned());
        }
        let before = self.data_plane.config().clone();
        let next = apply_all(verbs, &before).map_err(|(index, refusal)| match verbs {
            [_] => refusal.to_string(),
            _ => format!(
                "number {} of {} ({}): {refusal}",
                index + 1,
                verbs.len(),
                verbs[index]
            ),
        })?;
        if next == before {
            return Ok("nothing has changed: it is so already".to_owned());
        }
        let prepared = self.put_in_force(next, &Renames::new(verbs, &before), ResolveScope::New)?;
        let generation = self.data_plane.generation();
        for verb in verbs {
            let was = verb.previous_values(&before);
            let was = was.map_or_else(String::new, |was| format!(", was {was}"));
            let text = format!("generation {generation}: {verb}{was}; by {actor}");
            self.record(Topic::Change, &text);
        }
        prepared.commit_log();
        Ok(String::new())
    }

    /// Puts `next` in force. The caller commits the log last, once everything is logged.
    pub(super) fn put_in_force(
        &mut self,
        next: Config,
        renames: &Renames,
        scope: ResolveScope,
    ) -> Result<Prepared, String> {
        let listening = self.data_plane.listening();
        let change = ConfigChange {
            next,
            renames,
            listeners: NewListeners::Bind(scope),
        };
        let applied = self
            .data_plane
            .apply_change(change, &mut self.reconfigurables);
        let prepared = applied.map_err(|error| error.to_string())?;
        self.forget_unsaved();
        let task = self.data_plane.config().manager.config_check;
        self.autosave.set_task(task);
        self.announce_listeners(&listening);
        Ok(prepared)
    }

    /// Logs where each service listens, unless it was so `before`.
    pub(super) fn announce_listeners(&self, before: &[Listening]) {
        for listening in self.data_plane.listening() {
            if !before.contains(&listening) {
                let (name, addresses) = listening;
                let places: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                log::info!(
                    target: log_targets::ANSWERS,
                    "service {name} listens at {}", places.join(", ")
                );
            }
        }
    }

    pub(super) fn warn(&self, file: &File, warnings: &[Warning]) {
        for Warning { position, text } in warnings {
            log::warn!(
                target: log_targets::ANSWERS,
                "{}:{position}: {text}", file.path().display()
            );
        }
        for (path, advice) in file.exposed() {
            log::warn!(target: log_targets::ANSWERS, "{}: {advice}", path.display());
        }
    }
}
