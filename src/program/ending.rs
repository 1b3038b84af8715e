//! How signals end the process: before it serves at once, then in order, and the second time at once,
//! whatever anybody waits for.
//!
//! What is in order is told by the desk. Here nothing is waited for, so that nothing can be in the way: not
//! the main thread, not the desk, no name server and no disk.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::low_level;
use txlb::control::{Liveness, Signal};

use crate::exit::Exit;

/// How long the end in order may still take once it is to be at once: sessions are cut such that both
/// sides see it, and the PID file and the control socket go, if nothing hangs.
const MOMENT: Duration = Duration::from_millis(250);

/// What sessions have after TERM while nobody attends to it.
const GRACE: Duration = Duration::from_secs(5);

/// What has been told so far. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ending(Arc<Shared>);

struct Shared {
    starting: Arc<AtomicBool>,
    told: AtomicBool,
    attended: AtomicBool,
    workers: OnceLock<Liveness>,
}

impl Ending {
    /// From now on TERM, INT and QUIT end the process in their handler, as they did before: it may be
    /// that the main thread waits for a name server.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn prepare() -> io::Result<Ending> {
        let starting = Arc::new(AtomicBool::new(true));
        for signal in [SIGTERM, SIGINT, SIGQUIT] {
            let status = Exit::ENDED_EARLY.into();
            register_conditional_shutdown(signal, status, Arc::clone(&starting))?;
        }
        Ok(Ending(Arc::new(Shared {
            starting,
            told: AtomicBool::new(false),
            attended: AtomicBool::new(false),
            workers: OnceLock::new(),
        })))
    }

    /// From now on there may be sessions, which are to be ended in order. Called before the first worker
    /// accepts anybody: a signal in between would cut that client off.
    pub(crate) fn in_order(&self) {
        self.0.starting.store(false, Ordering::Release);
    }

    /// Whose sessions the second signal resets.
    pub(crate) fn serves(&self, workers: Liveness) {
        // There is no second time.
        let _ = self.0.workers.set(workers);
    }

    /// From now on the main thread does what signals ask for.
    pub(crate) fn is_attended(&self) {
        self.0.attended.store(true, Ordering::Release);
    }

    /// Hears of a signal that has been passed on. Does not return from the second one.
    pub(crate) fn hear(&self, signal: Signal) {
        if !matches!(signal, Signal::Stop | Signal::Quit) {
            return;
        }
        if self.0.told.swap(true, Ordering::AcqRel) {
            self.end(0);
        }
        if signal == Signal::Stop && !self.0.attended.load(Ordering::Acquire) {
            let late = self.clone();
            // Without a thread it ends when the main thread gets there.
            let _ = thread::Builder::new()
                .name("ending".to_owned())
                .spawn(move || late.end_unless_attended());
        }
    }

    /// The main thread may be at a door whose name is not resolved.
    fn end_unless_attended(&self) {
        thread::sleep(GRACE);
        if !self.0.attended.load(Ordering::Acquire) {
            self.end(Exit::ENDED_EARLY.into());
        }
    }

    fn end(&self, status: i32) -> ! {
        if let Some(workers) = self.0.workers.get() {
            workers.cut_sessions();
        }
        thread::sleep(MOMENT);
        low_level::exit(status);
    }
}
