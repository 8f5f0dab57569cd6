//! What is stored, in each tier.

use super::labels::{CodingLabels, EvictionLabels, TierLabels, TierOperationLabels};
use crate::store::{DiskUsage, Usage};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

const MEMORY: &str = "memory";
const DISK: &str = "disk";

#[derive(Default)]
pub(crate) struct StoreMetrics {
    bytes: Family<TierLabels, Gauge>,
    entries: Family<TierLabels, Gauge>,
    evictions: Family<EvictionLabels, Counter>,
    errors: Family<TierOperationLabels, Counter>,
    up: Family<TierLabels, Gauge>,
    waiting: Family<TierLabels, Gauge>,
    coded: Family<CodingLabels, Counter>,
    coding_saves: Family<CodingLabels, Counter>,
}

impl StoreMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("larder_store_bytes", "Bytes stored, with heads, keys and indexes", self.bytes.clone());
        r.register("larder_store_entries", "Stored responses", self.entries.clone());
        r.register("larder_store_evictions", "Stored responses that had to go", self.evictions.clone());
        r.register("larder_store_errors", "What went wrong in a store; no request fails for it", self.errors.clone());
        r.register("larder_store_up", "1 while a store is used, 0 while it fails and is left alone", self.up.clone());
        r.register("larder_store_queue", "What waits to be written", self.waiting.clone());
        r.register("larder_coded", "Content codings that were made of stored responses", self.coded.clone());
        r.register("larder_coding_saved_bytes", "By how much they are smaller", self.coding_saves.clone());
    }

    /// A response was coded, in bytes before and after.
    pub(crate) fn coded(&self, coding: &'static str, before: usize, after: usize) {
        let labels = CodingLabels { coding };
        self.coded.get_or_create(&labels).inc();
        self.coding_saves.get_or_create(&labels).inc_by(before.saturating_sub(after) as u64);
    }

    pub(crate) fn memory(&self, usage: &Usage) {
        let tier = TierLabels { tier: MEMORY };
        self.bytes.get_or_create(&tier).set(gauge(usage.bytes as u64));
        self.entries.get_or_create(&tier).set(gauge(usage.entries as u64));
        self.evicted(MEMORY, "capacity", usage.evictions);
    }

    pub(crate) fn disk(&self, usage: &DiskUsage) {
        let tier = TierLabels { tier: DISK };
        self.bytes.get_or_create(&tier).set(gauge(usage.bytes));
        self.entries.get_or_create(&tier).set(gauge(usage.entries as u64));
        self.up.get_or_create(&tier).set(i64::from(usage.up));
        self.waiting.get_or_create(&tier).set(gauge(usage.waiting as u64));
        self.evicted(DISK, "capacity", 0);
        usage.evictions.iter().for_each(|(reason, count)| self.evicted(DISK, reason, *count));
        for (operation, count) in &usage.errors {
            raise(&self.errors.get_or_create(&TierOperationLabels { tier: DISK, operation }), *count);
        }
    }

    fn evicted(&self, tier: &'static str, reason: &'static str, count: u64) {
        raise(&self.evictions.get_or_create(&EvictionLabels { tier, reason }), count);
    }
}

fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
