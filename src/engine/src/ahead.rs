//! Pages that somebody keeps asking for are regenerated before their window ends (`refresh_ahead`), so that nobody gets a
//! stale one. Who asks first after a page was stored has its next regeneration planned; a page that nobody asks for is
//! left alone, and becomes stale as any other.

use crate::canonical;
use crate::fill::{self, Job};
use crate::history::Cause;
use crate::invalidate::Validity;
use crate::origin::Kind;
use crate::store::{KeyHash, Slot, StoredResponse};
use crate::{Engine, Route, Visit};
use parking_lot::Mutex;
use semantics::{Facts, Field, Method, Request, Scheme, Timestamp, key};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// At most so many regenerations are planned; further pages become stale as any other.
const PLANNED_AT_MOST: usize = 100_000;
/// Ahead of the window's end by this at least, so that a render fits in.
const LEAD_LEAST: Duration = Duration::from_millis(500);
/// How long to sleep at least: timers and the engine's clock need not agree to the microsecond.
const NAP: Duration = Duration::from_millis(5);

/// What is planned.
#[derive(Default)]
pub(crate) struct Ahead {
    plans: Mutex<BinaryHeap<Plan>>,
    /// Whether a task sees to them.
    attended: AtomicBool,
    /// Wakes it for a plan that is due before the others.
    news: Notify,
}

/// A regeneration to come. Ordered so that the next one is the greatest.
struct Plan {
    due: Timestamp,
    hash: KeyHash,
    response: Weak<StoredResponse>,
    route: Arc<Route>,
}

impl Ord for Plan {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.hash).cmp(&(self.due, self.hash))
    }
}

impl PartialOrd for Plan {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Plan {}

impl Engine {
    /// Plans the regeneration of a page that was asked for while it is fresh; once for each stored version.
    pub(crate) fn plan_ahead(self: &Arc<Self>, route: &Arc<Route>, response: &Arc<StoredResponse>) {
        if !response.regeneration.is_first_asked() || response.windows.fresh_until == Timestamp::NEVER {
            return;
        }
        let hash = self.hasher.hash(&response.key);
        let due = due(response, hash);
        let plan = Plan { due, hash, response: Arc::downgrade(response), route: route.clone() };
        let mut plans = self.ahead.plans.lock();
        if plans.len() >= PLANNED_AT_MOST {
            // Versions that were replaced meanwhile need no plan any more.
            plans.retain(|plan| plan.response.strong_count() > 0);
            if plans.len() >= PLANNED_AT_MOST * 9 / 10 {
                return;
            }
        }
        let next = plans.peek().is_none_or(|first| due < first.due);
        plans.push(plan);
        drop(plans);
        if next {
            self.ahead.news.notify_one();
        }
        if !self.ahead.attended.swap(true, atomic::Ordering::AcqRel) {
            tokio::spawn(attend(self.clone()));
        }
    }

    /// Starts what is due, and returns when the next one is.
    fn start_planned(self: &Arc<Self>, now: Timestamp) -> Option<Timestamp> {
        loop {
            let plan = {
                let mut plans = self.ahead.plans.lock();
                let Some(next) = plans.peek() else {
                    self.ahead.attended.store(false, atomic::Ordering::Release);
                    return None;
                };
                if next.due > now {
                    return Some(next.due);
                }
                plans.pop()?
            };
            if let Some(response) = plan.response.upgrade() {
                self.refresh_ahead(&plan, &response, now);
            }
        }
    }

    fn refresh_ahead(self: &Arc<Self>, plan: &Plan, response: &Arc<StoredResponse>, now: Timestamp) {
        let still = matches!(self.store.peek(plan.hash, &response.key), Some(Slot::Response(there)) if Arc::ptr_eq(&there, response));
        // What was invalidated waits for a visitor, as every stale page does.
        if !still || self.validity(response, now) != Validity::Valid || !response.regeneration.claim(now) {
            return;
        }
        let started = self.revisit(&plan.route, response, |visit| {
            let Some(lead) = self.flights.lead(plan.hash) else { return false };
            let request = canonical::refresh(visit, response, Kind::Refresh);
            fill::spawn(Job::new(self, visit, lead, request, plan.hash, Some(response.clone()), Cause::Ahead));
            true
        });
        if started != Some(true) {
            response.regeneration.release_if_in_flight(now);
        }
    }

    /// The visit that a stored response answers, made from its key; `None` if that cannot be.
    fn revisit<T>(
        &self,
        route: &Arc<Route>,
        response: &StoredResponse,
        then: impl FnOnce(&Visit<'_>) -> T,
    ) -> Option<T> {
        let of = key::read(&response.key, !response.variant.is_empty())?;
        let scheme = if of.scheme == Scheme::Https.as_str() { Scheme::Https } else { Scheme::Http };
        let named = of.fields.iter().map(|(name, value)| match name.strip_prefix("cookie:") {
            Some(cookie) => ("cookie", format!("{cookie}={value}")),
            None => (name.as_str(), value.clone()),
        });
        let lines: Vec<(&str, String)> = named.collect();
        let fields: Vec<Field<'_>> =
            lines.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
        let query = of.query.as_deref();
        let request = Request { method: Method::Get, scheme, host: &of.host, path: &of.path, query, fields: &fields };
        let facts = Facts::of(&fields);
        let mut key = Vec::new();
        let hash = self.key(&request, &facts, &route.policy, query, &mut key);
        // By another route, or with fields that do not read back as they were: it would be another page.
        let same = key::primary(&response.key, !response.variant.is_empty()) == Some(key.as_slice());
        same.then(|| then(&Visit { request: &request, facts: &facts, route, query, key: &key, hash }))
    }
}

/// When a page is to be regenerated: before its window ends, by a tenth of it or by two renders, whichever is more, and
/// by up to as much again, so that pages that were stored together are not due together.
fn due(response: &StoredResponse, hash: KeyHash) -> Timestamp {
    let windows = &response.windows;
    // Of a version that was put back the window begins then.
    let window = windows.fresh_until.since(windows.generated.max(response.fetched_at));
    let lead = (window / 10).max(2 * response.rendered_in()).max(LEAD_LEAST).min(window * 2 / 5);
    let share = u32::try_from(hash & 0xffff).unwrap_or_default();
    windows.fresh_until.before(lead + lead * share / 0x1_0000)
}

/// Starts what is due, when it is due, until nothing is planned any more.
async fn attend(engine: Arc<Engine>) {
    while let Some(next) = engine.start_planned(engine.clock.now()) {
        let wait = next.since(engine.clock.now()).max(NAP);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = engine.ahead.news.notified() => {}
        }
    }
}
