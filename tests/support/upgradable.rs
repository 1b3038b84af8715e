//! A txlb that can be upgraded: its program is at a path where another one may be put.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::config::web_service;
use super::control::ctl;
use super::page;
use super::peer::free_port;
use super::txlb::{Finished, Folder, Txlb, program, run, text};

/// A txlb whose program is a link that can lead elsewhere, with everything that only one process
/// can have. Dropping it ends all processes that have been its own.
pub(crate) struct Upgradable {
    pub(crate) txlb: Txlb,
    pub(crate) folder: Folder,
    pub(crate) processes: Vec<u32>,
}

impl Upgradable {
    pub(crate) fn start(scheduler: &str, hosts: &[SocketAddr]) -> Upgradable {
        Upgradable::with(&web_service("", scheduler, hosts))
    }

    /// One with these services.
    pub(crate) fn with(services: &str) -> Upgradable {
        let folder = Folder::new();
        symlink(program(), folder.file("txlb")).unwrap();
        let web = free_port();
        folder.write(
            "config.xml",
            format!(
                "<config>{services}<admin><web listen='127.0.0.1:{web}' secure='false' \
                 enable='true'/></admin><control socket='{}'/></config>",
                folder.file("control").display()
            ),
        );
        let mut command = Command::new(folder.file("txlb"));
        let (file, pid_file) = (folder.file("config.xml"), folder.file("pid"));
        command.args(["-w", "2", "-f", text(&file), "-p", text(&pid_file)]);
        let mut txlb = Txlb::spawn(command, Folder::new());
        txlb.wait_for(" runs as process ");
        let processes = vec![number(txlb.pid())];
        Upgradable {
            txlb,
            folder,
            processes,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.file("control")
    }

    pub(crate) fn ask(&self, words: &[&str]) -> Finished {
        ctl(&self.socket(), words)
    }

    /// What a successful command prints.
    pub(crate) fn tell(&self, words: &[&str]) -> String {
        let finished = self.ask(words);
        assert_eq!(finished.status, Some(0), "{words:?} {finished:?}");
        finished.stdout
    }

    pub(crate) fn process(&self) -> u32 {
        *self.processes.last().unwrap()
    }

    /// The number in the PID file, which its holder confirms.
    pub(crate) fn held_by(&self) -> u32 {
        let finished = run(&["-s", "pid", "-p", text(&self.folder.file("pid"))]);
        assert_eq!(finished.status, Some(0), "{finished:?}");
        finished.stdout.trim().parse().unwrap()
    }

    /// Upgrades, and checks that everything is the next process's.
    pub(crate) fn upgrade(&mut self, how: impl Fn(&Upgradable)) {
        let before = self.process();
        how(self);
        // Two processes write them, in any order.
        let texts = ["upgraded to process ", "took over from process "];
        let lines = texts.map(|_| self.txlb.wait_for_any(&texts));
        let rest = lines.iter().find_map(|it| Some(it.split_once(texts[0])?.1));
        let rest = rest.unwrap();
        let next = rest.split(';').next().unwrap().parse().unwrap();
        assert_ne!(next, before);
        self.processes.push(next);
        assert_eq!(self.held_by(), next);
        assert_eq!(status_process(&self.tell(&["--json", "status"])), next);
    }

    pub(crate) fn by_verb(&self) {
        let said = self.tell(&["upgrade"]);
        assert!(said.contains("upgraded to process "), "{said}");
    }

    /// Replaces the program.
    pub(crate) fn replace(&self, by: impl Fn(&Path)) {
        let new = self.folder.file("new");
        by(&new);
        fs::rename(new, self.folder.file("txlb")).unwrap();
    }

    pub(crate) fn restore(&self) {
        self.replace(|new| symlink(program(), new).unwrap());
    }
}

impl Drop for Upgradable {
    fn drop(&mut self) {
        for process in &self.processes {
            let pid = Pid::from_raw(i32::try_from(*process).unwrap()).unwrap();
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().try_into().unwrap()
}

pub(crate) fn status_process(json: &str) -> u32 {
    page::number(json, "process").try_into().unwrap()
}
