//! A small HTTP/1.1 server for pages of Larder's own: the admin address and the demo's origin. Not for visitors.
//!
//! A request is admitted by its head alone, and only then is its body read: who is turned away costs no memory.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as L4Stream;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A request to one of our own pages.
pub struct Request {
    pub method: Method,
    pub path: String,
    /// As received, without its `?`.
    pub query: Option<String>,
    pub fields: HeaderMap,
    /// Whole; empty until the request is admitted.
    pub body: Result<Bytes, TooLarge>,
}

/// A body over what its call takes ([`Call::body_at_most`]): it was not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The largest body that is read, in bytes, where a call says nothing else.
pub const BODY_AT_MOST: usize = 1 << 20;

/// A request that was admitted.
pub trait Call: Send + 'static {
    /// The largest body that is read for it, in bytes.
    fn body_at_most(&self) -> usize {
        BODY_AT_MOST
    }
}

impl Call for () {}

/// What is answered.
pub struct Response {
    pub status: StatusCode,
    pub fields: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Response {
    pub fn new(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Self {
        Response { status, fields: vec![("content-type", kind.to_owned())], body: body.into() }
    }

    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Response::new(status, "text/plain; charset=utf-8", body)
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 256;
/// For a body, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(30);
/// A larger body may take longer, as long as so many bytes of it come in a second.
const SLOWEST: usize = 256 << 10;
/// For a head, and between requests: whoever holds a connection for nothing gives up his place to a probe of health.
const IDLE: Duration = Duration::from_secs(5);
/// Of a body that is not wanted, so much is dropped for so long, in bytes: see [`linger`].
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// Who is let in, and what he gets.
struct Desk<A, H> {
    admit: A,
    answer: H,
}

/// Serves until the task is dropped. `admit` judges a request by its head; what it returns goes to `answer`, together
/// with the whole request.
pub async fn run<A, T, H, F>(listener: TcpListener, admit: A, answer: H)
where
    A: Fn(&Request) -> Result<T, Response> + Send + Sync + 'static,
    T: Call,
    H: Fn(T, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let desk = Arc::new(Desk { admit, answer });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Head and body are two writes: the second would wait for the first one's acknowledgement.
                let _ = stream.set_nodelay(true);
                let desk = desk.clone();
                tokio::spawn(async move {
                    connection(stream, &desk).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection<A, T, H, F>(stream: TcpStream, desk: &Desk<A, H>)
where
    A: Fn(&Request) -> Result<T, Response>,
    T: Call,
    H: Fn(T, Request) -> F,
    F: Future<Output = Response>,
{
    let mut stream: Stream = Box::new(L4Stream::from(stream));
    while let Some(back) = exchange(stream, desk).await {
        stream = back;
    }
}

async fn exchange<A, T, H, F>(stream: Stream, desk: &Desk<A, H>) -> Option<Stream>
where
    A: Fn(&Request) -> Result<T, Response>,
    T: Call,
    H: Fn(T, Request) -> F,
    F: Future<Output = Response>,
{
    let mut session = ServerSession::new_http1(stream);
    session.set_write_timeout(Some(PATIENCE));
    match timeout(IDLE, session.read_request()).await {
        Ok(Ok(true)) => {}
        Ok(Err(_)) => {
            // No HTTP, or a head with two readings. He may be gone; there is nobody else to tell.
            let _ = timeout(PATIENCE, session.respond_error(400)).await;
            return None;
        }
        _ => return None,
    }
    let mut request = request(session.req_header());
    let head_only = request.method == Method::HEAD;
    let response = match (desk.admit)(&request) {
        Ok(admitted) => {
            let most = admitted.body_at_most();
            request.body = timeout(patience_for(most), read_body(&mut session, most)).await.ok()??;
            (desk.answer)(admitted, request).await
        }
        Err(refusal) => refusal,
    };
    let unread = !session.is_body_done();
    let patience = patience_for(response.body.len());
    timeout(patience, deliver(&mut session, response, head_only)).await.ok()??;
    if unread {
        linger(&mut session).await;
    }
    let (stream, _) = session.finish().await.ok()??.into_parts();
    Some(stream)
}

/// For so many bytes.
fn patience_for(bytes: usize) -> Duration {
    PATIENCE.max(Duration::from_secs((bytes / SLOWEST) as u64))
}

fn request(head: &RequestHeader) -> Request {
    Request {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        fields: head.headers.clone(),
        body: Ok(Bytes::new()),
    }
}

/// `None`: it does not come, or not as it is framed.
async fn read_body(session: &mut ServerSession, most: usize) -> Option<Result<Bytes, TooLarge>> {
    let fields = &session.req_header().headers;
    let field = |name: HeaderName| fields.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let announced = field(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Some(Err(TooLarge));
    }
    if field(EXPECT).is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue")) {
        session.write_continue_response().await.ok()?;
    }
    let mut body = BytesMut::new();
    while let Some(part) = session.read_request_body().await.ok()? {
        if body.len() + part.len() > most {
            return Some(Err(TooLarge));
        }
        body.extend_from_slice(&part);
    }
    Some(Ok(body.freeze()))
}

/// `None`: nobody takes it.
async fn deliver(session: &mut ServerSession, response: Response, head_only: bool) -> Option<()> {
    let mut head = ResponseHeader::build(response.status, Some(response.fields.len() + 1)).ok()?;
    for (name, value) in response.fields {
        head.append_header(name, value).ok()?;
    }
    head.insert_header(CONTENT_LENGTH, response.body.len()).ok()?;
    session.write_response_header(Box::new(head)).await.ok()?;
    if !head_only {
        session.write_response_body(response.body, true).await.ok()?;
    }
    Some(())
}

/// Before a connection is closed on a body that was not read: what still comes is dropped for a moment, else a reset
/// could overtake the answer.
async fn linger(session: &mut ServerSession) {
    // The answer must be on its way first.
    if session.finish_body().await.is_err() {
        return;
    }
    let drain = async {
        let mut dropped = 0;
        while let Ok(Some(part)) = session.read_request_body().await {
            dropped += part.len();
            if dropped > LINGER_BYTES {
                return;
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
}
