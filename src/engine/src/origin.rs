//! What the engine asks of an origin. How bytes travel is the business of whoever implements this.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use semantics::settlement::Failure;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Index of an origin in the configuration's order.
pub type OriginId = usize;

/// Index of a server among those of its origin.
pub type ServerId = usize;

/// Why Larder asks. The names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client waits for it.
    Fill,
    /// In the background, while a stale response is served.
    Refresh,
    /// Before anybody asks for it.
    Prerender,
    /// A client's own request, handed through.
    Pass,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Fill => "fill",
            Kind::Refresh => "refresh",
            Kind::Prerender => "prerender",
            Kind::Pass => "pass",
        }
    }
}

/// A GET that Larder built itself.
#[derive(Clone, Debug)]
pub struct OriginRequest {
    pub origin: OriginId,
    pub kind: Kind,
    /// The key's host: what Host and X-Forwarded-Host are made of.
    pub host: String,
    pub scheme: semantics::Scheme,
    /// Path and query.
    pub target: String,
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The server to ask, if it is well; `None`: any.
    pub server: Option<ServerId>,
    /// Who waits for it, and hears of interim answers.
    pub early: Option<Early>,
    /// Whether an answer in a transfer coding that nobody knows is taken as it comes, up to the end of its connection.
    pub unknown_codings: bool,
}

/// What an origin says before it answers, 103 say (RFC 9110, 15.2). Hop-by-hop fields are gone.
#[derive(Clone, Debug)]
pub struct Interim {
    pub status: StatusCode,
    pub fields: HeaderMap,
}

/// Where interim answers are told.
pub type Early = UnboundedSender<Interim>;

impl OriginRequest {
    /// `host/path?query`, for messages and for telling a redirect to itself.
    pub fn url(&self) -> String {
        format!("{}{}", self.host, self.target)
    }

    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.fields.retain(|(n, _)| *n != name);
        self.fields.push((name, value));
    }

    pub fn remove(&mut self, name: &HeaderName) {
        self.fields.retain(|(n, _)| n != name);
    }
}

/// An answer whose head has arrived. Hop-by-hop fields are gone (RFC 9110, 7.6.1).
pub struct OriginResponse {
    pub status: StatusCode,
    pub fields: HeaderMap,
    /// `Content-Length`; `None` when chunked or close-delimited.
    pub length: Option<u64>,
    pub close_delimited: bool,
    /// Who gave it, where there are several.
    pub server: Option<ServerId>,
    pub body: Box<dyn Body>,
}

/// What went wrong with an origin, for people and for the metrics.
#[derive(Clone, Debug)]
pub struct OriginError {
    pub failure: Failure,
    /// What happened, as a clause: "connection to 127.0.0.1:3000 refused".
    pub message: String,
}

impl std::fmt::Display for OriginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OriginError {}

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A body on its way.
pub trait Body: Send {
    /// The next bytes; `None` at a proper end. A body that ends early is an error, never an end.
    /// `patience` bounds the wait for this chunk.
    fn chunk(&mut self, patience: Duration) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>>;
}

/// Something that answers requests: servers over HTTP, or a model of them in tests.
pub trait Origin: Send + Sync + 'static {
    /// Sends the request and waits for the head of the answer, within the origin's own deadlines.
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginResponse, OriginError>>;
}
