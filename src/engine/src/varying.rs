//! A URL whose responses vary: what says how, and which variants are found by it (RFC 9111, 4.1).

use crate::recall::note_write;
use crate::store::{KeyHash, Slot, StoredResponse, VarySpec};
use crate::{Engine, Visit};
use semantics::vary::{ACCEPT_LANGUAGE, favourite_language, is_list_of_languages, nominated};
use semantics::{Timestamp, key};
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
    /// A fresh variant in the language that a visitor asks for before all others, and like his own in all else (`profile: rfc9111`).
    /// RFC 9111 (4.1) would have it asked for: what he would get is known, because the origin said what it has in that language.
    pub(crate) fn in_favourite_language(&self, visit: &Visit<'_>, now: Timestamp) -> Option<Arc<StoredResponse>> {
        if !visit.route.policy.is_plain() {
            return None;
        }
        let Some(Slot::Varies(spec)) = self.store.peek(visit.hash, visit.key) else { return None };
        let at = spec.names.iter().position(|name| name == ACCEPT_LANGUAGE)?;
        let language = favourite_language(visit.request)?;
        let values = nominated(&spec.names, visit.request, &visit.route.policy);
        let answers = |response: &StoredResponse| {
            let of_page = key::primary(&response.key, true) == Some(visit.key);
            let in_it = response.head.field("content-language").is_some_and(|of| of.eq_ignore_ascii_case(language));
            let alike = response.variant.iter().zip(&values).all(|(one, his)| one == his || one.0 == ACCEPT_LANGUAGE);
            // What else was written into that field may be in the answer.
            let list = response.variant.get(at).and_then(|(_, value)| value.as_deref());
            let alike = alike && list.is_none_or(is_list_of_languages);
            note_write(&spec, response, &visit.route.policy);
            let fresh = || self.windows(response, now).is_some_and(|windows| now < windows.fresh_until);
            of_page && in_it && alike && response.variant.len() == values.len() && fresh()
        };
        let variants: Vec<KeyHash> = spec.variants.lock().iter().rev().copied().collect();
        variants.into_iter().find_map(|hash| {
            let response = self.store.peek_response(hash).filter(|response| answers(response))?;
            // Asked for again.
            self.store.get(hash, &response.key, now);
            Some(response)
        })
    }
}
