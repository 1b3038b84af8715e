//! `<config watch="true">`: files that change without a signal, as a mounted ConfigMap does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::client::who_in_turn;
use crate::support::control::ctl;
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, command, text};
use rustix::process::Signal;

const IN_FORCE: &str = "config.xml is in force as generation";

/// A configuration that is watched, with one host of this name, and more.
fn config(host: &str, at: &Host, more: &str) -> String {
    format!(
        "<config watch=\"true\"><service name=\"web\"><listen ip=\"127.0.0.1:0\"/>\
         <group name=\"main\" enable=\"true\"><host name=\"{host}\" ip=\"{}\"/></group></service>\
         {more}</config>",
        at.address()
    )
}

/// Puts a configuration where Kubernetes would: in a folder of its own, to which `..data` leads.
fn publish(folder: &Path, version: &str, config: &str) {
    let own = folder.join(version);
    fs::create_dir(&own).unwrap();
    fs::write(own.join("config.xml"), config).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[test]
fn a_mounted_folder_that_is_replaced_is_put_in_force() {
    let [a, b] = ["a", "b"].map(Host::new);
    let place = Folder::new();
    publish(place.path(), "..1", &config("a", &a, ""));
    symlink("..data/config.xml", place.file("config.xml")).unwrap();
    let program = command(&["-w", "1", "-f", text(&place.file("config.xml"))]);
    let mut txlb = Txlb::spawn(program, place);
    txlb.wait_for(" runs as process ");
    assert_eq!(who_in_turn(txlb.address(), 2), "aa");
    let old = txlb.folder.path().to_owned();
    publish(&old, "..2", &config("b", &b, ""));
    fs::remove_dir_all(old.join("..1")).unwrap();
    let line = txlb.wait_for(IN_FORCE);
    assert!(
        line.ends_with("generation 2; by the watch on the file"),
        "{line}"
    );
    assert_eq!(who_in_turn(txlb.address(), 2), "bb");
}

#[test]
fn a_file_that_is_wrong_is_said_once_and_the_next_one_is_taken() {
    let [a, b] = ["a", "b"].map(Host::new);
    let mut txlb = Txlb::start(&config("a", &a, ""));
    txlb.folder.write("config.xml", "<config watch=\"true\">");
    txlb.wait_for("the running configuration stays");
    // By signal it is tried, and said, again.
    txlb.signal(Signal::HUP);
    txlb.wait_for("the running configuration stays");
    txlb.folder.write("config.xml", config("b", &b, ""));
    txlb.wait_for(IN_FORCE);
    txlb.wait_for_count("the running configuration stays", 2);
    // What does not ask for it is not watched any more.
    let unwatched = config("a", &a, "").replace(" watch=\"true\"", "");
    txlb.folder.write("config.xml", &unwatched);
    txlb.wait_for(IN_FORCE);
    assert_eq!(who_in_turn(txlb.address(), 2), "aa");
}

#[test]
fn what_txlb_saves_itself_is_no_change_and_what_it_did_not_save_is_lost() {
    let a = Host::new("a");
    let place = Folder::new();
    let socket = place.file("control");
    let control = format!("<control socket=\"{}\"/>", text(&socket));
    let first = config("a", &a, &control);
    let mut txlb = Txlb::start(&first);
    let tell = |words: &[&str]| assert_eq!(ctl(&socket, words).status, Some(0), "{words:?}");
    let weight = |weight| ["setWeight", "service=web", "group=main", "name=a", weight];
    tell(&weight("weight=2"));
    tell(&["saveConfig"]);
    tell(&weight("weight=3"));
    let saved = fs::read_to_string(txlb.config_file()).unwrap();
    // Two looks at least, and nothing is read again: what was not saved is still there. The
    // same content, with another time and as another file, makes no difference.
    txlb.folder.write("config.xml", &saved);
    crate::support::pause(std::time::Duration::from_secs(5));
    assert_eq!(txlb.count("in force"), 0, "{:?}", txlb.seen);
    assert!(ctl(&socket, &["diff"]).stdout.contains("weight=3"));
    txlb.folder.write("config.xml", &first);
    txlb.wait_for("lost, as it is not in ");
    txlb.wait_for(IN_FORCE);
    assert_eq!(ctl(&socket, &["diff"]).stdout.trim(), "");
}
