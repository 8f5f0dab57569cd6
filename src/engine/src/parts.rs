//! Stored parts of pages (RFC 9111, 3.3; `profile: rfc9111`): how they are found, and when they go. A part is stored as if it
//! was a variant of its page, so that everything that knows variants knows it.

use crate::store::{KeyHash, Slot, StoredResponse};
use crate::{Engine, Selected, Served, Visit, served};
use semantics::{Method, Timestamp, key, range};
use std::sync::Arc;

impl Engine {
    /// The stored part that holds what a visit asks for, of a page that is not stored itself.
    pub(crate) fn part(&self, visit: &Visit<'_>, selected: &Selected, now: Timestamp) -> Option<Served> {
        let range = visit.facts.range.filter(|_| wants_part(visit) && selected.nominated.is_empty())?;
        let (_, stored) = self.stored_part(visit.key, now)?;
        let holds = |condition| range::if_range_holds(condition, stored.validators(), stored.head.field("date"));
        let answers = visit.facts.if_range.is_none_or(holds) && !self.must_ask_himself(visit, &stored);
        stored.cut(range).filter(|_| answers)?;
        Some(served(&stored, stored.windows.fresh_until.seconds_from(now), false))
    }

    /// The part that is stored of a page, while it is fresh.
    pub(crate) fn stored_part(&self, primary: &[u8], now: Timestamp) -> Option<(KeyHash, Arc<StoredResponse>)> {
        let (hash, key) = self.part_key(primary);
        let Some(Slot::Response(stored)) = self.store.get(hash, &key, now) else { return None };
        let windows = self.windows(&stored, now)?;
        (now < windows.fresh_until).then_some((hash, stored))
    }

    /// Brings a part that a visit may want back from the disk.
    pub(crate) async fn recall_part(&self, visit: &Visit<'_>) -> bool {
        if visit.facts.range.is_none() || !wants_part(visit) {
            return false;
        }
        let (hash, key) = self.part_key(visit.key);
        self.store.peek(hash, &key).is_none() && self.store.recall(hash, &key, true, self.clock.now()).await.is_some()
    }

    /// What is stored of a page in part is not, or may not be, of its present version.
    pub(crate) fn forget_part(&self, primary: &[u8]) {
        let (hash, key) = self.part_key(primary);
        self.store.remove_any(hash, &key, true);
    }

    pub(crate) fn part_key(&self, primary: &[u8]) -> (KeyHash, Vec<u8>) {
        let mut key = Vec::with_capacity(primary.len() + 16);
        key::write_part(&mut key, primary);
        (self.hasher.hash(&key), key)
    }
}

/// Where a page would be validated first, or is asked for, a part does not do.
fn wants_part(visit: &Visit<'_>) -> bool {
    visit.route.policy.is_plain() && visit.request.method == Method::Get && !visit.facts.conditional()
}
