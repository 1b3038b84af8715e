//! The members of names (`each` of a host): asks name servers for them, and gives each a host in
//! the pools of its groups.
//!
//! The configuration has the template alone. What becomes of it is here: which members there are,
//! and what operators want of single ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::known_names::KnownNames;
use super::member_count::MemberCount;
use super::member_questions::{Question, look_up, questions, too_many};
use super::resolutions::Resolutions;
use super::resolver::{Found, Known, Resolver};
use super::threads::PanicGuard;
use crate::config::verb::{GroupKey, HostKey};
use crate::config::{self, Config, Host, HostState, Record};
use crate::relay::{Backend, Group};
use crate::sync::lock;
use crate::text::plural;

/// How many members a line of the log names; the others are counted.
const MOST_LOGGED: usize = 5;

/// The name servers that the configuration names, shared with the threads that ask them.
type Nameservers = Arc<Mutex<Vec<SocketAddr>>>;

/// Asks name servers, and keeps the hosts of pools as their answers say.
pub(super) struct Members {
    resolver: Resolver<Question, Record>,
    nameservers: Nameservers,
    expansions: Arc<Expansions>,
}

impl Members {
    /// Nothing is asked before [`Members::ask`], and no thread runs before
    /// [`Members::start_threads`].
    pub(super) fn new(resolutions: Arc<Resolutions>, panic_guard: PanicGuard) -> Members {
        let expansions = Arc::new(Expansions {
            resolutions,
            state: Mutex::default(),
        });
        let nameservers = Nameservers::default();
        let (theirs, on_answer) = (Arc::clone(&nameservers), Arc::clone(&expansions));
        let asking = Arc::clone(&expansions);
        let resolver = Resolver::new(
            "members",
            Box::new(move |question| {
                let nameservers = lock(&theirs).clone();
                asking.look_up(question, &nameservers)
            }),
            Box::new(move |question, answer| {
                let _watch = panic_guard.watch("members");
                on_answer.apply(question, answer);
            }),
        );
        Members {
            resolver,
            nameservers,
            expansions,
        }
    }

    /// Starts as many threads as the questions of `next` need.
    ///
    /// # Errors
    /// The system has no thread.
    pub(super) fn start_threads(&self, next: &Config) -> io::Result<()> {
        self.resolver.start_threads(next.member_names().len())
    }

    /// Asks what `config` wants to know, its new questions at once. Returns these.
    pub(super) fn ask(&self, config: &Config) -> Vec<Question> {
        let nameservers = &config.resolver.nameservers;
        let former = {
            let mut shared = lock(&self.nameservers);
            std::mem::replace(&mut *shared, nameservers.clone())
        };
        let new = self.resolver.set_names(questions(config));
        if former != *nameservers {
            self.resolver.resolve_now();
        }
        new
    }

    /// Adds what is known of members to `names`.
    pub(super) fn tell(&self, names: &mut KnownNames) {
        let state = lock(&self.expansions.state);
        names.answers.extend(state.answers.clone());
        for (group, expansion) in &state.groups {
            let key = |name: &String| HostKey {
                group: group.clone(),
                name: name.clone(),
            };
            let wanted = expansion.states.iter();
            names
                .wanted
                .extend(wanted.map(|(name, state)| (key(name), *state)));
        }
    }

    /// Goes on with what another process knew, until name servers have answered.
    pub(super) fn presume(&self, names: &KnownNames) {
        self.resolver.presume(names.answers.clone());
        let mut state = lock(&self.expansions.state);
        state.answers.extend(names.answers.clone());
        for (host, wanted) in &names.wanted {
            let of_group = state.presumed.entry(host.group.clone()).or_default();
            of_group.insert(host.name.clone(), *wanted);
        }
    }

    /// Waits for the answers to new questions, for `timeout` at most.
    pub(super) fn wait_for(&self, new: &[Question], timeout: Duration) {
        if new.is_empty() {
            return;
        }
        self.resolver.wait_for(new, timeout);
        // An answer that has just come may not have reached the expansions yet.
        for question in new {
            if let Some(Ok(records)) = self.resolver.resolution(question) {
                self.expansions.apply(question, Ok(&records));
            }
        }
    }

    /// Asks all questions again, now.
    pub(super) fn ask_again(&self) {
        self.resolver.resolve_now();
    }

    /// Has `apply` configure a group that has `config` from now on, with members in place of its
    /// templates; with its own names of renamed hosts, members included.
    pub(super) fn configure(
        &self,
        running: &Arc<Group>,
        config: &config::Group,
        renamed: &BTreeMap<String, String>,
        apply: impl FnOnce(&config::Group, &BTreeMap<String, String>),
    ) {
        self.expansions.configure(running, config, renamed, apply);
    }

    /// Forgets groups and answers that `config` does not have.
    pub(super) fn retain(&self, config: &Config) {
        let wanted = questions(config);
        let mut state = lock(&self.expansions.state);
        state.presumed.clear();
        state
            .answers
            .retain(|question, _| wanted.contains(question));
        state
            .failing
            .retain(|question, _| wanted.contains(question));
        state
            .incomplete
            .retain(|question, _| wanted.contains(question));
        state
            .groups
            .retain(|key, _| key.find(config).is_some_and(config::Group::has_templates));
    }

    /// Whether a host is a member of a name now.
    pub(super) fn has(&self, key: &HostKey) -> bool {
        let state = lock(&self.expansions.state);
        let expansion = state.groups.get(&key.group);
        expansion.is_some_and(|it| it.members.contains(&key.name))
    }

    /// What is wanted of members from now on, each of which is there. Returns whether anything is
    /// another than before.
    pub(super) fn set_states(&self, states: &[(HostKey, HostState)]) -> bool {
        self.expansions.set_states(states)
    }

    /// How many members each template of a group has, and whether its last question failed.
    pub(super) fn counts(&self, key: &GroupKey) -> Vec<MemberCount> {
        let state = lock(&self.expansions.state);
        let Some(expansion) = state.groups.get(key) else {
            return Vec::new();
        };
        let templates = expansion.config.hosts.iter();
        templates
            .filter_map(|template| {
                let question = Question::of(template)?;
                let members = expansion.members.iter();
                let failure = state.failing.get(&question);
                let failure = failure.or_else(|| state.incomplete.get(&question));
                Some(MemberCount {
                    name: template.name.clone(),
                    endpoint: template.address.to_string(),
                    each: template.each.as_str(),
                    members: members.filter(|it| template.has_member(it)).count(),
                    failure: failure.cloned(),
                })
            })
            .collect()
    }

    /// `config` with members in place of the templates that have some.
    pub(super) fn expanded<'a>(&self, config: &'a Config) -> Cow<'a, Config> {
        let state = lock(&self.expansions.state);
        if state.groups.is_empty() {
            return Cow::Borrowed(config);
        }
        let mut expanded = config.clone();
        for service in &mut expanded.services {
            for group in &mut service.groups {
                let key = GroupKey {
                    service: service.name.clone(),
                    group: group.name.clone(),
                };
                if let Some(expansion) = state.groups.get(&key) {
                    let members = expansion.expand(&state.answers).hosts.into_iter();
                    group
                        .hosts
                        .extend(members.filter(|it| expansion.members.contains(&it.name)));
                }
            }
        }
        Cow::Owned(expanded)
    }
}

/// The groups with templates, and the members that these have.
struct Expansions {
    resolutions: Arc<Resolutions>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last good answers.
    answers: HashMap<Question, Vec<Record>>,
    /// Questions whose last answer was none, and why. Each is logged once.
    failing: HashMap<Question, String>,
    /// Questions of whose last answer some is not known, and why. Each is logged once.
    incomplete: HashMap<Question, String>,
    groups: HashMap<GroupKey, Expansion>,
    /// What was wanted of members in another process, for groups that are not configured yet.
    presumed: HashMap<GroupKey, BTreeMap<String, HostState>>,
}

/// A group with templates.
struct Expansion {
    running: Arc<Group>,
    config: config::Group,
    /// Names of the members that it has now.
    members: BTreeSet<String>,
    /// What an operator wants of single members.
    states: BTreeMap<String, HostState>,
}

impl Expansion {
    fn expand(&self, answers: &HashMap<Question, Vec<Record>>) -> config::Group {
        let records = |template: &Host| {
            let answer = Question::of(template).and_then(|question| answers.get(&question));
            answer.map_or(&[][..], Vec::as_slice)
        };
        let state = |member: &str| self.states.get(member).copied();
        self.config.expand(records, state)
    }

    /// Takes over the members of the expanded group; forgets what was wanted of others. Returns
    /// what is to be logged.
    fn take_over(&mut self, expanded: &config::Group) -> Vec<String> {
        let own: HashSet<&str> = self
            .config
            .hosts
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        let names = expanded.hosts.iter().map(|host| &host.name);
        let members: BTreeSet<String> = names
            .filter(|name| !own.contains(name.as_str()))
            .cloned()
            .collect();
        let before = std::mem::replace(&mut self.members, members);
        let group = Backend(&self.running.service, &self.running.name);
        let mut lines = Vec::new();
        for (what, from, to) in [
            ("more", &before, &self.members),
            ("less", &self.members, &before),
        ] {
            let changed: Vec<&str> = to.difference(from).map(String::as_str).collect();
            if !changed.is_empty() {
                lines.push(format!(
                    "group {group} has {} {what}, {} in all: {}",
                    plural(changed.len(), "member"),
                    self.members.len(),
                    listed(&changed)
                ));
            }
        }
        self.states.retain(|name, _| self.members.contains(name));
        lines
    }

    /// Takes over the members and states of the same group before a change.
    fn continue_from(&mut self, former: Expansion, renamed: &BTreeMap<String, String>) {
        let new_of: HashMap<&String, &String> =
            renamed.iter().map(|(new, old)| (old, new)).collect();
        let rename = |member: String| new_of.get(&member).map_or(member, |new| (*new).clone());
        self.members = former.members.into_iter().map(rename).collect();
        let states = former.states.into_iter();
        self.states = states
            .map(|(member, state)| (rename(member), state))
            .collect();
    }
}

impl Expansions {
    fn configure(
        &self,
        running: &Arc<Group>,
        config: &config::Group,
        renamed: &BTreeMap<String, String>,
        apply: impl FnOnce(&config::Group, &BTreeMap<String, String>),
    ) {
        let key = GroupKey {
            service: running.service.clone(),
            group: running.name.clone(),
        };
        // Held until the pool is configured: an answer that comes meanwhile must not be undone.
        let mut state = lock(&self.state);
        let former = state.groups.remove(&key);
        if !config.has_templates() {
            drop(state);
            return apply(config, renamed);
        }
        let former = former.filter(|it| Arc::ptr_eq(&it.running, running));
        let mut expansion = Expansion {
            running: Arc::clone(running),
            config: config.clone(),
            members: BTreeSet::new(),
            states: state.presumed.remove(&key).unwrap_or_default(),
        };
        let mut renamed = renamed.clone();
        if let Some(former) = former {
            let members = renamed_members(&former, config, &renamed);
            renamed.extend(members);
            expansion.continue_from(former, &renamed);
        }
        let expanded = expansion.expand(&state.answers);
        apply(&expanded, &renamed);
        let lines = expansion.take_over(&expanded);
        state.groups.insert(key, expansion);
        drop(state);
        lines.iter().for_each(|line| log::info!("{line}"));
    }

    /// Looks a question up; says once that some of its answer is not known.
    fn look_up(
        &self,
        question: &Question,
        nameservers: &[SocketAddr],
    ) -> io::Result<Found<Record>> {
        let former = lock(&self.state).answers.get(question).cloned();
        let (found, unknown) = look_up(question, nameservers, &former.unwrap_or_default())?;
        let mut state = lock(&self.state);
        let was = match &unknown {
            Some(why) => state.incomplete.insert(question.clone(), why.clone()),
            None => state.incomplete.remove(question),
        };
        drop(state);
        let name = &question.name;
        match unknown {
            Some(why) if was.is_none() => log::warn!(
                "some members of {name} are not known: {}; those that it had stay. Look at the \
                 target, and whether its name server answers",
                why.escape_debug()
            ),
            None if was.is_some() => log::info!("all members of {name} are known now"),
            _ => {}
        }
        Ok(found)
    }

    /// Applies a fresh answer.
    fn apply(&self, question: &Question, answer: Result<&[Record], &str>) {
        let mut state = lock(&self.state);
        let lines = match answer {
            Err(reason) => state.record_failure(question, reason),
            Ok(records) => {
                let (is_new, mut lines) = state.record_success(question, records);
                if is_new {
                    lines.extend(self.configure_groups_of(question, &mut state));
                }
                lines
            }
        };
        drop(state);
        for (level, line) in lines {
            log::log!(level, "{line}");
        }
        if let Ok(records) = answer {
            let addresses: Vec<_> = records.iter().map(|it| it.ip).collect();
            self.resolutions.review_routing_loops(&addresses);
        }
    }

    /// Gives the groups that ask `question` the hosts of its answer.
    fn configure_groups_of(&self, question: &Question, state: &mut State) -> Vec<Line> {
        let State {
            answers, groups, ..
        } = state;
        let mut lines = Vec::new();
        for expansion in groups.values_mut() {
            let mut asked = expansion.config.hosts.iter().filter_map(Question::of);
            if asked.any(|it| it == *question) {
                lines.extend(self.configure_again(expansion, answers));
            }
        }
        lines
            .into_iter()
            .map(|line| (log::Level::Info, line))
            .collect()
    }

    fn configure_again(
        &self,
        expansion: &mut Expansion,
        answers: &HashMap<Question, Vec<Record>>,
    ) -> Vec<String> {
        let expanded = expansion.expand(answers);
        self.resolutions
            .change_group(&expansion.running, &Known::new(), |pool, now_ms| {
                pool.configure(&expanded, now_ms);
            });
        expansion.take_over(&expanded)
    }

    fn set_states(&self, states: &[(HostKey, HostState)]) -> bool {
        let mut state = lock(&self.state);
        let State {
            answers, groups, ..
        } = &mut *state;
        let mut changed = BTreeSet::new();
        for (key, wanted) in states {
            let Some(expansion) = groups.get_mut(&key.group) else {
                continue;
            };
            let template = expansion.config.template_of(&key.name).map(|it| it.state);
            let was = expansion.states.get(&key.name).copied().or(template);
            // As the template says is as if nothing was said.
            match template == Some(*wanted) {
                true => drop(expansion.states.remove(&key.name)),
                false => drop(expansion.states.insert(key.name.clone(), *wanted)),
            }
            if was != Some(*wanted) {
                changed.insert(&key.group);
            }
        }
        for key in &changed {
            if let Some(expansion) = groups.get_mut(*key) {
                self.configure_again(expansion, answers);
            }
        }
        !changed.is_empty()
    }
}

/// A line for the log.
type Line = (log::Level, String);

impl State {
    fn record_failure(&mut self, question: &Question, reason: &str) -> Vec<Line> {
        let known = self.failing.insert(question.clone(), reason.to_owned());
        if known.is_some() {
            return Vec::new();
        }
        let name = &question.name;
        let reason = reason.escape_debug();
        let line = match self.answers.contains_key(question) {
            true => format!(
                "the members of {name} are not known any more: {reason}; those that it had stay. \
                 Look whether its name server answers"
            ),
            false => format!(
                "the members of {name} are not known: {reason}; it has none until they are. Look \
                 at the name, and whether its name server answers"
            ),
        };
        vec![(log::Level::Warn, line)]
    }

    /// Returns whether the answer is another than the last good one, and what is to be logged.
    fn record_success(&mut self, question: &Question, records: &[Record]) -> (bool, Vec<Line>) {
        let mut lines = Vec::new();
        let name = &question.name;
        if self.failing.remove(question).is_some() {
            lines.push((
                log::Level::Info,
                format!("the members of {name} are known now"),
            ));
        }
        let is_new = self.answers.get(question).map(Vec::as_slice) != Some(records);
        if is_new {
            let line = too_many(name, records.len());
            lines.extend(line.map(|line| (log::Level::Warn, line)));
            self.answers.insert(question.clone(), records.to_vec());
        }
        (is_new, lines)
    }
}

/// The new names of the members of templates that got another name.
fn renamed_members(
    former: &Expansion,
    config: &config::Group,
    renamed: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let find = |group: &config::Group, name: &str| {
        let found = group.hosts.iter().find(|it| it.name == name);
        found.filter(|host| host.is_template()).cloned()
    };
    let mut members = BTreeMap::new();
    for (new, old) in renamed {
        let (Some(new), Some(old)) = (find(config, new), find(&former.config, old)) else {
            continue;
        };
        for member in former.members.iter().filter(|it| old.has_member(it)) {
            if let Some(name) = new.renamed_member(member, &old.name) {
                members.insert(name, member.clone());
            }
        }
    }
    members
}

/// Some of these names, and how many others there are.
fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(MOST_LOGGED)].join(", ");
    match names.len().saturating_sub(MOST_LOGGED) {
        0 => shown,
        others => format!("{shown} and {others} more"),
    }
}
