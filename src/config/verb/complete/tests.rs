//! What may follow in lines of all kinds.

use super::*;
use crate::config::verb::Command;
use crate::config::{arbitrary, random::Random, read};

const FILE: &str = r#"<config>
  <service name="web"><listen ip="127.0.0.1:80"/><listen ip="*:81"/>
    <group name="main" enable="true">
      <host name="one" ip="10.0.0.1:80"/><host name="one and a half" ip="10.0.0.2:80"/>
      <host name="two &quot;" ip="10.0.0.3:80"/>
    </group>
    <group name="spare"/>
  </service>
  <service name="mail"><listen ip="127.0.0.1:25"/><group name="mx" enable="true"/></service>
  <admin><user name="ann" password="$6$s$h" access="full"/></admin>
</config>"#;

fn choices(line: &str) -> Vec<String> {
    complete(
        line,
        &read(FILE.as_bytes()).unwrap().config,
        &OwnNames::None,
    )
}

fn check(cases: &[(&str, &[&str])]) {
    for (line, expected) in cases {
        assert_eq!(choices(line), *expected, "{line}");
    }
}

#[test]
fn commands_and_keys_are_found() {
    check(&[
        ("hostAdmin", &["hostAdminDown", "hostAdminUp"]),
        ("  hostadmind", &["hostAdminDown"]),
        ("json stat", &["status"]),
        ("nonsense ", &[]),
        ("status ", &[]),
        ("drainHost ", &["service=", "group=", "name="]),
        ("drainHost service=web ", &["group=", "name="]),
        ("drainHost GR", &["group="]),
        ("delHost service=web group=main name=one ", &["force="]),
        ("addUser name=x key=a k", &["key="]),
        ("help drain", &["drainHost"]),
        ("help status s", &[]),
    ]);
    assert_eq!(choices("").len(), table::commands().len());
}

#[test]
fn names_are_found_where_they_are() {
    check(&[
        ("drainHost service=", &["service=web", "service=mail"]),
        ("drainHost service=w", &["service=web"]),
        (
            "drainHost service=web group=",
            &["group=main", "group=spare"],
        ),
        ("drainHost service=mail group=", &["group=mx"]),
        ("drainHost group=", &[]),
        (
            "drainHost service=web group=main name=o",
            &["name=one", r#"name="one and a half""#],
        ),
        (
            "drainHost service=web group=main host=on",
            &["host=one", r#"host="one and a half""#],
        ),
        ("drainHost service=web group=spare name=", &[]),
        (
            r#"drainHost service="web" group=main name="one "#,
            &[r#"name="one and a half""#],
        ),
        (
            r#"drainHost service=web group=main "name=on"#,
            &[r#"name="one""#, r#"name="one and a half""#],
        ),
        (
            r#"delHost service=web group=main name=t"#,
            &[r#"name="two \"""#],
        ),
        (
            r#"delHost service=web group=main name="two \"#,
            &[r#"name="two \"""#],
        ),
    ]);
}

#[test]
fn other_values_are_found() {
    check(&[
        (
            "delHost service=web group=main ip=10.0.0.2",
            &["ip=10.0.0.2:80"],
        ),
        ("addHost service=web group=main ip=", &[]),
        ("addHost service=web group=main name=", &[]),
        ("addHost state=d", &["state=drain", "state=down"]),
        ("delListen service=web ip=", &["ip=127.0.0.1:80", "ip=*:81"]),
        ("addListen service=web ip=", &[]),
        ("switchPort service=web from=*", &["from=*:81"]),
        ("changeScheduler scheduler=p", &["scheduler=p2c"]),
        ("addUser name=", &[]),
        ("addUser access=r", &["access=readonly"]),
        ("setUser name=", &["name=ann"]),
        ("config view=s", &["view=stored"]),
        ("reload force=t", &["force=true"]),
        (
            "setOption name=control.a",
            &[
                "name=control.amp",
                "name=control.ampSocket",
                "name=control.ampMode",
            ],
        ),
        (
            "setOption name=manager.hostCheck.interval value=",
            &["value=10"],
        ),
        (
            "setOption name=logging.connections value=t",
            &["value=true"],
        ),
    ]);
}

#[test]
fn the_last_word_is_found_whatever_is_in_it() {
    for (line, start) in [
        ("", 0),
        ("  sta", 2),
        ("status ", 7),
        (r#"a "b c" d="e f"#, 8),
        (r#"a b="c\" d"#, 2),
        (r#"a b="c" "#, 8),
        ("ä ö", 3),
    ] {
        assert_eq!(last_word(line), start, "{line}");
    }
}

/// Whatever is chosen is a word that the parser takes for the same.
#[test]
fn choices_are_taken_for_what_they_say() {
    let mut random = Random::new(23);
    let mut chosen = 0;
    for _ in 0..300 {
        let config = arbitrary::config(&mut random);
        let line = arbitrary::verb(&mut random, &config).line();
        let ends: Vec<_> = line.char_indices().map(|(index, _)| index).collect();
        let end = *random.pick(&ends);
        for choice in complete(&line[..end], &config, &OwnNames::None) {
            let whole = format!("{}{choice}", &line[..last_word(&line[..end])]);
            let words = crate::config::verb::words(&whole).unwrap();
            assert_eq!(last_word(&whole) + choice.len(), whole.len(), "{whole}");
            assert!(!words.is_empty());
            let last = words.last().unwrap();
            // It is still a choice, and with the same meaning.
            let again = complete(&whole, &config, &OwnNames::None);
            let mut meant = again
                .iter()
                .map(|it| crate::config::verb::words(it).unwrap());
            let is_meant = meant.any(|it| it.last() == Some(last));
            assert!(choice.ends_with('=') || is_meant, "{whole}");
            chosen += 1;
        }
    }
    assert!(chosen > 500, "{chosen}");
}

#[test]
fn the_question_for_choices_is_one_like_others() {
    let line = Command::from_pairs("complete", &[("line", r#"addHost service="a b"#)]);
    assert_eq!(
        line.unwrap().line().parse::<Command>().unwrap().name(),
        "complete"
    );
}
