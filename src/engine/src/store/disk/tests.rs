//! The store on a file system that loses power (`Faulty`), corrupts files and fails: whatever happens, what is found is
//! wholly one of the versions that were stored at that key, or nothing.
//!
//! The writer is stepped by hand, so that a seed brings everything back. `LARDER_CRASHES` says how many crash states, and
//! how many flipped bits, are looked at.

mod changed;
mod corruption;
mod crash;
mod faults;
#[path = "../../../tests/support/faulty/mod.rs"]
#[allow(dead_code, unused_imports, reason = "tests of other crates share it")]
mod faulty;
mod found;
mod ledger;
mod pages;
#[path = "../../../tests/support/rng.rs"]
mod rng;
mod scenario;
mod through;
mod unread;

use super::files::Files;
use super::writer::Writer;
use super::{Disk, DiskSettings};
use crate::clock::Clock;
use crate::store::{Filed, KeyHash, KeyHasher, Memory, Settings, Slot, Store, StoredResponse};
use pages::Key;
use rng::Rng;
use semantics::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

const SEED: u64 = 7;
/// Larger bodies stay in their files, in bytes.
const HELD: usize = 100_000;
const PLENTY: u64 = 1 << 30;

fn crashes() -> u64 {
    std::env::var("LARDER_CRASHES").ok().map_or(1000, |n| n.parse().unwrap())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn hash_of(key: &[u8]) -> KeyHash {
    KeyHasher::new(SEED).hash(key)
}

/// One process's life on a file system.
struct Life {
    disk: Arc<Disk>,
    store: Store,
    memory: Arc<Memory>,
    clock: Clock,
    writer: Writer,
    /// Something was left for the writer since its last step.
    left: bool,
}

impl Life {
    fn begin(files: Arc<dyn Files>, max_size: u64) -> Life {
        Life::try_begin(files, max_size).unwrap()
    }

    fn try_begin(files: Arc<dyn Files>, max_size: u64) -> std::io::Result<Life> {
        static PROCESSES: AtomicU64 = AtomicU64::new(1);
        let settings = DiskSettings {
            max_size,
            max_object: 1 << 20,
            sync: Duration::from_secs(2),
            min_free: 0,
            seed: SEED,
            process: PROCESSES.fetch_add(1, Ordering::Relaxed),
        };
        let memory = Arc::new(Memory::new(Settings { max_size: 64 << 20, max_object: HELD }));
        let clock = Clock::manual(Timestamp::from_secs(1_000_000_000));
        let disk = Disk::open(files, settings, memory.clone(), clock.clone())?;
        let store = Store::new(memory.clone(), Some(disk.clone()));
        Ok(Life { disk, store, memory, clock, writer: Writer::default(), left: false })
    }

    /// The same process, in another's hands.
    fn twin(&self) -> Life {
        let (disk, memory, clock) = (self.disk.clone(), self.memory.clone(), self.clock.clone());
        let store = Store::new(memory.clone(), Some(disk.clone()));
        Life { disk, store, memory, clock, writer: Writer::default(), left: false }
    }

    fn put(&mut self, slot: Slot) {
        let hash = hash_of(slot.key());
        let before = self.disk.changes(hash);
        self.store.put(hash, slot, self.clock.now());
        self.left |= self.disk.changes(hash) != before;
    }

    fn remove(&mut self, key: &Key) {
        self.left = true;
        self.store.remove(key.hash(), &key.bytes, key.variant);
    }

    /// Lets the writer take what was left, if there is anything: it would wait otherwise.
    fn step(&mut self) {
        if std::mem::take(&mut self.left) {
            self.writer.step(&self.disk);
        }
    }

    /// Lets the writer work until everything is on the disk. Says whether it is.
    fn settle(&mut self) -> bool {
        self.left = false;
        for _ in 0..64 {
            if self.disk.settle(Duration::ZERO) {
                return true;
            }
            self.writer.step(&self.disk);
        }
        false
    }

    /// What lies on the disk at a key, or is on its way there.
    fn find(&self, key: &Key, runtime: &Runtime) -> Option<Slot> {
        runtime.block_on(self.disk.find(key.hash(), &key.bytes, key.variant))
    }

    /// All of a body that lies in a file; an error where it is not the page.
    fn read(&self, response: &StoredResponse, filed: Filed, runtime: &Runtime) -> Result<Vec<u8>, String> {
        runtime.block_on(async {
            let mut reader = self.disk.read_body(response, filed).await.ok_or("its body is not there")?;
            let mut body = Vec::new();
            while let Some(chunk) = reader.chunk().await.map_err(|error| error.to_string())? {
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        })
    }

    fn errors(&self, name: &str) -> u64 {
        self.disk.usage().errors.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
    }
}

fn list(files: &dyn Files, dir: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    let _ = files.list(dir, &mut |name| names.push(dir.join(name)));
    names
}

/// The files of stored responses, with what each takes.
fn stored_files(files: &dyn Files) -> Vec<(PathBuf, u64)> {
    let shards = list(files, Path::new("pages")).into_iter().flat_map(|dir| list(files, &dir));
    let all = shards.flat_map(|shard| list(files, &shard));
    all.map(|name| (files.stat(&name).unwrap().length.next_multiple_of(4096), name))
        .map(|(n, name)| (name, n))
        .collect()
}
