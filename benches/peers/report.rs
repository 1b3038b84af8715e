//! The report as Markdown: targets first, then the tables.

use std::fmt;

use super::machine;
use super::options::Options;
use super::table::Table;

/// Filled in during the run.
pub(crate) struct Report {
    how: String,
    targets: Vec<Target>,
    sections: Vec<String>,
}

struct Target {
    name: String,
    bound: Bound,
    measured: f64,
    unit: &'static str,
}

/// A target's limit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(most) => write!(f, "≤ {most}"),
            Bound::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

impl Report {
    pub(crate) fn new(options: &Options) -> Report {
        let Options {
            rounds, seconds, ..
        } = options;
        let smoke = match options.quick {
            true => "\n\n**A smoke run: its numbers mean nothing.**",
            false => "",
        };
        Report {
            how: format!(
                "{rounds} rounds of {seconds} s, interleaved. Ratios are medians of the rounds' own \
                 ratios, with the least and the most.{smoke}"
            ),
            targets: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// Adds a figure with a target; `unit` follows the numbers.
    pub(crate) fn target(&mut self, name: &str, bound: Bound, measured: f64, unit: &'static str) {
        self.targets.push(Target {
            name: name.to_owned(),
            bound,
            measured,
            unit,
        });
    }

    /// Adds a table with a text before it.
    pub(crate) fn section(&mut self, title: &str, words: &str, table: &Table) {
        let words = match words {
            "" => String::new(),
            words => format!("{words}\n\n"),
        };
        self.sections.push(format!("## {title}\n\n{words}{table}"));
    }

    fn targets(&self) -> Table {
        let mut table = Table::new(["target", "wanted", "measured", "met"]);
        for target in &self.targets {
            let Target {
                name,
                bound,
                measured,
                unit,
            } = target;
            let digits = if *measured >= 100.0 { 0 } else { 2 };
            let met = if bound.holds(*measured) { "yes" } else { "no" };
            table.row(vec![
                name.clone(),
                format!("{bound}{unit}"),
                format!("{measured:.digits$}{unit}"),
                met.to_owned(),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# txlb beside its peers\n")?;
        writeln!(f, "{}\n\n{}", machine::describe(), self.how)?;
        if !self.targets.is_empty() {
            writeln!(
                f,
                "\n## Targets\n\n{}",
                self.targets().to_string().trim_end()
            )?;
        }
        for section in &self.sections {
            writeln!(f, "\n{}", section.trim_end())?;
        }
        Ok(())
    }
}
