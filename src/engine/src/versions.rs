//! Good versions of a page: which there are, and one of them put in the place of a bad one, for its window or until
//! somebody takes that back (`history`).

use crate::invalidate::{Checked, Validity};
use crate::store::{KeyHash, Slot, StoredResponse, Written};
use crate::{Engine, Route, Visit};
use semantics::freshness::{self, Times};
use semantics::{Timestamp, Windows};
use std::sync::Arc;
use std::time::Duration;

/// One version of a page, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// What it is called by: when it was generated, in microseconds.
    pub id: u64,
    pub generated: Timestamp,
    pub age: Duration,
    pub status: u16,
    /// Of its body.
    pub bytes: u64,
    /// Whether it is the one that is served.
    pub current: bool,
    pub pinned: bool,
}

/// A version that is served from now on.
#[derive(Clone, Debug)]
pub struct PutBack {
    pub response: Arc<StoredResponse>,
    /// Whether it is so after a crash, too.
    pub durable: bool,
}

/// Why no version was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPutBack {
    NothingStored,
    /// There is none of that id, or it cannot be read any more; these there are.
    Unknown(Vec<u64>),
    /// The disk is off, or has no room: what cannot be written there would cost the page its versions.
    NoRoom,
}

/// Why nothing was unpinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUnpinned {
    NothingStored,
    NotPinned,
    /// See [`NotPutBack::NoRoom`].
    NoRoom,
}

impl Engine {
    /// Whether there is a place for versions at all.
    pub fn keeps_versions(&self) -> bool {
        self.store.disk().is_some()
    }

    /// The versions of what a visit selects: the one that is served, then older ones, the newest first. Empty: nothing is
    /// stored.
    pub async fn versions(&self, visit: &Visit<'_>) -> Vec<Version> {
        // What was replaced just now is a version when that is on the disk.
        self.store.written().await;
        let below = self.below(visit).await;
        let now = self.clock.now();
        let stored = self.peek(visit, &below).stored.filter(|stored| self.validity(stored, now) != Validity::Hard);
        match stored {
            Some(stored) => self.versions_of(&stored, now).await,
            None => Vec::new(),
        }
    }

    async fn versions_of(&self, served: &Arc<StoredResponse>, now: Timestamp) -> Vec<Version> {
        let told = |id, response: &StoredResponse, current| Version {
            id,
            generated: response.windows.generated,
            age: response.windows.age(now),
            status: response.head.status().as_u16(),
            bytes: response.body.len(),
            current,
            pinned: current && response.pinned,
        };
        let first = told(id_of(served), served, true);
        let mut all = vec![first];
        for version in self.store.versions(served).await {
            let older = &version.response;
            // What was put back lies among the older ones, too.
            let same = version.id == first.id
                || (older.body.len() == first.bytes && older.body.digest() == served.body.digest());
            if !same && self.validity(older, now) != Validity::Hard {
                all.push(told(version.id, older, false));
            }
        }
        all
    }

    /// Serves this version of what a visit selects from now on, as old as it is. With `pin` it is served until
    /// [`Engine::unpin`], whatever happens short of a hard invalidation; else it has its window once more, so that what it
    /// replaces does not come back at once. That is kept as a version.
    ///
    /// # Errors
    /// There is no such version: nothing changed.
    pub async fn put_back(&self, visit: &Visit<'_>, id: u64, pin: bool) -> Result<PutBack, NotPutBack> {
        if !self.store.takes_more() {
            return Err(NotPutBack::NoRoom);
        }
        self.recall(visit).await;
        // What is served becomes a version only if it is on the disk.
        self.store.written().await;
        let selected = self.select(visit);
        let served = selected.stored.ok_or(NotPutBack::NothingStored)?;
        let chosen = if id == id_of(&served) { Some(served.clone()) } else { self.store.version(&served, id).await };
        let now = self.clock.now();
        let Some(chosen) = chosen.filter(|chosen| self.validity(chosen, now) != Validity::Hard) else {
            let there = self.versions_of(&served, now).await;
            return Err(NotPutBack::Unknown(there.iter().map(|version| version.id).collect()));
        };
        let windows = own_windows(&chosen, visit.route, now);
        let windows = if pin { windows.for_ever() } else { windows };
        let response = self.put_anew(selected.hash, &chosen, visit.route, windows, pin);
        let durable = self.store.is_written(&response).await;
        Ok(PutBack { response, durable })
    }

    /// What a visit selects is stale from now on, if it was pinned: its next visit renews it. Says whether it is so after a
    /// crash, too.
    ///
    /// # Errors
    /// It is not pinned, or the disk takes nothing: nothing changed.
    pub async fn unpin(&self, visit: &Visit<'_>) -> Result<bool, NotUnpinned> {
        if !self.store.takes_more() {
            return Err(NotUnpinned::NoRoom);
        }
        self.recall(visit).await;
        let selected = self.select(visit);
        let stored = selected.stored.ok_or(NotUnpinned::NothingStored)?;
        if !stored.pinned {
            return Err(NotUnpinned::NotPinned);
        }
        let now = self.clock.now();
        let windows = own_windows(&stored, visit.route, now).stale_from(now);
        let response = self.put_anew(selected.hash, &stored, visit.route, windows, false);
        Ok(self.store.is_written(&response).await)
    }

    /// Stores a response once more, as if it was fetched now: so it is newer than what is there and than every fill that is on
    /// its way.
    fn put_anew(
        &self,
        hash: KeyHash,
        old: &StoredResponse,
        route: &Route,
        windows: Windows,
        pinned: bool,
    ) -> Arc<StoredResponse> {
        let now = self.clock.now();
        let new = StoredResponse {
            windows,
            fetched_at: now,
            checked: Checked::new(self.journal.epoch()),
            written: Written::default(),
            route: route.name.clone(),
            pinned,
            history: route.policy.history,
            ..old.with_body(old.body.clone())
        };
        let new = Arc::new(new);
        self.verdicts.forget(hash);
        self.store.put(hash, Slot::Response(new.clone()), now);
        new
    }

    /// Whether what stands there is pinned, and so is not to be replaced by a fill.
    pub(crate) fn is_pinned(&self, hash: KeyHash) -> bool {
        match self.store.peek_response(hash) {
            Some(there) => there.pinned && self.validity(&there, self.clock.now()) != Validity::Hard,
            // It may have lost its place in memory, and the disk may not have answered in time.
            None => self.store.is_pinned_below(hash),
        }
    }
}

fn id_of(response: &StoredResponse) -> u64 {
    response.windows.generated.as_micros()
}

/// The windows that its route gives it, once more from now on. What it was stored with may have been changed since.
fn own_windows(response: &StoredResponse, route: &Route, now: Timestamp) -> Windows {
    let (generated, age_at_generation) = (response.windows.generated, response.windows.age_at_generation);
    let times = Times { requested: generated, responded: generated, completed: generated };
    let status = response.head.status().as_u16();
    let own = freshness::windows(status, &response.head.origin_fields(), &route.policy, &times, true);
    Windows { age_at_generation, ..own.again_from(now) }
}
