//! Which pages routes have, where lists say so (semantics 25). Whoever reads the lists puts them here.

use parking_lot::Mutex;
use semantics::{Timestamp, page};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The pages that a route has, as its lists said when they were last read to their end: 64 bits of each. A path that is made
/// up to collide with a listed one gets what any listed path gets: it is asked for at the origin.
#[derive(Debug, Default)]
pub struct Listed {
    pages: HashSet<u64>,
}

impl Listed {
    pub fn add(&mut self, host: &str, path: &str) {
        self.pages.insert(hash(host, path));
    }

    /// Whether a page is listed, or the page whose data is at this path.
    pub(super) fn has(&self, host: &str, path: &str) -> bool {
        page::pages_of(path).iter().any(|page| self.pages.contains(&hash(host, page)))
    }

    /// To be kept over a restart.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pages.iter().flat_map(|hash| hash.to_le_bytes()).collect()
    }

    /// What was [`Listed::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Listed { pages: bytes.chunks_exact(8).filter_map(|b| b.try_into().ok().map(u64::from_le_bytes)).collect() }
    }
}

fn hash(host: &str, path: &str) -> u64 {
    xxh3_64(format!("{host}\n{}", page::normal(path)).as_bytes())
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

    /// Puts a list in force that was read before a restart, until it is read again.
    pub fn restore(&self, route: &Arc<str>, listed: Listed) {
        self.0.lock().entry(route.clone()).or_default().listed.get_or_insert(Arc::new(listed));
    }

    /// Until its list is read again, from now on, the route's pages are as if there was none.
    pub fn forget(&self, route: &Arc<str>, now: Timestamp) {
        self.0.lock().insert(route.clone(), List { since: now, listed: None });
    }

    pub(super) fn of(&self, route: &str) -> Option<Arc<Listed>> {
        self.0.lock().get(route)?.listed.clone()
    }
}
