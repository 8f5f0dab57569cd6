//! A model of an origin: it does what it is told, path by path, and remembers what it was asked.

use super::reply::{Act, Reply, failed};
use super::time::Time;
use bytes::Bytes;
use engine::origin::{BoxFuture, Kind, Origin, OriginError, OriginRequest, OriginResponse};
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use semantics::Timestamp;
use semantics::settlement::Failure;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// One request as the model got it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub kind: Kind,
    pub target: String,
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The server that was to be asked.
    pub server: Option<usize>,
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
pub(super) struct State {
    queued: HashMap<String, VecDeque<Act>>,
    standing: HashMap<String, Chooser>,
    log: Vec<Asked>,
    running: HashMap<Kind, usize>,
    most: HashMap<Kind, usize>,
    /// Paths whose answers differ by Accept-Language.
    varying: HashSet<String>,
    lanes: HashMap<String, usize>,
    crowded: Vec<String>,
    pub(super) handed: HashMap<String, usize>,
}

#[derive(Clone)]
pub(super) struct Model {
    pub(super) time: Time,
    pub(super) state: Arc<Mutex<State>>,
}

/// One request at work, counted until its answer is dropped.
pub(super) struct Ticket {
    pub(super) model: Model,
    kind: Kind,
    pub(super) path: String,
    lane: String,
}

impl Ticket {
    fn take(model: &Model, request: &OriginRequest) -> Ticket {
        let at = model.time.sync();
        let path = path_of(&request.target).to_owned();
        let asked = Asked {
            kind: request.kind,
            target: request.target.clone(),
            fields: request.fields.clone(),
            server: request.server,
            at,
        };
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
