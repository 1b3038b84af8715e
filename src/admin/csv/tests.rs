//! What HAProxy's tools are to find.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::admin::haproxy::scene::{NASTY, nasty, small};

/// The cells of a line, by its end's comma; quotes as HAProxy has them.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut in_quotes) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if in_quotes && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if in_quotes => {
                assert_eq!(characters.peek(), Some(&','), "{line}");
                in_quotes = false;
            }
            '"' => {
                assert_eq!(cell, "", "{line}");
                in_quotes = true;
            }
            ',' if !in_quotes => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    assert!(!in_quotes && cell.is_empty(), "{line}");
    cells
}

/// Each line's cells that are not empty, by column.
fn table(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.strip_suffix('\n').unwrap().split('\n');
    let header = lines.next().unwrap().strip_prefix("# ").unwrap();
    let columns = cells(header);
    let row = |line| {
        let cells = cells(line);
        assert_eq!(cells.len(), columns.len(), "{line}");
        let row = columns.iter().cloned().zip(cells);
        row.filter(|(_, cell)| !cell.is_empty()).collect()
    };
    lines.map(row).collect()
}

/// The cells that are not empty, from words such as `pxname=web`, and those that are
/// the same in every line.
fn row(words: &str) -> BTreeMap<String, String> {
    let cells = words.split_whitespace().chain(["pid=1", "mode=tcp", "-=-"]);
    let cells = cells.map(|word| word.split_once('=').unwrap());
    cells
        .map(|(column, cell)| (column.to_owned(), cell.to_owned()))
        .collect()
}

#[test]
fn every_line_has_what_haproxy_has_there() {
    let expected = [
        "pxname=web svname=FRONTEND scur=2 slim=9200 stot=9 bin=100 bout=2000 status=OPEN iid=1
         sid=0 type=0 conn_tot=9",
        "pxname=web:main svname=one qcur=0 qmax=0 scur=2 stot=7 bin=100 bout=2000 econ=1
         status=UP weight=5 act=1 bck=0 lastchg=59 iid=2 sid=1 lbtot=7 type=2 ctime=430
         addr=10.0.0.1:80 uweight=5",
        "pxname=web:main svname=two qcur=0 qmax=0 scur=0 stot=0 bin=0 bout=0 econ=4 status=DOWN
         weight=1 act=1 bck=0 lastchg=59 iid=2 sid=2 lbtot=0 type=2 ctime=0 uweight=1",
        "pxname=web:main svname=BACKEND qcur=0 qmax=0 scur=2 stot=7 bin=100 bout=2000 econ=5
         status=UP weight=5 act=1 bck=0 iid=2 sid=0 lbtot=7 type=1 ctime=430
         algo=leastc,sticky uweight=5",
    ];
    assert_eq!(table(&csv(&small())), expected.map(row));
}

#[test]
fn names_cannot_break_a_line() {
    let text = csv(&nasty());
    let table = table(&text);
    let groups_and_hosts = table.iter().filter(|row| row["type"] != "0");
    assert_eq!(groups_and_hosts.count(), 2 + 1 + 5 + 1 + 1 + 1 + 1 + 1 + 1);
    let escaped = Escaped(NASTY).to_string();
    let named = |name: &str| -> Vec<_> {
        let of = table
            .iter()
            .filter(|row| row.get("pxname").is_some_and(|it| it == name));
        of.collect()
    };
    assert_eq!(named(&escaped).len(), 1);
    let of_group = named(&format!("{escaped}:{escaped}"));
    let words: Vec<_> = of_group.iter().map(|row| row["status"].as_str()).collect();
    assert_eq!(
        words,
        ["NOLB", "DRAIN", "MAINT", "no check", "no check", "UP"]
    );
    assert_eq!(of_group[0]["addr"], "[2001:db8::1]:80");
    assert!(!text.contains(['\r', '\t', '\0', '\u{85}']), "{text:?}");
    assert!(text.contains("\"\"b\"\""), "{text}");
    // Two groups are told apart by name, and all proxies by number.
    for (name, id) in [("a:b:c", "7"), ("a%3Ab:c", "9")] {
        let rows = named(name);
        assert_eq!(rows.len(), 2, "{name}");
        assert!(rows.iter().all(|row| row["iid"] == id), "{rows:?}");
    }
}

#[test]
fn nothing_is_quoted_without_need() {
    let text = csv(&small());
    assert_eq!(text.matches('"').count(), 2);
    assert!(text.contains(",\"leastc,sticky\","));
}

#[test]
fn without_services_there_is_the_header_alone() {
    assert_eq!(csv(&Status::default()), format!("# {COLUMNS}\n"));
}

/// Ends a process, and removes a folder, however the test goes.
struct Running {
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.folder.join("pid")) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
#[ignore = "needs haproxy"]
fn the_columns_are_those_of_a_real_haproxy() {
    let folder = std::env::temp_dir().join(format!("txlb-csv-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let running = Running { folder };
    let file = |name: &str| running.folder.join(name);
    let config = format!(
        "global\n  stats socket {} mode 600\ndefaults\n  timeout connect 1s\n  timeout client 1s\n  \
         timeout server 1s\nlisten web\n  bind unix@{}\n  server one 127.0.0.1:1\n",
        file("socket").display(),
        file("web").display()
    );
    fs::write(file("config"), config).unwrap();
    // It goes into the background once its socket is there.
    let started = Command::new("haproxy")
        .arg("-D")
        .arg("-p")
        .arg(file("pid"))
        .arg("-f")
        .arg(file("config"))
        .status()
        .unwrap();
    assert!(started.success());
    let mut socket = UnixStream::connect(file("socket")).unwrap();
    socket.write_all(b"show stat\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().next(), csv(&small()).lines().next());
    // The reader of the tests above reads what HAProxy writes.
    let lines = table(text.strip_suffix('\n').unwrap());
    let names: Vec<_> = lines.iter().map(|row| row["svname"].as_str()).collect();
    assert_eq!(names, ["FRONTEND", "one", "BACKEND"]);
    // What is alike in both is in the same columns.
    for (theirs, ours) in lines.iter().zip([0, 1, 3]) {
        let ours = &table(&csv(&small()))[ours];
        for column in ["svname", "sid", "type", "mode", "pid", "-", "bck", "act"] {
            assert_eq!(theirs.get(column), ours.get(column), "{column}");
        }
        let missing: Vec<_> = ours.keys().filter(|it| !theirs.contains_key(*it)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
