//! A small HTTP/1.1 server for pages of Larder's own: the admin address and the demo's origin. Not for visitors.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as L4Stream;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A request to one of our own pages; bodies are read and dropped.
pub struct Request {
    pub method: Method,
    pub path: String,
    pub fields: HeaderMap,
}

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
const CONNECTIONS: usize = 1024;
/// For a head, and between requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves until the task is dropped.
pub async fn run<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let handler = Arc::new(handler);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    connection(stream, &*handler).await;
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

async fn connection<H, F>(stream: TcpStream, handler: &H)
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let mut stream: Stream = Box::new(L4Stream::from(stream));
    loop {
        match timeout(PATIENCE * 4, exchange(stream, handler)).await {
            Ok(Some(back)) => stream = back,
            _ => return,
        }
    }
}

async fn exchange<H, F>(stream: Stream, handler: &H) -> Option<Stream>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let mut session = ServerSession::new_http1(stream);
    session.set_write_timeout(Some(PATIENCE));
    if !matches!(timeout(PATIENCE, session.read_request()).await, Ok(Ok(true))) {
        return None;
    }
    let head = session.req_header();
    let request =
        Request { method: head.method.clone(), path: head.uri.path().to_owned(), fields: head.headers.clone() };
    let head_only = request.method == Method::HEAD;
    timeout(PATIENCE, session.drain_request_body()).await.ok()?.ok()?;
    let response = handler(request).await;
    let mut head = ResponseHeader::build(response.status, Some(response.fields.len() + 1)).ok()?;
    for (name, value) in response.fields {
        head.append_header(name, value).ok()?;
    }
    head.insert_header(http::header::CONTENT_LENGTH, response.body.len()).ok()?;
    session.write_response_header(Box::new(head)).await.ok()?;
    if !head_only {
        session.write_response_body(response.body, true).await.ok()?;
    }
    let (stream, _) = session.finish().await.ok()??.into_parts();
    Some(stream)
}
