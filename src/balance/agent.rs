//! What an agent beside a host says, by the protocol of HAProxy's `agent-check`: its line, and what
//! of it is in force.

use std::fmt;

use crate::config::Host;
use crate::non_printing::escape_non_printing;

/// What agents have said of a host, and what is in force: never part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agent {
    /// Percent of the configured weight; `None` is all of it.
    pub(super) weight_percent: Option<u32>,
    /// Whether it shall get new sessions.
    pub(super) wanted: Wanted,
    /// The most open sessions; `None` is any number.
    pub(super) max_open: Option<u32>,
    /// The word and the reason by which it is down.
    pub(super) down: Option<String>,
}

/// Whether an agent wants new sessions for its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// `ready`: it does.
    #[default]
    Ready,
    /// `drain`: no new sessions.
    Drain,
    /// `maint`: as `drain`, and shown as down.
    Maint,
}

impl Wanted {
    /// HAProxy's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Wanted::Ready => "ready",
            Wanted::Drain => "drain",
            Wanted::Maint => "maint",
        }
    }
}

impl Agent {
    /// As lines that make the same agent when they are reported: the word of the health, and the rest.
    pub(crate) fn lines(&self) -> (Option<&str>, String) {
        let percent = self.weight_percent.unwrap_or(100);
        let most = self.max_open.unwrap_or(0);
        let rest = format!("{} {percent}% maxconn:{most}", self.wanted.as_str());
        (self.down(), rest)
    }

    /// The reverse of [`Agent::lines`].
    pub(crate) fn from_lines(down: Option<&str>, rest: &str) -> Agent {
        let mut agent = Agent::default();
        agent.apply(&AgentReport::parse(rest.as_bytes()));
        agent.down = down.map(cut);
        agent
    }

    /// Takes over what a report says; the rest stays. Returns whether that changes anything.
    pub(super) fn apply(&mut self, report: &AgentReport) -> bool {
        let before = self.clone();
        if let Some(wanted) = report.wanted {
            self.wanted = wanted;
        }
        if let Some(percent) = report.weight_percent {
            self.weight_percent = Some(percent).filter(|percent| *percent != 100);
        }
        if let Some(most) = report.max_open {
            // HAProxy's 0 is any number.
            self.max_open = Some(most).filter(|most| *most > 0);
        }
        match &report.health {
            Some(Ok(())) => self.down = None,
            Some(Err(why)) => self.down = Some(why.clone()),
            None => {}
        }
        *self != before
    }

    /// The weight in force: 0 percent is none, any other share of a weight is at least 1.
    pub fn weigh(&self, weight: u32) -> u32 {
        let Some(percent) = self.weight_percent else {
            return weight;
        };
        let share = u64::from(weight) * u64::from(percent);
        let least = u64::from(share > 0);
        let whole = (share / 100).clamp(least, Host::MAX_WEIGHT.into());
        u32::try_from(whole).unwrap_or(Host::MAX_WEIGHT)
    }

    /// Whether its host shall get new sessions while it is not full.
    pub fn takes_sessions(&self) -> bool {
        self.wanted == Wanted::Ready && self.weight_percent != Some(0)
    }

    /// Whether so many open sessions are all that its host shall have.
    pub fn is_full(&self, open: u32) -> bool {
        self.max_open.is_some_and(|most| open >= most)
    }

    /// Whether it shall get new sessions.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Why it says that its host is down, if it does.
    pub fn down(&self) -> Option<&str> {
        self.down.as_deref()
    }
}

/// What is in force, in HAProxy's words: `drain, 75%, maxconn:30`.
impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted.as_str())?;
        if let Some(percent) = self.weight_percent {
            write!(f, ", {percent}%")?;
        }
        if let Some(most) = self.max_open {
            write!(f, ", maxconn:{most}")?;
        }
        match &self.down {
            Some(why) => write!(f, ", {why}"),
            None => Ok(()),
        }
    }
}

/// A line of an agent. What it does not mention stays as it is.
///
/// Source: `agent-check` in HAProxy's configuration manual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentReport {
    pub(super) weight_percent: Option<u32>,
    pub(super) wanted: Option<Wanted>,
    pub(super) max_open: Option<u32>,
    /// `up`, or the word and the reason of down.
    pub(super) health: Option<Result<(), String>>,
    /// The first word that means nothing.
    unknown: Option<String>,
}

/// HAProxy takes no larger share.
const MOST_PERCENT: u32 = 25_600;

/// Characters of a reason, or of an unknown word, that are kept.
const LONGEST_REASON: usize = 128;

/// What the agent said, in HAProxy's words.
impl fmt::Display for AgentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = self.health.as_ref().map(|health| match health {
            Ok(()) => "up",
            Err(why) => why,
        });
        let words = [
            self.wanted.map(|wanted| wanted.as_str().to_owned()),
            self.weight_percent.map(|percent| format!("{percent}%")),
            self.max_open.map(|most| format!("maxconn:{most}")),
            health.map(str::to_owned),
            self.unknown
                .as_ref()
                .map(|word| format!("{word} (unknown)")),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        match words.is_empty() {
            true => f.write_str("nothing"),
            false => write!(f, "{}", escape_non_printing(&words.join(", "))),
        }
    }
}

impl AgentReport {
    /// Parses a line without its end: words with blanks or commas between them, then `#` and a
    /// reason. Of several words about one thing the last holds, as in HAProxy.
    pub fn parse(line: &[u8]) -> AgentReport {
        let line = String::from_utf8_lossy(line);
        let (words, reason) = line.split_once('#').unwrap_or((&line, ""));
        let reason = cut(reason.trim());
        let mut report = AgentReport::default();
        let is_between = |character: char| matches!(character, ' ' | '\t' | ',');
        for word in words.split(is_between).filter(|word| !word.is_empty()) {
            report.add(&word.to_ascii_lowercase(), &reason);
        }
        report
    }

    fn add(&mut self, word: &str, reason: &str) {
        let percent = word.strip_suffix('%').and_then(number);
        let max_open = word.strip_prefix("maxconn:").and_then(number);
        match word {
            "up" => self.health = Some(Ok(())),
            "down" | "stopped" | "fail" | "failed" => {
                self.health = Some(Err(match reason {
                    "" => word.to_owned(),
                    reason => format!("{word}: {reason}"),
                }));
            }
            "ready" => self.wanted = Some(Wanted::Ready),
            "drain" => self.wanted = Some(Wanted::Drain),
            "maint" => self.wanted = Some(Wanted::Maint),
            _ if percent.is_some() => {
                self.weight_percent = percent.map(|percent| percent.min(MOST_PERCENT));
            }
            _ if max_open.is_some() => self.max_open = max_open,
            _ => {
                self.unknown.get_or_insert_with(|| cut(word));
            }
        }
    }
}

/// Digits alone, as a number that does not overflow.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in force after these lines.
    fn after(lines: &[&str]) -> String {
        let mut agent = Agent::default();
        for line in lines {
            agent.apply(&AgentReport::parse(line.as_bytes()));
        }
        agent.to_string()
    }

    #[test]
    fn words_mean_what_they_mean_to_haproxy() {
        let table: &[(&[&str], &str)] = &[
            (&[""], "ready"),
            (&["up ready 100%"], "ready"),
            (&["75%"], "ready, 75%"),
            (&["75%", "100%"], "ready"),
            (&["  DRAIN,\t50% ,maxconn:30"], "drain, 50%, maxconn:30"),
            (&["drain 50%", "up"], "drain, 50%"),
            (&["drain", "maint"], "maint"),
            (&["maint 5%", "ready"], "ready, 5%"),
            (&["maxconn:30", "maxconn:0"], "ready"),
            (&["down"], "ready, down"),
            (&["stopped # for  lunch "], "ready, stopped: for  lunch"),
            (&["Fail#disk,full"], "ready, fail: disk,full"),
            (&["failed"], "ready, failed"),
            (&["down", "50%"], "ready, 50%, down"),
            (&["down", "up"], "ready"),
            (&["down up"], "ready"),
            (&["10% 20%"], "ready, 20%"),
            (&["99999999999999%"], "ready, 25600%"),
            (&["# only a reason: down"], "ready"),
            (&["what ever -5% 5%5 % maxconn: maxconn:x 7"], "ready"),
        ];
        for (lines, expected) in table {
            assert_eq!(after(lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn an_unknown_word_is_kept_and_the_others_hold() {
        let report = AgentReport::parse(b"hello 50% world");
        assert_eq!(report.to_string(), "50%, hello (unknown)");
        assert_eq!(report.weight_percent, Some(50));
        assert_eq!(
            AgentReport::parse(b"up \xff").to_string(),
            "up, \u{fffd} (unknown)"
        );
        let long = AgentReport::parse(&[b'a'; 10_000]);
        assert_eq!(long.unknown.map(|word| word.len()), Some(LONGEST_REASON));
    }

    #[test]
    fn a_share_of_a_weight_is_at_least_1_unless_it_is_none() {
        let weigh = |percent, weight| {
            let weight_percent = Some(percent);
            let agent = Agent {
                weight_percent,
                ..Agent::default()
            };
            agent.weigh(weight)
        };
        assert_eq!([weigh(50, 10), weigh(1, 10), weigh(33, 10)], [5, 1, 3]);
        assert_eq!([weigh(0, 10), weigh(50, 0), weigh(200, 10)], [0, 0, 20]);
        assert_eq!(weigh(MOST_PERCENT, Host::MAX_WEIGHT), Host::MAX_WEIGHT);
        assert_eq!(Agent::default().weigh(7), 7);
    }
}
