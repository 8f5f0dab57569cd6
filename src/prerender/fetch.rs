//! Documents of the origin that say which pages there are: fetched as Larder itself, from the route's own hosts alone.

use super::own::{Home, Page, Place};
use bytes::Bytes;
use engine::Clock;
use engine::origin::{Body, Kind, Origin, OriginRequest, OriginResponse};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderValue, StatusCode};
use semantics::Timestamp;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Redirects that are followed, one after the other.
const REDIRECTS: usize = 5;
/// Between two reads of a document.
const PATIENCE: Duration = Duration::from_secs(30);

/// A document on its way.
pub(super) struct Document {
    /// What it was asked for in the end: relative URLs are of its host.
    pub(super) home: Home,
    pub(super) content_type: Option<String>,
    pub(super) body: Reader,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum NotFetched {
    /// The origin cannot be asked at present.
    Unreachable(String),
    Other(String),
}

/// Fetches a document. Blocks: not for async workers.
pub(super) fn document(
    handle: &Handle,
    origin: &dyn Origin,
    place: &Place,
    url: &str,
    home: &Home,
    mut limited: Limited,
) -> Result<Document, NotFetched> {
    let mut page = resolve(place, url, home)?;
    for _ in 0..=REDIRECTS {
        let response = handle.block_on(limited.while_wanted(ask(origin, place, &page)));
        let response = response.ok_or_else(|| NotFetched::Other("it is not wanted any more".to_owned()))??;
        let home = Home { scheme: page.scheme, host: page.host.clone() };
        let header = |name| response.fields.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        match response.status {
            StatusCode::OK => {
                let content_type = header(CONTENT_TYPE).map(str::to_owned);
                let body = Reader { handle: handle.clone(), body: response.body, chunk: Bytes::new(), limited };
                return Ok(Document { home, content_type, body });
            }
            status if status.is_redirection() => {
                let Some(location) = header(LOCATION) else {
                    return Err(NotFetched::Other(format!("{} redirects to nowhere ({status})", page.target)));
                };
                page = resolve(place, location, &home)?;
            }
            status if status.is_server_error() => {
                return Err(NotFetched::Unreachable(format!("the origin answered {status} for {}", page.target)));
            }
            status => return Err(NotFetched::Other(format!("the origin answered {status} for {}", page.target))),
        }
    }
    Err(NotFetched::Other(format!("{url} redirects more than {REDIRECTS} times")))
}

fn resolve(place: &Place, url: &str, home: &Home) -> Result<Page, NotFetched> {
    place.resolve(url, home).map_err(|why| NotFetched::Other(format!("`{}` {}", url.escape_debug(), why.as_str())))
}

async fn ask(origin: &dyn Origin, place: &Place, page: &Page) -> Result<OriginResponse, NotFetched> {
    let fields =
        [(USER_AGENT, concat!("Larder/", env!("CARGO_PKG_VERSION"))), (ACCEPT, "*/*"), (ACCEPT_ENCODING, "identity")];
    let request = OriginRequest {
        origin: place.route.origin,
        kind: Kind::Prerender,
        host: page.host.clone(),
        scheme: page.scheme,
        target: page.target.clone(),
        fields: fields.map(|(name, value)| (name, HeaderValue::from_static(value))).into(),
        server: None,
        early: None,
        unknown_codings: false,
    };
    let engine = &place.site.engine;
    let started = engine.clock.now();
    let result = origin.fetch(request).await;
    let outcome = match &result {
        Ok(_) => "success",
        Err(error) => error.failure.as_str(),
    };
    engine.fetched_a_list(place.route.origin, outcome, engine.clock.now().since(started));
    result.map_err(|error| NotFetched::Unreachable(error.message))
}

/// A body, read as files are.
pub(super) struct Reader {
    handle: Handle,
    body: Box<dyn Body>,
    chunk: Bytes,
    limited: Limited,
}

/// How long a document is waited for.
pub(super) struct Limited {
    pub(super) clock: Clock,
    pub(super) until: Timestamp,
    /// The run has ended.
    pub(super) over: watch::Receiver<bool>,
}

impl Limited {
    /// `None`: the run ended first.
    async fn while_wanted<T>(&mut self, something: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.over.wait_for(|over| *over) => None,
            done = something => Some(done),
        }
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            if self.limited.clock.now() > self.limited.until {
                return Err(io::Error::other("it takes too long"));
            }
            let Some(read) = self.handle.block_on(self.limited.while_wanted(self.body.chunk(PATIENCE))) else {
                return Err(io::Error::other("it is not wanted any more"));
            };
            match read.map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}
