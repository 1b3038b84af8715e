//! A balancer in the test's own process, and its controller's handle.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};

use log::{LevelFilter, Log, Metadata, Record};
use txlb::config::{Access, read};
use txlb::control::{
    Actor, ControllerThread, DataPlane, File, Handle, HostStatus, LifecycleEvent, LineProtocol,
    Options, Reconfigure, Status,
};

use super::txlb::Folder;

/// A balancer with two workers and a running controller.
pub(crate) struct TestBalancer {
    /// Stopped first.
    thread: Option<ControllerThread>,
    pub(crate) handle: Handle,
    protocol: LineProtocol,
    pub(crate) folder: Folder,
    pub(crate) events: Receiver<LifecycleEvent>,
}

impl TestBalancer {
    /// With a configuration file of this content.
    pub(crate) fn open(text: &str) -> TestBalancer {
        TestBalancer::open_with(text, Vec::new())
    }

    pub(crate) fn open_with(
        text: &str,
        reconfigurables: Vec<Box<dyn Reconfigure>>,
    ) -> TestBalancer {
        let folder = Folder::new();
        let (file, reading) = File::read(&folder.write("config.xml", text)).unwrap();
        let (data_plane, events) = start(text);
        let thread =
            ControllerThread::start(data_plane, Some((file, reading)), reconfigurables).unwrap();
        TestBalancer::new(thread, folder, events)
    }

    /// Without a configuration file.
    pub(crate) fn open_without_file(text: &str) -> TestBalancer {
        let (data_plane, events) = start(text);
        let thread = ControllerThread::start(data_plane, None, Vec::new()).unwrap();
        TestBalancer::new(thread, Folder::new(), events)
    }

    fn new(
        thread: ControllerThread,
        folder: Folder,
        events: Receiver<LifecycleEvent>,
    ) -> TestBalancer {
        Logged::listen();
        TestBalancer {
            handle: thread.handle(),
            thread: Some(thread),
            protocol: LineProtocol::new(Access::Full),
            folder,
            events,
        }
    }

    /// The response to a line.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.protocol
            .reply_text(line, &self.handle, &Actor::Program)
    }

    /// Sends lines, all of which must succeed.
    pub(crate) fn order(&mut self, lines: &[&str]) {
        for line in lines {
            let answer = self.say(line);
            assert!(answer.starts_with("ok"), "{line}: {answer}");
        }
    }

    /// The error of a line.
    pub(crate) fn refusal(&mut self, line: &str) -> String {
        let answer = self.say(line);
        let error = answer.strip_prefix("error: ");
        error
            .unwrap_or_else(|| panic!("{line}: {answer}"))
            .to_owned()
    }

    pub(crate) fn status(&self) -> Status {
        self.handle.status()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.status().generation
    }

    /// A host of the group "main" of the service "web".
    pub(crate) fn host(&self, name: &str) -> HostStatus {
        let status = self.status();
        let group = status.service("web").unwrap().groups.iter();
        let mut main = group.filter(|group| group.name == "main");
        let host = main.next().unwrap().host(name);
        host.unwrap_or_else(|| panic!("no host {name}")).clone()
    }

    /// The first address of the service "web".
    pub(crate) fn address(&self) -> SocketAddr {
        let status = self.status();
        let addresses = &status.service("web").unwrap().addresses;
        addresses[0].socket_address().unwrap()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.file("config.xml")
    }

    pub(crate) fn stored(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// Stops the controller.
    pub(crate) fn close(&mut self) {
        self.thread = None;
    }

    /// The logged lines that contain all of these words. One word should be of this test only: all
    /// tests of the process share the log.
    pub(crate) fn logged(&self, words: &[&str]) -> Vec<String> {
        let lines = Logged::listen().0.lock().unwrap();
        let found = lines
            .iter()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        found.cloned().collect()
    }

    /// The path of its folder, which no other test's lines contain.
    pub(crate) fn mark(&self) -> String {
        self.folder.path().display().to_string()
    }
}

fn start(text: &str) -> (DataPlane, Receiver<LifecycleEvent>) {
    let (sender, events) = channel();
    let options = Options::new(2, move |event| {
        let _ = sender.send(event);
    });
    let config = read(text.as_bytes()).unwrap().config;
    (DataPlane::start(config, options).unwrap(), events)
}

/// Everything that this process has logged.
struct Logged(Mutex<Vec<String>>);

impl Logged {
    fn listen() -> &'static Logged {
        static LOGGED: OnceLock<&'static Logged> = OnceLock::new();
        LOGGED.get_or_init(|| {
            let logged: &'static Logged = Box::leak(Box::new(Logged(Mutex::default())));
            log::set_logger(logged).unwrap();
            log::set_max_level(LevelFilter::Info);
            logged
        })
    }
}

impl Log for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}
