//! A request of an HTTP/2 connection on the passed road, as pingora's proxying drives it.
//!
//! pingora has a session of its own for HTTP/2, but makes it alone, and of a whole connection: its Date takes the place of a
//! stored page's, and interim answers are lost.

use crate::proxy::deliver::{CONNECTION_ALONE, Outlet};
use crate::proxy::pace::Pace;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use h2::RecvStream;
use http::header::DATE;
use http::{HeaderMap, Method, Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::date::get_cached_date;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};
use std::future::poll_fn;
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// So much of a request's body is kept for a second attempt, in bytes; as pingora does.
const KEPT: usize = 64 * 1024;

pub(super) struct Passing {
    request: RequestHeader,
    body: RecvStream,
    outlet: Outlet,
    pace: Pace,
    read: usize,
    sent: usize,
    /// The body has ended; trailers may lie behind it.
    done: bool,
    /// What was read of the body; `None`: it is too much.
    kept: Option<BytesMut>,
    written: Option<Box<ResponseHeader>>,
    read_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
}

impl Passing {
    pub(super) fn new(request: RequestHeader, body: RecvStream, outlet: Outlet, min_rate: usize) -> Self {
        Passing {
            request,
            body,
            outlet,
            pace: Pace::new(min_rate),
            read: 0,
            sent: 0,
            done: false,
            kept: Some(BytesMut::new()),
            written: None,
            read_timeout: None,
            drain_timeout: None,
        }
    }

    /// Never an empty one: in chunks that would be the end of the body, and what follows the next request.
    async fn next_piece(&mut self) -> Option<std::result::Result<Bytes, h2::Error>> {
        loop {
            match poll_fn(|cx| self.body.poll_data(cx)).await {
                Some(Ok(piece)) if piece.is_empty() => {}
                next => return next,
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        match &mut self.kept {
            Some(kept) if kept.len() + piece.len() <= KEPT => kept.extend_from_slice(piece),
            kept => *kept = None,
        }
    }

    async fn drain(&mut self) -> Result<()> {
        while self.read_body_bytes().await?.is_some() {}
        Ok(())
    }

    async fn write(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(head, end) => self.write_response_header(head, end).await.map(|()| end),
            HttpTask::Body(data, end) => {
                if let Some(data) = data.filter(|data| !data.is_empty()) {
                    self.write_body(data, end).await?;
                }
                Ok(end)
            }
            HttpTask::Trailer(Some(trailers)) => self.write_trailers(*trailers).await.map(|()| true),
            HttpTask::Trailer(None) | HttpTask::Done => Ok(true),
            HttpTask::UpgradedBody(..) => Error::e_explain(ErrorType::InternalError, "another protocol in HTTP/2"),
            HttpTask::Failed(error) => Err(error),
        }
    }
}

fn writing<T>(done: io::Result<T>) -> Result<T> {
    done.map_err(|error| {
        let slow = error.kind() == io::ErrorKind::TimedOut;
        let kind = if slow { ErrorType::WriteTimedout } else { ErrorType::WriteError };
        Error::because(kind, "writing an answer in HTTP/2", error).into_down()
    })
}

#[async_trait]
impl Session for Passing {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        let patience = self.read_timeout.unwrap_or(Duration::MAX);
        let late = |_| Error::explain(ErrorType::ReadTimedout, "reading a body in HTTP/2").into_down();
        let Some(piece) = timeout(patience, self.next_piece()).await.map_err(late)? else {
            self.done = true;
            return Ok(None);
        };
        let piece =
            piece.or_err(ErrorType::ReadError, "reading a body in HTTP/2").map_err(|error| error.into_down())?;
        self.read += piece.len();
        self.keep(&piece);
        // It is taken: the client may send as much again.
        let _ = self.body.flow_control().release_capacity(piece.len());
        Ok(Some(piece))
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        if self.is_body_done() {
            return Ok(());
        }
        match timeout(self.drain_timeout.unwrap_or(Duration::MAX), self.drain()).await {
            Ok(drained) => drained,
            Err(_) => Error::e_explain(ErrorType::ReadTimedout, "dropping the rest of a body in HTTP/2"),
        }
    }

    async fn write_response_header(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.written.is_some() {
            return Ok(());
        }
        for name in &CONNECTION_ALONE {
            head.remove_header(name);
        }
        if !head.headers.contains_key(DATE) && !head.status.is_informational() {
            head.insert_header(DATE, get_cached_date())?;
        }
        let response = Response::from_parts(head.as_owned_parts(), ());
        if head.status.is_informational() {
            return writing(self.outlet.interim(response));
        }
        // Larder's own words, too, have no body there (RFC 9110, 6.4.1).
        let bodiless = self.request.method == Method::HEAD
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        writing(self.outlet.head(response, end || bodiless))?;
        self.written = Some(head);
        Ok(())
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.outlet.is_ended() {
            return Ok(());
        }
        self.sent += data.len();
        writing(self.outlet.piece(data, &mut self.pace).await)?;
        if end { self.finish().await } else { Ok(()) }
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.outlet.is_ended() { Ok(()) } else { writing(self.outlet.trailers(trailers)) }
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut end = false;
        for task in tasks {
            end |= self.write(task).await?;
        }
        if end {
            self.finish().await?;
        }
        Ok(end)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    /// How long a client may take is a matter of his pace.
    fn set_write_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.request.method, self.request.uri.path())
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.outlet.break_off();
    }

    fn is_body_done(&mut self) -> bool {
        self.done || self.body.is_end_stream()
    }

    async fn finish(&mut self) -> Result<()> {
        if self.written.is_none() {
            return Ok(());
        }
        writing(self.outlet.end())
    }

    fn is_body_empty(&mut self) -> bool {
        self.read == 0 && self.body.is_end_stream()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.is_body_done() {
            return self.read_body_bytes().await;
        }
        poll_fn(|cx| self.outlet.poll_gone(cx)).await;
        Err(Error::explain(ErrorType::ConnectionClosed, "the client does not want the answer any more").into_down())
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.is_none()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.kept.clone().filter(|kept| !kept.is_empty()).map(BytesMut::freeze)
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
