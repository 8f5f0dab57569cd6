//! The memory store: sharded, with a budget in bytes that counts heads, keys and indexes. What nobody asked for a second
//! time goes first, then what was not asked for longest (segmented LRU): a crawler that asks for everything once takes the
//! place of what it asked for before, and not of the pages that visitors come back to.

use super::response::{StoredResponse, VarySpec};
use super::slot::Slot;
use super::{AsIs, KeyHash};
use lru::LruCache;
use parking_lot::Mutex;
use semantics::Timestamp;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Budget for everything that is stored, in bytes.
    pub max_size: usize,
    /// Larger bodies are not stored, in bytes.
    pub max_object: usize,
}

/// What is kept of a key, and when it was last asked for.
struct Kept {
    slot: Slot,
    /// Bytes that it is counted with.
    cost: usize,
    used: Timestamp,
    /// How often it was asked for; of versions before it, half of that.
    hits: u32,
    /// Whether it came back from the disk for somebody who is about to ask for it.
    recalled: bool,
}

impl Kept {
    fn ask(&mut self, now: Timestamp) {
        self.used = now;
        self.hits = self.hits.saturating_add(1);
    }
}

type List = LruCache<KeyHash, Kept, BuildHasherDefault<AsIs>>;

/// A key stands in one of the two lists.
struct Lists {
    /// Not asked for since it was stored.
    new: List,
    /// Asked for again.
    known: List,
}

impl Default for Lists {
    fn default() -> Self {
        let list = || LruCache::unbounded_with_hasher(BuildHasherDefault::default());
        Lists { new: list(), known: list() }
    }
}

impl Lists {
    fn of(&mut self, which: Which) -> &mut List {
        match which {
            Which::New => &mut self.new,
            Which::Known => &mut self.known,
        }
    }

    fn peek(&self, hash: KeyHash) -> Option<&Kept> {
        self.known.peek(&hash).or_else(|| self.new.peek(&hash))
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    New,
    Known,
}

type Shard = Mutex<Lists>;

/// What was asked for again takes so much of the budget at most, in percent: there is always room to become known.
const KNOWN_AT_MOST: usize = 80;

/// So many that a walk through one of a million entries holds its lock for a fraction of a millisecond.
pub(super) const SHARDS: usize = 256;
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
    /// Of what was asked for again.
    known_bytes: AtomicUsize,
    entries: AtomicUsize,
    evictions: AtomicU64,
}

impl Memory {
    pub fn new(settings: Settings) -> Self {
        Memory {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            settings,
            bytes: AtomicUsize::new(0),
            known_bytes: AtomicUsize::new(0),
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
        if let Some(kept) = shard.known.get_mut(&hash) {
            if kept.slot.key() != key {
                return None;
            }
            kept.ask(now);
            return Some(kept.slot.clone());
        }
        let kept = shard.new.get_mut(&hash).filter(|kept| kept.slot.key() == key)?;
        kept.ask(now);
        let slot = kept.slot.clone();
        // A URL that varies is known when one of its variants is: see `known`.
        if !std::mem::take(&mut kept.recalled) && matches!(slot, Slot::Response(_)) {
            self.becomes_known(&mut shard, hash);
        }
        Some(slot)
    }

    /// A variant of what stands at this key was asked for again: it stays for as long as its variants do.
    pub fn known(&self, hash: KeyHash, spec: &VarySpec) {
        // Only once: on later hits nothing is locked.
        if !spec.known.load(Ordering::Relaxed) && !spec.known.swap(true, Ordering::Relaxed) {
            self.becomes_known(&mut self.shard(hash).lock(), hash);
        }
    }

    /// Asked for again, it is known; when that is too much, what was not asked for longest there is as good as new.
    fn becomes_known(&self, shard: &mut Lists, hash: KeyHash) {
        let Some(kept) = shard.new.pop(&hash) else { return };
        let cost = kept.cost;
        shard.known.put(hash, kept);
        self.known_bytes.fetch_add(cost, Ordering::Relaxed);
        while self.known_bytes.load(Ordering::Relaxed) > self.known_at_most() && shard.known.len() > 1 {
            let Some((hash, oldest)) = shard.known.pop_lru() else { return };
            self.known_bytes.fetch_sub(oldest.cost, Ordering::Relaxed);
            if let Slot::Varies(spec) = &oldest.slot {
                spec.known.store(false, Ordering::Relaxed);
            }
            shard.new.put(hash, oldest);
        }
    }

    /// In bytes.
    fn known_at_most(&self) -> usize {
        self.settings.max_size / 100 * KNOWN_AT_MOST
    }

    /// What stands at this key, without noting a use.
    pub fn peek(&self, hash: KeyHash, key: &[u8]) -> Option<Slot> {
        let shard = self.shard(hash).lock();
        shard.peek(hash).filter(|kept| kept.slot.key() == key).map(|kept| kept.slot.clone())
    }

    /// What stands at this hash, whatever its key, without noting a use.
    pub(super) fn peek_at(&self, hash: KeyHash) -> Option<Slot> {
        self.shard(hash).lock().peek(hash).map(|kept| kept.slot.clone())
    }

    /// The response at this hash, whatever its key, without noting a use.
    pub fn peek_response(&self, hash: KeyHash) -> Option<Arc<StoredResponse>> {
        match self.peek_at(hash)? {
            Slot::Response(response) => Some(response),
            Slot::Varies(_) => None,
        }
    }

    /// The responses in one of the [`SHARDS`], by hash.
    pub(super) fn shard_responses(&self, shard: usize, after: Option<KeyHash>) -> Vec<(KeyHash, Arc<StoredResponse>)> {
        let mut found: Vec<(KeyHash, Arc<StoredResponse>)> = Vec::new();
        let shard = self.shards[shard].lock();
        for (hash, kept) in shard.known.iter().chain(shard.new.iter()) {
            if let Slot::Response(response) = &kept.slot
                && after.is_none_or(|after| *hash > after)
            {
                found.push((*hash, response.clone()));
            }
        }
        drop(shard);
        found.sort_unstable_by_key(|(hash, _)| *hash);
        found
    }

    /// The same, with how often each was asked for.
    pub(super) fn shard_hits(&self, shard: usize) -> Vec<(KeyHash, Arc<StoredResponse>, u32)> {
        let shard = self.shards[shard].lock();
        let told = |(hash, kept): (&KeyHash, &Kept)| match &kept.slot {
            Slot::Response(response) => Some((*hash, response.clone(), kept.hits)),
            Slot::Varies(_) => None,
        };
        shard.known.iter().chain(shard.new.iter()).filter_map(told).collect()
    }

    /// When what stands at this hash was last asked for.
    pub(super) fn last_used(&self, hash: KeyHash) -> Option<Timestamp> {
        self.shard(hash).lock().peek(hash).map(|kept| kept.used)
    }

    /// Puts what comes from the disk at its key unless there is something already, which is what counts then. Who asks for it
    /// now is the first one to: pages that come back once do not take the place of those that are asked for again.
    pub(super) fn put_absent(&self, hash: KeyHash, slot: Slot, now: Timestamp) -> Slot {
        if let Some(there) = self.peek_at(hash) {
            return there;
        }
        self.put(hash, slot.clone(), now);
        if let Some(kept) = self.shard(hash).lock().new.peek_mut(&hash) {
            kept.recalled = true;
        }
        slot
    }

    /// Puts a response or a vary specification at its key, in the place of what was there, and evicts for room.
    /// Says whether it counts from now on: not if what is there began later.
    pub fn put(&self, hash: KeyHash, slot: Slot, now: Timestamp) -> bool {
        let cost = slot.cost();
        if cost > self.settings.max_size {
            self.remove(hash);
            return true;
        }
        // Counted before it can be seen: who evicts it at once takes off no more than was put on.
        self.bytes.fetch_add(cost, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(hash).lock();
        let hits = shard.peek(hash).map_or(0, |there| there.hits / 2);
        let kept = Kept { slot, cost, used: now, hits, recalled: false };
        // What began later knows more: a fill that was overtaken by an invalidation does not bring old content back.
        let overtaken = shard.peek(hash).is_some_and(|there| there.slot.is_newer_than(&kept.slot));
        let known = shard.known.contains(&hash);
        let (goes, which) = match (overtaken, known) {
            (true, _) => (Some(kept), Which::New),
            (false, true) => {
                self.known_bytes.fetch_add(cost, Ordering::Relaxed);
                (shard.known.put(hash, kept), Which::Known)
            }
            (false, false) => (shard.new.put(hash, kept), Which::New),
        };
        drop(shard);
        self.forget(goes.as_ref(), which);
        self.make_room(hash);
        !overtaken
    }

    /// Removes what stands at `hash`.
    pub fn remove(&self, hash: KeyHash) {
        let mut shard = self.shard(hash).lock();
        self.take_out(&mut shard, hash);
    }

    fn take_out(&self, shard: &mut Lists, hash: KeyHash) {
        match shard.known.pop(&hash) {
            Some(kept) => self.forget(Some(&kept), Which::Known),
            None => self.forget(shard.new.pop(&hash).as_ref(), Which::New),
        }
    }

    /// Removes this very response; a newer one in its place stays.
    pub fn remove_response(&self, hash: KeyHash, response: &Arc<StoredResponse>) {
        let mut shard = self.shard(hash).lock();
        let same =
            matches!(shard.peek(hash).map(|k| &k.slot), Some(Slot::Response(stored)) if Arc::ptr_eq(stored, response));
        if same {
            self.take_out(&mut shard, hash);
        }
    }

    /// Puts something in the place of this very response; nothing where that is not there any more.
    pub(super) fn replace_response(&self, hash: KeyHash, response: &Arc<StoredResponse>, with: Slot) {
        let mut shard = self.shard(hash).lock();
        let known = shard.known.contains(&hash);
        let list = shard.of(if known { Which::Known } else { Which::New });
        let Some(kept) = list.peek_mut(&hash) else { return };
        if !matches!(&kept.slot, Slot::Response(stored) if Arc::ptr_eq(stored, response)) {
            return;
        }
        kept.slot = with;
        self.count_anew(kept, known);
    }

    /// Counts what was made of a response and is kept beside it, and evicts for room. Nothing where it is not there any more.
    pub fn grew(&self, hash: KeyHash, response: &Arc<StoredResponse>) {
        let mut shard = self.shard(hash).lock();
        let known = shard.known.contains(&hash);
        let list = shard.of(if known { Which::Known } else { Which::New });
        let Some(kept) = list.peek_mut(&hash) else { return };
        if matches!(&kept.slot, Slot::Response(stored) if Arc::ptr_eq(stored, response)) {
            self.count_anew(kept, known);
        }
        drop(shard);
        self.make_room(hash);
    }

    fn count_anew(&self, kept: &mut Kept, known: bool) {
        let less = std::mem::replace(&mut kept.cost, kept.slot.cost());
        for bytes in std::iter::once(&self.bytes).chain(known.then_some(&self.known_bytes)) {
            bytes.fetch_add(kept.cost, Ordering::Relaxed);
            bytes.fetch_sub(less, Ordering::Relaxed);
        }
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

    /// Evicts what is new, the oldest first, and then what is known, until the budget holds. What was just put in stays.
    fn make_room(&self, newest: KeyHash) {
        let mut from = shard_of(newest);
        while self.bytes.load(Ordering::Relaxed) > self.settings.max_size {
            let oldest = |which| self.oldest_shard(from, newest, which).map(|shard| (shard, which));
            // With few entries more may be known than should: what is new has its share all the same.
            let too_many = self.known_bytes.load(Ordering::Relaxed) > self.known_at_most();
            let (first, second) = if too_many { (Which::Known, Which::New) } else { (Which::New, Which::Known) };
            let Some((shard, which)) = oldest(first).or_else(|| oldest(second)) else { return };
            let mut lists = self.shards[shard].lock();
            let evicted = lists.of(which).pop_lru();
            drop(lists);
            self.forget(evicted.as_ref().map(|(_, kept)| kept), which);
            self.evictions.fetch_add(1, Ordering::Relaxed);
            from = (from + LOOKED_AT) % SHARDS;
        }
    }

    /// The shard whose oldest entry is the oldest. Of many entries a few shards tell enough; of few, all are asked.
    fn oldest_shard(&self, from: usize, newest: KeyHash, which: Which) -> Option<usize> {
        let many = self.entries.load(Ordering::Relaxed) > SHARDS * 32;
        let oldest = |count: usize| {
            let shards = (0..count).map(|i| (from + i) % SHARDS);
            let ages = shards.filter_map(|at| {
                let mut shard = self.shards[at].lock();
                let (hash, kept) = shard.of(which).peek_lru()?;
                (*hash != newest).then_some((kept.used, at))
            });
            ages.min().map(|(_, at)| at)
        };
        if many { oldest(LOOKED_AT).or_else(|| oldest(SHARDS)) } else { oldest(SHARDS) }
    }

    fn forget(&self, kept: Option<&Kept>, which: Which) {
        if let Some(kept) = kept {
            self.bytes.fetch_sub(kept.cost, Ordering::Relaxed);
            if which == Which::Known {
                self.known_bytes.fetch_sub(kept.cost, Ordering::Relaxed);
            }
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

pub(super) fn shard_of(hash: KeyHash) -> usize {
    usize::try_from(hash >> 120).unwrap_or_default()
}
