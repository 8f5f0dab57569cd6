//! The index as it is written down, so that a start does not have to look at every file, and knows what was asked for when.
//!
//! ```text
//!   0  8  "LARDERI2"
//!   8  8  how many entries
//!  16     entries of 40 bytes: deployment's hash, key's hash, bytes occupied, last use in seconds
//!         XXH3-64 of the entries, then of the first 16 bytes
//! ```
//!
//! Nothing depends on it: a wrong one is put right by the look into the directories.

use super::Disk;
use super::files::File;
use super::index::{Indexed, SHARDS};
use super::names::{Place, TMP};
use semantics::Timestamp;
use std::io;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

const NAME: &str = "index";
const MAGIC: &[u8; 8] = b"LARDERI2";
const HEAD: usize = 16;
const ENTRY: usize = 40;
const SUM: usize = 8;
/// Entries that are read or written at a time, about.
const AT_A_TIME: usize = 8192;
/// Larger ones are not read, in bytes: 50 million pages.
const AT_MOST: u64 = 2 << 30;

impl Disk {
    /// Writes the index down.
    pub(super) fn write_snapshot(&self) {
        if let Err(error) = self.try_snapshot() {
            self.health.failed("snapshot", &error);
        }
    }

    /// A piece at a time: of a large store all of it at once would be as much memory as the index.
    fn try_snapshot(&self) -> io::Result<()> {
        let beside = Path::new(TMP).join(&self.process).join(NAME);
        let _ = self.files.remove(&beside);
        let file = self.files.create(&beside)?;
        let (mut sum, mut at) = (Xxh3::new(), HEAD as u64);
        // What is stored or removed meanwhile changes how many there are.
        let mut count = 0_u64;
        let mut bytes = Vec::new();
        for shard in 0..SHARDS {
            for one in self.index.shard(shard) {
                bytes.extend_from_slice(&one.place.dir.to_le_bytes());
                bytes.extend_from_slice(&one.place.hash.to_le_bytes());
                bytes.extend_from_slice(&one.occupied.to_le_bytes());
                bytes.extend_from_slice(&(one.used.as_micros() / 1_000_000).to_le_bytes());
                count += 1;
            }
            if bytes.len() >= ENTRY * AT_A_TIME || (shard == SHARDS - 1 && !bytes.is_empty()) {
                sum.update(&bytes);
                file.write_at(&bytes, at)?;
                at += bytes.len() as u64;
                bytes.clear();
            }
        }
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&count.to_le_bytes());
        sum.update(&head);
        file.write_at(&head, 0)?;
        file.write_at(&sum.digest().to_le_bytes(), at)?;
        file.sync()?;
        self.files.rename(&beside, Path::new(NAME))
    }

    /// Takes over what was written down; what is known better stays.
    pub(super) fn read_snapshot(&self) {
        let Ok(file) = self.files.open(Path::new(NAME)) else { return };
        // Twice: nothing is taken from it before all of it is known to be whole.
        if let Ok(Some(entries)) = whole(&*file) {
            let _ = pieces(&*file, entries, |piece| piece.chunks_exact(ENTRY).for_each(|entry| self.take_over(entry)));
        }
    }

    fn take_over(&self, entry: &[u8]) {
        let word = |at: usize| entry.get(at..at + 8).and_then(|w| w.try_into().ok()).map_or(0, u64::from_le_bytes);
        let hash = u128::from(word(16)) << 64 | u128::from(word(8));
        let (dir, occupied, used) = (word(0), word(24), Timestamp::from_secs(word(32)));
        self.index.put_new(&Indexed { place: Place { dir, hash }, occupied, used });
    }
}

/// How many bytes of entries are in a file that is whole.
fn whole(file: &dyn File) -> io::Result<Option<u64>> {
    let length = file.stat()?.length;
    let entries =
        length.checked_sub((HEAD + SUM) as u64).filter(|n| length <= AT_MOST && n.is_multiple_of(ENTRY as u64));
    let Some(entries) = entries else { return Ok(None) };
    let mut head = [0; HEAD];
    let mut told = [0; SUM];
    let ends = file.read_at(&mut head, 0)? + file.read_at(&mut told, HEAD as u64 + entries)?;
    let mut sum = Xxh3::new();
    let read = pieces(file, entries, |piece| sum.update(piece))?;
    sum.update(&head);
    let good = ends == HEAD + SUM && read && head.starts_with(MAGIC) && sum.digest().to_le_bytes() == told;
    Ok(good.then_some(entries))
}

/// Gives out the entries, some at a time. Says whether all were there.
fn pieces(file: &dyn File, entries: u64, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
    let mut piece = vec![0; ENTRY * AT_A_TIME];
    let mut done = 0;
    while done < entries {
        let wanted = usize::try_from(entries - done).unwrap_or(usize::MAX).min(piece.len());
        let piece = &mut piece[..wanted];
        if file.read_at(piece, HEAD as u64 + done)? != wanted {
            return Ok(false);
        }
        each(piece);
        done += wanted as u64;
    }
    Ok(true)
}
