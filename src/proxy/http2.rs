//! HTTP/2 towards clients (RFC 9113): each request of a connection is judged as one of HTTP/1, and answered by the same road.
//!
//! On the h2 crate with the limits that pingora sets (64 KiB of fields, 100 streams); pingora's own accept loop answers
//! nothing but through its proxying.

mod head;
mod session;

use super::conn::Conn;
use super::deliver::{Client, Outlet, To};
use super::door::{self, Door, Visitor};
use super::registry::Ticket;
use super::road::{self, Ended, Scratch};
use super::site::{Handed, Handover, Site};
use crate::access::protocol;
use arc_swap::Cache;
use bytes::Bytes;
use engine::Clock;
use h2::server::Connection;
use h2::{Reason, RecvStream};
use http::Request;
use pingora::apps::HttpServerApp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::default_h2_options;
use semantics::Timestamp;
use session::Passing;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

/// What an HTTP/1 server takes for a request: the first line of the preface and the empty one (RFC 9113, 3.4).
pub(super) const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// So much may wait to be sent on a stream, in bytes: of a hundred streams of one slow client, too.
const WAITING: usize = 32 * 1024;

/// So many requests of a connection are at work at a time. A client may have a hundred streams; but those that he has reset
/// count no more, and what they asked for may go on for a moment.
const AT_WORK: usize = 128;

/// So long a client may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// So long he may take to read what was sent to him last: up to [`WAITING`] of each stream.
const READS: Duration = Duration::from_secs(60);

/// The requests of a connection that are at work.
struct Streams {
    open: AtomicUsize,
    /// Since when there is none, in microseconds.
    quiet_since: AtomicU64,
    clock: Clock,
}

/// One of them.
struct Open(Arc<Streams>);

impl Streams {
    fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// `None`: there are some.
    fn quiet_since(&self) -> Option<Timestamp> {
        let quiet = self.open.load(Ordering::Acquire) == 0;
        quiet.then(|| Timestamp::from_micros(self.quiet_since.load(Ordering::Relaxed)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.clock.now().as_micros(), Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

/// Serves a connection until it ends. `early`: what was read of it already.
pub(super) async fn serve(door: Arc<Door>, conn: Conn, early: Bytes, visitor: Visitor, ticket: Ticket) {
    let secure = conn.is_secure();
    if early.is_empty() {
        return shake_hands(door, conn, secure, visitor, ticket).await;
    }
    let (read, write) = tokio::io::split(conn);
    let early = std::io::Cursor::new(early).chain(read);
    shake_hands(door, tokio::io::join(early, write), secure, visitor, ticket).await;
}

async fn shake_hands<T>(door: Arc<Door>, io: T, secure: bool, visitor: Visitor, ticket: Ticket)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // It has a deadline of its own, and says goodbye.
    ticket.busy();
    let mut options = default_h2_options();
    options.max_send_buffer_size(WAITING);
    let patience = door.site.load().limits.header_timeout;
    match timeout(patience, options.handshake(io)).await {
        Ok(Ok(connection)) => accept(door, connection, secure, visitor).await,
        Ok(Err(error)) => tracing::debug!(%error, "a client does not speak HTTP/2 after all"),
        Err(_) => {}
    }
}

async fn accept<T>(door: Arc<Door>, mut connection: Connection<T, Bytes>, secure: bool, visitor: Visitor)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // A look at the present site costs one load, and no count that all connections share.
    let mut current = Cache::new(door.site.clone());
    let (clock, mut idle) = (current.load().engine.clock.clone(), current.load().limits.idle_timeout);
    let quiet_since = AtomicU64::new(clock.now().as_micros());
    let streams = Arc::new(Streams { open: AtomicUsize::new(0), quiet_since, clock: clock.clone() });
    let mut shutdown = door.shutdown.clone();
    let mut leaving = false;
    let mut timer = pin!(sleep(idle));
    loop {
        let leave = tokio::select! {
            biased;
            accepted = connection.accept() => {
                let Some(Ok((request, mut respond))) = accepted else { return };
                if streams.open.load(Ordering::Relaxed) >= AT_WORK {
                    respond.send_reset(Reason::REFUSED_STREAM);
                    continue;
                }
                let outlet = Outlet::new(respond, secure);
                let site = current.load().clone();
                take(Box::pin(exchange(door.clone(), site, request, outlet, visitor, streams.begin()))).await;
                false
            }
            () = async { drop(shutdown.wait_for(|down| *down).await) }, if !leaving => true,
            () = timer.as_mut() => {
                let now = clock.now();
                let patience = if connection.has_streams() { idle.max(READS) } else { idle };
                let due = streams.quiet_since().unwrap_or(now).after(patience);
                timer.as_mut().reset(Instant::now() + due.since(now).min(idle));
                if leaving && due <= now {
                    return;
                }
                due <= now
            }
        };
        if leave {
            // He hears which of his requests were taken (RFC 9113, 6.8), and leaves when they are answered.
            connection.graceful_shutdown();
            (leaving, idle) = (true, FAREWELL);
            timer.as_mut().reset(Instant::now() + FAREWELL);
        }
    }
}

/// What can be answered at once is, like most hits; the rest goes on by itself.
async fn take(mut exchange: Pin<Box<impl Future<Output = ()> + Send + 'static>>) {
    if poll_fn(|cx| Poll::Ready(exchange.as_mut().poll(cx))).await.is_pending() {
        tokio::spawn(exchange);
    }
}

async fn exchange(
    door: Arc<Door>,
    site: Arc<Site>,
    request: Request<RecvStream>,
    mut outlet: Outlet,
    visitor: Visitor,
    _open: Open,
) {
    let (parts, body) = request.into_parts();
    let cookies = head::cookies(&parts.headers);
    let mut client = Client::new(To::Stream(&mut outlet), true, true, site.limits.send_min_rate);
    let head = match head::request(&parts, cookies.as_deref(), body.is_end_stream(), &site.limits) {
        Ok(head) => head,
        Err(refusal) => {
            let named = (parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), protocol(parts.version));
            return door::tell(&site, &mut client, visitor.peer.ip(), named, refusal).await;
        }
    };
    match road::take(&site, &head, visitor, &mut client, &mut Scratch::default()).await {
        Ended::Answered | Ended::Broken => {}
        Ended::Passed(handover) => match super::head::owned(&head) {
            Ok(asked) => pass(&door, *handover, asked, body, outlet).await,
            Err(error) => tracing::debug!(%error, "a request could not be passed"),
        },
    }
}

async fn pass(door: &Door, handover: Handover, asked: RequestHeader, body: RecvStream, outlet: Outlet) {
    let min_rate = handover.site.limits.send_min_rate;
    let mut parts = asked.as_owned_parts();
    parts.extensions.insert(Handed::new(handover));
    let session = ServerSession::new_custom(Box::new(Passing::new(parts.into(), body, outlet, min_rate)));
    Box::pin(door.proxy.process_new_http(session, &door.shutdown)).await;
}
