//! A fill: one GET of Larder's own, from its place in the queue to what it leaves in the store. The same for a miss, a
//! validation and a background refresh.

use crate::failed::Failed;
use crate::flight::{Landing, Lead};
use crate::gate::{Line, Pass};
use crate::guard::next_attempt;
use crate::history::{Cause, Past};
use crate::invalidate::{Tags, Validity};
use crate::origin::{Kind, OriginError, OriginRequest, OriginResponse, ServerId};
use crate::store::{Audience, KeyHash, Slot, StoredResponse, VarySpec};
use crate::{Engine, OriginLimits, Route, Visit, canonical};
use http::{HeaderName, HeaderValue};
use semantics::freshness::Times;
use semantics::guard::Broken;
use semantics::settlement::{Failure, Settlement};
use semantics::storability::NotStorable;
use semantics::{Timestamp, honesty, key};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

mod body;
mod commit;
mod decode;
mod ending;
mod judge;
mod passed;
mod place;
mod rest;

pub(crate) use commit::http_date;

/// Everything a fill needs, once its flight is claimed.
pub(crate) struct Job {
    pub(crate) engine: Arc<Engine>,
    pub(crate) route: Arc<Route>,
    lead: Lead,
    request: OriginRequest,
    /// The primary key, and where this fill was looked up: there, or at a variant.
    key: Box<[u8]>,
    primary: KeyHash,
    hash: KeyHash,
    /// The deployment that it renders for, whatever is activated meanwhile.
    deployment: String,
    rsc: bool,
    /// What is stored now, to be validated, replaced or kept.
    stored: Option<Arc<StoredResponse>>,
    /// What said how the URL varies when this fill began, and when that was.
    spec: Option<(Arc<VarySpec>, Timestamp)>,
    /// Whether the stored response's right to regenerate is held.
    claimed: bool,
    cause: Cause,
    /// Whether it ran into a storm of 404, once that was asked.
    stormy: Option<bool>,
    /// Whether the first answer was stale by its own word.
    asked_again: bool,
    /// The epoch in which the last fetch began, and when that was.
    began: u64,
    requested: Timestamp,
}

/// What ends a fill without a new version.
enum Ending {
    Failed(Box<Failed>),
    /// What was stored is to go.
    Dropped(NotStorable),
    /// Not stored, and delivered as far as anybody read.
    Relayed,
    /// Not stored, and cut off by the origin while it was handed through.
    Cut(Box<Failed>),
    /// A whole first version that breaks a guard.
    Guarded(Arc<StoredResponse>, Broken),
    /// A whole first version of a page that too few have asked for (`admit_after`).
    NotAdmitted(Arc<StoredResponse>),
}

impl Ending {
    fn failed(failed: Failed) -> Ending {
        Ending::Failed(Box::new(failed))
    }
}

/// An answer whose head has been settled as storable.
struct Storable {
    response: OriginResponse,
    nominated: Vec<String>,
    tags: Tags,
    /// It is complete when its body is.
    times: Times,
}

enum Fetched {
    Storable(Storable),
    /// Not to be stored, and nothing is stored: its body goes to the leader.
    Relay(OriginResponse, NotStorable),
    /// 304.
    Freshen(OriginResponse, Times),
}

impl Fetched {
    fn is_stale(&self) -> bool {
        match self {
            Fetched::Storable(storable) => honesty::is_stale(&storable.response.fields),
            Fetched::Freshen(response, _) => honesty::is_stale(&response.fields),
            Fetched::Relay(..) => false,
        }
    }

    fn server(&self) -> Option<ServerId> {
        match self {
            Fetched::Storable(storable) => storable.response.server,
            Fetched::Freshen(response, _) | Fetched::Relay(response, _) => response.server,
        }
    }
}

/// Runs a fill in a task of its own.
pub(crate) fn spawn(job: Job) {
    tokio::spawn(job.run());
}

impl Job {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        visit: &Visit<'_>,
        lead: Lead,
        mut request: OriginRequest,
        hash: KeyHash,
        stored: Option<Arc<StoredResponse>>,
        cause: Cause,
    ) -> Job {
        let now = engine.clock.now();
        let spec = match engine.store.peek(visit.hash, visit.key) {
            Some(Slot::Varies(spec)) => Some((spec, now)),
            _ => None,
        };
        if let Some((spec, _)) = &spec {
            lead.comes_after_write(spec.written.at());
        }
        let invalidated = stored.as_ref().is_some_and(|s| engine.validity(s, now) != Validity::Valid);
        // Whatever else renews what is stored takes the claim, if nobody has it.
        let claimed = match (&stored, request.kind) {
            // A background refresh came with the claim.
            (Some(_), Kind::Refresh) => true,
            (Some(stored), _) => stored.regeneration.claim(now),
            (None, _) => false,
        };
        let cause = if invalidated && cause != Cause::Operator { Cause::Invalidated } else { cause };
        // The first origin is the framework's: nobody else learns its secret.
        let ordered = matches!(cause, Cause::Invalidated | Cause::Operator) && request.origin == 0;
        if let (true, Some(secret)) = (ordered, &visit.route.policy.draft_secret) {
            canonical::make_on_demand(&mut request, secret);
        }
        Job {
            engine: engine.clone(),
            route: visit.route.clone(),
            lead,
            request,
            key: visit.key.into(),
            primary: visit.hash,
            hash,
            deployment: deployment_for(engine, visit.key),
            rsc: visit.facts.rsc,
            stored,
            spec,
            claimed,
            cause,
            stormy: None,
            asked_again: false,
            began: engine.journal.epoch(),
            requested: now,
        }
    }

    /// The same fill, with these fields in its request.
    pub(crate) fn carrying(mut self, fields: Vec<(HeaderName, HeaderValue)>) -> Job {
        for (name, _) in &fields {
            self.request.remove(name);
        }
        self.request.fields.extend(fields);
        self
    }

    fn limits(&self) -> &OriginLimits {
        &self.engine.origins[self.request.origin]
    }

    async fn run(mut self) {
        if let Err(wait) = self.within_budget() {
            return self.over_budget(wait);
        }
        let engine = self.engine.clone();
        let limits = &engine.origins[self.request.origin];
        let pass = match self.place_at_the_origin(limits).await {
            Ok(pass) => pass,
            Err(_) if self.cause == Cause::Ahead => return self.leave(),
            Err(why) => return self.shed(why),
        };
        // Only now: waiting for a place is not part of the render.
        let deadline = Instant::now() + limits.settings.total;
        let started = self.engine.clock.now();
        let ended = self.attempt(deadline, pass).await;
        let outcome = match &ended {
            Ok(_) => "success",
            Err(Ending::Failed(failed) | Ending::Cut(failed)) => failed.failure.as_str(),
            Err(Ending::Dropped(_) | Ending::Relayed | Ending::Guarded(..) | Ending::NotAdmitted(_)) => "not-storable",
        };
        let now = self.engine.clock.now();
        let took = now.since(started);
        self.engine.metrics.origin_request(&limits.settings.name, self.request.kind, outcome, took);
        let first = self.stored.is_none() && outcome == "success";
        if !first {
            // A first success tells of itself in what is stored.
            let outcome = match &ended {
                Ok(Landing::Freshened(_)) => "not-modified",
                Err(Ending::Failed(failed)) => failed.failure.told(),
                _ => outcome,
            };
            self.engine.history.note(self.hash, Past { at: now, took, cause: self.cause, outcome });
        }
        match ended {
            Ok(landing) => self.lead.land(landing),
            // It was judged as if something was stored. Who waits starts over, with nothing stored.
            Err(Ending::Failed(_)) if self.lost_what_is_stored() => self.lead.land(Landing::Abandoned),
            Err(Ending::Failed(failed)) => self.fail(*failed),
            Err(Ending::Dropped(reason)) => self.drop_stored(reason),
            Err(Ending::Relayed) => self.lead.land(Landing::Delivered),
            Err(Ending::Guarded(response, broken)) => self.guarded(response, broken),
            Err(Ending::NotAdmitted(response)) => self.not_admitted(response),
            Err(Ending::Cut(failed)) => self.lead.land(Landing::Failed(Arc::from(failed))),
        }
    }

    /// A place at the origin. Who is asked for waits up to a deadline, and goes before who is not; that one waits until
    /// his turn comes, or until somebody asks for the page.
    async fn place_at_the_origin(&self, limits: &OriginLimits) -> Result<Pass, &'static str> {
        let full = "too many requests are waiting for the origin";
        let mut gate = if self.request.kind == Kind::Refresh { &limits.refreshes } else { &limits.renders };
        if self.line() == Line::Unasked {
            tokio::select! {
                pass = limits.refreshes.enter(Line::Unasked) => return pass.ok_or(full),
                () = self.lead.wanted() => {}
                // Stale meanwhile, and nobody else may regenerate it: its turn has come as that of any other page.
                () = tokio::time::sleep(self.fresh_for()) => gate = &limits.refreshes,
            }
        }
        let deadline = Instant::now() + limits.settings.total;
        match timeout_at(deadline, gate.enter(Line::Asked)).await {
            Ok(pass) => pass.ok_or(full),
            Err(_) => Err("no place at the origin became free in time"),
        }
    }

    /// How long what is stored stays fresh, and a moment more for who comes before it.
    fn fresh_for(&self) -> Duration {
        const A_MOMENT: Duration = Duration::from_secs(10);
        const LONG: Duration = Duration::from_secs(365 * 86_400);
        let left = |stored: &Arc<StoredResponse>| stored.windows.fresh_until.since(self.engine.clock.now());
        self.stored.as_ref().map_or(LONG, |stored| (left(stored) + A_MOMENT).min(LONG))
    }

    fn line(&self) -> Line {
        let unasked = self.request.kind == Kind::Prerender || self.cause == Cause::Ahead;
        if unasked { Line::Unasked } else { Line::Asked }
    }

    async fn attempt(&mut self, deadline: Instant, pass: Pass) -> Result<Landing, Ending> {
        match self.fetch_honest(deadline).await? {
            Fetched::Storable(storable) => self.receive(storable, deadline, pass).await,
            Fetched::Freshen(response, times) => self.freshen(&response, &times).map(Landing::Freshened),
            Fetched::Relay(response, reason) => {
                drop(pass);
                self.note_not_storable(reason, false);
                let opened = self.opened(&response, Audience::Owner, self.nominated_by(&response), Tags::default());
                self.lead.relay(Some(opened), reason);
                self.hand_through(response.body).await
            }
        }
    }

    /// An origin with a cache of its own may answer a background regeneration with what was stale there, and render
    /// behind it: ask again for what it renders (semantics 23).
    async fn fetch_honest(&mut self, deadline: Instant) -> Result<Fetched, Ending> {
        let mut fetched = self.fetch_settled(deadline).await?;
        let rendered_in = self.stored.as_ref().map_or(Duration::ZERO, |s| s.rendered_in());
        for _ in 1..honesty::requests_at_most(rendered_in) {
            let asks_again = self.request.kind != Kind::Fill || self.cause == Cause::Operator;
            let asks_again = asks_again && !self.route.policy.is_plain();
            if !asks_again || !fetched.is_stale() {
                break;
            }
            let again = Instant::now() + honesty::pause(rendered_in);
            if again >= deadline {
                break;
            }
            // The same server: others render for themselves.
            self.request.server = fetched.server();
            self.asked_again = true;
            tokio::time::sleep_until(again).await;
            fetched = self.fetch_settled(deadline).await?;
        }
        Ok(fetched)
    }

    /// Asks the origin and judges the head; once more without conditions after a 304 that fits nothing.
    async fn fetch_settled(&mut self, deadline: Instant) -> Result<Fetched, Ending> {
        if let Some(stored) = self.stored.clone() {
            canonical::make_conditional(&mut self.request, &stored);
        }
        for _ in 0..2 {
            // In this order: what is invalidated between the two is newer than this fetch.
            self.began = self.engine.journal.epoch();
            if self.lost_what_is_stored() {
                // Not even its validators are used any more.
                self.stored = None;
                canonical::make_unconditional(&mut self.request);
            }
            let requested = self.engine.clock.now();
            self.requested = requested;
            let response = self.fetch_whole(deadline).await.map_err(Ending::failed)?;
            let responded = self.engine.clock.now();
            let times = Times { requested, responded, completed: responded };
            match self.settle(&response, &times) {
                Settlement::Refetch => canonical::make_unconditional(&mut self.request),
                // Which requests it answers is to be found out again.
                Settlement::Freshen if self.begins_to_vary(&response.fields) => {
                    canonical::make_unconditional(&mut self.request);
                }
                Settlement::Store { nominated } => {
                    let tags = self.tags(&response.fields);
                    return Ok(Fetched::Storable(Storable { response, nominated, tags, times }));
                }
                Settlement::Freshen => return Ok(Fetched::Freshen(response, times)),
                Settlement::Relay(reason) => return Ok(Fetched::Relay(response, reason)),
                Settlement::Replace(reason) => {
                    if let Some(stored) = self.stored.take() {
                        self.engine.store.remove_response(self.hash, &stored);
                    }
                    return Ok(Fetched::Relay(response, reason));
                }
                Settlement::Drop(reason) => return Err(Ending::Dropped(reason)),
                Settlement::Fail(failure) => return Err(self.failure_answer(failure, response, deadline).await),
            }
        }
        let message = "the origin answered 304 to a request that was not conditional";
        Err(Ending::failed(Failed::plain(Failure::UnmatchedNotModified, message, self.engine.clock.now())))
    }

    /// Whether what was stored when this fill began was invalidated hard meanwhile, or lies on a disk that is off.
    fn lost_what_is_stored(&self) -> bool {
        let now = self.engine.clock.now();
        let lost = |stored: &Arc<StoredResponse>| {
            self.engine.validity(stored, now) == Validity::Hard || !self.engine.store.has_body_of(stored)
        };
        self.stored.as_ref().is_some_and(lost)
    }

    async fn fetch(&self, deadline: Instant) -> Result<OriginResponse, Failed> {
        let now = || self.engine.clock.now();
        match timeout_at(deadline, self.engine.origin.fetch(self.request.clone())).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(OriginError { failure, message })) => Err(Failed::plain(failure, message, now())),
            Err(_) => Err(Failed::plain(Failure::Timeout, "the origin took longer than `timeouts.total`", now())),
        }
    }
}

/// The deployment of a primary key; of one that has none, because the answer never changes, the one that is served.
fn deployment_for(engine: &Engine, key: &[u8]) -> String {
    let of = key::deployment(key, false).and_then(|id| std::str::from_utf8(id).ok()).filter(|id| !id.is_empty());
    of.map_or_else(|| engine.deployment().to_string(), str::to_owned)
}

/// Nobody is left waiting, and a claim is given back, also when a fill's task dies.
impl Drop for Job {
    fn drop(&mut self) {
        if let (Some(stored), true) = (&self.stored, self.claimed) {
            stored.regeneration.release_if_in_flight(next_attempt(&stored.windows, None, self.engine.clock.now()));
        }
    }
}
