//! The one writer to the client: stored responses, bodies on their way, ranges, 304s, and Larder's own answers.

use super::conn::Conn;
use super::pace::{Pace, too_slow};
use super::synthetic::{Own, wants_json};
use engine::Failed;
use engine::flight::{Opened, Watcher};
use engine::store::Head;
use http::StatusCode;
use semantics::settlement::Failure;
use semantics::{CacheStatus, Method, Request, Scheme};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout};

mod stored;

pub(super) use stored::{Chosen, Delivery};

/// A client in the middle of one exchange.
pub(super) struct Client<'c> {
    pub(super) stream: &'c mut Conn,
    pub(super) http11: bool,
    pub(super) keep_alive: bool,
    pace: Pace,
    /// What is written around bodies, in bytes: heads and the sizes of chunks.
    around: u64,
}

/// What was told to the client.
pub(super) struct Sent {
    pub(super) status: u16,
}

/// What of a failed answer is not for everybody who waited: what would let somebody keep it, and one visitor's cookie.
const NOT_SHARED: [&str; 9] = [
    "age",
    "cache-control",
    "cdn-cache-control",
    "content-length",
    "etag",
    "expires",
    "last-modified",
    "set-cookie",
    "set-cookie2",
];

impl<'c> Client<'c> {
    pub(super) fn new(stream: &'c mut Conn, http11: bool, keep_alive: bool, min_rate: usize) -> Self {
        Client { stream, http11, keep_alive, pace: Pace::new(min_rate), around: 0 }
    }

    /// The scheme of what he speaks.
    pub(super) fn scheme(&self) -> Scheme {
        if self.stream.is_secure() { Scheme::Https } else { Scheme::Http }
    }

    /// How much of a body was written, in bytes; also of an answer that broke off.
    pub(super) fn body_sent(&self) -> u64 {
        self.pace.in_all().saturating_sub(self.around)
    }

    /// Cache-Status, what this connection needs, and the empty line.
    fn end_head(&self, status: &CacheStatus, tail: &mut Vec<u8>) {
        tail.extend_from_slice(b"cache-status: ");
        status.write(tail);
        tail.extend_from_slice(match (self.keep_alive, self.http11) {
            (true, true) => b"\r\n\r\n",
            (true, false) => b"\r\nconnection: keep-alive\r\n\r\n",
            (false, _) => b"\r\nconnection: close\r\n\r\n",
        });
    }

    /// A body on its way, as it comes. A fill that breaks off breaks this answer off too: never a clean short one.
    pub(super) async fn streamed(
        &mut self,
        request: &Request<'_>,
        opened: &Opened,
        mut watcher: Watcher,
        status: &CacheStatus,
    ) -> io::Result<Sent> {
        let code = opened.head.status();
        let bodiless = request.method == Method::Head || code == StatusCode::NO_CONTENT;
        let chunked = opened.length.is_none() && !bodiless && self.http11;
        if opened.length.is_none() && !bodiless && !self.http11 {
            self.keep_alive = false;
        }
        let mut tail = Vec::with_capacity(128);
        if chunked {
            tail.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        self.end_head(status, &mut tail);
        self.answer(opened.head.wire(), &tail, b"").await?;
        if !bodiless {
            self.copy(&mut watcher, opened.length).await?;
        }
        Ok(Sent { status: code.as_u16() })
    }

    /// With a known length the last byte is the end: the client has everything, whatever the fill still does.
    async fn copy(&mut self, watcher: &mut Watcher, length: Option<u64>) -> io::Result<()> {
        let chunked = length.is_none() && self.http11;
        let mut left = length.unwrap_or(u64::MAX);
        while left > 0 {
            let next = tokio::select! {
                next = watcher.chunk() => next,
                () = gone(self.stream) => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            match next {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) if chunked => {
                    let size = format!("{:x}\r\n", chunk.len());
                    self.around += size.len() as u64 + 2;
                    let parts = &mut [IoSlice::new(size.as_bytes()), IoSlice::new(&chunk), IoSlice::new(b"\r\n")];
                    self.send(parts).await?;
                }
                Ok(Some(chunk)) => {
                    self.send(&mut [IoSlice::new(&chunk)]).await?;
                    left = left.saturating_sub(chunk.len() as u64);
                }
                Ok(None) if chunked => return self.answer(b"0\r\n\r\n", b"", b"").await,
                Ok(None) => return Ok(()),
                Err(failure) => return Err(io::Error::other(failure.as_str())),
            }
        }
        Ok(())
    }

    /// A failed first generation: the origin's own words where it sent some, else ours.
    pub(super) async fn failed(
        &mut self,
        request: &Request<'_>,
        failed: &Failed,
        status: &CacheStatus,
    ) -> io::Result<Sent> {
        let Some((head, body)) = &failed.answer else {
            let own = Own {
                status: failed.failure.gateway_status(),
                explanation: format!("The page could not be fetched from its origin: {}.", explain(failed.failure)),
                remedy: "Try again in a moment.",
                cache_status: *status,
                location: None,
                retry_after: Some(failed.retry_after.map_or(1, |span| span.as_secs().max(1))),
            };
            return self.own(request, &own).await;
        };
        self.unkept(request, head, body, status).await
    }

    /// A whole answer that nobody may keep: an error in the origin's own words, or a shell.
    pub(super) async fn unkept(
        &mut self,
        request: &Request<'_>,
        head: &Head,
        body: &[u8],
        status: &CacheStatus,
    ) -> io::Result<Sent> {
        let mut lines =
            format!("HTTP/1.1 {} {}\r\n", head.status().as_u16(), head.status().canonical_reason().unwrap_or("Error"))
                .into_bytes();
        for (name, value) in head.fields().filter(|(n, _)| !NOT_SHARED.contains(n)) {
            put(&mut lines, name, value);
        }
        put(&mut lines, "content-length", body.len().to_string().as_bytes());
        put(&mut lines, "cache-control", b"no-store");
        let mut tail = Vec::with_capacity(128);
        self.end_head(status, &mut tail);
        let body: &[u8] = if request.method == Method::Head { b"" } else { body };
        self.answer(&lines, &tail, body).await?;
        Ok(Sent { status: head.status().as_u16() })
    }

    /// An answer of Larder's own.
    pub(super) async fn own(&mut self, request: &Request<'_>, own: &Own) -> io::Result<Sent> {
        let json = wants_json(request.field("accept"));
        self.own_as(own, json, request.method == Method::Head).await
    }

    pub(super) async fn own_as(&mut self, own: &Own, json: bool, head_only: bool) -> io::Result<Sent> {
        let (head, body) = own.render(json);
        let end: &[u8] = match (self.keep_alive, self.http11) {
            (true, true) => b"\r\n",
            (true, false) => b"connection: keep-alive\r\n\r\n",
            (false, _) => b"connection: close\r\n\r\n",
        };
        let body: &[u8] = if head_only { b"" } else { &body };
        self.answer(&head, end, body).await?;
        Ok(Sent { status: own.status.as_u16() })
    }

    /// Writes a head in its two parts, and with it what of the body is at hand.
    async fn answer(&mut self, head: &[u8], tail: &[u8], body: &[u8]) -> io::Result<()> {
        self.around += (head.len() + tail.len()) as u64;
        self.send(&mut [IoSlice::new(head), IoSlice::new(tail), IoSlice::new(body)]).await
    }

    /// Writes everything, and gives up on a reader who is slower than the rate.
    async fn send(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let written = match &*self.stream {
                Conn::Plain(tcp) => tcp.try_write_vectored(parts),
                Conn::Tls(_) => self.paced(|conn, cx| Pin::new(conn).poll_write_vectored(cx, parts)).await,
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.pace.sent(n);
                    IoSlice::advance_slices(&mut parts, n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.paced(|conn, cx| conn.tcp().poll_write_ready(cx)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if self.stream.is_secure() {
            self.paced(|conn, cx| Pin::new(conn).poll_flush(cx)).await?;
        }
        Ok(())
    }

    /// Waits for the client, as long as his pace allows.
    async fn paced<T>(
        &mut self,
        mut poll: impl FnMut(&mut Conn, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        // Most often nothing is to be waited for.
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(poll(self.stream, cx))).await {
            return done;
        }
        let from = Instant::now();
        let done = timeout(self.pace.patience(), poll_fn(|cx| poll(self.stream, cx))).await;
        self.pace.waited(from.elapsed());
        done.unwrap_or_else(|_| Err(too_slow()))
    }
}

/// What a client may know of a failure; addresses and details are for the log.
fn explain(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "it cannot be reached",
        Failure::Timeout => "it did not answer in time",
        Failure::Budget => "it is asked for too many new pages at the moment",
        Failure::Shed => "it is being asked too much, or failed just now",
        Failure::Truncated => "its answer broke off",
        _ => "its answer was not usable",
    }
}

/// Completes when the client has gone. Bytes of a next request stay where they are.
async fn gone(stream: &mut Conn) {
    let _ = poll_fn(|cx| stream.poll_gone(cx)).await;
}

fn put(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}
