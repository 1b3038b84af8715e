//! What was probably meant by a word or an option that txlb does not have.
//!
//! These are the words of other programs and of init scripts, verbs without `ctl`, and files
//! without `-f`.

use txlb::config::verb::table;

use super::table::OPTIONS;

/// Words, and options without their dashes, beside what does that here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["start", "run", "serve", "foreground"],
        "'txlb -f FILE' runs it in the foreground, 'txlb -D' in the background, \
         'service txlb start' as a service",
    ),
    (
        &["daemon", "background", "detach", "d"],
        "'txlb -D' runs it in the background",
    ),
    (
        &["restart"],
        "'service txlb restart' starts it anew; 'txlb -s reload' is enough after a change of the file",
    ),
    (
        &["check", "test", "configtest", "validate", "verify", "c"],
        "'txlb -t -f FILE' checks a configuration",
    ),
    (
        &["show", "dump", "print", "export"],
        "'txlb -T -f FILE' prints the configuration in effect",
    ),
    (
        &["config", "conf", "file"],
        "'-f FILE' names the configuration",
    ),
    (&["version"], "'txlb -V' prints the version"),
    (
        &["help", "man", "?"],
        "'txlb -h' prints the options, and 'man txlb' explains them",
    ),
    (&["demo"], "'txlb --demo' shows how it works"),
    (
        &["password", "mkpasswd"],
        "'txlb passwd' makes the hash of a password",
    ),
    (&["user"], "'-u USER' names the user"),
    (&["group"], "'-g GROUP' names the group"),
    (&["chroot"], "'-j DIR' names the folder"),
    (&["pid-file", "pidfile"], "'-p PIDFILE' names the file"),
    (
        &["log", "logfile", "log-file"],
        "'-l LOG' says where the log goes",
    ),
    (&["workers", "threads"], "'-w N' says how many workers"),
    (&["quiet"], "'-q' logs less"),
    (&["verbose", "debug"], "'-v' logs more"),
    (
        &["listen", "port", "bind"],
        "'-L ADDR' says where to listen",
    ),
    (&["backend", "host", "server"], "'-B ADDR' names a host"),
    (&["socket"], "'txlb ctl -C SOCKET' names the control socket"),
];

/// Advice for this word, or for this option without its dashes. `None` if nothing is like it.
pub(super) fn by(word: &str) -> Option<String> {
    let same = |other: &&str| other.eq_ignore_ascii_case(word);
    let elsewhere = ELSEWHERE.iter().find(|(words, _)| words.iter().any(same));
    if let Some((_, advice)) = elsewhere {
        return Some((*advice).to_owned());
    }
    if let Some(word) = signal_words().find(same) {
        return Some(format!("'txlb -s {word}' does that to the txlb that runs"));
    }
    if let Some(verb) = table::commands().iter().find(|verb| same(&verb.name)) {
        let name = verb.name;
        return Some(format!("'txlb ctl {name}' asks the txlb that runs"));
    }
    if is_like_file(word) {
        let file = if is_plain(word) { word } else { "FILE" };
        let advice = format!("'txlb -f {file}' runs it, 'txlb -t -f {file}' checks it");
        return Some(advice);
    }
    is_like_address(word).then(|| {
        "'txlb -L ADDR -B ADDR' balances without a file, from the first to the second".to_owned()
    })
}

/// What `-s` takes.
fn signal_words() -> impl Iterator<Item = &'static str> {
    let option = OPTIONS.iter().find(|option| option.short == "s");
    option
        .into_iter()
        .flat_map(|option| option.argument.split('|'))
}

fn is_like_file(word: &str) -> bool {
    let endings = [".xml", ".conf", ".cfg"];
    word.contains('/') || endings.iter().any(|ending| word.ends_with(ending))
}

/// Whether a shell takes the word as it is.
fn is_plain(word: &str) -> bool {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+@:,".contains(it);
    word.chars().all(is_plain)
}

/// A port, or something with a port behind it.
fn is_like_address(word: &str) -> bool {
    let port = word.rsplit_once(':').map_or(word, |(_, port)| port);
    !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit())
}
