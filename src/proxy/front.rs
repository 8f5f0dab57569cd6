//! The front door: one connection, one request after the other. It reads every head itself, under one deadline.
//!
//! An idle connection waits without a timer: the listener's reaper closes those whose deadline has passed. Only a head
//! that comes in pieces gets a timer of its own.

use super::chunks::{Broken, Chunks};
use super::conn::Conn;
use super::deliver::{Client, To};
use super::door::{Door, Visitor, tell};
use super::head::{self, Framing, Refusal, too_large};
use super::http2::{self, PREFACE_HEAD};
use super::loan::{Loan, Reading};
use super::registry::Ticket;
use super::road::{self, Ended, Scratch};
use super::site::{Handover, Site};
use arc_swap::Cache;
use bytes::{Buf, BytesMut};
use http::{StatusCode, Version};
use pingora::apps::HttpServerApp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const READ_AT_LEAST: usize = 1024;
const BUFFER: usize = 4096;

enum Arrived {
    /// The head ends here.
    Head(usize),
    Closed,
    Refused(Refusal),
}

/// Serves a connection until it ends. `h2c`: HTTP/2 may be spoken without TLS.
pub(super) async fn serve(door: Arc<Door>, mut stream: Conn, visitor: Visitor, ticket: Ticket, mut h2c: bool) {
    let peer = visitor.peer;
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut scratch = Scratch::default();
    // A look at the present site costs one load, and no count that all connections share.
    let mut current = Cache::new(door.site.clone());
    loop {
        let end = match read_head(current.load(), &mut stream, &mut buffer, &ticket).await {
            Arrived::Head(end) => end,
            Arrived::Closed => return,
            Arrived::Refused(refusal) => return refuse(current.load(), &mut stream, peer.ip(), &buffer, refusal).await,
        };
        ticket.busy();
        if std::mem::take(&mut h2c) && buffer[..end] == *PREFACE_HEAD {
            return Box::pin(http2::serve(door, stream, buffer.freeze(), visitor, ticket)).await;
        }
        let site = current.load();
        let next = exchange(site, &mut stream, &buffer[..end], visitor, &mut scratch).await;
        match next {
            Next::KeepAlive => buffer.advance(end),
            Next::Close(Unread::Nothing) => return stream.farewell().await,
            Next::Close(Unread::Body) => return linger(&mut stream).await,
            Next::Refuse(refusal) => return refuse(site, &mut stream, peer.ip(), &buffer[..end], refusal).await,
            Next::Tunnel(handover, asked) => {
                return Box::pin(door.tunnels.run(stream, &handover, *asked, &buffer[end..])).await;
            }
            Next::Pass(handover, prefix, framing) => {
                buffer.advance(end);
                let Ok((early, reading)) = split(framing, &mut buffer) else {
                    return refuse(site, &mut stream, peer.ip(), &prefix, broken_chunks()).await;
                };
                let loan = Loan::new(stream, peer, reading, site.limits.send_min_rate);
                let back = Box::pin(pass(&door, loan, *handover, prefix, &early)).await;
                let Some((back, surplus)) = back else { return };
                stream = back;
                buffer.extend_from_slice(&surplus);
            }
        }
        // A client that pipelines hits must not keep its thread to itself.
        tokio::task::consume_budget().await;
    }
}

/// Reads until a head is whole. Empty lines before it are skipped (RFC 9112, 2.2).
async fn read_head(site: &Site, stream: &mut Conn, buffer: &mut BytesMut, ticket: &Ticket) -> Arrived {
    ticket.idle(site.engine.clock.now().after(site.limits.idle_timeout));
    if buffer.is_empty() && !matches!(read_more(stream, buffer).await, Ok(n) if n > 0) {
        return Arrived::Closed;
    }
    if let Some(end) = whole(buffer).filter(|end| *end <= site.limits.header_bytes) {
        return Arrived::Head(end);
    }
    ticket.busy();
    let limit = site.limits.header_bytes;
    let collecting = async {
        let mut scanned = 0;
        loop {
            while buffer.starts_with(b"\r\n") {
                buffer.advance(2);
            }
            if let Some(end) = head::end(buffer, scanned) {
                return if end > limit { Arrived::Refused(too_large()) } else { Arrived::Head(end) };
            }
            if buffer.len() > limit {
                return Arrived::Refused(too_large());
            }
            if garbage(buffer) {
                let what = "this is not an HTTP request";
                return Arrived::Refused(Refusal { status: StatusCode::BAD_REQUEST, what });
            }
            scanned = buffer.len();
            if !matches!(read_more(stream, buffer).await, Ok(n) if n > 0) {
                return Arrived::Closed;
            }
        }
    };
    match timeout(site.limits.header_timeout, collecting).await {
        Ok(arrived) => arrived,
        // Nothing but empty lines: nobody waits for an answer.
        Err(_) if buffer.is_empty() => Arrived::Closed,
        Err(_) => Arrived::Refused(Refusal {
            status: StatusCode::REQUEST_TIMEOUT,
            what: "the request head did not arrive within `limits.header_timeout`",
        }),
    }
}

/// The usual case: the first read brought one head.
fn whole(buffer: &[u8]) -> Option<usize> {
    if buffer.len() > READ_AT_LEAST * 2 || buffer.first() == Some(&b'\r') {
        return None;
    }
    head::end(buffer, 0)
}

/// Bytes that cannot begin a request line: TLS to a plain port, or noise.
fn garbage(buffer: &[u8]) -> bool {
    buffer.first().is_some_and(|b| !b.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~\r".contains(b))
        || memchr::memmem::find(buffer, b"\n\n").is_some()
}

async fn read_more(stream: &mut Conn, buffer: &mut BytesMut) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() < READ_AT_LEAST {
        buffer.reserve(BUFFER);
    }
    stream.read_buf(buffer).await
}

fn broken_chunks() -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, what: "the chunked request body is malformed" }
}

enum Next {
    KeepAlive,
    Close(Unread),
    Refuse(Refusal),
    Pass(Box<Handover>, BytesMut, Framing),
    Tunnel(Box<Handover>, Box<RequestHeader>),
}

async fn exchange(site: &Arc<Site>, stream: &mut Conn, bytes: &[u8], visitor: Visitor, scratch: &mut Scratch) -> Next {
    let head = match head::parse(bytes, &site.limits) {
        Ok(head) => head,
        Err(refusal) => return Next::Refuse(refusal),
    };
    let keep_alive = head.keep_alive && !site.draining.load(Ordering::Relaxed);
    let http11 = head.version == Version::HTTP_11;
    let mut client = Client::new(To::Connection(stream), http11, keep_alive, site.limits.send_min_rate);
    match road::take(site, &head, visitor, &mut client, scratch).await {
        Ended::Answered if client.keep_alive => Next::KeepAlive,
        Ended::Answered if head.framing != Framing::None => Next::Close(Unread::Body),
        Ended::Answered | Ended::Broken => Next::Close(Unread::Nothing),
        Ended::Passed(handover) => {
            if handover.upgrade
                && let Ok(asked) = head::owned(&head)
            {
                return Next::Tunnel(handover, Box::new(asked));
            }
            let mut prefix = BytesMut::with_capacity(bytes.len() + 64);
            head::rewrite(&head, &mut prefix);
            Next::Pass(handover, prefix, head.framing)
        }
    }
}

/// What of a request was not read when its connection ends.
enum Unread {
    Nothing,
    Body,
}

/// Takes what has arrived of a body out of the buffer, and says how much is still to be read.
fn split(framing: Framing, buffer: &mut BytesMut) -> Result<(BytesMut, Reading), Broken> {
    Ok(match framing {
        Framing::None => (BytesMut::new(), Reading::Bytes(0)),
        Framing::Length(length) => {
            let here = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
            (buffer.split_to(here), Reading::Bytes(length - here as u64))
        }
        Framing::Chunked => {
            let mut chunks = Chunks::default();
            let here = chunks.feed(buffer)?;
            (buffer.split_to(here), Reading::Chunks(chunks))
        }
    })
}

/// Lends the connection to pingora for one request; `None` when it does not come back.
async fn pass(
    door: &Door,
    loan: Loan,
    handover: Handover,
    mut prefix: BytesMut,
    body: &[u8],
) -> Option<(Conn, Vec<u8>)> {
    prefix.extend_from_slice(body);
    let mut session = ServerSession::new_http1(Box::new(loan));
    if let ServerSession::H1(h1) = &mut session {
        h1.set_pipelined_prefix(prefix);
    }
    session.set_connection_user_context(Some(Box::new(handover)));
    let (stream, _) = door.proxy.process_new_http(session, &door.shutdown).await?.consume();
    stream.into_any().downcast::<Loan>().ok().map(|loan| loan.into_parts())
}

/// `head`: what has come of it.
async fn refuse(site: &Site, stream: &mut Conn, peer: IpAddr, head: &[u8], refusal: Refusal) {
    let mut client = Client::new(To::Connection(stream), true, false, site.limits.send_min_rate);
    let (method, path) = head::glimpse(head);
    tell(site, &mut client, peer, (method, path, ""), refusal).await;
    linger(stream).await;
}

/// Closes so that the answer arrives: what the client still sends is read for a moment, else a reset could overtake it.
async fn linger(stream: &mut Conn) {
    let mut sink = [0; 2048];
    let drain = async {
        let _ = stream.shutdown().await;
        for _ in 0..64 {
            if !matches!(stream.read(&mut sink).await, Ok(n) if n > 0) {
                break;
            }
        }
    };
    let _ = timeout(std::time::Duration::from_secs(1), drain).await;
}
