//! Writing the running configuration into its file: when asked to, and by itself at
//! the interval of configCheck.
//!
//! The desk's own thread does it, at a deadline between two requests: what is saved is
//! what is in force, and no lock is needed to keep it so. How a file is written is
//! `save`'s business.

use std::time::{Duration, Instant, SystemTime};

use super::controller::{Controller, outcome};
use super::reload::NO_FILE;
use super::response::{Response, ResponseData};
use crate::config::PeriodicTask;
use crate::control::Topic;
use crate::control::save::Saved;
use crate::log_targets;

/// When the configuration is to be saved by itself.
#[derive(Debug)]
pub(super) struct Autosave {
    chore: PeriodicTask,
    /// `None` is never.
    due: Option<Instant>,
    /// What was said of the last failure: it is said once.
    complaint: Option<String>,
}

impl Autosave {
    pub(super) fn new(chore: PeriodicTask, now: Instant) -> Autosave {
        let mut saver = Autosave {
            chore,
            due: None,
            complaint: None,
        };
        saver.wait(now);
        saver
    }

    /// Configured so from now on: an interval that is under way goes on if it is the
    /// same.
    pub(super) fn follow(&mut self, chore: PeriodicTask) {
        if self.chore != chore {
            self.chore = chore;
            self.wait(Instant::now());
        }
    }

    /// Never saves again.
    pub(super) fn give_up(&mut self) {
        self.chore.enable = false;
        self.due = None;
    }

    /// Waits for an interval from now.
    fn wait(&mut self, now: Instant) {
        let due = now.checked_add(self.chore.interval);
        self.due = due.filter(|_| self.chore.enable);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// How long there is nothing to do; `None` is for ever.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        Some(self.due?.saturating_duration_since(now))
    }

    /// Whether this failure is news.
    fn is_news(&mut self, error: &str) -> bool {
        let news = self.complaint.as_deref() != Some(error);
        self.complaint = Some(error.to_owned());
        news
    }
}

impl Controller {
    /// What the verb `saveConfig` asks for.
    pub(super) fn save(&mut self, force: bool) -> Response {
        if self.stored.is_none() {
            return self.answer(Err(format!("{NO_FILE}; config shows what runs")));
        }
        match self.write(force) {
            Ok(saved) => {
                let told = self.told(&saved);
                self.answer(Ok(told)).with(ResponseData::Lines(saved.notes))
            }
            Err(error) => self.answer(Err(error)),
        }
    }

    /// What configCheck asks for, when it is time.
    pub(super) fn save_by_itself(&mut self) {
        self.saver.wait(Instant::now());
        if self.stored.is_none() || self.unsaved().is_empty() {
            return;
        }
        match self.write(false) {
            Ok(saved) => {
                let told = self.told(&saved);
                self.record(Topic::Save, &format!("configCheck: {told}"));
                for note in saved.notes {
                    log::warn!(target: log_targets::ANSWERS, "{note}");
                }
            }
            Err(error) if self.saver.is_news(&error) => {
                let text = format!("the running configuration cannot be saved: {error}");
                self.record(Topic::Error, &text);
            }
            Err(_) => {}
        }
    }

    fn write(&mut self, force: bool) -> Result<Saved, String> {
        let Some(stored) = &mut self.stored else {
            return Err(NO_FILE.to_owned());
        };
        let config = self.director.config();
        let saved = stored.file.save(config, force, SystemTime::now());
        let result = saved.map_err(|error| error.to_string());
        if result.is_ok() {
            stored.config = config.clone();
            self.saver.complaint = None;
        }
        self.last_save = Some(outcome(&result));
        self.forget_unsaved();
        result
    }

    fn told(&self, saved: &Saved) -> String {
        let path = self.stored.as_ref().map(|it| it.file.path());
        let path = path.unwrap_or(std::path::Path::new("")).display();
        match &saved.backup {
            Some(backup) => format!("saved in {path}; what it said is in {}", backup.display()),
            None => format!("{path} says so already"),
        }
    }
}
