//! What somebody has come for: the console, lines without a terminal, or one command.
//!
//! The desk is asked on a thread of its own, for it may take its time. What was let in
//! is asked for again before each thing that is done: whoever is no user any more does
//! nothing more.

use std::sync::{Arc, OnceLock};

use russh::ChannelId;
use russh::server::Handle as Channels;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, sleep_until};

use super::input::{Event, Intake};
use crate::admin::auth::{Auth, Pass};
use crate::admin::console::{Console, Reaction, Size, execute};
use crate::config::Access;
use crate::control::{Actor, Handle, LineProtocol};

/// What is sent at once, in bytes.
const PIECE: usize = 32 * 1024;

/// What SSH calls standard error.
const STANDARD_ERROR: u32 = 1;

/// What is said to those who may not go on.
const NO_MORE: &str = "error: what you logged in by has changed: log in again";

/// What the sessions of all clients share.
pub(super) struct SessionContext {
    pub(super) auth: Auth,
    desk: OnceLock<Handle>,
}

impl SessionContext {
    pub(super) fn new(auth: Auth) -> SessionContext {
        SessionContext {
            auth,
            desk: OnceLock::new(),
        }
    }

    /// Sets the handle of the controller.
    pub(super) fn attend(&self, desk: Handle) {
        let _ = self.desk.set(desk);
    }

    /// The desk, which is waited for: not in the thread that all clients share.
    fn desk(&self) -> &Handle {
        self.desk.wait()
    }
}

/// What somebody wants.
pub(super) enum Errand {
    Console(Terminal),
    Lines,
    /// The answer is for a terminal, or for a program.
    Command(Vec<u8>, Option<Terminal>),
}

/// A terminal to show things on.
#[derive(Clone, Copy)]
pub(super) struct Terminal {
    pub(super) size: Size,
    pub(super) colours: bool,
}

/// Somebody's end of a channel.
pub(super) struct Talk {
    pub(super) context: Arc<SessionContext>,
    pub(super) pass: Pass,
    pub(super) by: Actor,
    pub(super) handle: Channels,
    pub(super) channel: ChannelId,
    pub(super) intake: Arc<Intake>,
}

/// There is nobody to talk to any more.
struct Gone;

/// Talks until it is over, and says how that went.
pub(super) async fn talk(talk: Talk, errand: Errand) {
    let went = match errand {
        Errand::Console(terminal) => talk.console(terminal).await,
        Errand::Lines => talk.lines().await,
        Errand::Command(command, terminal) => talk.command(command, terminal).await,
    };
    talk.intake.close();
    if let Ok(status) = went {
        let (handle, channel) = (&talk.handle, talk.channel);
        // Whoever is gone does not need it.
        let _ = handle.exit_status_request(channel, status.into()).await;
        let _ = handle.eof(channel).await;
        let _ = handle.close(channel).await;
    }
}

impl Talk {
    async fn console(&self, terminal: Terminal) -> Result<u8, Gone> {
        let (access, by) = (self.pass.access(), self.by.clone());
        let mut console = Console::new(access, by, terminal.size, terminal.colours);
        let greeting = move |desk: &Handle| {
            let mut shown = Vec::new();
            console.greet(desk, &mut shown);
            (console, shown)
        };
        let (mut console, shown) = self.at_desk(greeting).await?;
        self.tell(&shown).await?;
        let began = Instant::now();
        let mut event = None;
        loop {
            let is_parting = matches!(event, Some(Event::Parting));
            let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let turn = move |desk: &Handle| Turn::take(console, event, now_ms, desk);
            let turn = self.at_desk(turn).await?;
            self.tell(&turn.shown).await?;
            if is_parting {
                // The client is told why, and not that all went well.
                return Err(Gone);
            }
            if turn.is_over {
                return Ok(0);
            }
            console = turn.console;
            event = match turn.next_ms {
                None => Some(self.intake.next().await),
                Some(next_ms) => {
                    let next = Instant::now() + Duration::from_millis(next_ms);
                    tokio::select! {
                        event = self.intake.next() => Some(event),
                        () = sleep_until(next) => None,
                    }
                }
            };
            if !self.context.auth.holds(&self.pass) {
                let mut shown = Vec::new();
                leave(&mut console, &mut shown);
                shown.extend_from_slice(format!("{NO_MORE}\r\n").as_bytes());
                self.tell(&shown).await?;
                return Ok(1);
            }
        }
    }

    async fn lines(&self) -> Result<u8, Gone> {
        let mut lines = Lines::new(self.pass.access());
        loop {
            let event = self.intake.next().await;
            if event == Event::Parting {
                return Err(Gone);
            }
            if !self.context.auth.holds(&self.pass) {
                self.tell(format!("{NO_MORE}\n").as_bytes()).await?;
                return Ok(1);
            }
            let by = self.by.clone();
            let work = move |desk: &Handle| {
                let mut lines = lines;
                let answer = match event {
                    Event::Keys(bytes) => lines.take(&bytes, desk, &by),
                    Event::End => lines.end(),
                    Event::Size(_) | Event::Parting => String::new(),
                };
                (lines, answer)
            };
            let (after, answer) = self.at_desk(work).await?;
            lines = after;
            self.tell(answer.as_bytes()).await?;
            if let Some(status) = lines.status() {
                return Ok(status);
            }
        }
    }

    async fn command(&self, command: Vec<u8>, terminal: Option<Terminal>) -> Result<u8, Gone> {
        if !self.context.auth.holds(&self.pass) {
            self.complain(format!("{NO_MORE}\n").as_bytes()).await?;
            return Ok(1);
        }
        let Ok(line) = String::from_utf8(command) else {
            self.complain(b"error: the command is not UTF-8\n").await?;
            return Ok(1);
        };
        let (access, by) = (self.pass.access(), self.by.clone());
        let size = terminal.map(|terminal| terminal.size);
        let work = move |desk: &Handle| execute(&line, access, &by, desk, size);
        let executed = self.at_desk(work).await?;
        self.tell(executed.stdout.as_bytes()).await?;
        self.complain(executed.stderr.as_bytes()).await?;
        Ok(executed.status)
    }

    /// Has something done that waits for the desk.
    async fn at_desk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Handle) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let context = Arc::clone(&self.context);
        let done = spawn_blocking(move || work(context.desk())).await;
        done.map_err(|_| Gone)
    }

    async fn tell(&self, bytes: &[u8]) -> Result<(), Gone> {
        self.intake.tell(true);
        for piece in bytes.chunks(PIECE) {
            let sent = self.handle.data(self.channel, piece.to_vec()).await;
            sent.map_err(|_| Gone)?;
        }
        self.intake.tell(false);
        Ok(())
    }

    async fn complain(&self, bytes: &[u8]) -> Result<(), Gone> {
        self.intake.tell(true);
        for piece in bytes.chunks(PIECE) {
            let (handle, channel) = (&self.handle, self.channel);
            let sent = handle.extended_data(channel, STANDARD_ERROR, piece.to_vec());
            sent.await.map_err(|_| Gone)?;
        }
        self.intake.tell(false);
        Ok(())
    }
}

/// Leaves a terminal in order, where something else than keys ends it: what comes next
/// is on a line of its own.
fn leave(console: &mut Console, out: &mut Vec<u8>) {
    console.leave(out);
    out.extend_from_slice(b"\r\n");
}

/// What a console did.
struct Turn {
    console: Console,
    shown: Vec<u8>,
    is_over: bool,
    /// When it wants another one, event or not, in milliseconds.
    next_ms: Option<u64>,
}

impl Turn {
    /// Has the console deal with an event; without one, with the time alone.
    fn take(mut console: Console, event: Option<Event>, now_ms: u64, desk: &Handle) -> Turn {
        let (mut shown, mut is_over) = (Vec::new(), false);
        match event {
            Some(Event::Keys(keys)) => {
                is_over = console.input(&keys, desk, &mut shown) == Reaction::End;
            }
            Some(Event::Size(size)) => console.resize(size, &mut shown),
            Some(Event::End | Event::Parting) => {
                leave(&mut console, &mut shown);
                is_over = true;
            }
            None => {}
        }
        let next_ms = match is_over {
            true => None,
            false => console.tick(now_ms, desk, &mut shown),
        };
        Turn {
            console,
            shown,
            is_over,
            next_ms,
        }
    }
}

/// As on the control socket: twenty large keys of a user fit in.
const MAX_LINE: usize = 64 * 1024;

/// The talk, and the line whose end is yet to come.
pub(super) struct Lines {
    conversation: LineProtocol,
    held: Vec<u8>,
    is_too_long: bool,
    has_failed: bool,
    has_ended: bool,
}

impl Lines {
    pub(super) fn new(access: Access) -> Lines {
        Lines {
            conversation: LineProtocol::new(access),
            held: Vec::new(),
            is_too_long: false,
            has_failed: false,
            has_ended: false,
        }
    }

    /// How the talk went, once it is over: 1 if there was an error.
    pub(super) fn status(&self) -> Option<u8> {
        self.has_ended.then_some(u8::from(self.has_failed))
    }

    /// Takes bytes that end with a line or within one; the answer, if there is one.
    pub(super) fn take(&mut self, bytes: &[u8], desk: &Handle, by: &Actor) -> String {
        let (bytes, is_whole) = match bytes {
            [line @ .., b'\n'] => (line, true),
            part => (part, false),
        };
        self.is_too_long |= self.held.len() + bytes.len() > MAX_LINE;
        match self.is_too_long {
            true => self.held.clear(),
            false => self.held.extend_from_slice(bytes),
        }
        if !is_whole {
            return String::new();
        }
        let line = String::from_utf8(std::mem::take(&mut self.held));
        match line {
            _ if std::mem::take(&mut self.is_too_long) => self.refuse(&format!(
                "the line is too long: {MAX_LINE} bytes are possible"
            )),
            Err(_) => self.refuse("the line is not UTF-8"),
            Ok(line) if matches!(line.trim(), "exit" | "quit") => self.end(),
            Ok(line) => {
                let answer = self.conversation.answer(&line, desk, by);
                self.has_failed |= answer.lines().any(|line| line.starts_with("error:"));
                answer
            }
        }
    }

    /// No more lines will come; what there is to say to that.
    pub(super) fn end(&mut self) -> String {
        self.has_ended = true;
        if !self.held.is_empty() || self.is_too_long {
            self.refuse("the last line has no end: it is ignored")
        } else if self.conversation.is_in_batch() {
            self.refuse("the batch was not committed: nothing of it is done")
        } else {
            String::new()
        }
    }

    fn refuse(&mut self, why: &str) -> String {
        self.conversation.refuse(why);
        self.has_failed = true;
        format!("error: {why}\n")
    }
}
