//! CHANGES

use super::config_file::File;
use super::controller::Controller;
use super::data_plane::Listening;
use super::error::Error;
use super::handle::{Actor, Response};
use super::listeners::Resolving;
use super::reconfigure::Prepared;
use super::running::Renames;
use crate::config::verb::{Verb, apply_all};
use crate::config::{Config, Warning};
use crate::log_targets;
use crate::relay::Topic;

impl Controller {
    /// Makes one change of `verbs`.
    pub(super) fn change(&mut self, by: &Actor, verbs: &[Verb]) -> Response {
        let outcome = self.try_change(by, verbs);
        if let Err(why) = &outcome {
            let shown = match verbs {
                [verb] => verb.to_string(),
                _ => format!("{} changes at once", verbs.len()),
            };
            log::info!(target: log_targets::ANSWERS, "refused: {shown}; by {by}: {why}");
        }
        self.answer(outcome)
    }

    fn try_change(&mut self, by: &Actor, verbs: &[Verb]) -> Result<String, String> {
        if self.stopping {
            return Err("txlb is stopping".to_owned());
        }
        let before = self.director.config().clone();
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
        let prepared = self.put_in_force(next, &Renames::new(verbs, &before), Resolving::New)?;
        let generation = self.director.generation();
        for verb in verbs {
            let was = verb.replaced(&before);
            let was = was.map_or_else(String::new, |was| format!(", was {was}"));
            let text = format!("generation {generation}: {verb}{was}; by {by}");
            self.record(Topic::Change, &text);
        }
        prepared.finish();
        Ok(String::new())
    }

    /// Puts `next` in force. What is left to be finished is the log, once everything has
    /// been said.
    pub(super) fn put_in_force(
        &mut self,
        next: Config,
        renames: &Renames,
        resolving: Resolving,
    ) -> Result<Prepared, String> {
        let now = self.director.config();
        let mut prepared = Prepared::new(&mut self.fixtures, now, &next)?;
        let listening = self.director.listening();
        let applied = self.director.apply_as(next, renames, resolving);
        let unknown = match applied {
            Ok(()) => None,
            // The others serve it, so everything else has to go along.
            Err(Error::Worker(number)) => Some(number),
            Err(error) => return Err(error.to_string()),
        };
        prepared.follow();
        self.forget_unsaved();
        let chore = self.director.config().manager.config_check;
        self.saver.follow(chore);
        self.announce_listeners(&listening);
        match unknown {
            None => Ok(prepared),
            Some(number) => {
                prepared.finish();
                Err(format!(
                    "worker {number} does not answer, and it is not known what it serves; the \
                     others have changed"
                ))
            }
        }
    }

    /// Says of each service where it listens, unless that was said before.
    pub(super) fn announce_listeners(&self, before: &[Listening]) {
        for listening in self.director.listening() {
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
