//! `txlb diff`: its verbs lead from one file to the other.

use std::fs;
use std::path::Path;

use crate::support::txlb::{Finished, Folder, run, text};
use txlb::config::verb::{Command, Verb, apply_all};
use txlb::config::{Config, read};

/// The output of `txlb diff`, which must succeed.
fn difference(old: &Path, new: &Path) -> String {
    let Finished {
        status,
        stdout,
        stderr,
    } = run(&["diff", text(old), text(new)]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    stdout
}

fn config(file: &Path) -> Config {
    read(&fs::read(file).unwrap()).unwrap().config
}

fn change(line: &str) -> Verb {
    match line.parse() {
        Ok(Command::Change(verb)) => verb,
        other => panic!("{line}: {other:?}"),
    }
}

/// The samples, and a file with everything that they lack.
fn files(folder: &Folder) -> Vec<std::path::PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let other = r#"<config>
        <service name="a b" idleTimeout="2.5"><listen ip="[::1]:80"/><listen ip="localhost:81"/>
        <group name="&quot;" scheduler="p2c,sticky" enable="true">
        <host ip="db:1" weight="0" state="drain"/></group></service>
        <admin><ssh enable="no"/><user name="ann" password="$6$s$h" access="full"/></admin>
        <control/><logging file="/tmp/a b&#9;c" connections="true"/></config>"#;
    vec![
        top.join("etc/config.xml"),
        top.join("etc/minimal.xml"),
        folder.write("other.xml", other),
    ]
}

#[test]
fn what_is_printed_leads_from_one_file_to_the_other() {
    let folder = Folder::new();
    let files = files(&folder);
    for old in &files {
        for new in &files {
            let printed = difference(old, new);
            let mut lines: Vec<_> = printed.lines().collect();
            assert_eq!(lines.is_empty(), old == new, "{printed}");
            if lines.len() > 1 {
                assert_eq!(lines.pop(), Some("commit"));
                assert_eq!(lines.remove(0), "begin");
            }
            let verbs: Vec<_> = lines.into_iter().map(change).collect();
            assert_eq!(
                apply_all(&verbs, &config(old)),
                Ok(config(new)),
                "{printed}"
            );
        }
    }
}

#[test]
fn one_verb_stands_alone_and_a_password_is_printed_as_it_is() {
    let folder = Folder::new();
    let user = |password: &str| {
        format!(
            r#"<config><admin><user name="a" password="{password}" access="full"/></admin></config>"#
        )
    };
    let (old, new) = (
        folder.write("old.xml", user("$1$a$b")),
        folder.write("new.xml", user("$6$c$d")),
    );
    assert_eq!(difference(&old, &new), "setUser name=a password=$6$c$d\n");
}

#[test]
fn passwords_that_a_view_masks_are_not_compared() {
    let folder = Folder::new();
    let users = |ann: &str, more: &str| {
        format!(
            "<config><admin><user name=\"ann\" password=\"{ann}\" access=\"full\"/>{more}</admin></config>"
        )
    };
    let bob = |access: &str| format!("<user name=\"bob\" password=\"***\" access=\"{access}\"/>");
    let none = folder.write("none.xml", "<config/>");
    let stored = folder.write("stored.xml", users("***", &bob("full")));
    let new = folder.write("new.xml", users("$6$c$d", &bob("readonly")));
    let run = |old: &Path, new: &Path| {
        let Finished {
            status,
            stdout,
            stderr,
        } = run(&["diff", text(old), text(new)]);
        assert_eq!(status, Some(0));
        (stdout, stderr)
    };
    let said =
        |users| format!("txlb diff: passwords masked as *** are not compared: {users} here\n");
    assert_eq!(
        run(&stored, &new),
        ("setUser name=bob access=readonly\n".into(), said(2))
    );
    assert_eq!(
        run(&new, &stored),
        ("setUser name=bob access=full\n".into(), said(2))
    );
    let (printed, stderr) = run(&none, &new);
    assert!(
        printed.contains("addUser name=ann password=$6$c$d access=full\n"),
        "{printed}"
    );
    assert!(!printed.contains("bob"), "{printed}");
    assert_eq!(stderr, said(1));
}
