//! What a key leads to: a response, or the fields by which to look again.

use super::response::{StoredResponse, VarySpec};
use std::sync::Arc;

/// What a key leads to.
#[derive(Clone, Debug)]
pub enum Slot {
    Response(Arc<StoredResponse>),
    /// The URL varies: look again with the nominated fields in the key.
    Varies(Arc<VarySpec>),
}

impl Slot {
    pub(super) fn cost(&self) -> usize {
        match self {
            Slot::Response(response) => response.cost(),
            Slot::Varies(spec) => spec.cost(),
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Slot::Response(response) => &response.key,
            Slot::Varies(spec) => &spec.key,
        }
    }

    /// Whether its key is a variant's.
    pub(super) fn is_variant(&self) -> bool {
        matches!(self, Slot::Response(response) if !response.variant.is_empty())
    }

    /// Whether its fetch began later.
    pub(super) fn is_newer_than(&self, other: &Slot) -> bool {
        match (self, other) {
            (Slot::Response(this), Slot::Response(that)) => {
                (this.checked.began(), this.fetched_at) > (that.checked.began(), that.fetched_at)
            }
            _ => self.began() > other.began(),
        }
    }

    /// The epoch in which its fetch began.
    fn began(&self) -> u64 {
        match self {
            Slot::Response(response) => response.checked.began(),
            Slot::Varies(spec) => spec.began,
        }
    }
}
