//! `GET /v1/stats`: the figures of this process for machines.

use super::Admin;
use super::problem::{Problem, json};
use super::query::Query;
use crate::origin::Upstream;
use crate::service::{Request, Response};
use engine::store::Usage;
use semantics::Outcome;
use serde::Serialize;

#[derive(Serialize)]
struct Stats {
    version: &'static str,
    uptime_s: u64,
    epoch: u64,
    requests: Requests,
    hit_ratio: f64,
    store: Store,
    refreshes: Refreshes,
    origins: Vec<OriginState>,
    listeners: Vec<String>,
}

#[derive(Serialize)]
struct Requests {
    hit: u64,
    stale: u64,
    miss: u64,
    collapsed: u64,
    bypass: u64,
    error: u64,
}

#[derive(Serialize)]
struct Store {
    bytes: usize,
    max_bytes: usize,
    entries: usize,
    evictions: u64,
}

#[derive(Serialize)]
struct Refreshes {
    succeeded: u64,
    failed: u64,
    failing_pages: i64,
}

/// An origin and which of its servers are asked at present.
#[derive(Serialize)]
pub(super) struct OriginState {
    pub(super) name: String,
    pub(super) servers: Vec<ServerState>,
}

#[derive(Serialize)]
pub(super) struct ServerState {
    server: String,
    pub(super) state: &'static str,
}

impl OriginState {
    pub(super) fn of(upstream: &Upstream) -> Self {
        let state = |(server, up)| ServerState { server, state: if up { "up" } else { "down" } };
        let servers = upstream.balance.states().into_iter().map(state);
        OriginState { name: upstream.settings.name.clone(), servers: servers.collect() }
    }
}

pub(super) fn stats(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let engine = &admin.site().engine;
    let totals = admin.totals();
    let count = |outcome: Outcome| totals.requests[outcome as usize];
    let Usage { bytes, entries, evictions } = engine.usage();
    Ok(json(&Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: admin.uptime().as_secs(),
        epoch: engine.epoch(),
        requests: Requests {
            hit: count(Outcome::Hit),
            stale: count(Outcome::Stale),
            miss: count(Outcome::Miss),
            collapsed: count(Outcome::Collapsed),
            bypass: count(Outcome::Bypass),
            error: count(Outcome::Error),
        },
        hit_ratio: ratio(count(Outcome::Hit) + count(Outcome::Stale), totals.requests.iter().sum()),
        store: Store { bytes, max_bytes: admin.memory_max, entries, evictions },
        refreshes: Refreshes {
            succeeded: totals.refreshed,
            failed: totals.refresh_failures,
            failing_pages: totals.failing.max(0),
        },
        origins: admin.origins.iter().map(|upstream| OriginState::of(upstream)).collect(),
        listeners: admin.listening.iter().map(ToString::to_string).collect(),
    }))
}

/// To four digits; none of nothing is 0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    let tenthousandths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    u32::try_from(tenthousandths).map_or(1.0, |n| f64::from(n) / 10_000.0)
}
