//! The answer to one request of an HTTP/2 connection, written as fast as its client takes it.

use super::head;
use crate::proxy::pace::Pace;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};
use std::io;
use std::task::{Context, Poll};

pub(in crate::proxy) struct Outlet {
    respond: SendResponse<Bytes>,
    body: Option<SendStream<Bytes>>,
    /// Under TLS.
    secure: bool,
    ended: bool,
}

impl Outlet {
    pub(super) fn new(respond: SendResponse<Bytes>, secure: bool) -> Self {
        Outlet { respond, body: None, secure, ended: false }
    }

    pub(in crate::proxy) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(super) fn is_ended(&self) -> bool {
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
        self.head(head::response(head, tail)?, body.is_empty() && !more)?;
        if body.is_empty() {
            return Ok(());
        }
        self.pieces(body.clone(), !more, pace).await
    }

    pub(super) fn head(&mut self, response: Response<()>, end: bool) -> io::Result<()> {
        self.body = Some(self.respond.send_response(response, end).map_err(told)?);
        self.ended = end;
        Ok(())
    }

    /// The same of a head as it is written for HTTP/1.
    pub(in crate::proxy) fn interim_lines(&mut self, head: &Bytes) -> io::Result<()> {
        self.interim(head::response(head, b"")?)
    }

    /// 103, and whatever else comes before the answer (RFC 9110, 15.2).
    pub(super) fn interim(&mut self, response: Response<()>) -> io::Result<()> {
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

    pub(super) fn trailers(&mut self, trailers: HeaderMap) -> io::Result<()> {
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
    pub(super) fn break_off(&mut self) {
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
