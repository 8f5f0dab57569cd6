//! The memory store: sharded, least recently used first out, with a budget in bytes that counts heads, keys and indexes.

use super::KeyHash;
use super::response::{StoredResponse, VarySpec};
use lru::LruCache;
use parking_lot::Mutex;
use semantics::Timestamp;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Budget for everything that is stored, in bytes.
    pub max_size: usize,
    /// Larger bodies are not stored, in bytes.
    pub max_object: usize,
}

/// What a key leads to.
#[derive(Clone, Debug)]
pub enum Slot {
    Response(Arc<StoredResponse>),
    /// The URL varies: look again with the nominated fields in the key.
    Varies(Arc<VarySpec>),
}

impl Slot {
    fn cost(&self) -> usize {
        match self {
            Slot::Response(response) => response.cost(),
            Slot::Varies(spec) => spec.cost(),
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Slot::Response(response) => &response.key,
            Slot::Varies(spec) => &spec.key,
        }
    }

    /// Whether its fetch began later.
    fn is_newer_than(&self, other: &Slot) -> bool {
        match (self, other) {
            (Slot::Response(this), Slot::Response(that)) => {
                (this.checked.began(), this.fetched_at) > (that.checked.began(), that.fetched_at)
            }
            _ => self.began() > other.began(),
        }
    }

    /// The epoch in which its fetch began.
    fn began(&self) -> u64 {
        match self {
            Slot::Response(response) => response.checked.began(),
            Slot::Varies(spec) => spec.began,
        }
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

/// What is kept of a key, and when it was last asked for.
struct Kept {
    slot: Slot,
    used: Timestamp,
}

/// Where a walk through the store goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    shard: usize,
    after: Option<KeyHash>,
}

impl Place {
    /// Behind the response at that hash.
    pub fn behind(hash: KeyHash) -> Self {
        Place { shard: shard_of(hash), after: Some(hash) }
    }
}

type Shard = Mutex<LruCache<KeyHash, Kept, BuildHasherDefault<AsIs>>>;

/// So many that a walk through one of a million entries holds its lock for a fraction of a millisecond.
const SHARDS: usize = 256;
/// Of many entries, the oldest of so many shards is old enough.
const LOOKED_AT: usize = 8;

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub bytes: usize,
    pub entries: usize,
    pub evictions: u64,
}

pub struct Memory {
    shards: Box<[Shard]>,
    settings: Settings,
    bytes: AtomicUsize,
    entries: AtomicUsize,
    evictions: AtomicU64,
}

impl Memory {
    pub fn new(settings: Settings) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::unbounded_with_hasher(BuildHasherDefault::default())));
        Memory {
            shards: shards.collect(),
            settings,
            bytes: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What stands at this key, and notes its use. A different key with the same hash is a miss.
    pub fn get(&self, hash: KeyHash, key: &[u8], now: Timestamp) -> Option<Slot> {
        let mut shard = self.shard(hash).lock();
        let kept = shard.get_mut(&hash).filter(|kept| kept.slot.key() == key)?;
        kept.used = now;
        Some(kept.slot.clone())
    }

    /// What stands at this key, without noting a use.
    pub fn peek(&self, hash: KeyHash, key: &[u8]) -> Option<Slot> {
        let shard = self.shard(hash).lock();
        shard.peek(&hash).filter(|kept| kept.slot.key() == key).map(|kept| kept.slot.clone())
    }

    /// The response at this hash, whatever its key, without noting a use.
    pub fn peek_response(&self, hash: KeyHash) -> Option<Arc<StoredResponse>> {
        match &self.shard(hash).lock().peek(&hash)?.slot {
            Slot::Response(response) => Some(response.clone()),
            Slot::Varies(_) => None,
        }
    }

    /// One piece of a walk through all responses, in an order that does not change while the store does: what is there
    /// throughout is met exactly once. `from` is `None` at the start; the walk is over when `None` is returned.
    pub fn walk(&self, from: Option<Place>) -> (Vec<(KeyHash, Arc<StoredResponse>)>, Option<Place>) {
        let place = from.unwrap_or(Place { shard: 0, after: None });
        let Some(shard) = self.shards.get(place.shard) else { return (Vec::new(), None) };
        let mut found: Vec<(KeyHash, Arc<StoredResponse>)> = Vec::new();
        for (hash, kept) in shard.lock().iter() {
            if let Slot::Response(response) = &kept.slot
                && place.after.is_none_or(|after| *hash > after)
            {
                found.push((*hash, response.clone()));
            }
        }
        found.sort_unstable_by_key(|(hash, _)| *hash);
        let next = place.shard + 1;
        (found, (next < SHARDS).then_some(Place { shard: next, after: None }))
    }

    /// Puts a response or a vary specification at its key, in the place of what was there, and evicts for room.
    pub fn put(&self, hash: KeyHash, slot: Slot, now: Timestamp) {
        let cost = slot.cost();
        if cost > self.settings.max_size {
            self.remove(hash);
            return;
        }
        // Counted before it can be seen: who evicts it at once takes off no more than was put on.
        self.bytes.fetch_add(cost, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(hash).lock();
        let kept = Kept { slot, used: now };
        // What began later knows more: a fill that was overtaken by an invalidation does not bring old content back.
        let overtaken = shard.peek(&hash).is_some_and(|there| there.slot.is_newer_than(&kept.slot));
        let goes = if overtaken { Some(kept) } else { shard.put(hash, kept) };
        drop(shard);
        self.forget(goes.as_ref());
        self.make_room(hash);
    }

    /// Removes what stands at `hash`.
    pub fn remove(&self, hash: KeyHash) {
        let removed = self.shard(hash).lock().pop(&hash);
        self.forget(removed.as_ref());
    }

    /// Removes this very response; a newer one in its place stays.
    pub fn remove_response(&self, hash: KeyHash, response: &Arc<StoredResponse>) {
        let mut shard = self.shard(hash).lock();
        let same =
            matches!(shard.peek(&hash).map(|k| &k.slot), Some(Slot::Response(stored)) if Arc::ptr_eq(stored, response));
        let removed = if same { shard.pop(&hash) } else { None };
        drop(shard);
        self.forget(removed.as_ref());
    }

    pub fn usage(&self) -> Usage {
        Usage {
            bytes: self.bytes.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }

    fn shard(&self, hash: KeyHash) -> &Shard {
        // The table inside a shard uses the low half.
        &self.shards[shard_of(hash)]
    }

    /// Evicts what was not asked for longest, until the budget holds. What was just put in stays.
    fn make_room(&self, newest: KeyHash) {
        let mut from = shard_of(newest);
        while self.bytes.load(Ordering::Relaxed) > self.settings.max_size {
            let Some(shard) = self.oldest_shard(from, newest) else { return };
            let evicted = self.shards[shard].lock().pop_lru();
            self.forget(evicted.as_ref().map(|(_, kept)| kept));
            self.evictions.fetch_add(1, Ordering::Relaxed);
            from = (from + LOOKED_AT) % SHARDS;
        }
    }

    /// The shard whose oldest entry is the oldest. Of many entries a few shards tell enough; of few, all are asked.
    fn oldest_shard(&self, from: usize, newest: KeyHash) -> Option<usize> {
        let many = self.entries.load(Ordering::Relaxed) > SHARDS * 32;
        let oldest = |count: usize| {
            let shards = (0..count).map(|i| (from + i) % SHARDS);
            let ages = shards.filter_map(|at| {
                let shard = self.shards[at].lock();
                let (hash, kept) = shard.peek_lru()?;
                (*hash != newest).then_some((kept.used, at))
            });
            ages.min().map(|(_, at)| at)
        };
        if many { oldest(LOOKED_AT).or_else(|| oldest(SHARDS)) } else { oldest(SHARDS) }
    }

    fn forget(&self, kept: Option<&Kept>) {
        if let Some(kept) = kept {
            self.bytes.fetch_sub(kept.slot.cost(), Ordering::Relaxed);
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn shard_of(hash: KeyHash) -> usize {
    usize::try_from((hash >> 64) as u64 % SHARDS as u64).unwrap_or_default()
}
