//! The running configuration and its file: reload, save, and unsaved changes.

use std::fs;

use crate::support::client::{Session, who};
use crate::support::config::web;
use crate::support::embedded::TestBalancer;
use crate::support::host::Host;
use crate::support::until;
use txlb::control::{Outcome, Signal, StoredStatus};

/// A file with a comment, and the hosts behind it.
fn scene() -> (Vec<Host>, String) {
    let hosts: Vec<Host> = ["a", "b"].map(Host::new).into();
    let at: Vec<_> = hosts.iter().map(Host::address).collect();
    let text = web("", "roundr", &at).replace("<host", "\n<!-- ours --> <host");
    (hosts, text)
}

const WEIGH: &str = "setWeight service=web group=main name=a weight=5";

fn stored(office: &TestBalancer) -> StoredStatus {
    office.status().stored
}

fn reload(office: &TestBalancer) -> Outcome {
    office.handle.signal(Signal::Reload);
    stored(office).last_reload.unwrap()
}

#[test]
fn an_unchanged_file_leaves_live_changes_alone() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open(&text);
    assert_eq!(
        (stored(&office).unsaved, stored(&office).last_reload),
        (0, None)
    );
    office.order(&[WEIGH]);
    assert_eq!(stored(&office).unsaved, 1);
    assert_eq!(office.say("diff"), format!("  {WEIGH}\nok generation 2\n"));
    assert_eq!(reload(&office).result, Ok(()));
    assert_eq!((office.host("a").weight, office.generation()), (5, 2));
    assert_eq!(office.logged(&[&office.mark(), "is unchanged"]).len(), 1);
}

#[test]
fn another_file_wins_and_what_is_lost_is_logged_as_verbs() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open(&text);
    let port = office.address().port();
    office.order(&[
        WEIGH,
        "drainHost service=web group=main name=b",
        &format!("addHost service=web group=main name=live{port} ip=127.0.0.1:{port}"),
        "setOption name=logging.connections value=true",
    ]);
    let mut open = Session::open(office.address());
    // The file has one of the changes, and a host less.
    let next = text.replace("name=\"a\"", "name=\"a\" weight=\"5\"");
    let next = next.replace("name=\"b\"", "name=\"other\"");
    office.folder.write("config.xml", &next);
    assert_eq!(reload(&office).result, Ok(()));
    assert_eq!((stored(&office).unsaved, office.generation()), (0, 6));
    let lost = office.logged(&["WARN lost, as it is not in ", &office.mark()]);
    let verbs: Vec<_> = lost
        .iter()
        .map(|line| line.split_once("xml: ").unwrap().1)
        .collect();
    let add = format!("addHost service=web group=main name=live{port} ip=127.0.0.1:{port}");
    assert_eq!(verbs.len(), 3, "{verbs:?}");
    for verb in [
        "drainHost service=web group=main name=b",
        add.as_str(),
        "setOption name=logging.connections value=true",
    ] {
        assert!(verbs.contains(&verb), "{verb} is not in {verbs:?}");
    }
    assert_eq!(office.host("a").weight, 5);
    assert_eq!(office.host("other").state.as_str(), "up");
    open.echo(1_000);
}

#[test]
fn nothing_is_lost_where_nothing_was_changed_live() {
    let (_hosts, text) = scene();
    let office = TestBalancer::open(&text);
    office.folder.write(
        "config.xml",
        text.replace("name=\"a\"", "name=\"a\" weight=\"3\""),
    );
    assert_eq!(reload(&office).result, Ok(()));
    assert_eq!(office.logged(&["lost", &office.mark()]), [""; 0]);
    assert_eq!(
        office
            .logged(&["config.xml is in force as generation 2", &office.mark()])
            .len(),
        1
    );
}

#[test]
fn the_verb_reload_gives_live_changes_up_only_by_force() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open(&text);
    office.order(&["reload", WEIGH]);
    let answer = office.say("reload");
    assert_eq!(
        answer,
        format!(
            "  {WEIGH}\nerror: 1 change that is not in the file would be lost: saveConfig writes \
             it into the file, reload force=true gives it up\n"
        )
    );
    assert_eq!(office.host("a").weight, 5);
    let answer = office.say("reload force=true");
    let told = format!(
        "  lost: {WEIGH}\nok generation 3: {} is in force\n",
        office.file().display()
    );
    assert_eq!(answer, told);
    assert_eq!((office.host("a").weight, stored(&office).unsaved), (1, 0));
    // With nothing to be lost, force changes nothing.
    assert!(office.say("reload force=true").contains("is unchanged"));
}

#[test]
fn a_bad_file_changes_nothing_and_the_status_says_why() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open(&text);
    office.order(&[WEIGH]);
    office
        .folder
        .write("config.xml", text.replace("roundr", "rondr"));
    let why = reload(&office).result.unwrap_err();
    assert!(
        why.starts_with(&format!("{}:1:", office.file().display())),
        "{why}"
    );
    assert_eq!((office.host("a").weight, office.generation()), (5, 2));
    assert_eq!(
        office
            .logged(&[
                "ERROR ",
                &office.mark(),
                "; the running configuration stays"
            ])
            .len(),
        1
    );
    let table = office.say("status");
    assert!(
        table.contains("  unsaved: 1 change\n  config: last reload failed at 2"),
        "{table}"
    );
    let json = office.say("json status");
    assert!(
        json.contains("\"unsaved\":1,\"last_reload\":{\"at_ms\":"),
        "{json}"
    );
    assert!(json.contains(",\"ok\":false,\"error\":\""), "{json}");
    assert_eq!(office.refusal("reload force=true"), format!("{why}\n"));
    office.folder.write("config.xml", &text);
    // As it was read: nothing is to be done.
    assert_eq!(reload(&office).result, Ok(()));
    assert_eq!(office.host("a").weight, 5);
}

#[test]
fn saving_writes_what_runs_into_the_file_and_keeps_the_rest() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open(&text);
    office.order(&[WEIGH]);
    let answer = office.say("saveConfig");
    let file = office.file().display().to_string();
    let told =
        format!("ok generation 2: saved in {file}; its previous content is in {file}.txlb-2");
    assert!(answer.starts_with(&told), "{answer}");
    let saved = stored(&office);
    assert_eq!(
        (saved.unsaved, saved.last_save.unwrap().result),
        (0, Ok(()))
    );
    assert_eq!(
        office.stored(),
        text.replace("\"/>\n", "\" weight=\"5\"/>\n")
    );
    assert_eq!(
        office.say("saveConfig"),
        format!("ok generation 2: {file} has this configuration already\n")
    );
    // What was saved counts as read.
    office.order(&["reload"]);
    assert_eq!((office.host("a").weight, office.generation()), (5, 2));
    // A file that was edited meanwhile is not overwritten.
    office
        .folder
        .write("config.xml", format!("{text}<!-- mine -->"));
    office.order(&["setWeight service=web group=main name=a weight=6"]);
    let refusal = office.refusal("saveConfig");
    assert!(refusal.contains("saveConfig force=true"), "{refusal}");
    assert_eq!(stored(&office).unsaved, 1);
    let answer = office.say("saveConfig force=true");
    assert!(
        answer.starts_with("  the file had been changed outside txlb"),
        "{answer}"
    );
    assert!(office.stored().ends_with("<!-- mine -->"));
    assert!(office.stored().contains("weight=\"6\""));
}

/// The text with configCheck on.
fn checked(text: &str) -> String {
    let manager = "<manager><configCheck interval='0.05' enable='yes'/></manager></config>";
    text.replace("</config>", manager)
}

#[test]
fn autosave_writes_live_changes_back() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open(&checked(&text));
    office.order(&[WEIGH]);
    until("it is saved", || stored(&office).unsaved == 0);
    assert!(office.stored().contains("weight=\"5\""));
    assert_eq!(
        office
            .logged(&["INFO configCheck: saved in ", &office.mark()])
            .len(),
        1
    );
    // Once it is switched off, that is saved no more.
    let off = "setOption name=manager.configCheck.enable value=false";
    office.order(&[off]);
    assert_eq!(stored(&office).unsaved, 1);
    office.order(&[
        "saveConfig",
        "setWeight service=web group=main name=a weight=6",
    ]);
    office.order(&["setOption name=manager.configCheck.enable value=true"]);
    until("it is saved again", || stored(&office).unsaved == 0);
    assert!(office.stored().contains("weight=\"6\""));
}

#[test]
fn a_save_that_fails_is_said_once() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open(&checked(&text));
    office
        .folder
        .write("config.xml", format!("{text}<!-- mine -->"));
    office.order(&[WEIGH]);
    let failed_at = |office: &TestBalancer| {
        let save = stored(office).last_save;
        save.filter(|save| save.result.is_err())
            .map(|save| save.wall_ms)
    };
    until("it has failed", || failed_at(&office).is_some());
    let first = failed_at(&office);
    until("it has failed again", || failed_at(&office) > first);
    let lines = office.logged(&[
        "ERROR the running configuration cannot be saved",
        &office.mark(),
    ]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(office.stored().ends_with("<!-- mine -->"));
    assert!(
        office
            .say("status")
            .contains("config: last save failed at ")
    );
    fs::write(office.file(), checked(&text)).unwrap();
    until("it is saved", || stored(&office).unsaved == 0);
}

#[test]
fn without_a_file_nothing_is_read_or_written_and_that_is_said() {
    let (_hosts, text) = scene();
    let mut office = TestBalancer::open_without_file(&checked(&text));
    office.order(&[WEIGH]);
    for verb in ["reload", "reload force=true", "saveConfig", "diff"] {
        let refusal = office.refusal(verb);
        assert!(
            refusal.starts_with("there is no configuration file"),
            "{verb}: {refusal}"
        );
    }
    office.handle.signal(Signal::Reload);
    let stored = stored(&office);
    assert_eq!(
        (stored.file, stored.unsaved, stored.last_save),
        (None, 0, None)
    );
    assert!(office.say("status").contains("config: no file"));
    assert_eq!(office.host("a").weight, 5);
    assert_eq!(who(office.address()).len(), 1);
    assert_eq!(office.folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn the_file_is_shown_as_it_is_and_as_it_would_be_saved_and_no_hash_is() {
    let (_hosts, text) = scene();
    let users = "<admin><user name=\"u\" password=\"$6$s$hash\" access=\"full\"/>\
                 <!-- password='$6$s$hash' --></admin></config>";
    let text = text.replace("</config>", users);
    let mut office = TestBalancer::open(&text);
    office.order(&[WEIGH]);
    let view = |office: &mut TestBalancer, name: &str| {
        let answer = office.say(&format!("config view={name}"));
        let data = answer.strip_suffix("ok generation 2\n").unwrap().to_owned();
        let lines = data.lines().map(|line| line.strip_prefix("  ").unwrap());
        lines.collect::<Vec<_>>().join("\n")
    };
    let hidden = text.replace("$6$s$hash", "***");
    assert_eq!(view(&mut office, "stored"), hidden);
    let running = view(&mut office, "running");
    assert!(running.contains("<!-- ours -->") && !running.contains("$6$"));
    office.order(&["saveConfig"]);
    let saved = fs::read_to_string(office.folder.file("config.xml")).unwrap();
    assert_eq!(running, saved.replace("$6$s$hash", "***"));
    assert!(
        office
            .refusal("config view=all")
            .contains("effect, running or stored")
    );
}
