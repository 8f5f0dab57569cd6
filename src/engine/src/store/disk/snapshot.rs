//! The index as it is written down, so that a start does not have to look at every file, and knows what was asked for when.
//!
//! ```text
//!   0  8  "LARDERI\n"
//!   8  8  how many entries
//!  16     entries of 40 bytes: deployment's hash, key's hash, bytes occupied, last use in seconds
//!         XXH3-64 of everything before
//! ```
//!
//! Nothing depends on it: a wrong one is put right by the look into the directories.

use super::Disk;
use super::index::{Indexed, SHARDS};
use super::names::{Place, TMP};
use semantics::Timestamp;
use std::io;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "index";
const MAGIC: &[u8; 8] = b"LARDERI\n";
const HEAD: usize = 16;
const ENTRY: usize = 40;
const SUM: usize = 8;
/// Larger ones are not read, in bytes: 50 million pages.
const AT_MOST: u64 = 2 << 30;

impl Disk {
    /// Writes the index down.
    pub(super) fn write_snapshot(&self) {
        if let Err(error) = self.try_snapshot() {
            self.health.failed("snapshot", &error);
        }
    }

    fn try_snapshot(&self) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEAD + self.index.entries() * ENTRY + SUM);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; 8]);
        let mut count = 0u64;
        for one in (0..SHARDS).flat_map(|shard| self.index.shard(shard)) {
            bytes.extend_from_slice(&one.place.dir.to_le_bytes());
            bytes.extend_from_slice(&one.place.hash.to_le_bytes());
            bytes.extend_from_slice(&one.occupied.to_le_bytes());
            bytes.extend_from_slice(&(one.used.as_micros() / 1_000_000).to_le_bytes());
            count += 1;
        }
        bytes[MAGIC.len()..HEAD].copy_from_slice(&count.to_le_bytes());
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let beside = Path::new(TMP).join(&self.process).join(NAME);
        let _ = self.files.remove(&beside);
        let file = self.files.create(&beside)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.files.rename(&beside, Path::new(NAME))
    }

    /// Takes over what was written down; what is known better stays.
    pub(super) fn read_snapshot(&self) {
        let Some(bytes) = self.snapshot_bytes() else { return };
        for entry in bytes[HEAD..bytes.len() - SUM].chunks_exact(ENTRY) {
            let word = |at: usize| entry.get(at..at + 8).and_then(|w| w.try_into().ok()).map_or(0, u64::from_le_bytes);
            let hash = u128::from(word(16)) << 64 | u128::from(word(8));
            let (dir, occupied, used) = (word(0), word(24), Timestamp::from_secs(word(32)));
            self.index.put_new(&Indexed { place: Place { dir, hash }, occupied, used });
        }
    }

    fn snapshot_bytes(&self) -> Option<Vec<u8>> {
        let file = self.files.open(Path::new(NAME)).ok()?;
        let length = file.stat().ok().map(|stat| stat.length).filter(|length| *length <= AT_MOST)?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let got = file.read_at(&mut bytes, 0).ok()?;
        let at = bytes.len().checked_sub(SUM).filter(|at| got == bytes.len() && *at >= HEAD)?;
        let sum = bytes[at..].try_into().map(u64::from_le_bytes).ok()?;
        let whole = bytes.starts_with(MAGIC) && (at - HEAD).is_multiple_of(ENTRY) && xxh3_64(&bytes[..at]) == sum;
        whole.then_some(bytes)
    }
}
