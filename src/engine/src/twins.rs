//! URLs that are the same page by the origin's own word: `No-Vary-Search` of what is stored (see
//! [`semantics::no_vary_search`]). A request for a twin of a stored page is one for that page.

use crate::inspect::Below;
use crate::origin::OriginRequest;
use crate::store::{KeyHash, StoredResponse};
use crate::{Engine, Route, Visit, keyed_query};
use lru::LruCache;
use parking_lot::Mutex;
use semantics::no_vary_search::Variance;
use semantics::policy::QueryRule;
use semantics::{Facts, Request, Scheme};
use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FIELD: &str = "no-vary-search";
/// So many paths, and as many pages, are remembered; those that nobody asked for longest are forgotten.
const KNOWN: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// So many different fields of one path.
const RULES: usize = 4;

/// What is known of twins. It is learned from what is stored, and lost with the process.
#[derive(Default)]
pub(crate) struct Twins {
    /// Nothing is looked up before there is anything.
    any: AtomicBool,
    known: Mutex<Option<Known>>,
}

struct Known {
    /// By path.
    rules: LruCache<KeyHash, Vec<Arc<Rule>>>,
    /// The query of the stored page, by path, rule and what matters of the query.
    pages: LruCache<KeyHash, Option<Arc<str>>>,
}

struct Rule {
    /// As the origin wrote it.
    field: Vec<u8>,
    variance: Variance,
}

impl Rule {
    fn is_of(&self, response: &StoredResponse) -> bool {
        joined(response) == self.field
    }
}

impl Engine {
    /// The query of the page that a request means: the keyed part of its own, or that of a stored twin.
    pub fn query<'r>(&self, request: &Request<'r>, facts: &Facts<'_>, route: &Arc<Route>) -> Option<Cow<'r, str>> {
        let own = keyed_query(request, facts, &route.policy);
        match self.twin(request, facts, route, own.as_deref()) {
            Some(twin) => twin.map(|query| Cow::Owned(query.to_string())),
            None => own,
        }
    }

    fn twin(
        &self,
        request: &Request<'_>,
        facts: &Facts<'_>,
        route: &Arc<Route>,
        query: Option<&str>,
    ) -> Option<Option<Arc<str>>> {
        if !self.twins.any.load(Ordering::Relaxed) || route.policy.query != QueryRule::AllButTracking {
            return None;
        }
        let (now, path) = (self.clock.now(), self.path_hash(request.scheme, request.host, request.path));
        let candidates: Vec<(Arc<Rule>, Option<Arc<str>>)> = {
            let mut known = self.twins.known.lock();
            let Known { rules, pages } = known.as_mut()?;
            let of_path = rules.get(&path)?.clone();
            let mut page = |rule: &Arc<Rule>| pages.get(&self.page_hash(path, rule, query)).cloned();
            of_path.into_iter().filter_map(|rule| page(&rule).map(|page| (rule, page))).collect()
        };
        let own = |page: &Option<Arc<str>>| page.as_deref() == query;
        let found = candidates.into_iter().find(|(rule, page)| {
            !own(page) && {
                let mut key = Vec::new();
                let hash = self.key(request, facts, &route.policy, page.as_deref(), &mut key);
                let visit = Visit { request, facts, route, query: page.as_deref(), key: &key, hash };
                // What is stored there now may say otherwise, and so may what would have to be fetched first.
                self.peek(&visit, &Below::default()).stored.is_some_and(|stored| {
                    let windows = self.windows(&stored, now);
                    rule.is_of(&stored) && windows.is_some_and(|windows| now < windows.stale_until)
                })
            }
        });
        found.map(|(_, page)| page)
    }

    /// Learns from what was just stored.
    pub(crate) fn learn_twins(&self, route: &Route, request: &OriginRequest, stored: &StoredResponse) {
        if route.policy.query != QueryRule::AllButTracking {
            return;
        }
        let Some(variance) = Variance::parse(lines(stored)) else { return };
        let OriginRequest { scheme, host, target, .. } = request;
        let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        let path = self.path_hash(*scheme, host, path);
        let rule = Arc::new(Rule { field: joined(stored), variance });
        let page = self.page_hash(path, &rule, query);
        let mut known = self.twins.known.lock();
        let Known { rules, pages } =
            known.get_or_insert_with(|| Known { rules: LruCache::new(KNOWN), pages: LruCache::new(KNOWN) });
        let of_path = rules.get_or_insert_mut(path, Vec::new);
        if !of_path.iter().any(|other| other.field == rule.field) {
            if of_path.len() >= RULES {
                of_path.remove(0);
            }
            of_path.push(rule);
        }
        pages.put(page, query.map(Arc::from));
        self.twins.any.store(true, Ordering::Relaxed);
    }

    fn path_hash(&self, scheme: Scheme, host: &str, path: &str) -> KeyHash {
        let deployment = self.deployment();
        self.hasher.hash([&deployment, "\0", scheme.as_str(), "\0", host, "\0", path].concat().as_bytes())
    }

    fn page_hash(&self, path: KeyHash, rule: &Rule, query: Option<&str>) -> KeyHash {
        let length = rule.field.len().to_le_bytes();
        let essence = rule.variance.essence(query);
        self.hasher.hash(&[&path.to_le_bytes()[..], &length, &rule.field, &essence].concat())
    }
}

fn lines(response: &StoredResponse) -> impl Iterator<Item = &[u8]> {
    response.head.fields().filter(|(name, _)| *name == FIELD).map(|(_, value)| value)
}

fn joined(response: &StoredResponse) -> Vec<u8> {
    lines(response).collect::<Vec<_>>().join(&b", "[..])
}
