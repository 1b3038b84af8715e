//! One client of the web server: reads its request, writes the response, closes.
//!
//! Each part has a deadline, so a slow or silent client only takes a slot for a while.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::request::{self, Request, RequestError};
use super::response::Response;
use super::routes::respond;
use super::state::{RequestContext, WebState};
use crate::admin::server::connection_limiter::{Activity, Stage};
use crate::admin::server::deadline::DeadlineStream;
#[cfg(feature = "https")]
use crate::admin::tls::TlsStream;

/// Time limit of the TLS handshake, then of the headers, then of the body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The same limit while most slots are taken. The connection limiter may end a silent
/// client even earlier.
const REQUEST_TIMEOUT_CROWDED: Duration = Duration::from_secs(2);

/// Time limit of the response, enough for a large page on a slow line.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the socket lingers until the client closes its side.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that are read and dropped while it lingers.
const MAX_LINGER_BYTES: u64 = 512 * 1024;

/// A plain or TLS stream whose reads and writes end at a deadline.
trait TimedStream: Read + Write {
    fn set_deadline(&mut self, deadline: Instant);
    fn socket(&self) -> &Arc<TcpStream>;
}

impl TimedStream for DeadlineStream {
    fn set_deadline(&mut self, deadline: Instant) {
        DeadlineStream::set_deadline(self, deadline);
    }

    fn socket(&self) -> &Arc<TcpStream> {
        DeadlineStream::socket(self)
    }
}

#[cfg(feature = "https")]
impl TimedStream for TlsStream {
    fn set_deadline(&mut self, deadline: Instant) {
        TlsStream::set_deadline(self, deadline);
    }

    fn socket(&self) -> &Arc<TcpStream> {
        TlsStream::socket(self)
    }
}

/// Serves one client, TLS handshake included.
///
/// # Errors
/// The connection is lost, or a deadline has passed.
pub(super) fn serve(
    stream: Arc<TcpStream>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
    state: &WebState,
) -> io::Result<()> {
    let local = stream.local_addr()?;
    let settings = state.settings();
    let context = RequestContext {
        state,
        settings: &settings,
        peer,
        local,
    };
    let request_timeout = match state.limiter.is_busy() {
        true => REQUEST_TIMEOUT_CROWDED,
        false => REQUEST_TIMEOUT,
    };
    let deadline = Instant::now() + request_timeout;
    let timed = DeadlineStream::new(stream, deadline)?.with_activity(Arc::clone(activity));
    match &settings.tls {
        None => exchange(timed, &context, request_timeout, activity),
        Some(tls) => exchange(tls.accept(timed)?, &context, request_timeout, activity),
    }
}

fn exchange(
    mut stream: impl TimedStream,
    context: &RequestContext<'_>,
    request_timeout: Duration,
    activity: &Activity,
) -> io::Result<()> {
    let extend_deadline =
        |stream: &mut _, timeout| TimedStream::set_deadline(stream, Instant::now() + timeout);
    extend_deadline(&mut stream, request_timeout);
    let read = request::read(&mut stream, |stream| {
        extend_deadline(stream, request_timeout);
    });
    activity.set_stage(Stage::Served);
    let in_flight = context.state.in_flight.begin();
    let (response, head_only) = match read {
        Ok(request) => (respond(context, &request), is_head(&request)),
        Err(RequestError::Disconnected(error)) => return Err(error),
        Err(RequestError::Rejected(status, why)) => {
            (Response::text(status, format!("{why}\n")), false)
        }
    };
    let buffered = BufferedBytes::new(&context.state.buffered_bytes, response.size());
    let response = match buffered.exceeds_limit() {
        true => Response::text(
            503,
            "too many large answers are being read: try again later\n",
        ),
        false => response,
    };
    extend_deadline(&mut stream, RESPONSE_TIMEOUT);
    response.write(&mut stream, head_only)?;
    // Freed before lingering, since it may be large.
    drop((response, buffered));
    let socket = finish_writing(stream)?;
    drop(in_flight);
    linger(socket)
}

/// Bytes that all responses held in memory may take together. A single one may be larger.
const MAX_BUFFERED_BYTES: usize = 32 * 1024 * 1024;

/// The bytes of one response, counted until it is dropped.
struct BufferedBytes<'a> {
    all: &'a AtomicUsize,
    before: usize,
    own: usize,
}

impl BufferedBytes<'_> {
    fn new(all: &AtomicUsize, own: usize) -> BufferedBytes<'_> {
        let before = all.fetch_add(own, Ordering::Relaxed);
        BufferedBytes { all, before, own }
    }

    fn exceeds_limit(&self) -> bool {
        self.own > 0 && self.before > 0 && self.before.saturating_add(self.own) > MAX_BUFFERED_BYTES
    }
}

impl Drop for BufferedBytes<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

fn is_head(request: &Request) -> bool {
    request.method == "HEAD"
}

/// Ends the response: TLS close_notify, then FIN.
fn finish_writing(stream: impl TimedStream) -> io::Result<Arc<TcpStream>> {
    let socket = Arc::clone(stream.socket());
    // Dropping a TLS stream sends its close_notify.
    drop(stream);
    socket.shutdown(Shutdown::Write)?;
    Ok(socket)
}

/// Reads until the client closes. Closing a socket with unread input sends a reset,
/// which may overtake the response.
fn linger(socket: Arc<TcpStream>) -> io::Result<()> {
    let rest = DeadlineStream::new(socket, Instant::now() + LINGER_TIMEOUT)?;
    io::copy(&mut rest.take(MAX_LINGER_BYTES), &mut io::sink()).map(drop)
}
