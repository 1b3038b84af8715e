//! The last changes of the configuration: who made them, and how to take one back.
//!
//! Each keeps the configuration before it. What takes it back are the verbs from the configuration
//! after it to that one; they are refused where a later change has changed the same.

use std::collections::VecDeque;

use crate::calendar::UtcTime;
use crate::config::Config;
use crate::config::verb::{Verb, count_elements, diff};

/// Changes that are listed.
const MAX_CHANGES: usize = 100;

/// Elements of all configurations that are kept: those of the oldest changes go first, and these
/// cannot be taken back any more.
const MAX_ELEMENTS: usize = 50_000;

/// Verbs of one change that are listed.
const MAX_VERBS: usize = 20;

/// The last changes, the oldest first.
#[derive(Debug, Default)]
pub(super) struct UndoHistory {
    changes: VecDeque<Change>,
}

#[derive(Debug)]
struct Change {
    /// The generation that it made.
    generation: u64,
    wall_ms: u64,
    actor: String,
    /// What it did, a line each. Passwords are hidden.
    lines: Vec<String>,
    /// The configuration before it, while it is kept.
    before: Option<Config>,
    /// The generation of the change that it takes back.
    undoes: Option<u64>,
    is_undone: bool,
}

/// What takes a change back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undo {
    /// The generation that the change made.
    pub(super) generation: u64,
    pub(super) verbs: Vec<Verb>,
}

impl UndoHistory {
    /// Adds a change that made `generation`, at `wall_ms` since 1970.
    pub(super) fn add(
        &mut self,
        (generation, wall_ms): (u64, u64),
        actor: String,
        mut lines: Vec<String>,
        before: Config,
    ) {
        if let Some(more) = lines.len().checked_sub(MAX_VERBS + 1) {
            lines.truncate(MAX_VERBS);
            lines.push(format!("and {} more", more + 1));
        }
        if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change {
            generation,
            wall_ms,
            actor,
            lines,
            before: Some(before),
            undoes: None,
            is_undone: false,
        });
        self.forget_oldest();
    }

    /// Forgets configurations that there is no room for. That before the last change stays.
    fn forget_oldest(&mut self) {
        let mut elements = 0;
        for (index, change) in self.changes.iter_mut().rev().enumerate() {
            elements += change
                .before
                .as_ref()
                .map_or(0, |it| 1 + count_elements(it));
            if index > 0 && elements > MAX_ELEMENTS {
                change.before = None;
            }
        }
    }

    /// Notes that the last change takes back the one that made `generation`.
    pub(super) fn mark_undo(&mut self, generation: u64) {
        if let Some(last) = self.changes.back_mut() {
            last.undoes = Some(generation);
        }
        let mut changes = self.changes.iter_mut();
        if let Some(change) = changes.find(|it| it.generation == generation) {
            change.is_undone = true;
        }
    }

    /// The changes as lines, the newest first.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |change: &Change| {
            let Change {
                generation,
                wall_ms,
                actor,
                ..
            } = change;
            let at = UtcTime::of(*wall_ms).iso();
            let note = match (change.undoes, change.is_undone) {
                (_, true) => ", undone".to_owned(),
                (Some(other), _) => format!(", undoes {other}"),
                (None, false) if change.before.is_none() => ", too long ago to undo".to_owned(),
                (None, false) => String::new(),
            };
            let head = format!("{generation} at {at} by {actor}{note}");
            let lines = change.lines.iter().map(|line| format!("    {line}"));
            std::iter::once(head).chain(lines).collect::<Vec<_>>()
        };
        self.changes.iter().rev().flat_map(line).collect()
    }

    /// The generations of the changes that may be taken back, the newest first.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let open = self.changes.iter().rev();
        let open = open.filter(|it| !it.is_undone && it.before.is_some());
        open.map(|change| change.generation).collect()
    }

    /// The verbs that take a change back while `now` is in force: the one that made `generation`,
    /// or the last one that is neither taken back nor takes one back.
    ///
    /// # Errors
    /// There is no such change, it is too long ago, or a later one is in its way.
    pub(super) fn undo(&self, generation: Option<u64>, now: &Config) -> Result<Undo, String> {
        let index = match generation {
            Some(wanted) => self.changes.iter().position(|it| it.generation == wanted),
            None => {
                let is_open = |it: &Change| it.undoes.is_none() && !it.is_undone;
                self.changes.iter().rposition(is_open)
            }
        };
        let Some(index) = index else {
            return Err(match generation {
                Some(wanted) => {
                    format!("no change is known that made generation {wanted}: history lists them")
                }
                None => "there is no change to undo".to_owned(),
            });
        };
        let change = &self.changes[index];
        let number = change.generation;
        if change.is_undone {
            return Err(format!("generation {number} is undone already"));
        }
        let before = change.before.as_ref();
        let before = before.ok_or_else(|| {
            format!("the configuration before generation {number} is no longer kept")
        })?;
        let after = self.model_after(index, now);
        let [verbs, again] = [diff(after, before), diff(before, after)];
        let is_apart = |model| check_apart([&verbs, &again], model);
        if let Err(why) = is_apart(now) {
            let later = index + 1..self.changes.len();
            let mut in_the_way = later.filter(|it| is_apart(self.model_after(*it, now)).is_err());
            let other = in_the_way.next().map(|it| self.changes[it].generation);
            return Err(match other {
                Some(other) => format!(
                    "generation {number} cannot be undone, since generation {other} has changed \
                     the same{why}: undo {other} first"
                ),
                None => format!("generation {number} cannot be undone{why}"),
            });
        }
        Ok(Undo {
            generation: number,
            verbs,
        })
    }

    /// The configuration after a change.
    fn model_after<'a>(&'a self, index: usize, now: &'a Config) -> &'a Config {
        // Those of later changes are kept longer.
        let next = self.changes.get(index + 1);
        next.and_then(|it| it.before.as_ref()).unwrap_or(now)
    }
}

/// Checks that a change can be taken back in `now`, and nothing but it: made again, it leads to
/// `now`.
fn check_apart([back, again]: [&[Verb]; 2], now: &Config) -> Result<(), String> {
    let mut changed = now.clone();
    for verb in back.iter().chain(again) {
        let done = verb.change(&mut changed);
        done.map_err(|error| format!(" ({error})"))?;
    }
    match changed == *now {
        true => Ok(()),
        false => Err(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use crate::config::verb::{Command, apply_all};

    const FILE: &str = "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
        <host name='a' ip='a:1'/><host name='b' ip='b:1'/></group></service></config>";

    /// A history, and the configuration in force.
    struct Scene {
        history: UndoHistory,
        now: Config,
        generation: u64,
    }

    impl Scene {
        fn new() -> Scene {
            Scene {
                history: UndoHistory::default(),
                now: read(FILE.as_bytes()).unwrap().config,
                generation: 1,
            }
        }

        fn make(&mut self, verbs: &[Verb]) {
            let before = self.now.clone();
            self.now = apply_all(verbs, &before).unwrap();
            self.generation += 1;
            let lines = verbs.iter().map(Verb::to_string).collect();
            let when = (self.generation, 1_795_366_978_443);
            self.history.add(when, "ann".to_owned(), lines, before);
        }

        fn change(&mut self, line: &str) {
            let command: Command = line.parse().unwrap();
            self.make(&[command.into_change().unwrap()]);
        }

        /// Undoes a change, and says by which verbs, or why not.
        fn undo(&mut self, generation: Option<u64>) -> String {
            match self.history.undo(generation, &self.now) {
                Ok(undo) => {
                    self.make(&undo.verbs);
                    self.history.mark_undo(undo.generation);
                    let lines: Vec<_> = undo.verbs.iter().map(Verb::to_string).collect();
                    lines.join("; ")
                }
                Err(why) => why,
            }
        }
    }

    #[test]
    fn one_change_after_the_other_is_taken_back() {
        let mut scene = Scene::new();
        let start = scene.now.clone();
        scene.change("setWeight s:g/a weight=5");
        scene.change("delHost s:g/b");
        scene.change("setOption name=config.name value=lb1");
        assert_eq!(scene.undo(None), "setOption name=config.name value=\"\"");
        assert_eq!(scene.undo(None), "addHost service=s group=g name=b ip=b:1");
        assert_eq!(
            scene.undo(None),
            "setWeight service=s group=g name=a weight=1"
        );
        assert_eq!(scene.now, start);
        assert_eq!(scene.undo(None), "there is no change to undo");
        // What was undone can be done again.
        assert_eq!(
            scene.undo(Some(7)),
            "setWeight service=s group=g name=a weight=5"
        );
    }

    #[test]
    fn a_change_in_between_is_taken_back_unless_a_later_one_is_in_its_way() {
        let mut scene = Scene::new();
        scene.change("setWeight s:g/a weight=5");
        scene.change("setWeight s:g/b weight=7");
        scene.change("setWeight s:g/a weight=6");
        scene.change("addHost s:g/c ip=c:1");
        scene.change("setWeight s:g/c weight=3");
        let why = scene.undo(Some(2));
        assert!(
            why.ends_with("generation 4 has changed the same: undo 4 first"),
            "{why}"
        );
        let why = scene.undo(Some(5));
        assert!(why.contains("generation 6 has changed the same"), "{why}");
        assert_eq!(
            scene.undo(Some(3)),
            "setWeight service=s group=g name=b weight=1"
        );
        assert!(scene.undo(Some(3)).contains("is undone already"));
        assert!(scene.undo(Some(99)).contains("history lists them"));
    }

    #[test]
    fn the_list_says_who_did_what_and_when() {
        let mut scene = Scene::new();
        scene.change("setWeight s:g/a weight=5");
        scene.undo(None);
        assert_eq!(
            scene.history.lines(),
            [
                "3 at 2026-11-22T17:02:58.443Z by ann, undoes 2",
                "    setWeight service=s group=g name=a weight=1",
                "2 at 2026-11-22T17:02:58.443Z by ann, undone",
                "    setWeight service=s group=g name=a weight=5",
            ]
        );
    }

    #[test]
    fn changes_and_the_room_for_them_are_limited() {
        let mut scene = Scene::new();
        for weight in 2..2 + 2 * MAX_CHANGES {
            scene.change(&format!("setWeight s:g/a weight={weight}"));
        }
        assert_eq!(scene.history.changes.len(), MAX_CHANGES);
        let host = scene.now.services[0].groups[0].hosts[0].clone();
        scene.now.services[0].groups[0].hosts = (0..MAX_ELEMENTS / 2)
            .map(|number| crate::config::Host {
                name: number.to_string(),
                ..host.clone()
            })
            .collect();
        for weight in 2..6 {
            scene.change(&format!("setWeight s:g/1 weight={weight}"));
        }
        let kept = scene.history.changes.iter();
        assert_eq!(kept.filter(|it| it.before.is_some()).count(), 1);
        let last = scene.generation;
        assert!(scene.undo(Some(last - 1)).contains("no longer kept"));
        assert!(scene.undo(None).starts_with("setWeight "));
    }
}
