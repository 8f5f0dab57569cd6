//! What is on the disk alone comes back into memory when somebody asks for it.

use crate::guard::Known;
use crate::store::{BodyReader, Slot, StoredResponse};
use crate::{Engine, Visit};
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
                None => return self.recall_shared(visit).await,
            },
        };
        let Slot::Varies(spec) = slot else { return recalled };
        let (hash, key) = self.variant_of(visit, &spec);
        self.store.peek(hash, &key).is_none() && self.store.recall(hash, &key, true, now).await.is_some() || recalled
    }

    /// Brings everything that is stored for a visit's URL into memory, its variants too.
    pub async fn recall_all(&self, visit: &Visit<'_>) {
        self.recall(visit).await;
        let Some(Slot::Varies(spec)) = self.store.peek(visit.hash, visit.key) else { return };
        let variants: Vec<_> = spec.variants.lock().iter().copied().collect();
        for hash in variants {
            self.store.recall_variant(hash, visit.key, self.clock.now()).await;
        }
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
