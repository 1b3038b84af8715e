//! Upgrades with another file than the old process has: what becomes of sockets that are paths.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::client::who;
use crate::support::config::web_service;
use crate::support::host::Host;
use crate::support::txlb::{Folder, text};
use crate::support::upgradable::Upgradable;

#[test]
fn sockets_that_the_new_file_does_not_have_are_gone_after_an_upgrade() {
    let (host, place) = (Host::new("a"), Folder::new());
    let [stays, goes, amp] = ["stays", "goes", "amp"].map(|name| place.file(name));
    let listen = |path: &Path| format!("<listen ip='unix:{}'/>", text(path));
    let service = web_service("", "roundr", &[host.address()]);
    let begin = listen(&stays) + &listen(&goes) + "<group";
    let mut txlb = Upgradable::with(&service.replacen("<group", &begin, 1));
    let with_file = |txlb: &Upgradable, change: &dyn Fn(String) -> String| {
        let file = fs::read_to_string(txlb.folder.file("config.xml")).unwrap();
        txlb.folder.write("config.xml", change(file));
    };
    let amp_socket = format!("<control ampSocket='{}' ", text(&amp));
    with_file(&txlb, &|file| file.replace("<control ", &amp_socket));
    txlb.upgrade(Upgradable::by_verb);
    let address = txlb.txlb.address();
    assert!(stays.exists() && goes.exists() && amp.exists());

    with_file(&txlb, &|file| {
        file.replace(&listen(&goes), "")
            .replace(&amp_socket, "<control ")
    });
    txlb.upgrade(Upgradable::by_verb);
    assert!(!goes.exists() && !amp.exists());
    drop(UnixStream::connect(&stays).unwrap());
    assert_eq!(who(address), "a");
}
