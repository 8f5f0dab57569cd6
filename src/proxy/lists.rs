//! Which pages routes have, where lists say so (semantics 25). Whoever reads the lists puts them here.

use parking_lot::Mutex;
use semantics::{Timestamp, page};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

/// The pages that a route has, as its lists said when they were last read to their end: 64 bits of each.
#[derive(Debug, Default)]
pub struct Listed {
    hasher: RandomState,
    pages: HashSet<u64>,
}

impl Listed {
    pub fn add(&mut self, host: &str, path: &str) {
        self.pages.insert(self.hash(host, path));
    }

    /// Whether a page is listed, or the page whose data is at this path.
    pub(super) fn has(&self, host: &str, path: &str) -> bool {
        page::pages_of(path).iter().any(|page| self.pages.contains(&self.hash(host, page)))
    }

    fn hash(&self, host: &str, path: &str) -> u64 {
        self.hasher.hash_one((host, page::normal(path)))
    }
}

/// The lists of all routes, by their names. They outlive reloads.
#[derive(Default)]
pub struct Lists(Mutex<HashMap<Arc<str>, List>>);

/// A route's list in force.
#[derive(Default)]
struct List {
    /// One that began to be read earlier is outdated.
    since: Timestamp,
    listed: Option<Arc<Listed>>,
}

impl Lists {
    /// Puts a list in force that began to be read at `began`.
    pub fn put(&self, route: &Arc<str>, listed: Listed, began: Timestamp) {
        let mut lists = self.0.lock();
        let list = lists.entry(route.clone()).or_default();
        if began >= list.since {
            *list = List { since: began, listed: Some(Arc::new(listed)) };
        }
    }

    /// Until its list is read again, from now on, the route's pages are as if there was none.
    pub fn forget(&self, route: &Arc<str>, now: Timestamp) {
        self.0.lock().insert(route.clone(), List { since: now, listed: None });
    }

    pub(super) fn of(&self, route: &str) -> Option<Arc<Listed>> {
        self.0.lock().get(route)?.listed.clone()
    }
}
