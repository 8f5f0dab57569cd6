//! The last regenerations of each key: when, why, how long, and how they ended. Only for people.

use crate::store::KeyHash;
use lru::LruCache;
use parking_lot::Mutex;
use semantics::Timestamp;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Why a fill was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was stored.
    Miss,
    /// A visit found the page past its window, and was served all the same.
    Stale,
    /// What was stored could not be served without it.
    Expired,
    /// Somebody keeps asking for it, and its window was about to end (`refresh_ahead`).
    Ahead,
    /// It is on a list of pages that are generated before anybody asks (`prerender`).
    Prerender,
    /// It was invalidated.
    Invalidated,
    /// Somebody ordered it.
    Operator,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Miss => "miss",
            Cause::Stale => "stale",
            Cause::Expired => "expired",
            Cause::Ahead => "ahead",
            Cause::Prerender => "prerender",
            Cause::Invalidated => "invalidated",
            Cause::Operator => "operator",
        }
    }
}

/// One fill that ended.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    pub at: Timestamp,
    pub took: Duration,
    pub cause: Cause,
    /// `success`, `not-modified`, `not-storable`, or the failure as it is told.
    pub outcome: &'static str,
}

/// So many of each key.
const EACH: usize = 5;
/// Of so many keys, the ones regenerated last: about 300 bytes each.
const KEYS: usize = 20_000;

/// What is remembered of all keys.
pub struct Histories(Mutex<LruCache<KeyHash, VecDeque<Past>>>);

impl Default for Histories {
    fn default() -> Self {
        Histories(Mutex::new(LruCache::new(NonZeroUsize::new(KEYS).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl Histories {
    /// Once a fill: a lock for all keys is cheap beside a request to an origin.
    pub fn note(&self, hash: KeyHash, past: Past) {
        let mut all = self.0.lock();
        let of_key = all.get_or_insert_mut(hash, VecDeque::new);
        of_key.truncate(EACH - 1);
        of_key.push_front(past);
    }

    /// Newest first.
    pub fn of(&self, hash: KeyHash) -> Vec<Past> {
        self.0.lock().peek(&hash).map(|past| past.iter().copied().collect()).unwrap_or_default()
    }
}
