//! Good versions of a page that were replaced (`history`): second names of their files, in a directory of the page's own.

use super::Disk;
use super::names::Place;
use crate::store::{Slot, StoredResponse};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSIONS: &str = "versions";

/// One version of a page.
#[derive(Clone, Debug)]
pub struct Version {
    /// What it is called by.
    pub id: u64,
    pub response: Arc<StoredResponse>,
}

fn dir(place: Place) -> PathBuf {
    format!("{VERSIONS}/{:032x}", place.hash).into()
}

impl Disk {
    /// Before a page is replaced: where its route keeps versions, what lies there stays under another name, unless the new
    /// one is the same page.
    pub(super) fn keep_version(&self, place: Place, new: &StoredResponse) -> io::Result<()> {
        if new.history <= 1 {
            return Ok(());
        }
        let Some(Slot::Response(old)) = self.find_at(place) else { return Ok(()) };
        let same = old.body.len() == new.body.len() && old.body.digest() == new.body.digest();
        if same || old.pinned {
            return Ok(());
        }
        self.files.make_dir(Path::new(VERSIONS))?;
        self.files.make_dir(&dir(place))?;
        let name = dir(place).join(format!("{:016x}", old.windows.generated.as_micros()));
        match self.files.link(&place.path(), &name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut ids = self.version_ids(place);
        // The one that is served is one of them.
        while ids.len() >= usize::from(new.history) {
            let oldest = ids.remove(0);
            let _ = self.files.remove(&dir(place).join(format!("{oldest:016x}")));
        }
        Ok(())
    }

    /// The ids of a page's older versions, the oldest first.
    fn version_ids(&self, place: Place) -> Vec<u64> {
        let mut ids = Vec::new();
        let _ = self.files.list(&dir(place), &mut |name| {
            ids.extend(super::names::number(name, 16).and_then(|id| u64::try_from(id).ok()));
        });
        ids.sort_unstable();
        ids
    }

    pub(super) fn forget_versions(&self, place: Place) {
        for id in self.version_ids(place) {
            let _ = self.files.remove(&dir(place).join(format!("{id:016x}")));
        }
        let _ = self.files.remove(&dir(place));
    }

    /// The older versions of what is stored at a key, the newest first. For threads that may wait.
    pub fn versions(&self, response: &StoredResponse) -> Vec<Version> {
        let hash = self.hasher.hash(&response.key);
        let Some(place) = self.place(hash, &response.key, !response.variant.is_empty()) else { return Vec::new() };
        let read = |id: u64| match self.read_whole(&dir(place).join(format!("{id:016x}")), place)? {
            Slot::Response(response) => Some(Version { id, response }),
            Slot::Varies(_) => None,
        };
        self.version_ids(place).into_iter().rev().filter_map(read).collect()
    }
}
