//! The engine conducts: look up, decide, then serve, fill or refresh. It owns every fill; clients only watch them.
//!
//! It does not know sockets, HTTP parsing or configuration files: requests come as [`Visit`]s, the origin is a trait,
//! and time is asked of one [`Clock`].

// The model file system of the tests is written for the outside.
#[cfg(test)]
extern crate self as engine;

mod admission;
mod ahead;
mod canonical;
pub mod clock;
mod codec;
pub mod coding;
mod deployments;
pub mod failed;
mod fill;
pub mod flight;
pub mod gate;
mod gather;
pub mod guard;
pub mod history;
pub mod inspect;
pub mod invalidate;
mod keeping;
pub mod metrics;
pub mod moving;
mod on_demand;
pub mod origin;
mod parts;
mod prerender;
mod probe;
mod recall;
mod route;
mod shared;
mod standing;
pub mod store;
mod storm;
mod twins;
mod varying;
mod versions;
mod wait;
mod writes;

pub use clock::Clock;
pub use deployments::DeploymentSettings;
pub use failed::Failed;
pub use gather::{Gather, Moment, Passing};
pub use metrics::Metrics;
pub use on_demand::{Invalidated, Regenerated, TagsAdded};
pub use prerender::{Prerendered, Unless};
pub use probe::Probe;
pub use route::{Route, RouteTags};
pub use versions::{NotPutBack, NotUnpinned, PutBack, Version};
pub use wait::Answer;
pub use writes::Writer;

use admission::Admission;
use ahead::Ahead;
use arc_swap::ArcSwap;
use coding::Coder;
use deployments::Deployments;
use flight::Flights;
use gate::{Gate, GateSettings};
use gather::Gathered;
use guard::Verdicts;
use history::{Cause, Histories};
use invalidate::{Journal, Subject, Validity};
use origin::{Kind, Origin};
use parking_lot::Mutex;
use semantics::storability::NotStorable;
use semantics::{CacheStatus, Decision, Facts, Forward, Policy, Request, Timestamp, decision, personal, query};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use store::{KeyHash, KeyHasher, Slot, Store, StoredResponse, VarySpec};
use twins::Twins;
use writes::Writes;

/// One origin's name and limits.
#[derive(Clone, Debug)]
pub struct OriginSettings {
    pub name: Arc<str>,
    pub renders: GateSettings,
    pub refreshes: GateSettings,
    /// A whole fill, from its request to the last byte.
    pub total: Duration,
    /// Between two reads of a fill's body.
    pub between_bytes: Duration,
    /// Between two reads of a body that is handed through.
    pub passed_idle: Duration,
}

pub(crate) struct OriginLimits {
    pub(crate) settings: OriginSettings,
    pub(crate) renders: Gate,
    pub(crate) refreshes: Gate,
}

/// What an engine is made of.
pub struct Settings {
    pub deployment: String,
    pub store: Store,
    pub origins: Vec<OriginSettings>,
    /// For hashing keys: of this process, or of the disk store.
    pub seed: u64,
    /// Where invalidations are kept.
    pub journal: Journal,
}

pub struct Engine {
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Part of every key.
    deployment: ArcSwap<String>,
    deployments: Deployments,
    store: Store,
    hasher: KeyHasher,
    flights: Arc<Flights>,
    verdicts: Verdicts,
    admission: Admission,
    ahead: Ahead,
    journal: Arc<Journal>,
    history: Histories,
    coder: Coder,
    twins: Twins,
    gathered: Gathered,
    writes: Writes,
    /// Whether what was invalidated hard is being removed at present.
    sweeping: AtomicBool,
    /// Whether a thread writes the journal.
    keeps_journal: AtomicBool,
    /// Groups, by host, whose next invalidation is put off already.
    put_off: Mutex<HashSet<(String, String)>>,
    origin: Arc<dyn Origin>,
    origins: Vec<OriginLimits>,
}

/// A request on a cacheable route, with its key.
#[derive(Clone, Copy)]
pub struct Visit<'a> {
    pub request: &'a Request<'a>,
    pub facts: &'a Facts<'a>,
    pub route: &'a Arc<Route>,
    /// The keyed part of the query, which is what fills send.
    pub query: Option<&'a str>,
    pub key: &'a [u8],
    pub hash: KeyHash,
}

/// A stored response that answers, and what is said of it.
#[derive(Clone)]
pub struct Served {
    pub response: Arc<StoredResponse>,
    pub status: CacheStatus,
}

/// What can be said at once.
pub enum Step {
    Serve(Served),
    /// A fill is needed: [`Engine::answer`] waits for it.
    Wait,
    Pass(Forward),
    /// `only-if-cached`, and nothing to serve.
    Unsatisfiable,
}

/// What stands at a visit's key, its variant chosen.
pub(crate) struct Selected {
    /// Where a fill for this visit lands: the primary key's hash, or the variant's.
    pub(crate) hash: KeyHash,
    pub(crate) stored: Option<Arc<StoredResponse>>,
    /// The fields that Vary is known to nominate.
    pub(crate) nominated: Vec<String>,
    /// The last write to a URL that varies.
    pub(crate) written: Timestamp,
}

impl Engine {
    pub fn new(settings: Settings, origin: Arc<dyn Origin>, metrics: Arc<Metrics>, clock: Clock) -> Arc<Self> {
        let origins = settings.origins.into_iter().map(|s| {
            let (in_flight, queued) = metrics.refreshes(&s.name);
            OriginLimits {
                renders: Gate::new(s.renders, Default::default(), Default::default()),
                refreshes: Gate::new(s.refreshes, in_flight, queued),
                settings: s,
            }
        });
        let origins = origins.collect();
        settings.store.swept(settings.journal.swept_epoch());
        Arc::new(Engine {
            clock,
            metrics,
            deployment: ArcSwap::from_pointee(settings.deployment),
            deployments: Deployments::default(),
            store: settings.store,
            hasher: KeyHasher::new(settings.seed),
            flights: Arc::default(),
            verdicts: Verdicts::default(),
            admission: Admission::default(),
            ahead: Ahead::default(),
            journal: Arc::new(settings.journal),
            history: Histories::default(),
            coder: Coder::default(),
            twins: Twins::default(),
            gathered: Gathered::default(),
            writes: Writes::default(),
            sweeping: AtomicBool::new(false),
            keeps_journal: AtomicBool::new(false),
            put_off: Mutex::default(),
            origin,
            origins,
        })
    }

    /// Writes a request's key into `buffer`; the visit borrows it.
    pub fn key(
        &self,
        request: &Request<'_>,
        facts: &Facts<'_>,
        policy: &Policy,
        query: Option<&str>,
        buffer: &mut Vec<u8>,
    ) -> KeyHash {
        let deployment = self.deployment.load();
        let parts = semantics::key::KeyParts { deployment: &deployment, request, query: query.map(Cow::Borrowed) };
        semantics::key::write_primary(buffer, &parts, facts, policy);
        self.hasher.hash(buffer)
    }

    /// Decides what can be decided at once: this is the hit path. Starts the background refresh of a stale page.
    pub fn begin(self: &Arc<Self>, visit: &Visit<'_>, now: Timestamp) -> Step {
        match self.store.get(visit.hash, visit.key, now) {
            Some(Slot::Response(response)) => self.step(visit, Some(&response), now),
            Some(Slot::Varies(_)) => {
                let stored = self.select(visit).stored.or_else(|| self.in_favourite_language(visit, now));
                self.step(visit, stored.as_ref(), now)
            }
            None => self.begin_shared(visit, now),
        }
    }

    fn step(self: &Arc<Self>, visit: &Visit<'_>, stored: Option<&Arc<StoredResponse>>, now: Timestamp) -> Step {
        let Some(response) = stored else { return Step::Wait };
        let Some(selection) = self.selection(response, now) else { return Step::Wait };
        match decision::decide(visit.facts, selection, now) {
            // A visitor with something of his own asks for himself, also while the origin fails for others.
            Decision::Reuse { failing: true, .. } if self.must_ask_himself(visit, response) => {
                Step::Pass(Forward::Request)
            }
            Decision::Reuse { ttl, failing } => {
                if visit.route.policy.refresh_ahead && !failing {
                    self.plan_ahead(visit.route, response);
                }
                Step::Serve(served(response, ttl, failing))
            }
            Decision::ReuseAndRefresh { ttl } => {
                if !wait::credentials_go_along(visit, response) && response.regeneration.claim(now) {
                    self.refresh(visit, response);
                }
                Step::Serve(served(response, ttl, false))
            }
            Decision::Bypass(why) => Step::Pass(why),
            Decision::Unsatisfiable => Step::Unsatisfiable,
            Decision::Validate | Decision::Fetch(_) => Step::Wait,
        }
    }

    /// Looks up, following Vary to the variant.
    pub(crate) fn select(&self, visit: &Visit<'_>) -> Selected {
        let now = self.clock.now();
        let alike = |stored| Selected { hash: visit.hash, stored, nominated: Vec::new(), written: Timestamp::EPOCH };
        let spec = match self.store.get(visit.hash, visit.key, now) {
            Some(Slot::Varies(spec)) => spec,
            Some(Slot::Response(response)) => return alike(self.unless_hard(visit.hash, response, now)),
            None => return alike(None),
        };
        let (hash, key) = self.variant_of(visit, &spec);
        let stored = match self.store.get(hash, &key, now) {
            Some(Slot::Response(response)) => {
                self.store.known(visit.hash, &spec);
                recall::note_write(&spec, &response, &visit.route.policy);
                self.unless_hard(hash, response, now)
            }
            _ => None,
        };
        Selected { hash, stored, nominated: spec.names.clone(), written: spec.written.at() }
    }

    /// Where the variant that this visit selects is stored.
    fn variant_of(&self, visit: &Visit<'_>, spec: &VarySpec) -> (KeyHash, Vec<u8>) {
        let values = semantics::vary::nominated(&spec.names, visit.request, &visit.route.policy);
        let mut key = Vec::with_capacity(visit.key.len() + 64);
        semantics::key::write_variant(&mut key, visit.key, &values);
        (self.hasher.hash(&key), key)
    }

    /// A response, unless it was invalidated hard: then it goes.
    fn unless_hard(&self, hash: KeyHash, response: Arc<StoredResponse>, now: Timestamp) -> Option<Arc<StoredResponse>> {
        if self.validity(&response, now) == Validity::Hard {
            self.store.remove_response(hash, &response);
            return None;
        }
        Some(response)
    }

    /// Starts a background regeneration; the caller holds the response's claim.
    fn refresh(self: &Arc<Self>, visit: &Visit<'_>, response: &Arc<StoredResponse>) {
        let selected = self.select(visit);
        let Some(lead) = self.flights.lead(selected.hash) else {
            // A client waits for a fill of the same key already: that one renews it.
            response.regeneration.release_if_in_flight(self.clock.now().after(Duration::from_secs(1)));
            return;
        };
        let request = canonical::refresh(visit, response, Kind::Refresh);
        let job = fill::Job::new(self, visit, lead, request, selected.hash, Some(response.clone()), Cause::Stale);
        fill::spawn(job);
    }

    pub fn usage(&self) -> store::Usage {
        self.store.usage()
    }

    /// Fills that run at present.
    pub fn fills(&self) -> usize {
        self.flights.len()
    }

    /// Metrics as text, gauges brought up to date.
    pub fn render_metrics(&self) -> String {
        self.metrics.store.memory(&self.store.usage());
        if let Some(usage) = self.store.disk_usage() {
            self.metrics.store.disk(&usage);
        }
        self.metrics.epoch(self.journal.epoch());
        self.metrics.render()
    }
}

impl Visit<'_> {
    /// What is known of what it asks for, before an answer says more.
    pub(crate) fn subject<'v>(&'v self, tags: &'v invalidate::Tags) -> Subject<'v> {
        Subject { host: self.request.host, path: self.request.path, route: &self.route.name, tags }
    }

    /// Whether the canonical answer is this visitor's own (semantics 3 and 4).
    pub(crate) fn is_personal(&self, nominated: &[String]) -> bool {
        personal::judge(self.request, self.facts, &self.route.policy, nominated) == personal::Personal::Yes
    }

    /// Whether an answer that is not stored may still be given to the visitor whose visit caused the fill (semantics 4):
    /// nothing that he sent was left out of it, and it is in his language, so to say (`suits`).
    pub(crate) fn owns(&self, reason: NotStorable, nominated: &[String]) -> bool {
        use NotStorable::{CloseDelimited, TooLarge, VaryPersonal, VaryUnmatchable};
        let isr = self.route.policy.is_isr();
        let whole_query = self.query == self.request.query.filter(|q| !q.is_empty());
        match reason {
            // Nobody's in particular.
            TooLarge | CloseDelimited => true,
            // Of an ISR fill, not even what his browser says was his.
            VaryPersonal | VaryUnmatchable if isr => false,
            _ => !self.is_personal(nominated) && (whole_query || !isr),
        }
    }
}

fn served(response: &Arc<StoredResponse>, ttl: i64, failing: bool) -> Served {
    Served { response: response.clone(), status: CacheStatus::Hit { ttl, failing } }
}

/// The keyed part of a request's query under a policy: see [`semantics::query::keyed`].
pub fn keyed_query<'a>(request: &Request<'a>, facts: &Facts<'_>, policy: &Policy) -> Option<Cow<'a, str>> {
    query::keyed(request.query, &policy.query, facts.rsc)
}
