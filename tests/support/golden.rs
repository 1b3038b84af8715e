//! Golden files: compares the program's output with a file of `tests/it/pinned`.
//!
//! What differs in each run (times, process IDs, ports, folders) is masked first. To accept a
//! change, run `TXLB_BLESS=1 cargo test --test it pinned::`, which writes the files anew.
//! Commit the difference together with the change.

use std::fs;
use std::path::{Path, PathBuf};

/// A golden file with fewer lines would test nothing.
const FEWEST_LINES: usize = 5;

/// Compares `said` with the golden file `name`, or writes that file if asked to.
pub(crate) fn compare(name: &str, said: &str) {
    let lines = said.lines().filter(|line| !line.is_empty()).count();
    assert!(lines >= FEWEST_LINES, "{name}: too little to pin: {said:?}");
    let file = file(name);
    if std::env::var_os("TXLB_BLESS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, said).unwrap();
    }
    let pinned = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        pinned == said,
        "tests/it/pinned/{name} differs (- pinned, + said now):\n{}\nUsers and tools see this. If the \
         change is meant, say so in CHANGELOG.md, and accept it by \
         TXLB_BLESS=1 cargo test --all-features --test it pinned::",
        difference(&pinned, said)
    );
}

/// The names of all golden files.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(file("x").parent().unwrap()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    names.sort();
    names
}

fn file(name: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    top.join("tests/it/pinned").join(name)
}

/// The lines that only one of the two texts has.
pub(crate) fn difference(before: &str, now: &str) -> String {
    let (before, now): (Vec<_>, Vec<_>) = (before.lines().collect(), now.lines().collect());
    // `common[i][j]` is the length of the longest common subsequence of the lines from `i` and `j`
    // on.
    let mut common = vec![vec![0_usize; now.len() + 1]; before.len() + 1];
    for (row, old) in before.iter().enumerate().rev() {
        for (column, new) in now.iter().enumerate().rev() {
            common[row][column] = match old == new {
                true => common[row + 1][column + 1] + 1,
                false => common[row + 1][column].max(common[row][column + 1]),
            };
        }
    }
    let (mut row, mut column, mut lines) = (0, 0, Vec::new());
    while row < before.len() || column < now.len() {
        let is_old = column == now.len()
            || row < before.len() && common[row + 1][column] >= common[row][column + 1];
        if row < before.len() && column < now.len() && before[row] == now[column] {
            (row, column) = (row + 1, column + 1);
        } else if is_old {
            lines.push(format!("- {}: {}", row + 1, before[row]));
            row += 1;
        } else {
            lines.push(format!("+ {}: {}", column + 1, now[column]));
            column += 1;
        }
    }
    lines.join("\n")
}

/// Masks for what differs in each run; given texts are replaced first.
#[derive(Default)]
pub(crate) struct Mask(Vec<(String, &'static str)>);

/// Words before numbers that differ in each run.
const BEFORE_NUMBERS: [&str; 4] = ["process ", "uid ", "room for ", " up "];

impl Mask {
    pub(crate) fn hide(&mut self, text: &str, name: &'static str) {
        self.0.push((text.to_owned(), name));
    }

    /// The text with everything masked that differs in each run.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        for (hidden, name) in &self.0 {
            text = text.replace(hidden, name);
        }
        let lines = text.lines().map(|line| tokens(line) + "\n");
        lines.collect()
    }
}

/// A line with its times, ages, ports, and numbers behind certain words masked.
fn tokens(line: &str) -> String {
    let (mut masked, mut rest) = (String::new(), line);
    while let Some(next) = rest.chars().next() {
        let in_word = masked
            .ends_with(|before: char| before.is_alphanumeric() || "._-#\u{2026}".contains(before));
        let found = match in_word {
            true => masked.ends_with(".txlb-").then(|| time(rest)).flatten(),
            false => time(rest).or_else(|| port(&masked, rest)).or_else(|| {
                let length = number(rest)?;
                let is_hidden = BEFORE_NUMBERS.iter().any(|it| masked.ends_with(it));
                age(&rest[length..])
                    .map(|unit| (length + unit, "AGE"))
                    .or(is_hidden.then_some((length, "N")))
            }),
        };
        let (length, name) = found.unwrap_or((next.len_utf8(), &rest[..next.len_utf8()]));
        masked.push_str(name);
        rest = &rest[length..];
    }
    masked
}

/// The length of the digits at the beginning of the text.
fn digits(text: &str) -> Option<usize> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    (length > 0).then_some(length)
}

/// The length of the number at the beginning of the text, with its fraction.
fn number(text: &str) -> Option<usize> {
    let length = digits(text)?;
    let fraction = text[length..].strip_prefix('.').and_then(digits);
    let length = length + fraction.map_or(0, |more| more + 1);
    // An IP address is not a number.
    let goes_on = text[length..].strip_prefix('.').and_then(digits);
    goes_on.is_none().then_some(length)
}

/// A date with its time, in one of the formats that are logged.
fn time(text: &str) -> Option<(usize, &'static str)> {
    let form = |form: &str| {
        let fits = |(it, wanted): (u8, u8)| match wanted {
            b'0' => it.is_ascii_digit(),
            b'A' => it.is_ascii_alphabetic(),
            other => it == other,
        };
        text.len() >= form.len() && text.bytes().zip(form.bytes()).all(fits)
    };
    let forms = [
        ("0000-00-00T00:00:00.000Z", "TIME"),
        ("0000-00-00T00:00:00Z", "TIME"),
        ("00/AAA/0000:00:00:00.000", "TIME"),
        ("00000000000000", "DIGITS"),
        ("0000000000000", "MS"),
    ];
    forms
        .into_iter()
        .find(|(it, _)| form(it))
        .map(|(it, name)| (it.len(), name))
}

/// A port that the system has chosen.
fn port(before: &str, text: &str) -> Option<(usize, &'static str)> {
    let length = digits(text)?;
    let is_port = ["127.0.0.1:", "localhost:"]
        .iter()
        .any(|it| before.ends_with(it));
    (is_port && length >= 4).then_some((length, "PORT"))
}

/// The length of the unit of time at the beginning of the text.
fn age(text: &str) -> Option<usize> {
    let units = [" ms", " s", " min", " h", " d"];
    let unit = units.iter().find(|unit| {
        let rest = text.strip_prefix(**unit);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    });
    unit.map(|unit| unit.len())
}

/// The text with every number masked that is a word of its own.
pub(crate) fn without_numbers(text: &str) -> String {
    let (mut masked, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let in_word =
            masked.ends_with(|before: char| before.is_alphanumeric() || "_-.#&".contains(before));
        let length = number(rest).filter(|_| !in_word);
        let is_word = |length: &usize| {
            let after = rest[*length..].chars().next();
            !after.is_some_and(|it| it.is_alphanumeric() || "_-".contains(it))
        };
        match length.filter(is_word) {
            Some(length) => {
                masked.push('N');
                rest = &rest[length..];
            }
            None => {
                masked.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    masked
}

/// JSON with a line for each value; repeated lines are there once.
pub(crate) fn lines_of_json(json: &str) -> String {
    let (mut text, mut depth, mut in_string, mut escaped) = (String::new(), 0, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    for letter in json.trim_end().chars() {
        let is_mark = !in_string;
        match letter {
            '"' if !escaped => in_string = !in_string,
            '}' | ']' if is_mark => {
                depth -= 1;
                line(&mut text, depth);
            }
            _ => {}
        }
        text.push(letter);
        escaped = in_string && letter == '\\' && !escaped;
        match letter {
            '{' | '[' if is_mark => {
                depth += 1;
                line(&mut text, depth);
            }
            ',' if is_mark => line(&mut text, depth),
            _ => {}
        }
    }
    assert!(depth == 0 && !in_string, "{json}");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut lines: Vec<_> = lines.collect();
    lines.dedup_by(|one, other| one.trim_end_matches(',') == other.trim_end_matches(','));
    lines.join("\n") + "\n"
}

/// HTML with a line for each tag and each text.
pub(crate) fn lines_of_html(html: &str) -> String {
    let split = html.replace('<', "\n<").replace('>', ">\n");
    let lines = split.lines().filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}
