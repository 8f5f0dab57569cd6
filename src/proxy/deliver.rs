//! The one writer to the client: stored responses, bodies on their way, ranges, 304s, and Larder's own answers.

use super::conn::Conn;
use super::pace::Pace;
use super::synthetic::{Own, wants_json};
use bytes::Bytes;
use engine::Failed;
use engine::coding::Stream;
use engine::flight::{Opened, Watcher};
use engine::origin::Interim;
use engine::store::{HIDDEN, Head};
use http::StatusCode;
use relayed::Relayed;
use semantics::coding::Coding;
use semantics::settlement::Failure;
use semantics::{CacheStatus, Method, Request, Scheme};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use tokio::io::AsyncWrite;

mod outlet;
mod relayed;
mod stored;

pub(super) use outlet::{CONNECTION_ALONE, Outlet};
pub(super) use stored::{Chosen, Delivery};

/// Where an answer goes.
pub(super) enum To<'c> {
    Connection(&'c mut Conn),
    Stream(&'c mut Outlet),
}

/// A client in the middle of one exchange.
pub(super) struct Client<'c> {
    to: To<'c>,
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
    pub(super) fn new(to: To<'c>, http11: bool, keep_alive: bool, min_rate: usize) -> Self {
        Client { to, http11, keep_alive, pace: Pace::new(min_rate), around: 0 }
    }

    /// The scheme of what he speaks.
    pub(super) fn scheme(&self) -> Scheme {
        let secure = match &self.to {
            To::Connection(conn) => conn.is_secure(),
            To::Stream(outlet) => outlet.is_secure(),
        };
        if secure { Scheme::Https } else { Scheme::Http }
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

    /// What the origin says before it answers; never to who would not understand it (RFC 9110, 15.2), nor what is one
    /// visitor's, or meant for caches.
    pub(super) async fn interim(&mut self, interim: &Interim) -> io::Result<()> {
        if !self.http11 {
            return Ok(());
        }
        let (status, fields) =
            (interim.status, interim.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let mut lines =
            format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("Interim")).into_bytes();
        for (name, value) in fields.filter(|(name, _)| !NOT_SHARED.contains(name) && !HIDDEN.contains(name)) {
            put(&mut lines, name, value);
        }
        match &mut self.to {
            To::Connection(conn) => {
                lines.extend_from_slice(b"\r\n");
                self.around += lines.len() as u64;
                send(conn, &mut self.pace, &mut [IoSlice::new(&lines)]).await
            }
            To::Stream(outlet) => outlet.interim_lines(&lines.into()),
        }
    }

    /// A body on its way, as it comes. A fill that breaks off breaks this answer off too: never a clean short one. `codings`:
    /// those that its route makes, the best first.
    pub(super) async fn streamed(
        &mut self,
        request: &Request<'_>,
        opened: &Opened,
        mut watcher: Watcher,
        status: &CacheStatus,
        codings: &[Coding],
    ) -> io::Result<Sent> {
        let (wire, coder) = match Relayed::of(request, opened, status, codings) {
            Some(Relayed { wire, coder }) => (wire, Some(coder)),
            None => (opened.head.wire().clone(), None),
        };
        let length = opened.length.filter(|_| coder.is_none());
        let code = opened.head.status();
        let bodiless = request.method == Method::Head || code == StatusCode::NO_CONTENT;
        let unframed = length.is_none() && !bodiless && matches!(self.to, To::Connection(_));
        let chunked = unframed && self.http11;
        if unframed && !self.http11 {
            self.keep_alive = false;
        }
        let mut tail = Vec::with_capacity(128);
        if chunked {
            tail.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        self.end_head(status, &mut tail);
        self.answer(&wire, &tail, &Bytes::new(), !bodiless).await?;
        if !bodiless {
            self.copy(&mut watcher, opened.length, chunked, coder).await?;
        }
        Ok(Sent { status: code.as_u16() })
    }

    /// With a known length the last byte is the end: the client has everything, whatever the fill still does.
    async fn copy(
        &mut self,
        watcher: &mut Watcher,
        length: Option<u64>,
        chunked: bool,
        mut coder: Option<Stream>,
    ) -> io::Result<()> {
        let mut left = length.unwrap_or(u64::MAX);
        while left > 0 {
            let next = tokio::select! {
                next = watcher.chunk() => next,
                () = gone(&mut self.to) => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            match next {
                Ok(Some(chunk)) => {
                    left = left.saturating_sub(chunk.len() as u64);
                    let piece = match &mut coder {
                        Some(coder) => coder.piece(&chunk)?.into(),
                        None => chunk,
                    };
                    self.go_on(&piece, chunked).await?;
                }
                Ok(None) => break,
                Err(failure) => return Err(io::Error::other(failure.as_str())),
            }
        }
        if let Some(coder) = coder {
            self.go_on(&coder.end()?.into(), chunked).await?;
        }
        self.end(chunked).await
    }

    /// A piece of a body, in the way that its head told of.
    async fn go_on(&mut self, piece: &Bytes, chunked: bool) -> io::Result<()> {
        match piece.is_empty() {
            true => Ok(()),
            false if chunked => self.chunk(piece).await,
            false => self.piece(piece).await,
        }
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
        body: &Bytes,
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
        let body = if request.method == Method::Head { &Bytes::new() } else { body };
        self.answer(&lines.into(), &tail, body, false).await?;
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
        let body = if head_only { Bytes::new() } else { body.into() };
        self.answer(&head.into(), end, &body, false).await?;
        Ok(Sent { status: own.status.as_u16() })
    }

    /// Writes a head in its two parts, and with it what of the body is at hand. `more`: it goes on in pieces.
    async fn answer(&mut self, head: &Bytes, tail: &[u8], body: &Bytes, more: bool) -> io::Result<()> {
        match &mut self.to {
            To::Connection(conn) => {
                self.around += (head.len() + tail.len()) as u64;
                let parts = &mut [IoSlice::new(head), IoSlice::new(tail), IoSlice::new(body)];
                send(conn, &mut self.pace, parts).await
            }
            To::Stream(outlet) => outlet.answer(head, tail, body, more, &mut self.pace).await,
        }
    }

    /// A piece of a body whose head is written.
    async fn piece(&mut self, piece: &Bytes) -> io::Result<()> {
        match &mut self.to {
            To::Connection(conn) => send(conn, &mut self.pace, &mut [IoSlice::new(piece)]).await,
            To::Stream(outlet) => outlet.piece(piece.clone(), &mut self.pace).await,
        }
    }

    async fn chunk(&mut self, piece: &Bytes) -> io::Result<()> {
        let To::Connection(conn) = &mut self.to else { return self.piece(piece).await };
        let size = format!("{:x}\r\n", piece.len());
        self.around += size.len() as u64 + 2;
        let parts = &mut [IoSlice::new(size.as_bytes()), IoSlice::new(piece), IoSlice::new(b"\r\n")];
        send(conn, &mut self.pace, parts).await
    }

    /// The end of a body that came in pieces.
    async fn end(&mut self, chunked: bool) -> io::Result<()> {
        match &mut self.to {
            To::Connection(conn) if chunked => {
                const LAST: &[u8] = b"0\r\n\r\n";
                self.around += LAST.len() as u64;
                send(conn, &mut self.pace, &mut [IoSlice::new(LAST)]).await
            }
            To::Connection(_) => Ok(()),
            To::Stream(outlet) => outlet.end(),
        }
    }
}

/// Writes everything, and gives up on a reader who is slower than the rate.
async fn send(conn: &mut Conn, pace: &mut Pace, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let written = match conn {
            Conn::Plain(tcp) => tcp.try_write_vectored(parts),
            Conn::Tls(_) => pace.wait_for(|cx| Pin::new(&mut *conn).poll_write_vectored(cx, parts)).await,
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                pace.sent(n);
                IoSlice::advance_slices(&mut parts, n);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pace.wait_for(|cx| conn.tcp().poll_write_ready(cx)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    if conn.is_secure() {
        pace.wait_for(|cx| Pin::new(&mut *conn).poll_flush(cx)).await?;
    }
    Ok(())
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
async fn gone(to: &mut To<'_>) {
    let _ = poll_fn(|cx| match to {
        To::Connection(conn) => conn.poll_gone(cx),
        To::Stream(outlet) => outlet.poll_gone(cx).map(Ok),
    })
    .await;
}

fn put(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}
