//! What a console understands besides the verbs: to end, and to go on showing
//! something.
//!
//! These are a terminal's own, and no other door has a use for them: so they are not in
//! the table of verbs, but `help` and completion know them here.

use crate::config::verb::{last_word, words};

/// What a line asks of the console itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// To end.
    Exit,
    /// What there is, this included.
    Help,
    /// What one of these does.
    Explain(&'static Own),
    /// To ask this again and again, until a key is pressed.
    Watch {
        question: &'static str,
        interval_ms: u64,
    },
}

/// One of these words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Own {
    name: &'static str,
    takes: &'static str,
    summary: &'static str,
}

const OWN: &[Own] = &[
    Own {
        name: "watch",
        takes: " status|sessions [interval=]",
        summary: "show it every 2 s, or as often, until a key is pressed",
    },
    Own {
        name: "exit",
        takes: "",
        summary: "end, as quit and Ctrl-D do",
    },
    Own {
        name: "quit",
        takes: "",
        summary: "end",
    },
];

/// What can be watched. With `interval=` the verb alone does the same.
const WATCHED: [&str; 2] = ["status", "sessions"];

const INTERVAL: &str = "interval=";

/// How long one waits for the next look, in milliseconds, unless it is said.
const USUALLY_MS: u64 = 2000;

/// What a line asks of the console; `None` if it is not the console's business.
pub(super) fn hear(line: &str) -> Option<Result<Word, String>> {
    let words = words(line).ok()?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["exit" | "quit"] => Some(Ok(Word::Exit)),
        ["help"] => Some(Ok(Word::Help)),
        ["help", name] => {
            let name = name.strip_prefix("verb=").unwrap_or(name);
            let own = OWN.iter().find(|own| own.name == name)?;
            Some(Ok(Word::Explain(own)))
        }
        ["watch", ref what @ ..] => Some(watch(what)),
        [verb, interval] if WATCHED.contains(&verb) && interval.starts_with(INTERVAL) => {
            Some(watch(&words))
        }
        _ => None,
    }
}

fn watch(words: &[&str]) -> Result<Word, String> {
    let what = words.first().unwrap_or(&WATCHED[0]);
    let mut known = WATCHED.iter().filter(|known| *known == what);
    let question = known.next().ok_or("watch takes status or sessions")?;
    let interval_ms = match words.get(1..).unwrap_or_default() {
        [] => USUALLY_MS,
        [interval] => interval
            .strip_prefix(INTERVAL)
            .and_then(milliseconds)
            .ok_or("interval= takes seconds, from 0.5 to 3600")?,
        _ => return Err("watch takes one thing, and interval=".to_owned()),
    };
    Ok(Word::Watch {
        question,
        interval_ms,
    })
}

fn milliseconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.parse().ok()?;
    let ms = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    let ms = u64::try_from(ms.as_millis()).ok()?;
    (500..=3_600_000).contains(&ms).then_some(ms)
}

impl Own {
    /// How it is written, and what it does.
    pub(super) fn explanation(&self) -> Vec<String> {
        vec![
            format!("{}{}", self.name, self.takes),
            self.summary.to_owned(),
        ]
    }
}

/// What `help` says of these, below the verbs.
pub(super) fn help() -> Vec<String> {
    let lines = OWN
        .iter()
        .map(|own| format!("{:15} {}", own.name, own.summary));
    ["", "In this console also:"]
        .map(str::to_owned)
        .into_iter()
        .chain(lines)
        .collect()
}

/// What the last word of a line may become that is one of these, or about them.
pub(super) fn choices(line: &str) -> Vec<String> {
    let start = last_word(line);
    let before: Vec<_> = line[..start].split_whitespace().collect();
    let own = || OWN.iter().map(|own| own.name).collect();
    let known: Vec<&str> = match before[..] {
        [] | ["help"] => own(),
        ["watch"] => WATCHED.to_vec(),
        ["watch", _] => vec![INTERVAL],
        [verb] if WATCHED.contains(&verb) => vec![INTERVAL],
        _ => Vec::new(),
    };
    let typed = &line[start..];
    let matching = known.into_iter().filter(|word| word.starts_with(typed));
    matching.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching(question: &'static str, interval_ms: u64) -> Option<Result<Word, String>> {
        Some(Ok(Word::Watch {
            question,
            interval_ms,
        }))
    }

    #[test]
    fn the_consoles_own_words_are_told_from_verbs() {
        assert_eq!(hear(" exit "), Some(Ok(Word::Exit)));
        assert_eq!(hear("watch"), watching("status", 2000));
        assert_eq!(hear("watch sessions"), watching("sessions", 2000));
        assert_eq!(
            hear("watch sessions interval=0.5"),
            watching("sessions", 500)
        );
        assert_eq!(hear("status interval=10"), watching("status", 10_000));
        for line in ["status", "", "exit now", "help status", "\"", "json status"] {
            assert_eq!(hear(line), None, "{line}");
        }
        for line in [
            "watch config",
            "watch status 2",
            "watch status interval=0.4",
            "status interval=NaN",
            "status interval=-1",
            "sessions interval=1e99",
            "watch status interval=1 more",
        ] {
            assert!(matches!(hear(line), Some(Err(_))), "{line}");
        }
    }

    #[test]
    fn help_explains_them() {
        for own in OWN {
            assert!(help().iter().any(|line| line.starts_with(own.name)));
            let Some(Ok(Word::Explain(found))) = hear(&format!("help {}", own.name)) else {
                panic!("{}", own.name);
            };
            assert!(found.explanation()[0].starts_with(own.name));
        }
        assert!(help().iter().all(|line| line.len() <= 78));
    }

    #[test]
    fn they_are_completed() {
        assert_eq!(choices("w"), ["watch"]);
        assert_eq!(choices("help q"), ["quit"]);
        assert_eq!(choices("watch s"), ["status", "sessions"]);
        assert_eq!(choices("watch status "), ["interval="]);
        assert_eq!(choices("sessions i"), ["interval="]);
        assert_eq!(choices("config "), [""; 0]);
    }
}
