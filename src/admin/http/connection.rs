//! One client: its request is read, answered, and that is all.
//!
//! Everything has a deadline, so that who is slow, or says nothing at all, takes up a
//! seat for a while and nothing else. What is answered is `routes`'s business.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::request::{self, Request, Trouble};
use super::response::Answer;
use super::routes::answer;
use super::state::{Hall, Visit};
use crate::admin::deadline::Timed;
use crate::admin::seats::{Activity, Stage};
use crate::admin::tls::TlsStream;

/// For the handshake of TLS, then for the headers of a request, then for its body.
const ASKING: Duration = Duration::from_secs(10);

/// The same for who comes while most seats are taken: others wait for this one. Who is
/// silent for less may have to leave for them all the same.
const ASKING_IN_A_CROWD: Duration = Duration::from_secs(2);

/// For the answer: a large page on a slow line.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a client has to take note of the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is read of a client that was answered and still sends, in bytes.
const LATE: u64 = 512 * 1024;

/// A stream with a deadline.
trait Line: Read + Write {
    fn set_deadline(&mut self, deadline: Instant);
    fn socket(&self) -> &Arc<TcpStream>;
}

impl Line for Timed {
    fn set_deadline(&mut self, deadline: Instant) {
        Timed::set_deadline(self, deadline);
    }

    fn socket(&self) -> &Arc<TcpStream> {
        Timed::socket(self)
    }
}

impl Line for TlsStream {
    fn set_deadline(&mut self, deadline: Instant) {
        TlsStream::set_deadline(self, deadline);
    }

    fn socket(&self) -> &Arc<TcpStream> {
        TlsStream::socket(self)
    }
}

/// Serves a client to its end.
///
/// # Errors
/// It is lost; there is nobody to tell.
pub(super) fn serve(
    stream: Arc<TcpStream>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
    hall: &Hall,
) -> io::Result<()> {
    let local = stream.local_addr()?;
    let settings = hall.settings();
    let visit = Visit {
        hall,
        settings: &settings,
        peer,
        local,
    };
    let asking = match hall.seats.is_crowded() {
        true => ASKING_IN_A_CROWD,
        false => ASKING,
    };
    let deadline = Instant::now() + asking;
    let timed = Timed::new(stream, deadline)?.heard_by(Arc::clone(activity));
    match &settings.tls {
        None => talk(timed, &visit, asking, activity),
        Some(tls) => talk(tls.accept(timed)?, &visit, asking, activity),
    }
}

fn talk(
    mut line: impl Line,
    visit: &Visit<'_>,
    asking: Duration,
    activity: &Activity,
) -> io::Result<()> {
    let begin = |line: &mut _, patience| Line::set_deadline(line, Instant::now() + patience);
    begin(&mut line, asking);
    let read = request::read(&mut line, |line| begin(line, asking));
    activity.reach(Stage::Served);
    let answering = visit.hall.answers.begin();
    let (answer, head_only) = match read {
        Ok(request) => (answer(visit, &request), is_head(&request)),
        Err(Trouble::Lost(error)) => return Err(error),
        Err(Trouble::Refused(status, why)) => (Answer::text(status, format!("{why}\n")), false),
    };
    let taken = Taken::new(&visit.hall.large, answer.size());
    let answer = match taken.is_too_much() {
        true => Answer::text(
            503,
            "too many large answers are being read: try again later\n",
        ),
        false => answer,
    };
    begin(&mut line, ANSWER);
    answer.write(&mut line, head_only)?;
    // What it holds is large.
    drop((answer, taken));
    let socket = end(line)?;
    drop(answering);
    see_off(socket)
}

/// What answers that are on their way as a whole may take together, in bytes. One that is
/// alone is given whatever its length.
const MOST_LARGE: usize = 32 * 1024 * 1024;

/// The share of an answer, until it is dropped.
struct Taken<'a> {
    all: &'a AtomicUsize,
    before: usize,
    own: usize,
}

impl Taken<'_> {
    fn new(all: &AtomicUsize, own: usize) -> Taken<'_> {
        let before = all.fetch_add(own, Ordering::Relaxed);
        Taken { all, before, own }
    }

    fn is_too_much(&self) -> bool {
        self.own > 0 && self.before > 0 && self.before.saturating_add(self.own) > MOST_LARGE
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

fn is_head(request: &Request) -> bool {
    request.method == "HEAD"
}

/// Says that the answer was all.
fn end(line: impl Line) -> io::Result<Arc<TcpStream>> {
    let socket = Arc::clone(line.socket());
    // TLS says goodbye.
    drop(line);
    socket.shutdown(Shutdown::Write)?;
    Ok(socket)
}

/// Waits for the client to leave, so that the answer arrives: closing while there is
/// something unread would be a reset, which may overtake it.
fn see_off(socket: Arc<TcpStream>) -> io::Result<()> {
    let rest = Timed::new(socket, Instant::now() + FAREWELL)?;
    io::copy(&mut rest.take(LATE), &mut io::sink()).map(drop)
}
