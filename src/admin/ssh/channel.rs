//! One SSH channel: the console, lines without a terminal, or a single command.
//!
//! The controller is asked on a blocking thread. The credential is checked again before each
//! request.

use std::sync::{Arc, OnceLock};

use russh::ChannelId;
use russh::server::Handle as Channels;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, sleep_until};

use super::input::{Event, InputQueue};
use crate::admin::auth::{Auth, Credential};
use crate::admin::console::{Console, Reaction, Size, execute};
use crate::config::Access;
use crate::control::{Actor, Handle, LineProtocol};

/// Bytes sent at once.
const MAX_CHUNK: usize = 32 * 1024;

/// SSH_EXTENDED_DATA_STDERR.
const STANDARD_ERROR: u32 = 1;

/// The error after the user's password, key or access has changed.
const CREDENTIAL_CHANGED: &str = "error: what you logged in by has changed: log in again";

/// What the sessions of all clients share.
pub(super) struct SessionContext {
    pub(super) auth: Auth,
    handle: OnceLock<Handle>,
}

impl SessionContext {
    pub(super) fn new(auth: Auth) -> SessionContext {
        SessionContext {
            auth,
            handle: OnceLock::new(),
        }
    }

    /// Sets the handle of the controller.
    pub(super) fn set_handle(&self, handle: Handle) {
        let _ = self.handle.set(handle);
    }

    /// The handle. Blocks until it is set: not to be called on the runtime's own thread.
    fn handle(&self) -> &Handle {
        self.handle.wait()
    }
}

/// What the client asked the channel for.
pub(super) enum ChannelRequest {
    Console(Terminal),
    Lines,
    /// A command; with a terminal, the output is for people.
    Command(Vec<u8>, Option<Terminal>),
}

/// The client's terminal.
#[derive(Clone, Copy)]
pub(super) struct Terminal {
    pub(super) size: Size,
    pub(super) colours: bool,
}

/// The server's end of a channel.
pub(super) struct ChannelSession {
    pub(super) context: Arc<SessionContext>,
    pub(super) credential: Credential,
    pub(super) actor: Actor,
    pub(super) handle: Channels,
    pub(super) channel: ChannelId,
    pub(super) input: Arc<InputQueue>,
}

/// The client has gone.
struct Disconnected;

/// Serves the channel to its end, and sends the exit status.
pub(super) async fn run_channel(session: ChannelSession, request: ChannelRequest) {
    let result = match request {
        ChannelRequest::Console(terminal) => session.console(terminal).await,
        ChannelRequest::Lines => session.lines().await,
        ChannelRequest::Command(command, terminal) => session.command(command, terminal).await,
    };
    session.input.close();
    if let Ok(status) = result {
        let (handle, channel) = (&session.handle, session.channel);
        // russh queues these in order. An error means that the client has gone.
        let _ = handle.exit_status_request(channel, status.into()).await;
        let _ = handle.eof(channel).await;
        let _ = handle.close(channel).await;
    }
}

impl ChannelSession {
    async fn console(&self, terminal: Terminal) -> Result<u8, Disconnected> {
        let (access, actor) = (self.credential.access(), self.actor.clone());
        let mut console = Console::new(access, actor, terminal.size, terminal.colours);
        let greeting = move |handle: &Handle| {
            let mut shown = Vec::new();
            console.greet(handle, &mut shown);
            (console, shown)
        };
        let (mut console, shown) = self.with_handle(greeting).await?;
        self.send(&shown).await?;
        let began = Instant::now();
        let mut event = None;
        loop {
            let is_closing = matches!(event, Some(Event::Closing));
            let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let step = move |handle: &Handle| ConsoleRun::take(console, event, now_ms, handle);
            let step = self.with_handle(step).await?;
            self.send(&step.shown).await?;
            if is_closing {
                // The client is told why by the disconnect, not by exit status 0.
                return Err(Disconnected);
            }
            if step.is_over {
                return Ok(0);
            }
            console = step.console;
            event = match step.next_ms {
                None => Some(self.input.next().await),
                Some(next_ms) => {
                    let next = Instant::now() + Duration::from_millis(next_ms);
                    tokio::select! {
                        event = self.input.next() => Some(event),
                        () = sleep_until(next) => None,
                    }
                }
            };
            if !self.context.auth.is_valid(&self.credential) {
                let mut shown = Vec::new();
                leave_terminal(&mut console, &mut shown);
                shown.extend_from_slice(format!("{CREDENTIAL_CHANGED}\r\n").as_bytes());
                self.send(&shown).await?;
                return Ok(1);
            }
        }
    }

    async fn lines(&self) -> Result<u8, Disconnected> {
        let mut lines = LineSession::new(self.credential.access());
        loop {
            let event = self.input.next().await;
            if event == Event::Closing {
                return Err(Disconnected);
            }
            if !self.context.auth.is_valid(&self.credential) {
                self.send(format!("{CREDENTIAL_CHANGED}\n").as_bytes())
                    .await?;
                return Ok(1);
            }
            let actor = self.actor.clone();
            let work = move |handle: &Handle| {
                let mut lines = lines;
                let answer = match event {
                    Event::Keys(bytes) => lines.take(&bytes, handle, &actor),
                    Event::End => lines.end(),
                    Event::Size(_) | Event::Closing => String::new(),
                };
                (lines, answer)
            };
            let (after, answer) = self.with_handle(work).await?;
            lines = after;
            self.send(answer.as_bytes()).await?;
            if let Some(status) = lines.status() {
                return Ok(status);
            }
        }
    }

    async fn command(
        &self,
        command: Vec<u8>,
        terminal: Option<Terminal>,
    ) -> Result<u8, Disconnected> {
        if !self.context.auth.is_valid(&self.credential) {
            self.send_error(format!("{CREDENTIAL_CHANGED}\n").as_bytes())
                .await?;
            return Ok(1);
        }
        let Ok(line) = String::from_utf8(command) else {
            self.send_error(b"error: the command is not UTF-8\n")
                .await?;
            return Ok(1);
        };
        let (access, actor) = (self.credential.access(), self.actor.clone());
        let size = terminal.map(|terminal| terminal.size);
        let work = move |handle: &Handle| execute(&line, access, &actor, handle, size);
        let executed = self.with_handle(work).await?;
        self.send(executed.stdout.as_bytes()).await?;
        self.send_error(executed.stderr.as_bytes()).await?;
        Ok(executed.status)
    }

    /// Runs blocking work with the controller's handle.
    async fn with_handle<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Handle) -> T + Send + 'static,
    ) -> Result<T, Disconnected> {
        let context = Arc::clone(&self.context);
        let done = spawn_blocking(move || work(context.handle())).await;
        done.map_err(|_| Disconnected)
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), Disconnected> {
        self.input.set_sending(true);
        for piece in bytes.chunks(MAX_CHUNK) {
            let sent = self.handle.data(self.channel, piece.to_vec()).await;
            sent.map_err(|_| Disconnected)?;
        }
        self.input.set_sending(false);
        Ok(())
    }

    async fn send_error(&self, bytes: &[u8]) -> Result<(), Disconnected> {
        self.input.set_sending(true);
        for piece in bytes.chunks(MAX_CHUNK) {
            let (handle, channel) = (&self.handle, self.channel);
            let sent = handle.extended_data(channel, STANDARD_ERROR, piece.to_vec());
            sent.await.map_err(|_| Disconnected)?;
        }
        self.input.set_sending(false);
        Ok(())
    }
}

/// Leaves the terminal in order when something other than a key ends the console: what comes next
/// is on a line of its own.
fn leave_terminal(console: &mut Console, out: &mut Vec<u8>) {
    console.leave(out);
    out.extend_from_slice(b"\r\n");
}

/// What the console did with an event.
struct ConsoleRun {
    console: Console,
    shown: Vec<u8>,
    is_over: bool,
    /// When it wants to be called again without an event, in milliseconds.
    next_ms: Option<u64>,
}

impl ConsoleRun {
    /// Passes an event to the console; without one, only the time.
    fn take(
        mut console: Console,
        event: Option<Event>,
        now_ms: u64,
        handle: &Handle,
    ) -> ConsoleRun {
        let (mut shown, mut is_over) = (Vec::new(), false);
        match event {
            Some(Event::Keys(keys)) => {
                is_over = console.input(&keys, handle, &mut shown) == Reaction::End;
            }
            Some(Event::Size(size)) => console.resize(size, &mut shown),
            Some(Event::End | Event::Closing) => {
                leave_terminal(&mut console, &mut shown);
                is_over = true;
            }
            None => {}
        }
        let next_ms = match is_over {
            true => None,
            false => console.tick(now_ms, handle, &mut shown),
        };
        ConsoleRun {
            console,
            shown,
            is_over,
            next_ms,
        }
    }
}

/// As on the control socket: twenty large keys of a user fit in.
const MAX_LINE: usize = 64 * 1024;

/// Lines without a terminal, answered as on the control socket.
pub(super) struct LineSession {
    protocol: LineProtocol,
    partial_line: Vec<u8>,
    is_too_long: bool,
    has_failed: bool,
    has_ended: bool,
}

impl LineSession {
    pub(super) fn new(access: Access) -> LineSession {
        LineSession {
            protocol: LineProtocol::new(access),
            partial_line: Vec::new(),
            is_too_long: false,
            has_failed: false,
            has_ended: false,
        }
    }

    /// The exit status, once it has ended: 1 after an error.
    pub(super) fn status(&self) -> Option<u8> {
        self.has_ended.then_some(u8::from(self.has_failed))
    }

    /// Takes bytes that end with a line or within one. Returns the answer, if there is one.
    pub(super) fn take(&mut self, bytes: &[u8], handle: &Handle, actor: &Actor) -> String {
        let (bytes, is_whole) = match bytes {
            [line @ .., b'\n'] => (line, true),
            part => (part, false),
        };
        self.is_too_long |= self.partial_line.len() + bytes.len() > MAX_LINE;
        match self.is_too_long {
            true => self.partial_line.clear(),
            false => self.partial_line.extend_from_slice(bytes),
        }
        if !is_whole {
            return String::new();
        }
        let line = String::from_utf8(std::mem::take(&mut self.partial_line));
        match line {
            _ if std::mem::take(&mut self.is_too_long) => self.reject_line(&format!(
                "the line is too long: {MAX_LINE} bytes are possible"
            )),
            Err(_) => self.reject_line("the line is not UTF-8"),
            Ok(line) if matches!(line.trim(), "exit" | "quit") => self.end(),
            Ok(line) => {
                let answer = self.protocol.reply_text(&line, handle, actor);
                self.has_failed |= answer.lines().any(|line| line.starts_with("error:"));
                answer
            }
        }
    }

    /// The input has ended. Returns what there is to say about that.
    pub(super) fn end(&mut self) -> String {
        self.has_ended = true;
        if !self.partial_line.is_empty() || self.is_too_long {
            self.reject_line("the last line has no end: it is ignored")
        } else if self.protocol.is_in_batch() {
            self.reject_line("the batch was not committed: nothing was changed")
        } else {
            String::new()
        }
    }

    fn reject_line(&mut self, why: &str) -> String {
        self.protocol.reject_line(why);
        self.has_failed = true;
        format!("error: {why}\n")
    }
}
