//! What lies on the disk: where, how much, and when it was last asked for. Look-ups need none of it (a file is named after
//! its key's hash); eviction, lists and counts do. It costs about 70 bytes a page.

use super::names::{Place, shard_of};
use crate::store::{AsIs, KeyHash};
use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};
use semantics::Timestamp;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// As many as there are directories in a deployment's.
pub(super) const SHARDS: usize = 256;
/// What sizes are counted in, in bytes.
const UNIT: u64 = 512;
/// Of so many drawn from all, the one that was not asked for longest goes.
const DRAWN: usize = 32;

/// Two halves, so that an entry needs no padding.
type Half = [u64; 2];

#[derive(Clone, Copy, Debug)]
struct Entry {
    units: u32,
    /// Seconds since the Unix epoch.
    used: u32,
    dir: u16,
}

/// One entry, as it is told to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) place: Place,
    /// Bytes.
    pub(super) occupied: u64,
    pub(super) used: Timestamp,
}

/// What some pages have beside their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beside {
    /// Of older versions, bytes.
    versions: u64,
    pinned: bool,
}

type Shard = IndexMap<Half, Entry, BuildHasherDefault<AsIs>>;

pub(super) struct Index {
    shards: Box<[Mutex<Shard>]>,
    /// The deployments' hashes, by their numbers.
    dirs: RwLock<Vec<u64>>,
    /// Of the few that have any.
    beside: Mutex<HashMap<KeyHash, Beside, BuildHasherDefault<AsIs>>>,
    bytes: AtomicU64,
    entries: AtomicUsize,
    chance: AtomicU64,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        Index {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            dirs: RwLock::default(),
            beside: Mutex::default(),
            bytes: AtomicU64::new(0),
            entries: AtomicUsize::new(0),
            chance: AtomicU64::new(seed | 1),
        }
    }

    /// Bytes on the disk, older versions too.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub(super) fn put(&self, one: &Indexed) {
        let Some(entry) = self.entry(one) else { return };
        self.insert(&mut self.shards[one.place.shard()].lock(), one.place.hash, entry);
    }

    /// The same, unless there is one.
    pub(super) fn put_new(&self, one: &Indexed) {
        let Some(entry) = self.entry(one) else { return };
        let mut shard = self.shards[one.place.shard()].lock();
        if !shard.contains_key(&half(one.place.hash)) {
            self.insert(&mut shard, one.place.hash, entry);
        }
    }

    fn entry(&self, one: &Indexed) -> Option<Entry> {
        let units = u32::try_from(one.occupied.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Some(Entry { units, used: seconds(one.used), dir: self.dir_number(one.place.dir)? })
    }

    fn insert(&self, shard: &mut Shard, hash: KeyHash, entry: Entry) {
        self.bytes.fetch_add(u64::from(entry.units) * UNIT, Ordering::Relaxed);
        match shard.insert(half(hash), entry) {
            Some(old) => {
                self.bytes.fetch_sub(u64::from(old.units) * UNIT, Ordering::Relaxed);
            }
            None => {
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn remove(&self, hash: KeyHash) {
        if let Some(entry) = self.shards[shard_of(hash)].lock().swap_remove(&half(hash)) {
            self.bytes.fetch_sub(u64::from(entry.units) * UNIT, Ordering::Relaxed);
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        self.note_beside(hash, 0, false);
    }

    /// Notes what a page has beside its file: so many bytes of older versions, and whether it is pinned.
    pub(super) fn note_beside(&self, hash: KeyHash, versions: u64, pinned: bool) {
        let mut beside = self.beside.lock();
        let old = if versions == 0 && !pinned {
            beside.remove(&hash)
        } else {
            beside.insert(hash, Beside { versions, pinned })
        };
        self.bytes.fetch_add(versions, Ordering::Relaxed);
        self.bytes.fetch_sub(old.map_or(0, |old| old.versions), Ordering::Relaxed);
    }

    pub(super) fn has_beside(&self, hash: KeyHash) -> bool {
        self.beside.lock().contains_key(&hash)
    }

    /// The pages that have something beside their files.
    pub(super) fn all_with_beside(&self) -> Vec<KeyHash> {
        self.beside.lock().keys().copied().collect()
    }

    pub(super) fn is_pinned(&self, hash: KeyHash) -> bool {
        self.beside.lock().get(&hash).is_some_and(|beside| beside.pinned)
    }

    /// Where something lies.
    pub(super) fn place(&self, hash: KeyHash) -> Option<Place> {
        let number = self.shards[shard_of(hash)].lock().get(&half(hash))?.dir;
        Some(Place { dir: self.dir(number), hash })
    }

    pub(super) fn has(&self, hash: KeyHash) -> bool {
        self.shards[shard_of(hash)].lock().contains_key(&half(hash))
    }

    /// Notes a use, and how large it is: a snapshot may be older than the file. Says whether it is in the index.
    pub(super) fn seen(&self, one: &Indexed) -> bool {
        let mut shard = self.shards[one.place.shard()].lock();
        let Some(entry) = shard.get_mut(&half(one.place.hash)) else { return false };
        let units = u32::try_from(one.occupied.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut entry.units, units);
        entry.used = entry.used.max(seconds(one.used));
        self.bytes.fetch_add(u64::from(units) * UNIT, Ordering::Relaxed);
        self.bytes.fetch_sub(u64::from(before) * UNIT, Ordering::Relaxed);
        true
    }

    /// What should go next: of a few drawn by chance the one that was not asked for longest, and is not pinned. `also_used`:
    /// when others know it to have been used.
    pub(super) fn victim(&self, also_used: impl Fn(KeyHash) -> Option<Timestamp>) -> Option<Place> {
        let mut oldest: Option<(u32, Place)> = None;
        // Shards may be empty, where little is stored.
        for _ in 0..SHARDS * 4 {
            let shard = self.shards[self.draw(SHARDS)].lock();
            for _ in 0..DRAWN.min(shard.len()) {
                let Some((half, entry)) = shard.get_index(self.draw(shard.len())) else { continue };
                let place = Place { dir: self.dir(entry.dir), hash: whole(*half) };
                let used = also_used(place.hash).map_or(0, seconds).max(entry.used);
                if oldest.is_none_or(|(than, _)| used < than) && !self.is_pinned(place.hash) {
                    oldest = Some((used, place));
                }
            }
            if oldest.is_some() {
                break;
            }
        }
        oldest.map(|(_, place)| place)
    }

    /// What is in one shard, by hash.
    pub(super) fn shard(&self, shard: usize) -> Vec<Indexed> {
        let mut found: Vec<Indexed> = {
            let shard = self.shards[shard].lock();
            let told = |(half, entry): (&Half, &Entry)| Indexed {
                place: Place { dir: self.dir(entry.dir), hash: whole(*half) },
                occupied: u64::from(entry.units) * UNIT,
                used: Timestamp::from_secs(u64::from(entry.used)),
            };
            shard.iter().map(told).collect()
        };
        found.sort_unstable_by_key(|one| one.place.hash);
        found
    }

    /// Forgets what a look into one directory did not find. `stays`: what was stored since the look began.
    pub(super) fn keep_only(&self, dir: u64, shard: usize, found: &HashSet<KeyHash>, stays: impl Fn(KeyHash) -> bool) {
        for one in self.shard(shard) {
            let hash = one.place.hash;
            if one.place.dir == dir && !found.contains(&hash) && !stays(hash) {
                self.remove(hash);
            }
        }
    }

    /// How many there are of each deployment, by its hash.
    pub(super) fn by_dir(&self) -> Vec<(u64, usize)> {
        let mut counts = vec![0; self.dirs.read().len()];
        for shard in &self.shards {
            for entry in shard.lock().values() {
                if let Some(count) = counts.get_mut(usize::from(entry.dir)) {
                    *count += 1;
                }
            }
        }
        self.dirs.read().iter().copied().zip(counts).collect()
    }

    fn dir(&self, number: u16) -> u64 {
        self.dirs.read().get(usize::from(number)).copied().unwrap_or_default()
    }

    fn dir_number(&self, dir: u64) -> Option<u16> {
        let at = |dirs: &[u64]| dirs.iter().position(|d| *d == dir).and_then(|at| u16::try_from(at).ok());
        if let Some(number) = at(&self.dirs.read()) {
            return Some(number);
        }
        let mut dirs = self.dirs.write();
        if let Some(number) = at(&dirs) {
            return Some(number);
        }
        let number = u16::try_from(dirs.len()).ok()?;
        dirs.push(dir);
        Some(number)
    }

    /// A number below `end`.
    fn draw(&self, end: usize) -> usize {
        let step = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (step ^ (step >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let drawn = (mixed ^ (mixed >> 29)) % (end.max(1) as u64);
        usize::try_from(drawn).unwrap_or_default()
    }
}

fn half(hash: KeyHash) -> Half {
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    [(hash >> 64) as u64, hash as u64]
}

fn whole(half: Half) -> KeyHash {
    u128::from(half[0]) << 64 | u128::from(half[1])
}

fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}
