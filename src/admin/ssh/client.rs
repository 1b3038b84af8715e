//! One client's connection: how long it may take to log in, and how long it may be
//! silent after that.
//!
//! What is said on it is `visitor`'s business. Whatever state that is in, the socket can
//! be cut from here.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::Disconnect;
use russh::server::{Config, Handle, run_stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Hall;
use super::intake::Intake;
use super::visitor::Visitor;
use super::wire::Wire;
use crate::admin::hinge::lock;
use crate::admin::seats::{Activity, Seat, Stage};

/// How long a client may take until it is logged in.
const GRACE: Duration = Duration::from_secs(30);

/// How long it may be silent then.
const IDLE: Duration = Duration::from_secs(600);

/// How long a console has to leave the terminal in order: less than what all clients
/// have when txlb ends.
const TIDYING: Duration = Duration::from_millis(250);

/// How long a client has to take note of the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Somebody who was let in.
pub(super) struct Guest {
    pub(super) hall: Arc<Hall>,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
}

/// How far a client is.
pub(super) struct Visit {
    is_in: AtomicBool,
    heard: Mutex<Instant>,
    /// What they talk through, if they have come for anything yet.
    talk: Mutex<Option<Arc<Intake>>>,
    activity: Arc<Activity>,
}

impl Visit {
    fn begin(activity: Arc<Activity>) -> Visit {
        Visit {
            is_in: AtomicBool::new(false),
            heard: Mutex::new(Instant::now()),
            talk: Mutex::default(),
            activity,
        }
    }

    /// The client tries to log in.
    pub(super) fn log_in(&self) {
        self.activity.reach(Stage::LoggingIn);
    }

    /// The client has logged in.
    pub(super) fn come_in(&self) {
        self.activity.reach(Stage::Served);
        self.hear();
        self.is_in.store(true, Ordering::Relaxed);
    }

    /// The client has said something of its own accord.
    pub(super) fn hear(&self) {
        *lock(&self.heard) = Instant::now();
    }

    /// The client talks, from now on through this.
    pub(super) fn talk(&self, intake: &Arc<Intake>) {
        *lock(&self.talk) = Some(Arc::clone(intake));
    }

    /// Has the talk end, if there is one.
    async fn part(&self) {
        let talk = lock(&self.talk).clone();
        if let Some(talk) = talk {
            talk.part().await;
        }
    }

    /// When it is enough, if nothing changes. Before somebody is in, what they say
    /// makes it no later.
    fn deadline(&self) -> Instant {
        let patience = if self.is_in.load(Ordering::Relaxed) {
            IDLE
        } else {
            GRACE
        };
        *lock(&self.heard) + patience
    }
}

/// Serves a client to its end.
pub(super) async fn serve(
    guest: Guest,
    wire: Wire,
    protocol: Arc<Config>,
    mut closes: watch::Receiver<bool>,
) {
    let peer = guest.peer;
    let visit = Arc::new(Visit::begin(guest.seat.activity()));
    let visitor = Visitor::new(guest.hall, peer, Arc::clone(&visit));
    let greeted = timeout(GRACE, run_stream(protocol, wire.clone(), visitor)).await;
    let Ok(Ok(session)) = greeted else {
        log::debug!("ssh: {peer} is no client of SSH");
        return;
    };
    let handle = session.handle();
    let mut session = pin!(session);
    loop {
        let deadline = visit.deadline();
        tokio::select! {
            ended = &mut session => {
                if let Err(error) = ended {
                    log::debug!("ssh: {peer} is lost: {error}");
                }
                break;
            }
            () = sleep_until(deadline) => {
                if Instant::now() < visit.deadline() {
                    continue;
                }
                log::debug!("ssh: {peer} is silent for too long");
                part(&visit, &handle, "nothing was said for too long", &mut session).await;
                break;
            }
            () = over(&mut closes) => {
                part(&visit, &handle, "txlb ends", &mut session).await;
                break;
            }
        }
    }
    wire.cut();
    drop(guest.seat);
}

/// Waits until the door is closed for good.
async fn over(closes: &mut watch::Receiver<bool>) {
    // Without a sender it is over as well.
    let _ = closes.wait_for(|is_over| *is_over).await;
}

/// Says goodbye, as long as there is somebody to hear it.
async fn part(visit: &Visit, handle: &Handle, why: &str, session: impl Future) {
    let reason = Disconnect::ByApplication;
    let farewell = async {
        let _ = timeout(TIDYING, visit.part()).await;
        // In the middle of a key exchange it is not said.
        let _ = handle
            .disconnect(reason, why.to_owned(), String::new())
            .await;
        session.await
    };
    let _ = timeout(FAREWELL, farewell).await;
}
