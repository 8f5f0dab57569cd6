//! Good versions of a page that were replaced (`history`): second names of their files, in a directory of the page's own.
//! They go with their page, and count with it.

use super::Disk;
use super::files::is_not_regular;
use super::find::preamble_of;
use super::names::{Place, number};
use super::queue::Pending;
use crate::store::{KeyHash, Slot, StoredResponse};
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

fn dir(hash: KeyHash) -> PathBuf {
    format!("{VERSIONS}/{hash:032x}").into()
}

fn path(hash: KeyHash, id: u64) -> PathBuf {
    dir(hash).join(format!("{id:016x}"))
}

impl Disk {
    /// Before a page is replaced: where its route keeps versions, what lies there stays under another name, unless the new
    /// one is the same page. A page without its old versions is better than none: what fails here is counted alone.
    pub(super) fn keep_version(&self, place: Place, new: &Slot) {
        let history = match new {
            Slot::Response(response) => response.history,
            // Its variants have versions of their own.
            Slot::Varies(_) => 0,
        };
        if history <= 1 && !self.index.has_beside(place.hash) {
            return;
        }
        let Ok(Some(old)) = self.head_at(place) else { return };
        if !self.may_stay(&old) {
            // Invalidated hard: then what came before it is not asked for either.
            return self.forget_versions(place.hash);
        }
        let (Slot::Response(old), Slot::Response(new)) = (old, new) else {
            return self.forget_versions(place.hash);
        };
        if old.body.len() == new.body.len() && old.body.digest() == new.body.digest() {
            return;
        }
        if history <= 1 {
            return self.forget_versions(place.hash);
        }
        if let Err(error) = self.link_version(place, &old) {
            self.health.count("version", &error);
        }
        self.forget_oldest(place.hash, new);
    }

    fn link_version(&self, place: Place, old: &StoredResponse) -> io::Result<()> {
        self.make_versions_dir(place.hash)?;
        match self.files.link(&place.path(), &path(place.hash, old.windows.generated.as_micros())) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }

    fn make_versions_dir(&self, hash: KeyHash) -> io::Result<()> {
        self.files.make_dir(Path::new(VERSIONS))?;
        self.files.make_dir(&dir(hash))
    }

    /// The one that is served is one of those that are kept; put back, it may lie among the old ones, too.
    fn forget_oldest(&self, hash: KeyHash, served: &StoredResponse) {
        let mut others = self.version_ids(hash);
        others.retain(|id| *id != served.windows.generated.as_micros());
        let too_many = (others.len() + 1).saturating_sub(usize::from(served.history));
        for id in others.iter().take(too_many) {
            let _ = self.files.remove(&path(hash, *id));
        }
    }

    /// After a page was replaced: what its versions take is a part of what it takes, and what is pinned is not evicted.
    pub(super) fn count_versions(&self, place: Place, slot: &Slot) {
        let Slot::Response(response) = slot else { return };
        let versions = response.history > 1 || self.index.has_beside(place.hash);
        if response.pinned {
            // So that it is found after a restart: see `index_versions`.
            if let Err(error) = self.make_versions_dir(place.hash) {
                self.health.count("version", &error);
            }
        }
        if versions || response.pinned {
            self.index.note_beside(place.hash, self.version_bytes(place.hash), response.pinned);
        }
    }

    fn version_bytes(&self, hash: KeyHash) -> u64 {
        let stats = self.version_ids(hash).into_iter().filter_map(|id| self.files.stat(&path(hash, id)).ok());
        stats.map(|stat| stat.occupied.max(stat.length.next_multiple_of(4096))).sum()
    }

    /// The ids of a page's older versions, as far as they can be had, the oldest first.
    fn version_ids(&self, hash: KeyHash) -> Vec<u64> {
        self.listed_versions(hash).unwrap_or_default()
    }

    fn listed_versions(&self, hash: KeyHash) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        let listed = self.files.list(&dir(hash), &mut |name| {
            ids.extend(number(name, 16).and_then(|id| u64::try_from(id).ok()));
        });
        ids.sort_unstable();
        match listed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(ids),
        }
    }

    pub(super) fn forget_versions(&self, hash: KeyHash) {
        for id in self.version_ids(hash) {
            let _ = self.files.remove(&path(hash, id));
        }
        let _ = self.files.remove(&dir(hash));
        self.index.note_beside(hash, 0, false);
    }

    /// Counts the versions that lie there after a start, and removes those whose pages are gone.
    pub(super) fn index_versions(&self) -> io::Result<()> {
        let mut pages = Vec::new();
        let listed = self.files.list(Path::new(VERSIONS), &mut |name| pages.extend(number(name, 32)));
        match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            listed => listed?,
        }
        for hash in pages {
            if self.queue.is_stopped() {
                return Ok(());
            }
            match self.index.place(hash) {
                Some(place) => self.index.note_beside(hash, self.version_bytes(hash), self.is_pinned(place)),
                // Perhaps another process stored it since the look into its directory.
                None if self.lies_somewhere(hash) => {}
                None => self.forget_versions(hash),
            }
        }
        Ok(())
    }

    fn lies_somewhere(&self, hash: KeyHash) -> bool {
        let places = self.index.by_dir().into_iter().map(|(dir, _)| Place { dir, hash });
        places.into_iter().any(|place| self.files.stat(&place.path()).is_ok())
    }

    /// Whether what lies there is pinned, and is not to go.
    pub fn is_pinned_at(&self, hash: KeyHash) -> bool {
        self.index.is_pinned(hash) && !matches!(self.queue.pending(hash), Some(Pending::Gone))
    }

    fn is_pinned(&self, place: Place) -> bool {
        match self.files.open(&place.path()).and_then(|file| preamble_of(&*file)) {
            Ok(preamble) => preamble.is_some_and(|preamble| preamble.pinned),
            // What cannot be read may be.
            Err(error) => error.kind() != io::ErrorKind::NotFound && !is_not_regular(&error),
        }
    }

    /// The older versions of a response's page, the newest first, their bodies left in their files. For threads that may wait.
    pub fn versions(&self, response: &StoredResponse) -> Vec<Version> {
        let Some(place) = self.place_of_response(response) else { return Vec::new() };
        let read = |id| Some(Version { id, response: self.read_one(place, id, 0).ok()?? });
        self.version_ids(place.hash).into_iter().rev().filter_map(read).collect()
    }

    /// One of them, all of it in memory. For threads that may wait.
    pub fn version(&self, response: &StoredResponse, id: u64) -> Option<Arc<StoredResponse>> {
        self.read_one(self.place_of_response(response)?, id, self.settings.max_object).ok()?
    }

    /// Removes versions that were invalidated hard; before that is forgotten. Says whether it saw them all. For threads that
    /// may wait.
    pub fn sweep_versions(&self) -> bool {
        let mut whole = true;
        // What is being replaced may become a version yet.
        self.settle(super::LEAVING);
        for place in self.index.all_with_beside().into_iter().filter_map(|hash| self.index.place(hash)) {
            if let Err(error) = self.sweep_versions_of(place) {
                self.health.failed("read", &error);
                whole = false;
            }
            self.index.note_beside(place.hash, self.version_bytes(place.hash), self.is_pinned(place));
        }
        whole
    }

    /// What could not be read stays: it may be good.
    fn sweep_versions_of(&self, place: Place) -> io::Result<()> {
        let mut swept = Ok(());
        for id in self.listed_versions(place.hash)? {
            match self.read_one(place, id, 0) {
                Ok(Some(version)) if self.may_stay(&Slot::Response(version.clone())) => {}
                Ok(_) => drop(self.files.remove(&path(place.hash, id))),
                Err(error) => swept = Err(error),
            }
        }
        swept
    }

    fn place_of_response(&self, response: &StoredResponse) -> Option<Place> {
        self.place(self.hasher.hash(&response.key), &response.key, !response.variant.is_empty())
    }

    fn read_one(&self, place: Place, id: u64, held: u64) -> io::Result<Option<Arc<StoredResponse>>> {
        Ok(match self.read_version(&path(place.hash, id), place, held)? {
            Some(Slot::Response(response)) => Some(response),
            Some(Slot::Varies(_)) | None => None,
        })
    }
}
