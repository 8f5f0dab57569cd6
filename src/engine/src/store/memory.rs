//! The memory store: sharded, least recently used first out, with a budget in bytes that counts heads, keys and indexes.

use super::KeyHash;
use super::response::{StoredResponse, VarySpec};
use lru::LruCache;
use parking_lot::Mutex;
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

type Shard = Mutex<LruCache<KeyHash, Slot, BuildHasherDefault<AsIs>>>;

const SHARDS: usize = 64;

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
    pub fn get(&self, hash: KeyHash, key: &[u8]) -> Option<Slot> {
        let mut shard = self.shard(hash).lock();
        shard.get(&hash).filter(|slot| slot.key() == key).cloned()
    }

    /// Puts a response or a vary specification at its key, in the place of what was there, and evicts for room.
    pub fn put(&self, hash: KeyHash, slot: Slot) {
        let cost = slot.cost();
        if cost > self.settings.max_size {
            self.remove(hash);
            return;
        }
        let replaced = self.shard(hash).lock().put(hash, slot);
        self.bytes.fetch_add(cost, Ordering::Relaxed);
        match replaced {
            Some(old) => {
                self.bytes.fetch_sub(old.cost(), Ordering::Relaxed);
            }
            None => {
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
        }
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
        let same = matches!(shard.peek(&hash), Some(Slot::Response(stored)) if Arc::ptr_eq(stored, response));
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

    /// Evicts the least recently used of this shard, then of the next ones, until the budget holds. Keys are spread
    /// evenly, so one shard's oldest is about as old as any other's.
    fn make_room(&self, hash: KeyHash) {
        let first = shard_of(hash);
        let mut empty = 0;
        let mut at = first;
        while self.bytes.load(Ordering::Relaxed) > self.settings.max_size && empty < SHARDS {
            let mut shard = self.shards[at].lock();
            // What was just put in stays.
            let evicted = match shard.peek_lru() {
                Some((oldest, _)) if *oldest != hash => shard.pop_lru(),
                _ => None,
            };
            drop(shard);
            match evicted {
                Some((_, slot)) => {
                    self.forget(Some(&slot));
                    self.evictions.fetch_add(1, Ordering::Relaxed);
                    empty = 0;
                }
                None => empty += 1,
            }
            at = (at + 1) % SHARDS;
        }
    }

    fn forget(&self, slot: Option<&Slot>) {
        if let Some(slot) = slot {
            self.bytes.fetch_sub(slot.cost(), Ordering::Relaxed);
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn shard_of(hash: KeyHash) -> usize {
    usize::try_from((hash >> 64) as u64 % SHARDS as u64).unwrap_or_default()
}
