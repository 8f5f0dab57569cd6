//! What others want to find again after a restart, by a name of theirs.
//!
//! ```text
//!   0  8  "LARDERB\n"
//!   8     the bytes
//!         XXH3-64 of everything before
//! ```

use super::Disk;
use super::names::TMP;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const BLOBS: &str = "blobs";
const MAGIC: &[u8; 8] = b"LARDERB\n";
const SUM: usize = 8;
/// Larger ones are neither written nor read, in bytes.
const AT_MOST: u64 = 256 << 20;

impl Disk {
    fn blob(&self, name: &str) -> PathBuf {
        Path::new(BLOBS).join(format!("{:016x}", xxh3_64_with_seed(name.as_bytes(), self.settings.seed)))
    }

    /// Writes something down, in the place of what had that name. For threads that may wait.
    pub fn save(&self, name: &str, bytes: &[u8]) {
        if self.is_up()
            && let Err(error) = self.try_save(name, bytes)
        {
            self.health.failed("write", &error);
        }
    }

    fn try_save(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let number = self.bodies.fetch_add(1, Ordering::Relaxed);
        let beside = Path::new(TMP).join(&self.process).join(format!("blob-{number}"));
        let written = [MAGIC, bytes].concat();
        self.files.make_dir(Path::new(BLOBS))?;
        let file = self.files.create(&beside)?;
        file.write_at(&written, 0)?;
        file.write_at(&xxh3_64(&written).to_le_bytes(), written.len() as u64)?;
        file.sync()?;
        self.files.rename(&beside, &self.blob(name))?;
        self.files.sync_dir(Path::new(BLOBS))
    }

    /// What was last saved under that name, if it is whole. For threads that may wait.
    pub fn saved(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.open(&self.blob(name)).ok()?;
        let length = file.stat().ok().map(|stat| stat.length).filter(|length| *length <= AT_MOST)?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let got = file.read_at(&mut bytes, 0).ok()?;
        let at = bytes.len().checked_sub(SUM).filter(|_| got == bytes.len())?;
        let sum = bytes[at..].try_into().map(u64::from_le_bytes).ok()?;
        if !bytes.starts_with(MAGIC) || xxh3_64(&bytes[..at]) != sum {
            self.health.count("damaged", &"something that was saved is not what it should be");
            return None;
        }
        bytes.truncate(at);
        bytes.drain(..MAGIC.len());
        Some(bytes)
    }
}
