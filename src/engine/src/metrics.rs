//! Every metric, named in one place (Prometheus text, in OpenMetrics form). Counted with plain atomics: nothing here
//! takes a lock on a hit.

mod histogram;
mod labels;
mod store;

pub use histogram::Histogram;

use crate::invalidate::Invalidation;
use crate::origin::Kind;
use labels::{
    InvalidationLabels, OriginKindLabels, OriginLabels, OriginOutcomeLabels, OutcomeLabels, RequestLabels,
    RouteCacheLabels, RouteGuardLabels, RouteLabels, RouteReasonLabels, ServerLabels,
};
use parking_lot::RwLock;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use semantics::Outcome;
use semantics::guard::Broken;
use semantics::settlement::Failure;
use semantics::storability::NotStorable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::StoreMetrics;

/// The counters of one route, found once and then only counted.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    route: Arc<str>,
    ok: [Counter; Outcome::ALL.len()],
    durations: [Histogram; Outcome::ALL.len()],
    served_ages: Histogram,
    requests: Family<RequestLabels, Counter>,
    /// Stored responses whose last regeneration failed.
    pub failing: Gauge,
}

/// One in a gauge for as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl RouteMetrics {
    pub fn request(&self, outcome: Outcome, status: u16, took: Duration) {
        let at = outcome as usize;
        if status == 200 {
            self.ok[at].inc();
        } else {
            let labels = RequestLabels { route: self.route.clone(), cache: outcome.as_str(), status };
            self.requests.get_or_create(&labels).inc();
        }
        self.durations[at].observe(took);
    }
}

impl RouteMetrics {
    /// A stored response answered at this age.
    pub fn served(&self, age: Duration) {
        self.served_ages.observe(age);
    }
}

/// All metrics and their registry.
pub struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteCacheLabels, Histogram, fn() -> Histogram>,
    served_ages: Family<RouteLabels, Histogram, fn() -> Histogram>,
    origin_requests: Family<OriginOutcomeLabels, Counter>,
    origin_durations: Family<OriginKindLabels, Histogram, fn() -> Histogram>,
    origin_up: Family<ServerLabels, Gauge>,
    refresh_failures: Family<RouteReasonLabels, Counter>,
    uncacheable: Family<RouteReasonLabels, Counter>,
    guard_rejections: Family<RouteGuardLabels, Counter>,
    stale_because_failing: Family<RouteLabels, Gauge>,
    refreshes_in_flight: Family<OriginLabels, Gauge>,
    refresh_queue: Family<OriginLabels, Gauge>,
    pub(crate) store: StoreMetrics,
    invalidations: Family<InvalidationLabels, Counter>,
    invalidation_epoch: Gauge,
    invalidations_folded: Counter,
    tags_dropped: Family<RouteReasonLabels, Counter>,
    config_reloads: Family<OutcomeLabels, Counter>,
    pub connections: Gauge,
    handshakes: Family<OutcomeLabels, Counter>,
    /// Lines of the access log that nobody will read.
    pub access_log_dropped: Counter,
    refreshed_in_all: AtomicU64,
    failed_in_all: AtomicU64,
}

impl Metrics {
    pub fn new(version: &'static str) -> Self {
        let mut metrics = Metrics {
            registry: RwLock::new(Registry::default()),
            requests: Family::default(),
            durations: Family::new_with_constructor(Histogram::durations),
            served_ages: Family::new_with_constructor(Histogram::ages),
            origin_requests: Family::default(),
            origin_durations: Family::new_with_constructor(Histogram::durations),
            origin_up: Family::default(),
            refresh_failures: Family::default(),
            uncacheable: Family::default(),
            guard_rejections: Family::default(),
            stale_because_failing: Family::default(),
            refreshes_in_flight: Family::default(),
            refresh_queue: Family::default(),
            store: StoreMetrics::default(),
            invalidations: Family::default(),
            invalidation_epoch: Gauge::default(),
            invalidations_folded: Counter::default(),
            tags_dropped: Family::default(),
            config_reloads: Family::default(),
            connections: Gauge::default(),
            handshakes: Family::default(),
            access_log_dropped: Counter::default(),
            refreshed_in_all: AtomicU64::new(0),
            failed_in_all: AtomicU64::new(0),
        };
        metrics.register(version);
        metrics
    }

    fn register(&mut self, version: &'static str) {
        let r = self.registry.get_mut();
        r.register("larder_requests", "Requests by route, cache outcome and status", self.requests.clone());
        r.register(
            "larder_request_duration_seconds",
            "From the request's head to the last byte written",
            self.durations.clone(),
        );
        r.register(
            "larder_served_age_seconds",
            "How old the stored responses were that answered",
            self.served_ages.clone(),
        );
        r.register(
            "larder_origin_requests",
            "Requests to an origin by what they were for and how they ended",
            self.origin_requests.clone(),
        );
        r.register(
            "larder_origin_duration_seconds",
            "From a request to an origin to its end",
            self.origin_durations.clone(),
        );
        r.register(
            "larder_origin_up",
            "1 while a server is asked, 0 while its circuit breaker is open",
            self.origin_up.clone(),
        );
        r.register(
            "larder_refresh_failures",
            "Regenerations that failed; the old version was kept",
            self.refresh_failures.clone(),
        );
        r.register("larder_uncacheable", "Answers that were not stored", self.uncacheable.clone());
        r.register(
            "larder_guard_rejections",
            "Whole answers that a guard kept out of the store",
            self.guard_rejections.clone(),
        );
        r.register(
            "larder_stale_because_failing",
            "Stored responses whose last regeneration failed",
            self.stale_because_failing.clone(),
        );
        r.register(
            "larder_refreshes_in_flight",
            "Background regenerations at the origin",
            self.refreshes_in_flight.clone(),
        );
        r.register(
            "larder_refresh_queue",
            "Background regenerations waiting for their turn",
            self.refresh_queue.clone(),
        );
        self.store.register(r);
        r.register("larder_invalidations", "Invalidations by what they select", self.invalidations.clone());
        r.register("larder_invalidation_epoch", "The newest invalidation", self.invalidation_epoch.clone());
        r.register(
            "larder_invalidations_folded",
            "Soft invalidations that became one with others to make room",
            self.invalidations_folded.clone(),
        );
        r.register("larder_config_reloads", "Reloads of the configuration by outcome", self.config_reloads.clone());
        r.register("larder_tags_dropped", "Tags that were left out of an entry", self.tags_dropped.clone());
        r.register("larder_connections", "Open client connections", self.connections.clone());
        r.register("larder_tls_handshakes", "TLS handshakes of clients by outcome", self.handshakes.clone());
        r.register("larder_access_log_dropped", "Access log lines that were dropped", self.access_log_dropped.clone());
        r.register("larder_build", "The running version", Info::new([("version", version)]));
    }

    pub fn route(&self, route: &str) -> RouteMetrics {
        let route: Arc<str> = Arc::from(route);
        let ok = Outcome::ALL.map(|o| {
            let labels = RequestLabels { route: route.clone(), cache: o.as_str(), status: 200 };
            self.requests.get_or_create(&labels).clone()
        });
        let durations = Outcome::ALL.map(|o| {
            let labels = RouteCacheLabels { route: route.clone(), cache: o.as_str() };
            self.durations.get_or_create(&labels).clone()
        });
        let labels = RouteLabels { route: route.clone() };
        let failing = self.stale_because_failing.get_or_create(&labels).clone();
        let served_ages = self.served_ages.get_or_create(&labels).clone();
        RouteMetrics { route, ok, durations, served_ages, requests: self.requests.clone(), failing }
    }

    pub fn origin_request(&self, origin: &Arc<str>, kind: Kind, outcome: &'static str, took: Duration) {
        if kind == Kind::Refresh && outcome == "success" {
            self.refreshed_in_all.fetch_add(1, Ordering::Relaxed);
        }
        let labels = OriginOutcomeLabels { origin: origin.clone(), kind: kind.as_str(), outcome };
        self.origin_requests.get_or_create(&labels).inc();
        let labels = OriginKindLabels { origin: origin.clone(), kind: kind.as_str() };
        self.origin_durations.get_or_create(&labels).observe(took);
    }

    pub fn origin_up(&self, origin: &Arc<str>, server: &Arc<str>, up: bool) {
        let labels = ServerLabels { origin: origin.clone(), server: server.clone() };
        self.origin_up.get_or_create(&labels).set(i64::from(up));
    }

    pub fn refresh_failed(&self, route: &Arc<str>, failure: Failure) {
        self.failed_in_all.fetch_add(1, Ordering::Relaxed);
        let labels = RouteReasonLabels { route: route.clone(), reason: failure.as_str() };
        self.refresh_failures.get_or_create(&labels).inc();
    }

    pub fn uncacheable(&self, route: &Arc<str>, reason: NotStorable) {
        let labels = RouteReasonLabels { route: route.clone(), reason: reason.as_str() };
        self.uncacheable.get_or_create(&labels).inc();
    }

    /// In the place of a stored page it is a failure too, and without one not storable.
    pub fn guard_rejected(&self, route: &Arc<str>, broken: Broken) {
        let labels = RouteGuardLabels { route: route.clone(), guard: broken.as_str() };
        self.guard_rejections.get_or_create(&labels).inc();
    }

    /// Counted where answers that were not stored are: this one was, without its cookie.
    pub fn cookie_stripped(&self, route: &Arc<str>) {
        let labels = RouteReasonLabels { route: route.clone(), reason: "set-cookie-stripped" };
        self.uncacheable.get_or_create(&labels).inc();
    }

    pub fn invalidated(&self, one: &Invalidation) {
        let labels = InvalidationLabels { kind: one.target.kind(), mode: one.mode.as_str() };
        self.invalidations.get_or_create(&labels).inc();
    }

    pub fn invalidations_folded(&self, count: u64) {
        self.invalidations_folded.inc_by(count);
    }

    pub fn epoch(&self, epoch: u64) {
        self.invalidation_epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
    }

    pub fn reloaded(&self, outcome: &'static str) {
        self.config_reloads.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// A client and Larder agreed on TLS, or not.
    pub fn handshake(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub fn tags_dropped(&self, route: &Arc<str>, reason: &'static str, count: u64) {
        let labels = RouteReasonLabels { route: route.clone(), reason };
        self.tags_dropped.get_or_create(&labels).inc_by(count);
    }

    /// In flight and waiting, for one origin.
    pub fn refreshes(&self, origin: &Arc<str>) -> (Gauge, Gauge) {
        let labels = OriginLabels { origin: origin.clone() };
        let in_flight = self.refreshes_in_flight.get_or_create(&labels).clone();
        (in_flight, self.refresh_queue.get_or_create(&labels).clone())
    }

    /// Totals for the status page.
    pub fn totals(&self, routes: &[RouteMetrics]) -> Totals {
        let mut totals = Totals {
            refreshed: self.refreshed_in_all.load(Ordering::Relaxed),
            refresh_failures: self.failed_in_all.load(Ordering::Relaxed),
            ..Totals::default()
        };
        for route in routes {
            totals.failing += route.failing.get();
            for (at, histogram) in route.durations.iter().enumerate() {
                totals.requests[at] += histogram.count();
            }
        }
        totals
    }

    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry.read());
        text
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// By outcome, in the order of [`Outcome::ALL`].
    pub requests: [u64; Outcome::ALL.len()],
    pub refreshed: u64,
    pub refresh_failures: u64,
    /// Stored responses whose last regeneration failed.
    pub failing: i64,
}
