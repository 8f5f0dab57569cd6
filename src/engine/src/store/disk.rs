//! The disk store: one file for each stored response, named by its key's hash. Look-ups go by name; an index in memory is
//! for eviction, lists and counts alone. Nothing here makes a request fail: what cannot be read is not stored, and what
//! cannot be written stays in memory for as long as there is room.
//!
//! One thread writes, one sees to the rest ([`upkeep`]); look-ups that have to wait take threads of the runtime's. `format`
//! says what a file looks like, `names` how it is called.

mod blobs;
mod files;
mod find;
mod format;
mod health;
mod index;
mod marker;
mod names;
mod packed;
mod patience;
mod queue;
mod room;
mod scan;
mod snapshot;
mod stream;
mod system;
#[cfg(test)]
mod tests;
mod upkeep;
mod versions;
mod writer;

pub use files::{File, Files, Space, Stat, is_not_regular, not_regular};
pub(super) use find::At;
pub use format::Bad;
pub use marker::{MARKER, read_seed, write_seed};
pub use packed::{Packing, unpack};
pub use stream::BodyReader;
pub use system::System;
pub use versions::Version;

use super::memory::Memory;
use super::{Filed, KeyHash, KeyHasher, NoAnswer, Slot, StoredResponse};
use crate::clock::Clock;
use health::Health;
use index::Index;
use lru::LruCache;
use names::{Place, TMP, dir_of};
use parking_lot::Mutex;
use patience::Waiters;
use queue::{Full, Queue, Work};
use room::Room;
use std::any::Any;
use std::collections::HashSet;
use std::fmt::Debug;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use writer::Writer;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Of so many bodies that are not held in memory it is known that they are whole.
const WHOLE: NonZeroUsize = NonZeroUsize::new(4096).expect("more than none");
/// How long whoever leaves waits for what is still to be written.
const LEAVING: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskSettings {
    /// Budget for all files, as they lie on the disk, in bytes.
    pub max_size: u64,
    /// Larger bodies are not stored, in bytes.
    pub max_object: u64,
    /// After so long what was stored is on the disk, whatever happens to the process.
    pub sync: Duration,
    /// So much of the file system is left free: a share of it, in thousandths.
    pub min_free: u32,
    /// Of this store, for hashing.
    pub seed: u64,
    /// Of this process: no other has the same.
    pub process: u64,
}

/// Whether a response may still be stored, as far as others know.
pub type StillGood = Box<dyn Fn(&StoredResponse) -> bool + Send + Sync>;

pub struct Disk {
    files: Arc<dyn Files>,
    settings: DiskSettings,
    clock: Clock,
    memory: Arc<Memory>,
    hasher: KeyHasher,
    /// The name of this process's own directory for what is being written.
    process: String,
    /// Held for as long as this process lives.
    _lock: Option<Box<dyn Any + Send + Sync>>,
    index: Index,
    queue: Queue,
    health: Health,
    room: Room,
    waiters: Waiters,
    /// Up to this epoch everything on the disk was judged against hard invalidations.
    swept: AtomicU64,
    /// Whether reading "at once" was seen to wait, and how often in a row.
    waits: AtomicBool,
    waited: AtomicU32,
    bodies: AtomicU64,
    still_good: OnceLock<StillGood>,
    /// Deployments that were removed, and of which nothing was stored since.
    gone: Mutex<HashSet<u64>>,
    /// Bodies that were read to their end, and were what they should be.
    whole: Mutex<LruCache<u64, ()>>,
    /// Whether all that lies there is in the index.
    indexed: AtomicBool,
    /// When the writer began what it is at, in microseconds; 0: it rests.
    writing_since: AtomicU64,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How much is stored, and how it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    pub bytes: u64,
    pub entries: usize,
    /// Whether it is in use; off, it failed.
    pub up: bool,
    /// Whether everything is counted.
    pub indexed: bool,
    /// What waits to be written.
    pub waiting: usize,
    /// By reason.
    pub evictions: Vec<(&'static str, u64)>,
    /// By operation.
    pub errors: Vec<(&'static str, u64)>,
}

/// What the index names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed(Place);

impl Listed {
    pub(super) fn hash(self) -> KeyHash {
        self.0.hash
    }
}

impl Disk {
    /// Takes a store's directory into use, and removes what dead processes had begun to write there.
    ///
    /// # Errors
    /// The system's: it cannot be used.
    pub fn open(
        files: Arc<dyn Files>,
        settings: DiskSettings,
        memory: Arc<Memory>,
        clock: Clock,
    ) -> io::Result<Arc<Disk>> {
        let process = format!("{:016x}", settings.process);
        files.make_dir(Path::new(names::PAGES))?;
        // What is synced in there is lost if its own name is.
        files.sync_dir(Path::new(""))?;
        files.make_dir(Path::new(TMP))?;
        scan::remove_orphans(&*files);
        let own = Path::new(TMP).join(&process);
        files.make_dir(&own)?;
        let lock = files.lock(&own.join(scan::LOCK))?;
        let disk = Disk {
            process,
            _lock: lock,
            index: Index::new(settings.seed),
            queue: Queue::default(),
            health: Health::default(),
            room: Room::default(),
            waiters: Waiters::default(),
            swept: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            waited: AtomicU32::new(0),
            bodies: AtomicU64::new(0),
            still_good: OnceLock::new(),
            gone: Mutex::default(),
            whole: Mutex::new(LruCache::new(WHOLE)),
            indexed: AtomicBool::new(false),
            writing_since: AtomicU64::new(0),
            threads: Mutex::default(),
            hasher: KeyHasher::new(settings.seed),
            files,
            settings,
            clock,
            memory,
        };
        disk.look_for_room();
        Ok(Arc::new(disk))
    }

    /// Starts the threads that write and see to things. `still_good` is asked before anything gets its place.
    ///
    /// # Errors
    /// The system has no threads left.
    pub fn start(self: &Arc<Self>, still_good: StillGood) -> io::Result<()> {
        let _ = self.still_good.set(still_good);
        let (writes, upkeep) = (self.clone(), self.clone());
        let writer = std::thread::Builder::new().name("disk-writer".to_owned()).spawn(move || writes.write_on())?;
        let upkeep = std::thread::Builder::new().name("disk-upkeep".to_owned()).spawn(move || upkeep.keep_up())?;
        self.threads.lock().extend([writer, upkeep]);
        Ok(())
    }

    fn write_on(&self) {
        let mut writer = Writer::default();
        loop {
            let busy = writer.step(self);
            self.writing_since.store(0, Ordering::Relaxed);
            if !busy && self.queue.is_stopped() {
                return;
            }
            if self.health.is_off() {
                self.queue.rest(self.settings.sync);
            }
        }
    }

    /// Writes what is still to be written, for a few seconds at most. Nothing is stored afterwards.
    pub fn leave(&self) {
        let settled = self.health.is_off() || self.queue.settle(LEAVING);
        self.queue.stop();
        if !settled {
            tracing::warn!(left = self.queue.len(), "the disk store is left with pages that were not written in time");
        } else if !self.health.is_off() {
            self.threads.lock().drain(..).for_each(|thread| drop(thread.join()));
            self.write_snapshot();
            // A disk that does not answer is asked for nothing more.
            let own = Path::new(TMP).join(&self.process);
            let _ = self.files.remove(&own.join(scan::LOCK)).and_then(|()| self.files.remove(&own));
        }
    }

    pub fn settings(&self) -> &DiskSettings {
        &self.settings
    }

    /// Stores something in the background, in the place of what was there. Says whether that is to be expected.
    pub fn keep(&self, hash: KeyHash, slot: &Slot) -> bool {
        let Some(place) = self.place(hash, slot.key(), slot.is_variant()) else { return false };
        if let Slot::Response(response) = slot
            && response.body.len() > self.settings.max_object
        {
            return false;
        }
        if let Err(Full) = self.queue.push(place, Work::Keep(slot.clone())) {
            self.health.count("queue-full", &"not stored: the disk does not keep up with what is stored");
            // A newer version was seen than the one that lies there.
            if self.index.has(hash) {
                let _ = self.queue.push(place, Work::Remove);
            }
            return false;
        }
        true
    }

    /// Removes what is stored at a key.
    pub fn remove(&self, hash: KeyHash, key: &[u8], variant: bool) {
        if let Some(place) = self.place(hash, key, variant) {
            let _ = self.queue.push(place, Work::Remove);
        }
    }

    /// Whether something may lie, or is to lie, at a key, as far as is known without a look.
    pub fn may_have(&self, hash: KeyHash) -> bool {
        self.index.has(hash) || self.queue.pending(hash).is_some() || !self.indexed.load(Ordering::Acquire)
    }

    fn place(&self, hash: KeyHash, key: &[u8], variant: bool) -> Option<Place> {
        Some(Place { dir: dir_of(self.settings.seed, key, variant)?, hash })
    }

    /// Opens the body of a stored response that is not held in memory; `None`: it is not there any more.
    pub async fn read_body(self: &Arc<Self>, response: &StoredResponse, body: Filed) -> Option<BodyReader> {
        let hash = self.hasher.hash(&response.key);
        let place = self.place(hash, &response.key, !response.variant.is_empty())?;
        self.open_body(place.dir, hash, body).await
    }

    /// Waits until everything that was stored or removed so far is on the disk. For threads that may wait.
    pub fn settle(&self, patience: Duration) -> bool {
        self.queue.settle(patience)
    }

    /// Everything on the disk was judged against hard invalidations up to this epoch.
    pub fn swept(&self, epoch: u64) {
        self.swept.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Whether what is stored now is to be expected on the disk soon.
    pub fn takes_more(&self) -> bool {
        self.is_up() && !self.is_too_full()
    }

    /// Whether this very response lies there. For threads that may wait.
    pub(super) fn has(&self, response: &StoredResponse) -> bool {
        let place = self.place(self.hasher.hash(&response.key), &response.key, !response.variant.is_empty());
        match place.and_then(|place| self.head_at(place).unwrap_or_default()) {
            Some(Slot::Response(there)) => {
                there.fetched_at == response.fetched_at && there.body.digest() == response.body.digest()
            }
            Some(Slot::Varies(_)) | None => false,
        }
    }

    /// Whether it is in use.
    pub fn is_up(&self) -> bool {
        !self.health.is_off()
    }

    /// What is indexed in one part of the hashes, by hash.
    pub(super) fn listed(&self, part: usize, after: Option<KeyHash>, wanted: impl Fn(KeyHash) -> bool) -> Vec<Listed> {
        let fits = |hash: KeyHash| after.is_none_or(|after| hash > after) && wanted(hash);
        let all = self.index.shard(part).into_iter().map(|one| Listed(one.place));
        all.filter(|one| fits(one.hash())).collect()
    }

    /// Reads what was listed, if it is still there. For threads that may wait.
    ///
    /// # Errors
    /// It could not be read, and may be good.
    pub(super) fn read_listed(&self, one: Listed) -> Result<Option<Slot>, NoAnswer> {
        if self.health.is_off() { Err(NoAnswer) } else { self.head_at(one.0) }
    }

    pub fn usage(&self) -> DiskUsage {
        DiskUsage {
            bytes: self.index.bytes(),
            entries: self.index.entries(),
            up: !self.health.is_off(),
            indexed: self.indexed.load(Ordering::Relaxed),
            waiting: self.queue.len(),
            evictions: self.room.evictions(),
            errors: self.health.errors(),
        }
    }

    /// Counts something that went wrong on the disk and was not the store's own doing.
    pub fn count_error(&self, operation: &'static str, error: &dyn std::fmt::Display) {
        self.health.count(operation, error);
    }

    fn next_id(&self) -> u64 {
        let count = self.bodies.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        xxh3_64_with_seed(&count, self.settings.process)
    }

    /// Says whether nothing is there any more.
    fn unlink(&self, place: Place) -> bool {
        // First: versions without a page would be those of the next one that is stored there.
        self.forget_versions(place.hash);
        match self.files.remove(&place.path()) {
            Ok(()) => self.health.worked(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // What somebody put there is no page, and stays his.
            Err(error) if files::is_in_the_way(&error) => self.health.count("not-a-file", &error),
            Err(error) => {
                self.health.failed("remove", &error);
                return false;
            }
        }
        self.index.remove(place.hash);
        true
    }

    /// A number that grows whenever something is stored or removed near this hash.
    pub(super) fn changes(&self, hash: KeyHash) -> u64 {
        self.queue.changes(hash)
    }
}
