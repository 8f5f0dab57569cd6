//! What the model origin does with one request: answers, in whole or in part, fails, or keeps everybody waiting.

use super::origin::{Model, Ticket};
use bytes::Bytes;
use engine::origin::{Body, BoxFuture, OriginError, OriginResponse};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use semantics::Timestamp;
use semantics::settlement::Failure;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// What the model does with one request.
pub enum Act {
    Reply(Reply),
    Fail(Failure),
    /// Never answers.
    Hang,
    Panic,
    /// Waits until the test says what to do.
    Held(oneshot::Receiver<Act>),
    /// The head at once, the body as the test feeds it.
    Stream(Reply, mpsc::UnboundedReceiver<Result<Bytes, Failure>>),
}

impl From<Reply> for Act {
    fn from(reply: Reply) -> Act {
        Act::Reply(reply)
    }
}

/// Told when a body went out whole, or a 304 went out.
pub type Done = Arc<dyn Fn(Timestamp) + Send + Sync>;

#[derive(Clone)]
pub struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Bytes,
    framing: Framing,
    last: Last,
    pub(crate) delay: Duration,
    between: Duration,
    pieces: usize,
    /// Whether the body counts as work of the origin: what is handed through does not.
    counted: bool,
    server: Option<usize>,
    done: Option<Done>,
}

#[derive(Clone, Copy)]
enum Framing {
    Length,
    Chunked,
    Close,
}

#[derive(Clone, Copy)]
enum Last {
    Whole,
    Truncated,
    Stalls,
}

/// A page with a window of 10 s and a minute more in which it may be served stale.
pub fn page(body: impl Into<String>) -> Reply {
    answer(200, &[("cache-control", "s-maxage=10, stale-while-revalidate=60")], body)
}

pub fn answer(status: u16, fields: &[(&str, &str)], body: impl Into<String>) -> Reply {
    Reply {
        status,
        fields: fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        body: Bytes::from(body.into()),
        framing: Framing::Length,
        last: Last::Whole,
        delay: Duration::ZERO,
        between: Duration::ZERO,
        pieces: 1,
        counted: true,
        server: None,
        done: None,
    }
}

impl Reply {
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn cache_control(mut self, value: &str) -> Self {
        self.fields.retain(|(n, _)| n != "cache-control");
        self.field("cache-control", value)
    }

    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    pub fn close_delimited(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    /// Breaks off after so many bytes.
    pub fn truncated(mut self, after: usize) -> Self {
        (self.framing, self.last) = (Framing::Chunked, Last::Truncated);
        self.body.truncate(after);
        self
    }

    /// Goes silent after so many bytes.
    pub fn stalls(mut self, after: usize) -> Self {
        (self.framing, self.last) = (Framing::Chunked, Last::Stalls);
        self.body.truncate(after);
        self
    }

    /// Before the head.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the body in so many pieces, with a pause before each.
    pub fn pieces(mut self, pieces: usize, between: Duration) -> Self {
        (self.pieces, self.between) = (pieces.max(1), between);
        self
    }

    /// Says which of several servers it is.
    pub fn by_server(mut self, server: usize) -> Self {
        self.server = Some(server);
        self
    }

    pub fn uncounted(mut self) -> Self {
        self.counted = false;
        self
    }

    pub fn when_done(mut self, done: Done) -> Self {
        self.done = Some(done);
        self
    }

    pub(super) fn respond(
        self,
        asked: Ticket,
        feed: Option<mpsc::UnboundedReceiver<Result<Bytes, Failure>>>,
    ) -> OriginResponse {
        let mut fields = HeaderMap::new();
        for (name, value) in &self.fields {
            fields.append(HeaderName::try_from(name.as_str()).unwrap(), HeaderValue::try_from(value.as_str()).unwrap());
        }
        let told = matches!(self.framing, Framing::Length) && feed.is_none();
        let size = self.body.len().div_ceil(self.pieces).max(1);
        let mut body = self.body.clone();
        let mut left = VecDeque::new();
        while !body.is_empty() {
            left.push_back(body.split_to(size.min(body.len())));
        }
        let mut done = self.done;
        if self.status == 304
            && let Some(done) = done.take()
        {
            done(asked.model.time.sync());
        }
        let body = ModelBody {
            model: asked.model.clone(),
            path: asked.path.clone(),
            between: self.between,
            source: feed.map_or(Source::Pieces { left, last: self.last }, Source::Fed),
            done,
            _asked: self.counted.then_some(asked),
        };
        OriginResponse {
            status: StatusCode::from_u16(self.status).unwrap(),
            fields,
            length: told.then_some(self.body.len() as u64),
            close_delimited: matches!(self.framing, Framing::Close),
            server: self.server,
            body: Box::new(body),
        }
    }
}

enum Source {
    Pieces { left: VecDeque<Bytes>, last: Last },
    Fed(mpsc::UnboundedReceiver<Result<Bytes, Failure>>),
}

struct ModelBody {
    model: Model,
    path: String,
    between: Duration,
    source: Source,
    done: Option<Done>,
    _asked: Option<Ticket>,
}

impl ModelBody {
    async fn next(&mut self) -> Result<Option<Bytes>, OriginError> {
        self.model.time.pass(self.between).await;
        let next = match &mut self.source {
            Source::Fed(feed) => match feed.recv().await {
                Some(Ok(bytes)) => Ok(Some(bytes)),
                Some(Err(failure)) => Err(failed(failure)),
                None => Ok(None),
            },
            Source::Pieces { left, last } => match (left.pop_front(), *last) {
                (Some(piece), _) => Ok(Some(piece)),
                (None, Last::Whole) => Ok(None),
                (None, Last::Truncated) => Err(failed(Failure::Truncated)),
                (None, Last::Stalls) => std::future::pending().await,
            },
        };
        match &next {
            Ok(Some(bytes)) => *self.model.state.lock().handed.entry(self.path.clone()).or_default() += bytes.len(),
            Ok(None) => {
                if let Some(done) = self.done.take() {
                    done(self.model.time.sync());
                }
            }
            Err(_) => {}
        }
        next
    }
}

impl Body for ModelBody {
    fn chunk(&mut self, patience: Duration) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async move {
            let time = self.model.time.clone();
            let next = timeout(patience, time.during(self.next())).await;
            time.sync();
            next.unwrap_or_else(|_| Err(failed(Failure::Timeout)))
        })
    }
}

pub(super) fn failed(failure: Failure) -> OriginError {
    OriginError { failure, message: format!("the model was told so: {}", failure.as_str()) }
}
