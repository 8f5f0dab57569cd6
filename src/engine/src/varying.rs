//! A URL whose responses vary: what says how, and which variants are found by it (RFC 9111, 4.1).

use crate::Engine;
use crate::store::{KeyHash, Slot, VarySpec};
use std::sync::Arc;

impl Engine {
    /// Makes a variant findable, and lets go what nobody would find: the oldest one of too many, and all of `before`, which
    /// stood at this URL and is another one than `spec`.
    pub(crate) fn publish_variant(
        &self,
        primary: KeyHash,
        before: Option<&VarySpec>,
        spec: &Arc<VarySpec>,
        (variant, key): (KeyHash, &[u8]),
    ) {
        let there = self.store.peek(primary, &spec.key);
        if !matches!(&there, Some(Slot::Varies(known)) if Arc::ptr_eq(known, spec)) {
            self.store.put(primary, Slot::Varies(spec.clone()), self.clock.now());
        }
        let other = before.filter(|before| !std::ptr::eq(*before, &raw const **spec));
        let orphans = other.map(|other| std::mem::take(&mut *other.variants.lock())).unwrap_or_default();
        let (new, oldest) = spec.admit(variant);
        for gone in orphans.into_iter().filter(|orphan| *orphan != variant).chain(oldest) {
            self.store.remove(gone, key, true);
        }
        if new {
            self.store.keep(primary, &Slot::Varies(spec.clone()));
        }
    }
}
