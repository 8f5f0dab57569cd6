//! Answers that never change (`immutable`) are keyed without a deployment: whoever still has pages of an older one asks for its
//! hashed assets when the origin has forgotten them (skew protection; semantics 43 and 54). A visit's own key comes first, so
//! that a page whose answer is not of that kind costs nothing.

use crate::store::{KeyHash, Slot};
use crate::{Engine, Step, Visit};
use semantics::{Timestamp, key};
use std::sync::Arc;

impl Engine {
    /// Decides what can be decided at once about what is stored for every deployment.
    pub(crate) fn begin_shared(self: &Arc<Self>, visit: &Visit<'_>, now: Timestamp) -> Step {
        if visit.route.policy.is_isr() {
            return Step::Wait;
        }
        let (hash, key) = self.rekeyed(visit.key, "");
        let shared = Visit { key: &key, hash, ..*visit };
        match self.store.get(hash, &key, now) {
            Some(Slot::Response(response)) => self.step(&shared, Some(&response), now),
            Some(Slot::Varies(_)) => {
                let selected = self.select(&shared);
                self.step(&shared, selected.stored.as_ref(), now)
            }
            None => Step::Wait,
        }
    }

    /// Where a visit's answer is in memory, if it is not at its own key but at that of every deployment.
    pub(crate) fn shared_home(&self, visit: &Visit<'_>) -> Option<(KeyHash, Vec<u8>)> {
        if visit.route.policy.is_isr() || self.store.peek(visit.hash, visit.key).is_some() {
            return None;
        }
        let (hash, key) = self.rekeyed(visit.key, "");
        self.store.peek(hash, &key).map(|_| (hash, key))
    }

    /// The same for a look that does not wait.
    pub(crate) fn at_home<T>(&self, visit: &Visit<'_>, then: impl FnOnce(&Visit<'_>) -> T) -> T {
        match self.shared_home(visit) {
            Some((hash, key)) => then(&Visit { key: &key, hash, ..*visit }),
            None => then(visit),
        }
    }

    /// Brings what is stored for every deployment into memory.
    pub(crate) async fn recall_shared(&self, visit: &Visit<'_>) -> bool {
        if visit.route.policy.is_isr() {
            return false;
        }
        let (hash, key) = self.rekeyed(visit.key, "");
        if key == visit.key {
            return false;
        }
        Box::pin(self.recall(&Visit { key: &key, hash, ..*visit })).await
    }

    /// A key of another deployment, and its hash.
    pub fn rekeyed(&self, key: &[u8], deployment: &str) -> (KeyHash, Vec<u8>) {
        let mut other = Vec::with_capacity(key.len() + deployment.len());
        if key::of_deployment(&mut other, key, deployment).is_none() {
            other.extend_from_slice(key);
        }
        (self.hasher.hash(&other), other)
    }
}
