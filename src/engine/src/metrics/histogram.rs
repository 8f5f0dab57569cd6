//! Histograms without a lock: one atomic per bucket.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in seconds, from a hit in microseconds to a render of a minute.
const DURATIONS: [f64; BOUNDS] = [
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

/// Upper bounds in seconds, from what was rendered just now to what is a year old.
const AGES: [f64; BOUNDS] = [
    1.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    1_800.0,
    3_600.0,
    14_400.0,
    43_200.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
    31_536_000.0,
    f64::INFINITY,
];

const BOUNDS: usize = 16;

/// Counts spans of time by how long they are.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Debug)]
struct HistogramCells {
    bounds: &'static [f64; BOUNDS],
    buckets: [AtomicU64; BOUNDS],
    micros: AtomicU64,
}

impl Histogram {
    fn over(bounds: &'static [f64; BOUNDS]) -> Self {
        Histogram(Arc::new(HistogramCells { bounds, buckets: Default::default(), micros: AtomicU64::new(0) }))
    }

    pub(super) fn durations() -> Self {
        Histogram::over(&DURATIONS)
    }

    pub(super) fn ages() -> Self {
        Histogram::over(&AGES)
    }

    pub fn observe(&self, span: Duration) {
        let seconds = span.as_secs_f64();
        let at = self.0.bounds.iter().position(|b| seconds <= *b).unwrap_or(BOUNDS - 1);
        self.0.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.0.micros.fetch_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many were counted.
    pub(super) fn count(&self) -> u64 {
        self.0.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    #[allow(clippy::cast_precision_loss, reason = "a sum for people")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let counts: Vec<(f64, u64)> =
            self.0.bounds.iter().zip(&self.0.buckets).map(|(b, n)| (*b, n.load(Ordering::Relaxed))).collect();
        let total = counts.iter().map(|(_, n)| n).sum();
        let seconds = self.0.micros.load(Ordering::Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(seconds, total, &counts, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
