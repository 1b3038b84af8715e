//! Reading the file again, and what becomes of changes that are not in it.
//!
//! A file with other bytes wins; with the same ones nothing is lost.

use super::actor::Actor;
use super::controller::{Controller, outcome};
use super::response::{Response, ResponseData};
use crate::config::verb::Verb;
use crate::config::{Config, Warning};
use crate::control::Topic;
use crate::control::file::{Changed, File};
use crate::control::listeners::Resolving;
use crate::control::renames::Renames;
use crate::log_targets;

/// What is said where there is nothing to read or write.
pub(super) const NO_FILE: &str = "there is no configuration file: txlb was started without one";

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) file: File,
    pub(super) config: Config,
}

impl Stored {
    pub(super) fn new(file: File, config: Config) -> Stored {
        Stored { file, config }
    }
}

/// What a reload came to.
struct Reloaded {
    /// What happened.
    told: String,
    /// The changes that were lost by it.
    lost: Vec<String>,
}

impl Controller {
    /// What HUP asks for.
    pub(super) fn hang_up(&mut self) {
        self.reopen_or_complain();
        if self.stored.is_none() {
            log::info!(
                target: log_targets::ANSWERS,
                "there is no configuration file to read again"
            );
            self.resolve_again();
            return;
        }
        // Everything worth saying is said.
        let _ = self.read_again(&Actor::Signal("HUP"), false);
    }

    /// What the verb `reload` asks for.
    pub(super) fn reload(&mut self, by: &Actor, force: bool) -> Response {
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
            let changes = number_of_changes(unsaved.len());
            let why = format!(
                "{changes} that {verb} not in the file would be lost: saveConfig writes {object} \
                 into the file, reload force=true gives {object} up"
            );
            return self.answer(Err(why)).with(ResponseData::Lines(unsaved));
        }
        self.reopen_or_complain();
        match self.read_again(by, force) {
            Ok(Reloaded { told, lost }) => {
                let lost = lost.into_iter().map(|verb| format!("lost: {verb}"));
                let answer = self.answer(Ok(told));
                answer.with(ResponseData::Lines(lost.collect()))
            }
            Err(why) => self.answer(Err(why)),
        }
    }

    /// Reads the file, and puts it in force if it is not as it was; with `force`, in
    /// any case.
    fn read_again(&mut self, by: &Actor, force: bool) -> Result<Reloaded, String> {
        let result = self.try_read_again(by, force);
        self.last_reload = Some(outcome(&result));
        if let Err(error) = &result {
            let text = format!("{error}; the running configuration stays");
            self.record(Topic::Error, &text);
        }
        result
    }

    fn try_read_again(&mut self, by: &Actor, force: bool) -> Result<Reloaded, String> {
        let Some(stored) = &self.stored else {
            return Err(NO_FILE.to_owned());
        };
        match stored.file.read_again() {
            Ok(Changed::Yes(news)) => {
                let (file, reading) = *news;
                self.replace(by, file, reading.config, &reading.warnings)
            }
            Ok(Changed::No) if force && stored.config != *self.director.config() => {
                let (file, config) = (stored.file.clone(), stored.config.clone());
                self.replace(by, file, config, &[])
            }
            Ok(Changed::No) => {
                let told = format!("{} is unchanged", stored.file.path().display());
                log::info!(target: log_targets::ANSWERS, "{told}");
                self.resolve_again();
                Ok(Reloaded {
                    told: format!("{told}: names are resolved again"),
                    lost: Vec::new(),
                })
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Resolves all names again; what listens by a name moves with it.
    fn resolve_again(&mut self) {
        self.director.resolve_again();
        let listening = self.director.listening();
        if let Err(error) = self.director.listen_again() {
            self.record(Topic::Error, &format!("{error}; all listeners stay"));
        }
        self.announce_listeners(&listening);
    }

    /// Puts what the file says in force, and says what is lost by it.
    fn replace(
        &mut self,
        by: &Actor,
        file: File,
        config: Config,
        warnings: &[Warning],
    ) -> Result<Reloaded, String> {
        let path = file.path().display().to_string();
        let lost = lost(self.unsaved(), &config);
        let prepared = self
            .put_in_force(config.clone(), &Renames::default(), Resolving::All)
            .map_err(|error| format!("{path}: {error}"))?;
        self.warn(&file, warnings);
        for verb in &lost {
            log::warn!(target: log_targets::ANSWERS, "lost, as it is not in {path}: {verb}");
        }
        let told = format!("{path} is in force");
        let generation = self.director.generation();
        let text = format!("{told} as generation {generation}; by {by}");
        self.record(Topic::Reload, &text);
        // Whoever reads the old log has been told.
        prepared.finish();
        self.stored = Some(Stored::new(file, config));
        self.forget_unsaved();
        Ok(Reloaded { told, lost })
    }
}

/// Those of the changes that `next` does not have, as the verbs that would make them
/// again.
fn lost(unsaved: &[Verb], next: &Config) -> Vec<String> {
    let mut with_them = next.clone();
    let mut lost = Vec::new();
    for verb in unsaved {
        match verb.apply(&with_them) {
            Ok(same) if same == with_them => {}
            Ok(other) => {
                with_them = other;
                lost.push(verb.to_string());
            }
            // What it is about is gone too.
            Err(_) => lost.push(verb.to_string()),
        }
    }
    lost
}

pub(super) fn number_of_changes(number: usize) -> String {
    match number {
        1 => "1 change".to_owned(),
        _ => format!("{number} changes"),
    }
}
