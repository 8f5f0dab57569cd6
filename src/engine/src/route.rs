//! One route, as the engine needs it.

use crate::Metrics;
use crate::admission::Budget;
use crate::metrics::RouteMetrics;
use crate::origin::OriginId;
use crate::storm::Storm;
use parking_lot::Mutex;
use semantics::{Policy, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The tags that a route gives to the page at a path.
pub type RouteTags = Box<dyn Fn(&str) -> Vec<String> + Send + Sync>;

/// One route as the engine needs it.
pub struct Route {
    pub name: Arc<str>,
    pub policy: Policy,
    pub origin: OriginId,
    pub metrics: RouteMetrics,
    pub(crate) budget: Budget,
    pub(crate) storm: Storm,
    tags: Option<RouteTags>,
    last_logged: AtomicU64,
    blocked: AtomicBool,
    stripped: Mutex<Vec<String>>,
}

/// So many names of stripped cookies are told of, a route.
const COOKIES_TOLD: usize = 32;

/// A failing route is mentioned in the log this often.
const LOG_PAUSE: Duration = Duration::from_secs(10);

impl Route {
    pub fn new(name: &str, policy: Policy, origin: OriginId, metrics: &Metrics) -> Self {
        Route {
            name: Arc::from(name),
            budget: Budget::new(policy.renders_per_minute),
            storm: Storm::default(),
            policy,
            origin,
            metrics: metrics.route(name),
            tags: None,
            last_logged: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            stripped: Mutex::default(),
        }
    }

    /// With tags for every page.
    #[must_use]
    pub fn tagged(self, tags: RouteTags) -> Self {
        Route { tags: Some(tags), ..self }
    }

    /// The route's own tags of the page at this path.
    pub(crate) fn tags_of(&self, path: &str) -> Vec<String> {
        self.tags.as_ref().map(|tags| tags(path)).unwrap_or_default()
    }

    /// Whether this cookie is stripped for the first time on this route.
    pub(crate) fn first_stripping(&self, cookie: &str) -> bool {
        let mut told = self.stripped.lock();
        let new = told.len() < COOKIES_TOLD && !told.iter().any(|t| t == cookie);
        if new {
            told.push(cookie.to_owned());
        }
        new
    }

    /// Whether this is the first time that the origin blocks storing on this route.
    pub(crate) fn first_block(&self) -> bool {
        !self.blocked.swap(true, Ordering::Relaxed)
    }

    /// Whether a failure on this route is worth a line now: once per [`LOG_PAUSE`].
    pub fn may_log(&self, now: Timestamp) -> bool {
        let last = self.last_logged.load(Ordering::Relaxed);
        let due = Timestamp::from_micros(last).after(LOG_PAUSE) <= now;
        due && self.last_logged.compare_exchange(last, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
