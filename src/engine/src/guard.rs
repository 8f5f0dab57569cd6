//! What is remembered of keys with nothing stored, and when a failed regeneration may be tried again.

use crate::failed::Failed;
use crate::store::KeyHash;
use lru::LruCache;
use parking_lot::Mutex;
use semantics::storability::NotStorable;
use semantics::{Policy, Timestamp, Windows};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// What is remembered of a key with nothing stored.
#[derive(Clone, Debug)]
pub enum Known {
    /// Not collapsed and not serialised until then (semantics 3).
    NotStorable {
        reason: NotStorable,
        until: Timestamp,
        /// When it was found out: an invalidation makes it void.
        epoch: u64,
        /// Found out by a personal visitor's own request: it says nothing about anonymous ones.
        personal_only: bool,
    },
    /// Its first generation failed just now (semantics 27).
    Failed(Arc<Failed>),
}

/// How long a key counts as not storable (semantics 3).
pub const NOT_STORABLE_FOR: Duration = Duration::from_secs(120);

/// At most this many keys are remembered; the least recently used goes.
const REMEMBERED: usize = 100_000;
const SHARDS: usize = 16;

/// Failures hold the origin's words, and only for a moment: at most so many, so that they stay within 32 MiB.
const FAILURES: usize = 1024;

type Shard = Mutex<LruCache<KeyHash, Known>>;

/// Verdicts by key.
pub struct Verdicts {
    shards: Box<[Shard]>,
    failures: Shard,
}

impl Default for Verdicts {
    fn default() -> Self {
        let each = NonZeroUsize::new(REMEMBERED / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let few = NonZeroUsize::new(FAILURES).unwrap_or(NonZeroUsize::MIN);
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::new(each))).collect();
        Verdicts { shards, failures: Mutex::new(LruCache::new(few)) }
    }
}

impl Verdicts {
    fn shard(&self, hash: KeyHash) -> &Shard {
        &self.shards[usize::try_from((hash >> 32) % SHARDS as u128).unwrap_or_default()]
    }

    /// A failure first: it is the newer one, whatever else is known.
    pub fn get(&self, hash: KeyHash, now: Timestamp) -> Option<Known> {
        still_holding(&self.failures, hash, now).or_else(|| still_holding(self.shard(hash), hash, now))
    }

    pub fn note(&self, hash: KeyHash, known: Known) {
        let shard = match known {
            Known::Failed(_) => &self.failures,
            Known::NotStorable { .. } => self.shard(hash),
        };
        shard.lock().put(hash, known);
    }

    pub fn forget(&self, hash: KeyHash) {
        self.failures.lock().pop(&hash);
        self.shard(hash).lock().pop(&hash);
    }
}

fn still_holding(shard: &Shard, hash: KeyHash, now: Timestamp) -> Option<Known> {
    let mut shard = shard.lock();
    let known = shard.get(&hash)?;
    let holds = match known {
        Known::NotStorable { until, .. } => now < *until,
        Known::Failed(failed) => failed.holds(now),
    };
    if holds {
        return Some(known.clone());
    }
    shard.pop(&hash);
    None
}

pub(crate) const BACK_OFF_LEAST: Duration = Duration::from_secs(3);
const BACK_OFF_MOST: Duration = Duration::from_secs(30);
const RETRY_AFTER_MOST: Duration = Duration::from_secs(600);

/// When a failed regeneration may be tried again: clamp(R, 3 s, 30 s), or Retry-After if longer (semantics 31).
pub fn next_attempt(windows: &Windows, retry_after: Option<Duration>, now: Timestamp) -> Timestamp {
    now.after(back_off(windows).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MOST)))
}

/// How long after a write to a URL the next one counts: a visitor who writes does not decide how often the origin renders
/// (semantics 42). A plain cache has no such opinion (RFC 9111, 4.4).
pub fn write_pause(policy: &Policy, windows: &Windows) -> Duration {
    if policy.is_plain() { Duration::ZERO } else { back_off(windows) }
}

/// clamp(R, 3 s, 30 s).
pub fn back_off(windows: &Windows) -> Duration {
    windows.fresh_until.since(windows.generated).clamp(BACK_OFF_LEAST, BACK_OFF_MOST)
}
