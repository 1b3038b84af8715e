//! What lines come to, and what becomes of a batch with something wrong in it.

use super::*;

const WEIGH: &str = "setWeight service=s group=g name=a weight=2";
const DRAIN: &str = "drainHost service=s group=g name=a";

fn full() -> Conversation {
    Conversation::new(Access::Full)
}

fn ask(line: &str) -> Heard {
    Heard::Ask(Wish::Command(line.parse().unwrap()), Form::Table)
}

fn verb(line: &str) -> Verb {
    match line.parse() {
        Ok(Command::Change(verb)) => verb,
        other => panic!("{line}: {other:?}"),
    }
}

/// Why nothing is done.
fn refusal(heard: Heard) -> String {
    match heard {
        Heard::Known(Err(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_is_asked_for_at_once_outside_of_a_batch() {
    let mut talk = full();
    for line in [WEIGH, "status", "reload force=true"] {
        assert_eq!(talk.hear(line), ask(line));
    }
    assert_eq!(talk.hear("   "), Heard::Nothing);
    assert_eq!(
        talk.hear("json status"),
        Heard::Ask(Wish::Command("status".parse().unwrap()), Form::Json)
    );
    assert_eq!(
        talk.hear("columns 120 status"),
        Heard::Ask(Wish::Command("status".parse().unwrap()), Form::Wide(120))
    );
    assert!(refusal(talk.hear("columns status")).contains("columns"));
    assert!(refusal(talk.hear("stattus")).contains("is status meant?"));
    assert!(refusal(talk.hear("json")).contains("no verb"));
}

#[test]
fn the_changes_of_a_batch_are_asked_for_as_one() {
    let mut talk = full();
    assert!(matches!(talk.hear("begin"), Heard::Known(Ok(_))));
    assert!(talk.is_in_batch());
    for line in [WEIGH, DRAIN] {
        assert!(matches!(talk.hear(line), Heard::Known(Ok(_))));
    }
    // What only reads is answered meanwhile.
    assert_eq!(talk.hear("diff"), ask("diff"));
    let wish = Wish::Change(vec![verb(WEIGH), verb(DRAIN)]);
    assert_eq!(talk.hear("json commit"), Heard::Ask(wish, Form::Json));
    assert!(!talk.is_in_batch());
    assert!(refusal(talk.hear("commit")).contains("begin starts one"));
}

#[test]
fn a_batch_may_be_forgotten() {
    let mut talk = full();
    for line in ["begin", WEIGH, "abort"] {
        assert!(matches!(talk.hear(line), Heard::Known(Ok(_))));
    }
    assert_eq!(talk.hear(DRAIN), ask(DRAIN));
    assert!(refusal(talk.hear("abort")).contains("there is no batch"));
}

#[test]
fn a_batch_with_something_wrong_in_it_does_nothing() {
    for wrong in ["setWeight service=s", "nonsense", "begin", "saveConfig"] {
        let mut talk = full();
        talk.hear("begin");
        talk.hear(WEIGH);
        let why = refusal(talk.hear(wrong));
        talk.hear(DRAIN);
        let all = refusal(talk.hear("commit"));
        assert!(all.ends_with(&why), "{all}");
        // That was that batch; the next one is a new one.
        talk.hear("begin");
        let wish = Wish::Change(Vec::new());
        assert_eq!(talk.hear("commit"), Heard::Ask(wish, Form::Table));
    }
}

#[test]
fn who_may_only_read_is_refused_everything_else() {
    let mut talk = Conversation::new(Access::ReadOnly);
    for command in table::commands() {
        let keys = command.keys.iter().filter(|key| key.required);
        let keys = keys.map(|key| match key.name {
            "ip" | "listen" | "from" | "to" => format!(" {}=1.2.3.4:1", key.name),
            "weight" => " weight=1".to_owned(),
            "scheduler" => " scheduler=p2c".to_owned(),
            "access" => " access=full".to_owned(),
            "name" if command.name == "setOption" => " name=logging.file".to_owned(),
            name => format!(" {name}=x"),
        });
        let line = command.name.to_owned() + &keys.collect::<String>();
        match talk.hear(&line) {
            Heard::Ask(..) => assert!(command.only_reads(), "{line}"),
            heard => {
                assert_eq!(heard, Heard::Forbidden(command.name), "{line}");
                assert!(!command.only_reads(), "{line}");
            }
        }
    }
    assert!(!talk.is_in_batch());
}
