//! What is on the disk alone comes back into memory when somebody asks for it.

use crate::guard::{Known, write_pause};
use crate::store::{BodyReader, Slot, StoredResponse, VarySpec};
use crate::{Engine, Visit};
use semantics::Policy;
use std::sync::Arc;

impl Engine {
    /// Brings what a visit asks for back from the disk, where it is only there. Says whether there is anything now that was
    /// not in memory before.
    pub async fn recall(&self, visit: &Visit<'_>) -> bool {
        if self.store.disk().is_none() {
            return false;
        }
        let now = self.clock.now();
        // Of a key of which nothing may be stored there is nothing on the disk either.
        if matches!(self.verdicts.get(visit.hash, now), Some(Known::NotStorable { .. })) {
            return false;
        }
        let there = self.store.peek(visit.hash, visit.key);
        let (slot, recalled) = match there {
            Some(slot) => (slot, false),
            None => match self.store.recall(visit.hash, visit.key, false, now).await {
                Some(slot) => (slot, true),
                None => return self.recall_shared(visit).await || self.recall_part(visit).await,
            },
        };
        let Slot::Varies(spec) = slot else { return recalled };
        let (hash, key) = self.variant_of(visit, &spec);
        if self.store.peek(hash, &key).is_some() {
            return recalled;
        }
        let variant = self.store.recall(hash, &key, true, now).await;
        if let Some(Slot::Response(response)) = &variant {
            note_write(&spec, response, &visit.route.policy);
        }
        variant.is_some() || recalled
    }

    /// Opens the body of a stored response that is not held in memory. `None`: it is not there any more, and neither is the
    /// response; whoever asks for it starts over.
    pub async fn open(&self, response: &Arc<StoredResponse>) -> Option<BodyReader> {
        let reader = self.store.open(response).await;
        if reader.is_none() {
            self.store.forget(self.hasher.hash(&response.key), response);
        }
        reader
    }

    /// Whether what is stored is there after a restart.
    pub fn outlives_restarts(&self) -> bool {
        self.store.disk().is_some()
    }

    /// Keeps something that is to be found again after a restart, where there is a disk.
    pub async fn save(&self, name: String, bytes: Vec<u8>) {
        self.store.save(name, bytes).await;
    }

    /// What was saved under that name.
    pub async fn saved(&self, name: String) -> Option<Vec<u8>> {
        self.store.saved(name).await
    }
}

/// The URL may have been written to while a variant was on the disk alone.
pub(crate) fn note_write(spec: &VarySpec, variant: &StoredResponse, policy: &Policy) {
    if spec.written.is_after(variant.fetched_at) {
        variant.written.note(variant.fetched_at, spec.written.at(), write_pause(policy, &variant.windows));
    }
}
