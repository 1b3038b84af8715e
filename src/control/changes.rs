//! How the controller changes the configuration: by verbs, and by reading the file again. Saves it,
//! too.
//!
//! A file with other bytes wins over unsaved changes. With the same bytes, nothing is lost.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Instant, SystemTime};

use super::apply::{ConfigChange, NewListeners, Prepared};
use super::config_file::{Changed, File, FileError};
use super::controller::{Controller, NO_FILE, Stored, outcome};
use super::data_plane::Listening;
use super::handle::{Actor, Response, ResponseData};
use super::member_verbs::sort_out;
use super::running::Renames;
use super::save::Saved;
use super::undo::Undo;
use super::wanted::ResolveScope;
use crate::calendar::since_1970_ms;
use crate::config::verb::{CommandError, GroupKey, Verb, apply_all_seen};
use crate::config::{Config, Group, Warning};
use crate::log_targets;
use crate::relay::{Backend, Topic};
use crate::text::{address_ranges, plural};

/// The answer to a change that changes nothing.
pub(super) const UNCHANGED: &str = "nothing has changed: it is so already";

/// The result of a reload.
struct Reloaded {
    /// What happened.
    message: String,
    /// Unsaved changes that it undid.
    lost: Vec<String>,
}

/// Why a reload is refused.
struct ReloadError {
    /// The first error.
    why: String,
    /// All errors of the file, if there are several.
    lines: Vec<String>,
}

impl From<String> for ReloadError {
    fn from(why: String) -> Self {
        let lines = Vec::new();
        ReloadError { why, lines }
    }
}

impl From<FileError> for ReloadError {
    fn from(error: FileError) -> Self {
        let mut lines = error.lines();
        let why = lines.first().cloned().unwrap_or_default();
        if lines.len() == 1 {
            lines.clear();
        }
        ReloadError { why, lines }
    }
}

impl Controller {
    /// Makes one change of all `verbs`.
    pub(super) fn change(&mut self, actor: &Actor, verbs: &[Verb]) -> Response {
        let outcome = self.try_change(actor, verbs);
        if let Err(why) = &outcome {
            let shown = match verbs {
                [verb] => verb.to_string(),
                _ => format!("{} changes at once", verbs.len()),
            };
            log::info!(target: log_targets::CONTROL, "refused: {shown}; by {actor}: {why}");
        }
        self.answer(outcome)
    }

    fn try_change(&mut self, actor: &Actor, verbs: &[Verb]) -> Result<String, String> {
        if self.stopping {
            return Err("txlb is stopping".to_owned());
        }
        let before = self.data_plane.config().clone();
        let refuse = |(index, refusal): (usize, CommandError)| match verbs {
            [_] => refusal.to_string(),
            _ => format!(
                "number {} of {} ({}): {refusal}",
                index + 1,
                verbs.len(),
                verbs[index]
            ),
        };
        let (members, others) = sort_out(verbs, &self.data_plane).map_err(refuse)?;
        let (indices, changes): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        let unusable = |group: &GroupKey| self.data_plane.unusable(group);
        let next = apply_all_seen(&changes, &before, &unusable)
            .map_err(|(index, refusal)| refuse((indices[index], refusal)))?;
        members
            .check(&self.data_plane, &next)
            .map_err(|refusal| refusal.to_string())?;
        if next == before {
            // What is wanted of members is no part of the configuration.
            if !members.commit(&self.data_plane) {
                return Ok(UNCHANGED.to_owned());
            }
            self.record_change(actor, verbs, before);
            return Ok(String::new());
        }
        let notes = newly_missed_weights(&before, &next);
        let renames = Renames::new(&changes, &before);
        let prepared = self.put_in_force(next, &renames, ResolveScope::New)?;
        members.commit(&self.data_plane);
        self.record_change(actor, verbs, before);
        prepared.commit_log();
        Ok(notes.join("; "))
    }

    fn record_change(&mut self, actor: &Actor, verbs: &[Verb], before: Config) {
        let generation = self.data_plane.generation();
        let lines: Vec<_> = verbs
            .iter()
            .map(|verb| {
                let was = verb.previous_values(&before);
                let was = was.map_or_else(String::new, |was| format!(", was {was}"));
                format!("{verb}{was}")
            })
            .collect();
        for line in &lines {
            let text = format!("generation {generation}: {line}; by {actor}");
            self.record(Topic::Change, &text);
        }
        self.remember(actor, lines, before);
    }

    /// Adds the change that has just been made to the history.
    fn remember(&mut self, actor: &Actor, lines: Vec<String>, before: Config) {
        let made = (
            self.data_plane.generation(),
            since_1970_ms(SystemTime::now()),
        );
        self.history.add(made, actor.to_string(), lines, before);
    }

    /// Executes the verb `undo`.
    pub(super) fn undo(&mut self, actor: &Actor, change: Option<u64>, force: bool) -> Response {
        match self.try_undo(actor, change, force) {
            Ok((message, lines)) => self.answer(Ok(message)).with(ResponseData::Lines(lines)),
            Err(why) => self.answer(Err(why)),
        }
    }

    /// Says what was done, and by which verbs.
    fn try_undo(
        &mut self,
        actor: &Actor,
        change: Option<u64>,
        force: bool,
    ) -> Result<(String, Vec<String>), String> {
        let Undo { generation, verbs } = self.history.undo(change, self.data_plane.config())?;
        // Verbs between two configurations insist where hosts that are not seen to fail would do.
        let verbs: Vec<Verb> = verbs.into_iter().map(|it| it.with_force(force)).collect();
        let before = self.data_plane.generation();
        let notes = self.try_change(actor, &verbs)?;
        if self.data_plane.generation() == before {
            return Ok((notes, Vec::new()));
        }
        self.history.mark_undo(generation);
        let done = format!("generation {generation} is undone");
        let texts: Vec<_> = [done, notes]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        let lines = verbs.iter().map(Verb::to_string).collect();
        Ok((texts.join("; "), lines))
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
            known: None,
        };
        let applied = self
            .data_plane
            .apply_change(change, &mut self.reconfigurables);
        let prepared = applied.map_err(|error| error.to_string())?;
        self.forget_unsaved();
        self.set_tasks();
        self.announce_listeners(&listening);
        Ok(prepared)
    }

    /// Tells the periodic tasks of the file what the configuration says.
    pub(super) fn set_tasks(&mut self) {
        let config = self.data_plane.config();
        self.autosave.set_task(config.manager.config_check);
        let watch = config.general.watch && self.stored.is_some() && !self.stopping;
        self.watch.set(watch, Instant::now());
    }

    /// Logs where each service listens, unless it was so `before`.
    pub(super) fn announce_listeners(&self, before: &[Listening]) {
        let before: HashSet<&Listening> = before.iter().collect();
        for listening in self.data_plane.listening() {
            if !before.contains(&listening) {
                let (name, addresses) = listening;
                let places = address_ranges(&addresses);
                log::info!(
                    target: log_targets::CONTROL,
                    "service {name} listens at {}", places.join(", ")
                );
            }
        }
    }

    pub(super) fn warn(&self, file: &File, warnings: &[Warning]) {
        for Warning { position, text } in warnings {
            log::warn!(
                target: log_targets::CONTROL,
                "{}:{position}: {text}", file.path().display()
            );
        }
        for (path, advice) in file.exposed() {
            log::warn!(target: log_targets::CONTROL, "{}: {advice}", path.display());
        }
    }

    /// Handles SIGHUP.
    pub(super) fn handle_hup(&mut self) {
        self.reopen_or_complain();
        if self.stored.is_none() {
            log::info!(
                target: log_targets::CONTROL,
                "there is no configuration file to read again"
            );
            self.resolve_again();
            return;
        }
        // Errors are logged where they happen.
        let _ = self.reread(&Actor::Signal("HUP"), false);
    }

    /// With `watch="true"`, reads the file again if it has changed.
    pub(super) fn look_at_file(&mut self) {
        let Some(stored) = &self.stored else {
            return;
        };
        // Errors are logged where they happen.
        if self.watch.look(&stored.file, Instant::now())
            && self.reread(&Actor::FileWatch, false).is_ok()
        {
            self.watch.accept();
        }
    }

    /// Executes the verb `reload`.
    pub(super) fn reload(&mut self, actor: &Actor, force: bool) -> Response {
        if self.stored.is_none() {
            return self.answer(Err(NO_FILE.to_owned()));
        }
        if self.stopping {
            return self.answer(Err("txlb is stopping".to_owned()));
        }
        let unsaved: Vec<String> = self.unsaved().iter().map(Verb::to_string).collect();
        if !unsaved.is_empty() && !force {
            let (verb, object) = match unsaved[..] {
                [_] => ("is", "it"),
                _ => ("are", "them"),
            };
            let changes = plural(unsaved.len(), "change");
            let why = format!(
                "{changes} that {verb} not in the file would be lost: saveConfig writes {object} \
                 into the file, reload force=true gives {object} up"
            );
            return self.answer(Err(why)).with(ResponseData::Lines(unsaved));
        }
        self.reopen_or_complain();
        match self.reread(actor, force) {
            Ok(Reloaded { message, lost }) => {
                let lost = lost.into_iter().map(|verb| format!("lost: {verb}"));
                let answer = self.answer(Ok(message));
                answer.with(ResponseData::Lines(lost.collect()))
            }
            Err(ReloadError { why, lines }) => {
                let answer = self.answer(Err(why));
                answer.with(ResponseData::Lines(lines))
            }
        }
    }

    /// Reads the file, and puts it in force if it has changed; with `force`, in any case.
    fn reread(&mut self, actor: &Actor, force: bool) -> Result<Reloaded, ReloadError> {
        let result = self.try_reread(actor, force);
        let first = result.as_ref().map_err(|refusal| refusal.why.clone());
        self.last_reload = Some(outcome(&first));
        if let Err(ReloadError { why, lines }) = &result {
            let text = format!("{why}; the running configuration stays");
            self.record(Topic::Error, &text);
            for other in lines.iter().skip(1) {
                log::error!(target: log_targets::CONTROL, "{other}");
            }
        }
        result
    }

    fn try_reread(&mut self, actor: &Actor, force: bool) -> Result<Reloaded, ReloadError> {
        let Some(stored) = &self.stored else {
            return Err(NO_FILE.to_owned().into());
        };
        match stored.file.reread()? {
            Changed::Yes(changed) => {
                let (file, reading) = *changed;
                Ok(self.replace(actor, file, reading.config, &reading.warnings)?)
            }
            Changed::No if force && stored.config != *self.data_plane.config() => {
                let (file, config) = (stored.file.clone(), stored.config.clone());
                Ok(self.replace(actor, file, config, &[])?)
            }
            Changed::No => {
                let message = format!("{} is unchanged", stored.file.path().display());
                log::info!(target: log_targets::CONTROL, "{message}");
                self.resolve_again();
                Ok(Reloaded {
                    message: format!("{message}: names are resolved again"),
                    lost: Vec::new(),
                })
            }
        }
    }

    /// Resolves all names again. Listeners move with their names.
    fn resolve_again(&mut self) {
        self.data_plane.resolve_again();
        let listening = self.data_plane.listening();
        if let Err(error) = self.data_plane.listen_again() {
            self.record(Topic::Error, &format!("{error}; all listeners stay"));
        }
        self.announce_listeners(&listening);
    }

    /// Puts the file's configuration in force, and logs what is lost by it.
    fn replace(
        &mut self,
        actor: &Actor,
        file: File,
        config: Config,
        warnings: &[Warning],
    ) -> Result<Reloaded, String> {
        let path = file.path().display().to_string();
        let lost = lost(self.unsaved(), &config);
        let before = self.data_plane.config().clone();
        let prepared = self
            .put_in_force(config.clone(), &Renames::default(), ResolveScope::All)
            .map_err(|error| format!("{path}: {error}"))?;
        self.warn(&file, warnings);
        for verb in &lost {
            log::warn!(target: log_targets::CONTROL, "lost, as it is not in {path}: {verb}");
        }
        let message = format!("{path} is in force");
        let generation = self.data_plane.generation();
        let text = format!("{message} as generation {generation}; by {actor}");
        self.record(Topic::Reload, &text);
        self.remember(actor, vec![message.clone()], before);
        // From here on the new log is used: the line above is the last one of the old log.
        prepared.commit_log();
        self.stored = Some(Stored::new(file, config));
        self.forget_unsaved();
        Ok(Reloaded { message, lost })
    }

    /// Executes the verb `saveConfig`.
    pub(super) fn save(&mut self, force: bool) -> Response {
        if self.stored.is_none() {
            return self.answer(Err(format!("{NO_FILE}; config shows what runs")));
        }
        match self.write_file(force) {
            Ok(saved) => {
                let message = self.save_message(&saved);
                self.answer(Ok(message))
                    .with(ResponseData::Lines(saved.notes))
            }
            Err(error) => self.answer(Err(error)),
        }
    }

    /// Saves at the interval of configCheck, if there are unsaved changes.
    pub(super) fn autosave_if_changed(&mut self) {
        self.autosave.restart(Instant::now());
        if self.stored.is_none() || self.unsaved().is_empty() {
            return;
        }
        match self.write_file(false) {
            Ok(saved) => {
                let message = self.save_message(&saved);
                self.record(Topic::Save, &format!("configCheck: {message}"));
                for note in saved.notes {
                    log::warn!(target: log_targets::CONTROL, "{note}");
                }
            }
            Err(error) if self.autosave.is_new_complaint(&error) => {
                let text = format!("the running configuration cannot be saved: {error}");
                self.record(Topic::Error, &text);
            }
            Err(_) => {}
        }
    }

    fn write_file(&mut self, force: bool) -> Result<Saved, String> {
        let Some(stored) = &mut self.stored else {
            return Err(NO_FILE.to_owned());
        };
        let config = self.data_plane.config();
        let saved = stored.file.save(config, force, SystemTime::now());
        let result = saved.map_err(|error| error.to_string());
        if result.is_ok() {
            stored.config = config.clone();
            self.autosave.complaint = None;
        }
        self.last_save = Some(outcome(&result));
        self.forget_unsaved();
        result
    }

    fn save_message(&self, saved: &Saved) -> String {
        let path = self.stored.as_ref().map(|it| it.file.path());
        let path = path.unwrap_or(Path::new("")).display();
        match &saved.backup {
            Some(backup) => format!(
                "saved in {path}; its previous content is in {}",
                backup.display()
            ),
            None => format!("{path} has this configuration already"),
        }
    }
}

/// A note for each group whose weights or scheduler have changed, if its scheduler does not look at
/// the weights.
fn newly_missed_weights(before: &Config, next: &Config) -> Vec<String> {
    let weights = |group: &Group| group.hosts.iter().map(|it| it.weight).collect::<Vec<_>>();
    let mut notes = Vec::new();
    for service in &next.services {
        let old = before.services.iter().find(|it| it.name == service.name);
        for group in &service.groups {
            let old = old.and_then(|it| it.groups.iter().find(|old| old.name == group.name));
            let same = old.is_some_and(|old| {
                old.scheduler == group.scheduler && weights(old) == weights(group)
            });
            if let Some(instead) = group.missed_weights().filter(|_| !same) {
                let (name, scheduler) = (Backend(&service.name, &group.name), &group.scheduler);
                notes.push(format!(
                    "{scheduler} of {name} does not look at weights: {instead} does"
                ));
            }
        }
    }
    notes
}

/// Those of `unsaved` that `next` does not have, as verbs that would make them again.
fn lost(unsaved: &[Verb], next: &Config) -> Vec<String> {
    let mut with_them = next.clone();
    let mut lost = Vec::new();
    for verb in unsaved {
        let mut other = with_them.clone();
        match verb.change(&mut other) {
            Ok(()) if other == with_them => {}
            Ok(()) => {
                with_them = other;
                lost.push(verb.to_string());
            }
            // The service or host that it changes is gone too.
            Err(_) => lost.push(verb.to_string()),
        }
    }
    lost
}
