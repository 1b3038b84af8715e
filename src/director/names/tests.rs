//! The resolver against name servers that are slow, wrong, or change their mind.

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};

const PATIENCE: Duration = Duration::from_secs(10);

fn address(last: u8) -> Vec<IpAddr> {
    vec![IpAddr::from([127, 0, 0, last])]
}

/// A resolver over `lookup`, and the answers it gives, as they come.
fn names(lookup: Box<Lookup>) -> (Names, Receiver<(String, Answer)>) {
    let (answers, receiver) = channel();
    let answers = Mutex::new(answers);
    let on_answer = move |name: &str, answer: Result<&[IpAddr], &str>| {
        let answer = answer.map(<[IpAddr]>::to_vec).map_err(str::to_owned);
        let _ = answers.lock().unwrap().send((name.to_owned(), answer));
    };
    (Names::new(lookup, Box::new(on_answer)), receiver)
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_slow_name_holds_nobody_up() {
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let (names, answers) = names(Box::new(move |name| {
        if name == "slow" {
            let _ = held.lock().unwrap().recv();
        }
        Ok(address(1))
    }));
    names.want(strings(&["slow", "fast"])).unwrap();
    assert_eq!(answers.recv_timeout(PATIENCE).unwrap().0, "fast");
    assert_eq!(names.answer("slow"), None);
    release.send(()).unwrap();
    assert_eq!(answers.recv_timeout(PATIENCE).unwrap().0, "slow");
}

#[test]
fn waiting_ends_when_all_have_answered_or_patience_does() {
    let (_hold, held): (Sender<()>, _) = channel();
    let held = Mutex::new(held);
    let (names, _answers) = names(Box::new(move |name| match name {
        "never" => {
            let _ = held.lock().unwrap().recv();
            Ok(address(9))
        }
        "bad" => Err(io::Error::other("no such name")),
        _ => Ok(address(1)),
    }));
    let new = names.want(strings(&["good", "bad"])).unwrap();
    names.settle(&new, PATIENCE);
    assert_eq!(names.answer("good"), Some(Ok(address(1))));
    assert_eq!(names.answer("bad"), Some(Err("no such name".to_owned())));
    let new = names.want(strings(&["good", "never"])).unwrap();
    assert_eq!(new, ["never"]);
    names.settle(&new, Duration::from_millis(20));
    assert_eq!(names.answer("never"), None);
    // It has been waited for: nobody else has to.
    let new = names.want(strings(&["good", "never", "bad"])).unwrap();
    names.settle(&new, PATIENCE);
    let new = names.want(strings(&["good", "never"])).unwrap();
    names.settle(&new, PATIENCE);
    assert_eq!(
        names.answer("bad"),
        None,
        "a name nobody wants is forgotten"
    );
}

#[test]
fn the_last_good_answer_outlives_an_error() {
    let calls = Mutex::new(0);
    let (names, answers) = names(Box::new(move |_| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        match *calls {
            1 => Ok(address(1)),
            2 => Err(io::Error::other("server failure")),
            3 => Ok(Vec::new()),
            _ => Ok(address(2)),
        }
    }));
    names.want(strings(&["host"])).unwrap();
    for expected in [1, 1, 1, 2] {
        let (name, _) = answers.recv_timeout(PATIENCE).unwrap();
        assert_eq!(name, "host");
        assert_eq!(names.answer("host"), Some(Ok(address(expected))));
        names.again();
    }
}

#[test]
fn the_system_knows_its_own_name() {
    let addresses = look_up("localhost").unwrap();
    assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback));
}

#[test]
fn a_name_that_does_not_resolve_is_asked_again_soon_and_then_more_rarely() {
    let now = Instant::now();
    let mut name = Name::new();
    let pauses = (0..7).map(|_| {
        name.answered(&Err("server failure".to_owned()), now);
        (name.due - now).as_secs()
    });
    assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30]);
    // An answer is good for as long as ever, and the next error is the first one.
    name.due = now + EVERY;
    name.answered(&Ok(address(1)), now);
    assert_eq!(name.due, now + EVERY);
    name.answered(&Err("server failure".to_owned()), now);
    assert_eq!(name.due, now + FIRST_PAUSE);
    assert_eq!(pause_after(u32::MAX), EVERY);
}

/// By itself: nobody says `again`.
#[test]
fn a_name_that_resolves_late_is_found() {
    let calls = Mutex::new(0);
    let (names, answers) = names(Box::new(move |_| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        match *calls {
            1 => Err(io::Error::other("server failure")),
            _ => Ok(address(1)),
        }
    }));
    names.want(strings(&["host"])).unwrap();
    assert!(answers.recv_timeout(PATIENCE).unwrap().1.is_err());
    assert!(answers.recv_timeout(PATIENCE).unwrap().1.is_ok());
}
