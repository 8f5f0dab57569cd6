//! How a stored response stands: against time, invalidations, writes to its URL, and an operator's pin.

use crate::Engine;
use crate::invalidate::Validity;
use crate::store::StoredResponse;
use semantics::{Selection, Timestamp, Windows};

impl Engine {
    /// What a stored response is to a visit now; `None` after a hard invalidation.
    pub(crate) fn selection(&self, response: &StoredResponse, now: Timestamp) -> Option<Selection> {
        let windows = self.windows(response, now)?;
        // The state of the regeneration matters only to what is stale, and costs a lock.
        let fresh = now < windows.fresh_until;
        let failing_until = if fresh { None } else { response.regeneration.failing_until() };
        Some(Selection::Stored { windows, failing_until })
    }

    /// The windows that invalidations leave to a response; `None` after a hard one.
    pub(crate) fn windows(&self, response: &StoredResponse, now: Timestamp) -> Option<Windows> {
        match self.validity(response, now) {
            Validity::Valid if response.pinned => Some(response.windows.for_ever()),
            Validity::Valid => Some(response.windows),
            Validity::Soft(at) => Some(response.windows.stale_from(at.min(now))),
            Validity::Validate => Some(response.windows.validated_from(now)),
            Validity::Doubt => Some(response.windows.ended_at(now)),
            Validity::Hard => None,
        }
    }

    /// Whether a response may answer in the place of an origin that fails.
    pub(crate) fn is_usable(&self, response: &StoredResponse, now: Timestamp) -> bool {
        self.windows(response, now).is_some_and(|windows| now < windows.usable_until())
    }

    /// How a response stands against invalidations and against writes to its URL.
    pub(crate) fn validity(&self, response: &StoredResponse, now: Timestamp) -> Validity {
        match self.journal.check(&response.checked, || response.subject()) {
            Validity::Hard => Validity::Hard,
            // What an operator put there he takes away.
            _ if response.pinned => Validity::Valid,
            Validity::Valid | Validity::Soft(_) if response.written.forbids(response.fetched_at, now) => {
                Validity::Validate
            }
            validity => validity,
        }
    }
}
