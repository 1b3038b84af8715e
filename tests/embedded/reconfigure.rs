//! Reconfigurable parts change all or not at all; signals while the controller is busy.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::support::config::web;
use crate::support::embedded::TestBalancer;
use crate::support::host::Host;
use txlb::config::Config;
use txlb::control::{Actor, Commit, Reconfigure, Signal};

fn weigh(weight: u32) -> String {
    format!("setWeight service=web group=main name=a weight={weight}")
}

/// A `Reconfigure` that records its calls, and refuses one thing.
struct Tale {
    told: Arc<Mutex<Vec<String>>>,
    refuses_after: u32,
}

struct Undo(Arc<Mutex<Vec<String>>>, Option<&'static str>);

impl Drop for Undo {
    fn drop(&mut self) {
        let word = self.1.unwrap_or("undone");
        self.0.lock().unwrap().push(word.to_owned());
    }
}

impl Reconfigure for Tale {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        let weight = |config: &Config| config.services[0].groups[0].hosts[0].weight;
        if weight(next) > self.refuses_after {
            return Err(format!("{} is too much", weight(next)));
        }
        let step = format!("from {} to {}", weight(now), weight(next));
        self.told.lock().unwrap().push(step);
        let mut undo = Undo(Arc::clone(&self.told), None);
        Ok(Some(Box::new(move || {
            undo.1 = Some("done");
            drop(undo);
        })))
    }
}

#[test]
fn a_failed_prepare_stops_the_change_and_the_others_roll_back() {
    let host = Host::new("a");
    let told = Arc::<Mutex<Vec<String>>>::default();
    let tale = |refuses_after| {
        Box::new(Tale {
            told: Arc::clone(&told),
            refuses_after,
        })
    };
    let mut office = TestBalancer::open_with(
        &web("", "roundr", &[host.address()]),
        vec![tale(u32::MAX), tale(9)],
    );
    let told = || std::mem::take(&mut *told.lock().unwrap());
    office.order(&[&weigh(5)]);
    assert_eq!(told(), ["from 1 to 5", "from 1 to 5", "done", "done"]);
    assert_eq!(office.refusal(&weigh(10)), "10 is too much\n");
    assert_eq!(told(), ["from 5 to 10", "undone"]);
    // A port that is taken is found after the others have prepared: they roll back, too.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap();
    office.refusal(&format!("addListen service=web ip={place}"));
    assert_eq!(told(), ["from 5 to 5", "from 5 to 5", "undone", "undone"]);
    assert_eq!((office.generation(), office.host("a").weight), (2, 5));
}

/// A `Reconfigure` that blocks the controller, and counts reopenings.
struct Gate {
    arrived: Sender<()>,
    go_on: Receiver<()>,
    reopened: Arc<AtomicUsize>,
}

impl Reconfigure for Gate {
    fn prepare(&mut self, _: &Config, _: &Config) -> Result<Option<Commit>, String> {
        self.arrived.send(()).unwrap();
        self.go_on.recv().unwrap();
        Ok(None)
    }

    fn reopen(&mut self, _: &Config) -> Result<(), String> {
        self.reopened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn signals_that_wait_are_one() {
    let host = Host::new("a");
    let (arrived, arrival) = channel();
    let (go, go_on) = channel();
    let reopened = Arc::<AtomicUsize>::default();
    let gate = Gate {
        arrived,
        go_on,
        reopened: Arc::clone(&reopened),
    };
    let office = TestBalancer::open_with(
        &web("", "weightrr", &[host.address()]),
        vec![Box::new(gate)],
    );
    let handle = office.handle.clone();
    let change = std::thread::spawn(move || {
        handle
            .execute(&Actor::Program, weigh(5).parse().unwrap())
            .outcome
    });
    arrival.recv().unwrap();
    // More than the queue of the controller holds; signals still return at once.
    for _ in 0..1_000 {
        office.handle.signal(Signal::Reload);
        office.handle.signal(Signal::Reopen);
    }
    go.send(()).unwrap();
    assert_eq!(change.join().unwrap(), Ok(String::new()));
    assert_eq!(office.status().generation, 2);
    assert_eq!(reopened.load(Ordering::Relaxed), 1);
    office.handle.signal(Signal::Reload);
    assert!(office.status().stored.last_reload.is_some());
    assert_eq!(reopened.load(Ordering::Relaxed), 2);
}
