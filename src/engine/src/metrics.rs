//! Every metric, named in one place (Prometheus text, in OpenMetrics form). Counted with plain atomics: nothing here
//! takes a lock on a hit.

use crate::origin::Kind;
use parking_lot::RwLock;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use semantics::Outcome;
use semantics::settlement::Failure;
use semantics::storability::NotStorable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    cache: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteCacheLabels {
    route: Arc<str>,
    cache: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteReasonLabels {
    route: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OriginOutcomeLabels {
    origin: Arc<str>,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OriginKindLabels {
    origin: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OriginLabels {
    origin: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServerLabels {
    origin: Arc<str>,
    server: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TierLabels {
    tier: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EvictionLabels {
    tier: &'static str,
    reason: &'static str,
}

/// Upper bounds in seconds, from a hit in microseconds to a render of a minute.
const BOUNDS: [f64; 16] = [
    0.000_05,
    0.000_1,
    0.000_25,
    0.000_5,
    0.001,
    0.002_5,
    0.01,
    0.025,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
    30.0,
    f64::INFINITY,
];

/// A histogram of durations without a lock: one atomic per bucket.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Debug, Default)]
struct HistogramCells {
    buckets: [AtomicU64; BOUNDS.len()],
    micros: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, span: Duration) {
        let seconds = span.as_secs_f64();
        let at = BOUNDS.iter().position(|b| seconds <= *b).unwrap_or(BOUNDS.len() - 1);
        self.0.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.0.micros.fetch_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    #[allow(clippy::cast_precision_loss, reason = "a sum for people")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let counts: Vec<(f64, u64)> =
            BOUNDS.iter().zip(&self.0.buckets).map(|(b, n)| (*b, n.load(Ordering::Relaxed))).collect();
        let total = counts.iter().map(|(_, n)| n).sum();
        let seconds = self.0.micros.load(Ordering::Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(seconds, total, &counts, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The counters of one route, found once and then only counted.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    route: Arc<str>,
    ok: [Counter; Outcome::ALL.len()],
    durations: [Histogram; Outcome::ALL.len()],
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

/// All metrics and their registry.
pub struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteCacheLabels, Histogram>,
    origin_requests: Family<OriginOutcomeLabels, Counter>,
    origin_durations: Family<OriginKindLabels, Histogram>,
    origin_up: Family<ServerLabels, Gauge>,
    refresh_failures: Family<RouteReasonLabels, Counter>,
    uncacheable: Family<RouteReasonLabels, Counter>,
    stale_because_failing: Family<RouteLabels, Gauge>,
    refreshes_in_flight: Family<OriginLabels, Gauge>,
    refresh_queue: Family<OriginLabels, Gauge>,
    store_bytes: Family<TierLabels, Gauge>,
    store_entries: Family<TierLabels, Gauge>,
    store_evictions: Family<EvictionLabels, Counter>,
    pub connections: Gauge,
    refreshed_in_all: AtomicU64,
    failed_in_all: AtomicU64,
}

impl Metrics {
    pub fn new(version: &'static str) -> Self {
        let mut metrics = Metrics {
            registry: RwLock::new(Registry::default()),
            requests: Family::default(),
            durations: Family::default(),
            origin_requests: Family::default(),
            origin_durations: Family::default(),
            origin_up: Family::default(),
            refresh_failures: Family::default(),
            uncacheable: Family::default(),
            stale_because_failing: Family::default(),
            refreshes_in_flight: Family::default(),
            refresh_queue: Family::default(),
            store_bytes: Family::default(),
            store_entries: Family::default(),
            store_evictions: Family::default(),
            connections: Gauge::default(),
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
        r.register("larder_store_bytes", "Bytes stored, with heads, keys and indexes", self.store_bytes.clone());
        r.register("larder_store_entries", "Stored responses", self.store_entries.clone());
        r.register("larder_store_evictions", "Stored responses that had to go", self.store_evictions.clone());
        r.register("larder_connections", "Open client connections", self.connections.clone());
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
        let failing = self.stale_because_failing.get_or_create(&RouteLabels { route: route.clone() }).clone();
        RouteMetrics { route, ok, durations, requests: self.requests.clone(), failing }
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

    /// Counted where answers that were not stored are: this one was, without its cookie.
    pub fn cookie_stripped(&self, route: &Arc<str>) {
        let labels = RouteReasonLabels { route: route.clone(), reason: "set-cookie-stripped" };
        self.uncacheable.get_or_create(&labels).inc();
    }

    /// In flight and waiting, for one origin.
    pub fn refreshes(&self, origin: &Arc<str>) -> (Gauge, Gauge) {
        let labels = OriginLabels { origin: origin.clone() };
        let in_flight = self.refreshes_in_flight.get_or_create(&labels).clone();
        (in_flight, self.refresh_queue.get_or_create(&labels).clone())
    }

    pub fn store(&self, usage: &crate::store::Usage) {
        let memory = TierLabels { tier: "memory" };
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.store_bytes.get_or_create(&memory).set(gauge(usage.bytes));
        self.store_entries.get_or_create(&memory).set(gauge(usage.entries));
        let capacity = EvictionLabels { tier: "memory", reason: "capacity" };
        let evictions = self.store_evictions.get_or_create(&capacity);
        evictions.inc_by(usage.evictions.saturating_sub(evictions.get()));
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
                totals.requests[at] += histogram.0.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum::<u64>();
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
