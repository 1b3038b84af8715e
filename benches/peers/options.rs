//! Command-line options of the benchmark.

use std::path::PathBuf;

use super::Outcome;

/// A part of the run that `--only` selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    KeepAlive,
    Short,
    Page,
    Bulk,
    Paced,
    Memory,
    Start,
    Reload,
    Calls,
    Scaling,
    Headers,
    Checks,
    Failover,
}

impl Part {
    const ALL: [Part; 13] = [
        Part::KeepAlive,
        Part::Short,
        Part::Page,
        Part::Bulk,
        Part::Paced,
        Part::Memory,
        Part::Start,
        Part::Reload,
        Part::Calls,
        Part::Scaling,
        Part::Headers,
        Part::Checks,
        Part::Failover,
    ];

    /// Its word after `--only`.
    fn word(self) -> &'static str {
        match self {
            Part::KeepAlive => "keep-alive",
            Part::Short => "short",
            Part::Page => "18k",
            Part::Bulk => "bulk",
            Part::Paced => "paced",
            Part::Memory => "memory",
            Part::Start => "start",
            Part::Reload => "reload",
            Part::Calls => "calls",
            Part::Scaling => "scaling",
            Part::Headers => "headers",
            Part::Checks => "checks",
            Part::Failover => "failover",
        }
    }
}

/// The options or their defaults.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// For each measurement.
    pub(crate) seconds: u64,
    /// A smoke run: does everything, as briefly as possible.
    pub(crate) quick: bool,
    pub(crate) out: Option<PathBuf>,
    only: Vec<Part>,
}

impl Options {
    /// `None` if there is nothing to do.
    pub(crate) fn parse(arguments: &[String]) -> Outcome<Option<Options>> {
        let mut table = getopts::Options::new();
        table.optopt("", "rounds", "how often each is measured (5)", "N");
        table.optopt("", "seconds", "how long each time (8)", "S");
        let rows = Part::ALL.map(Part::word).join(", ");
        table.optmulti("", "only", &format!("one part, or more: {rows}"), "ROW");
        table.optflag("", "quick", "see that all of it works, in a minute");
        table.optopt(
            "",
            "out",
            "write there instead of to standard output",
            "FILE",
        );
        table.optflag("h", "help", "print this");
        // `cargo bench` passes this option; `cargo test --benches` does not, and must start no
        // balancer.
        table.optflag("", "bench", "");
        let matches = table.parse(arguments)?;
        if matches.opt_present("help") {
            print!("{}", table.usage("cargo bench --bench peers -- [options]"));
        }
        // A word is a filter by name, and these benchmarks have no names.
        let elsewhere = matches.free.iter().any(|word| word != "peers");
        if matches.opt_present("help") || !matches.opt_present("bench") || elsewhere {
            return Ok(None);
        }
        let quick = matches.opt_present("quick");
        let words = matches.opt_strs("only");
        let only = words.iter().flat_map(|words| words.split(',')).map(part);
        Ok(Some(Options {
            rounds: number(&matches, "rounds", if quick { 1 } else { 5 })?,
            seconds: number(&matches, "seconds", if quick { 1 } else { 8 })?,
            quick,
            out: matches.opt_str("out").map(PathBuf::from),
            only: only.collect::<Outcome<_>>()?,
        }))
    }

    /// Whether this part was selected.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// The usual amount, or that of a smoke run.
    pub(crate) fn or_quick<T>(&self, usual: T, quick: T) -> T {
        if self.quick { quick } else { usual }
    }
}

fn part(word: &str) -> Outcome<Part> {
    let part = Part::ALL.into_iter().find(|part| part.word() == word);
    let words = Part::ALL.map(Part::word).join(", ");
    part.ok_or_else(|| format!("--only {word}: there are {words}").into())
}

fn number<T>(matches: &getopts::Matches, name: &str, default: T) -> Outcome<T>
where
    T: std::str::FromStr + PartialEq + Default,
{
    let Some(text) = matches.opt_str(name) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(format!("--{name} {text}: a number from 1 on is wanted").into()),
    }
}
