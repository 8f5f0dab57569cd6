//! The index after a start: first as it was written down last, then as a look into every directory finds it. Whoever asks
//! for a page meanwhile is served by name.

use super::Disk;
use super::files::Files;
use super::index::{Indexed, SHARDS};
use super::names::{ID, PAGES, Place, TMP, dir_hash, dir_path, number, shard_path};
use crate::store::{KeyHash, Slot, StoredResponse};
use semantics::Timestamp;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// The lock of a process in its own directory below `tmp`.
pub(super) const LOCK: &str = "lock";
/// After so many files others have their turn.
const AT_A_TIME: usize = 256;
const PAUSE: Duration = Duration::from_millis(1);

impl Disk {
    /// Brings the index up to date with what lies on the disk.
    pub(super) fn index_all(&self) {
        self.read_snapshot();
        match self.index_dirs().and_then(|()| self.index_versions()) {
            Ok(()) => self.indexed.store(!self.queue.is_stopped(), Ordering::Relaxed),
            Err(error) => self.health.failed("list", &error),
        }
    }

    fn index_dirs(&self) -> io::Result<()> {
        let mut dirs = Vec::new();
        self.files.list(Path::new(PAGES), &mut |name| {
            dirs.extend(number(name, 16).and_then(|dir| u64::try_from(dir).ok()));
        })?;
        // What the snapshot knows may be gone with its directory.
        dirs.extend(self.index.by_dir().into_iter().map(|(dir, _)| dir));
        dirs.sort_unstable();
        dirs.dedup();
        for dir in dirs {
            for shard in 0..SHARDS {
                if self.queue.is_stopped() {
                    return Ok(());
                }
                self.index_shard(dir, shard)?;
                if self.gone.lock().contains(&dir) {
                    // Removed while it was looked at.
                    self.index.keep_only(dir, shard, &HashSet::new(), |_| false);
                }
            }
        }
        Ok(())
    }

    fn index_shard(&self, dir: u64, shard: usize) -> io::Result<()> {
        let mut found = HashSet::new();
        let path = shard_path(dir, shard);
        let listed = self.files.list(&path, &mut |name| {
            let hash = number(name, 32).filter(|hash| super::names::shard_of(*hash) == shard);
            found.extend(hash);
        });
        match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            listed => listed?,
        }
        let mut looked = 0;
        for hash in &found {
            let place = Place { dir, hash: *hash };
            if self.index.has(*hash) {
                continue;
            }
            if let Ok(stat) = self.files.stat(&place.path())
                && stat.regular
            {
                let occupied = stat.occupied.max(stat.length.next_multiple_of(4096));
                self.index.put_new(&Indexed { place, occupied, used: since_epoch(stat.modified) });
            }
            looked += 1;
            if looked % AT_A_TIME == 0 {
                std::thread::sleep(PAUSE);
            }
        }
        // What was stored since the names were read is there all the same.
        self.index.keep_only(dir, shard, &found, |hash| self.files.stat(&Place { dir, hash }.path()).is_ok());
        Ok(())
    }

    /// The deployments of which something is stored, with their counts.
    pub fn deployments(&self) -> Vec<(String, usize)> {
        let named = |(dir, count)| Some((self.deployment_of(dir)?, count));
        self.index.by_dir().into_iter().filter(|(_, count)| *count > 0).filter_map(named).collect()
    }

    /// The deployment whose pages are in a directory, as it says itself.
    pub(super) fn deployment_of(&self, dir: u64) -> Option<String> {
        let file = self.files.open(&dir_path(dir).join(ID)).ok()?;
        let mut id = vec![0; 4096];
        let got = file.read_at(&mut id, 0).ok()?;
        id.truncate(got);
        // That can be checked.
        (dir_hash(self.settings.seed, &id) == dir).then_some(())?;
        String::from_utf8(id).ok()
    }

    /// What of a deployment was asked for last, `most` at most and without these. For threads that may wait.
    pub fn most_recent(&self, id: &str, most: usize, without: &[KeyHash]) -> Vec<Arc<StoredResponse>> {
        let dir = dir_hash(self.settings.seed, id.as_bytes());
        let wanted = |one: &Indexed| one.place.dir == dir && !without.contains(&one.place.hash);
        let mut recent: Vec<Indexed> = (0..SHARDS).flat_map(|shard| self.index.shard(shard)).filter(wanted).collect();
        recent.sort_unstable_by_key(|one| Reverse(one.used));
        recent.truncate(most);
        let read = |one: Indexed| match self.head_at(one.place).ok()?? {
            Slot::Response(response) => Some(response),
            Slot::Varies(_) => None,
        };
        recent.into_iter().filter_map(read).collect()
    }

    /// Removes everything of a deployment, whether or not it is indexed yet. For threads that may wait.
    pub fn remove_deployment(&self, id: &str) {
        let dir = dir_hash(self.settings.seed, id.as_bytes());
        self.gone.lock().insert(dir);
        for shard in 0..SHARDS {
            let mut hashes = Vec::new();
            let _ = self.files.list(&shard_path(dir, shard), &mut |name| hashes.extend(number(name, 32)));
            for hash in hashes {
                self.unlink(Place { dir, hash });
            }
            self.index.keep_only(dir, shard, &HashSet::new(), |_| false);
            let _ = self.files.remove(&shard_path(dir, shard));
        }
        let _ = self.files.remove(&dir_path(dir).join(ID));
        let _ = self.files.remove(&dir_path(dir));
    }
}

/// Removes what processes that are dead had begun to write.
pub(super) fn remove_orphans(files: &dyn Files) {
    let names = |dir: &Path| {
        let mut names: Vec<OsString> = Vec::new();
        let _ = files.list(dir, &mut |name| names.push(name.to_owned()));
        names
    };
    for process in names(Path::new(TMP)) {
        let dir = Path::new(TMP).join(process);
        // Whoever lives holds his lock.
        let Ok(Some(lock)) = files.lock(&dir.join(LOCK)) else { continue };
        for name in names(&dir).iter().filter(|name| *name != LOCK) {
            let _ = files.remove(&dir.join(name));
        }
        drop(lock);
        let _ = files.remove(&dir.join(LOCK));
        let _ = files.remove(&dir);
    }
}

fn since_epoch(time: SystemTime) -> Timestamp {
    Timestamp::EPOCH.after(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
