//! A model of an origin: it does what it is told, path by path, and remembers what it was asked.

use super::time::Time;
use bytes::Bytes;
use engine::origin::{Body, BoxFuture, Kind, Origin, OriginError, OriginRequest, OriginResponse};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use semantics::Timestamp;
use semantics::settlement::Failure;
use std::collections::{HashMap, HashSet, VecDeque};
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
    delay: Duration,
    between: Duration,
    pieces: usize,
    /// Whether the body counts as work of the origin: what is handed through does not.
    counted: bool,
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

    pub fn uncounted(mut self) -> Self {
        self.counted = false;
        self
    }

    pub fn when_done(mut self, done: Done) -> Self {
        self.done = Some(done);
        self
    }

    fn respond(self, asked: Ticket, feed: Option<mpsc::UnboundedReceiver<Result<Bytes, Failure>>>) -> OriginResponse {
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

fn failed(failure: Failure) -> OriginError {
    OriginError { failure, message: format!("the model was told so: {}", failure.as_str()) }
}

/// One request as the model got it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub kind: Kind,
    pub target: String,
    pub fields: Vec<(HeaderName, HeaderValue)>,
    pub at: Timestamp,
}

impl Asked {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.as_str() == name).and_then(|(_, v)| v.to_str().ok())
    }

    /// The names of all fields, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.iter().map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        names
    }
}

type Chooser = Arc<dyn Fn(&OriginRequest) -> Act + Send + Sync>;

#[derive(Default)]
struct State {
    queued: HashMap<String, VecDeque<Act>>,
    standing: HashMap<String, Chooser>,
    log: Vec<Asked>,
    running: HashMap<Kind, usize>,
    most: HashMap<Kind, usize>,
    /// Paths whose answers differ by Accept-Language.
    varying: HashSet<String>,
    lanes: HashMap<String, usize>,
    crowded: Vec<String>,
    handed: HashMap<String, usize>,
}

#[derive(Clone)]
struct Model {
    time: Time,
    state: Arc<Mutex<State>>,
}

/// One request at work, counted until its answer is dropped.
struct Ticket {
    model: Model,
    kind: Kind,
    path: String,
    lane: String,
}

impl Ticket {
    fn take(model: &Model, request: &OriginRequest) -> Ticket {
        let at = model.time.sync();
        let path = path_of(&request.target).to_owned();
        let asked =
            Asked { kind: request.kind, target: request.target.clone(), fields: request.fields.clone(), at };
        let mut state = model.state.lock();
        let language = asked.field("accept-language").filter(|_| state.varying.contains(&path));
        let lane = format!("{} {}", request.target, language.unwrap_or("-"));
        state.log.push(asked);
        let running = state.running.entry(request.kind).or_default();
        *running += 1;
        let running = *running;
        let most = state.most.entry(request.kind).or_default();
        *most = running.max(*most);
        if request.kind != Kind::Pass {
            let beside = state.lanes.entry(lane.clone()).or_default();
            *beside += 1;
            if *beside > 1 {
                state.crowded.push(lane.clone());
            }
        }
        drop(state);
        Ticket { model: model.clone(), kind: request.kind, path, lane }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.model.state.lock();
        *state.running.entry(self.kind).or_default() -= 1;
        if self.kind != Kind::Pass {
            *state.lanes.entry(self.lane.clone()).or_default() -= 1;
        }
    }
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

pub struct ModelOrigin {
    model: Model,
}

impl ModelOrigin {
    pub fn new(time: Time) -> Self {
        ModelOrigin { model: Model { time, state: Arc::default() } }
    }

    /// From now on this path is answered so.
    pub fn on(&self, path: &str, reply: Reply) {
        self.on_each(path, move |_| reply.clone().into());
    }

    pub fn on_each(&self, path: &str, choose: impl Fn(&OriginRequest) -> Act + Send + Sync + 'static) {
        self.model.state.lock().standing.insert(path.to_owned(), Arc::new(choose));
    }

    /// The next request for this path, once.
    pub fn next(&self, path: &str, act: impl Into<Act>) {
        self.model.state.lock().queued.entry(path.to_owned()).or_default().push_back(act.into());
    }

    /// The next request for this path waits until the test answers it.
    pub fn held(&self, path: &str) -> Held {
        let (held, release) = oneshot::channel();
        self.next(path, Act::Held(release));
        Held(held)
    }

    /// The next request for this path gets this head, and a body under the test's control.
    pub fn stream(&self, path: &str, reply: Reply) -> Feed {
        let (feed, source) = mpsc::unbounded_channel();
        self.next(path, Act::Stream(reply, source));
        Feed(feed)
    }

    /// From now on answers for this path may differ by Accept-Language, and fills for different ones run side by side.
    pub fn varies(&self, path: &str) {
        self.model.state.lock().varying.insert(path.to_owned());
    }

    /// The requests for this path that Larder made itself.
    pub fn requests(&self, path: &str) -> Vec<Asked> {
        let log = &self.model.state.lock().log;
        log.iter().filter(|a| path_of(&a.target) == path && a.kind != Kind::Pass).cloned().collect()
    }

    pub fn asked(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    pub fn last(&self, path: &str) -> Asked {
        self.requests(path).pop().expect("the origin was asked")
    }

    /// How many visitors' own requests for this path were handed through.
    pub fn passed(&self, path: &str) -> usize {
        let log = &self.model.state.lock().log;
        log.iter().filter(|a| path_of(&a.target) == path && a.kind == Kind::Pass).count()
    }

    /// The most requests of that kind that ever ran at once.
    pub fn most(&self, kind: Kind) -> usize {
        self.model.state.lock().most.get(&kind).copied().unwrap_or_default()
    }

    /// Fills that ran beside another one for the same page.
    pub fn crowded(&self) -> Vec<String> {
        std::mem::take(&mut self.model.state.lock().crowded)
    }

    /// Bytes of bodies for this path that were taken from the model.
    pub fn handed(&self, path: &str) -> usize {
        self.model.state.lock().handed.get(path).copied().unwrap_or_default()
    }

    fn choose(&self, request: &OriginRequest) -> Act {
        let path = path_of(&request.target);
        let mut state = self.model.state.lock();
        if let Some(act) = state.queued.get_mut(path).and_then(VecDeque::pop_front) {
            return act;
        }
        let Some(choose) = state.standing.get(path).cloned() else {
            panic!("the model origin was asked for {path} and told nothing about it")
        };
        drop(state);
        choose(request)
    }

    async fn respond(&self, request: OriginRequest) -> Result<OriginResponse, OriginError> {
        let time = &self.model.time;
        let asked = Ticket::take(&self.model, &request);
        let mut act = self.choose(&request);
        loop {
            act = match act {
                Act::Held(release) => time.during(release).await.unwrap_or(Act::Fail(Failure::Connect)),
                Act::Reply(reply) => {
                    time.pass(reply.delay).await;
                    return Ok(reply.respond(asked, None));
                }
                Act::Stream(reply, feed) => return Ok(reply.respond(asked, Some(feed))),
                Act::Fail(failure) => return Err(failed(failure)),
                Act::Hang => time.during(std::future::pending()).await,
                Act::Panic => panic!("the model origin panics, as it was told"),
            }
        }
    }
}

impl Origin for ModelOrigin {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginResponse, OriginError>> {
        Box::pin(self.respond(request))
    }
}

/// A request that waits for its answer. Dropped without one, its connection is refused.
pub struct Held(oneshot::Sender<Act>);

impl Held {
    pub fn answer(self, act: impl Into<Act>) {
        // Nobody may wait any more.
        let _ = self.0.send(act.into());
    }
}

/// A body under the test's control; dropped, it ends properly.
pub struct Feed(mpsc::UnboundedSender<Result<Bytes, Failure>>);

impl Feed {
    pub fn send(&self, text: &str) {
        let _ = self.0.send(Ok(Bytes::from(text.to_owned())));
    }

    pub fn breaks(self, failure: Failure) {
        let _ = self.0.send(Err(failure));
    }

    pub fn end(self) {}
}
