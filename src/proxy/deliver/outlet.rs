//! The answer to one request of an HTTP/2 connection, written as fast as its client takes it.

use crate::proxy::pace::Pace;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use std::io;
use std::task::{Context, Poll};

/// What belongs to one connection of HTTP/1 (RFC 9113, 8.2.2).
pub(in crate::proxy) const CONNECTION_ALONE: [HeaderName; 6] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

pub(in crate::proxy) struct Outlet {
    respond: SendResponse<Bytes>,
    body: Option<SendStream<Bytes>>,
    /// Under TLS.
    secure: bool,
    ended: bool,
}

impl Outlet {
    pub(in crate::proxy) fn new(respond: SendResponse<Bytes>, secure: bool) -> Self {
        Outlet { respond, body: None, secure, ended: false }
    }

    pub(in crate::proxy) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(in crate::proxy) fn is_ended(&self) -> bool {
        self.ended
    }

    /// A whole answer, or the beginning of one (`more`): its head as it is written for HTTP/1.
    pub(in crate::proxy) async fn answer(
        &mut self,
        head: &Bytes,
        tail: &[u8],
        body: &Bytes,
        more: bool,
        pace: &mut Pace,
    ) -> io::Result<()> {
        self.head(response(head, tail)?, body.is_empty() && !more)?;
        if body.is_empty() {
            return Ok(());
        }
        self.pieces(body.clone(), !more, pace).await
    }

    pub(in crate::proxy) fn head(&mut self, response: Response<()>, end: bool) -> io::Result<()> {
        self.body = Some(self.respond.send_response(response, end).map_err(told)?);
        self.ended = end;
        Ok(())
    }

    /// The same of a head as it is written for HTTP/1.
    pub(in crate::proxy) fn interim_lines(&mut self, head: &Bytes) -> io::Result<()> {
        self.interim(response(head, b"")?)
    }

    /// 103, and whatever else comes before the answer (RFC 9110, 15.2).
    pub(in crate::proxy) fn interim(&mut self, response: Response<()>) -> io::Result<()> {
        self.respond.send_informational(response).map_err(told)
    }

    /// A piece of the body, when the client has room for it.
    pub(in crate::proxy) async fn piece(&mut self, piece: Bytes, pace: &mut Pace) -> io::Result<()> {
        self.pieces(piece, false, pace).await
    }

    /// `end`: with its last byte the body ends.
    async fn pieces(&mut self, mut piece: Bytes, end: bool, pace: &mut Pace) -> io::Result<()> {
        while !piece.is_empty() {
            let Some(stream) = &mut self.body else { return Err(io::ErrorKind::BrokenPipe.into()) };
            stream.reserve_capacity(piece.len());
            let room = pace.wait_for(|cx| {
                stream.poll_capacity(cx).map(|room| room.unwrap_or(Err(Reason::CANCEL.into())).map_err(told))
            });
            let room = room.await?.min(piece.len());
            pace.sent(room);
            let next = piece.split_to(room);
            self.data(next, end && piece.is_empty())?;
        }
        Ok(())
    }

    fn data(&mut self, bytes: Bytes, end: bool) -> io::Result<()> {
        let Some(stream) = &mut self.body else { return Err(io::ErrorKind::BrokenPipe.into()) };
        stream.send_data(bytes, end).map_err(told)?;
        self.ended = end;
        Ok(())
    }

    pub(in crate::proxy) fn trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
        let Some(stream) = &mut self.body else { return Err(io::ErrorKind::BrokenPipe.into()) };
        stream.send_trailers(trailers).map_err(told)?;
        self.ended = true;
        Ok(())
    }

    /// The end of an answer, if it was not told yet.
    pub(in crate::proxy) fn end(&mut self) -> io::Result<()> {
        if self.ended { Ok(()) } else { self.data(Bytes::new(), true) }
    }

    /// What was begun cannot be ended: nobody may take it for whole.
    pub(in crate::proxy) fn break_off(&mut self) {
        if !self.ended {
            self.ended = true;
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    /// Ready when the client does not want it any more, or is gone.
    pub(in crate::proxy) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.body {
            Some(stream) => stream.poll_reset(cx).map(|_| ()),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }
}

/// What has no end was broken off, and what waits for a client who does not read goes at once.
impl Drop for Outlet {
    fn drop(&mut self) {
        self.break_off();
    }
}

fn told(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::other(error)
    }
}

/// A head of ours, in its two parts as they are written for HTTP/1.
fn response(head: &Bytes, tail: &[u8]) -> io::Result<Response<()>> {
    let garbled = || io::Error::new(io::ErrorKind::InvalidData, "a head that cannot be told in HTTP/2");
    let mut response = Response::new(());
    *response.status_mut() = head.get(9..12).and_then(|s| StatusCode::from_bytes(s).ok()).ok_or_else(garbled)?;
    let fields = response.headers_mut();
    fields.reserve(24);
    let first = memchr::memchr(b'\n', head).ok_or_else(garbled)? + 1;
    for lines in [head.slice(first..), Bytes::copy_from_slice(tail)] {
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', &lines) {
            let line = at..end.saturating_sub(1).max(at);
            at = end + 1;
            let Some(colon) = memchr::memchr(b':', &lines[line.clone()]) else { continue };
            let name = HeaderName::from_bytes(&lines[line.start..line.start + colon]).map_err(|_| garbled())?;
            if !CONNECTION_ALONE.contains(&name) {
                let value = lines.slice((line.start + colon + 2).min(line.end)..line.end);
                fields.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| garbled())?);
            }
        }
    }
    Ok(response)
}
