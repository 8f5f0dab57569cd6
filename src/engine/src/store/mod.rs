//! Stored responses and where they are kept. A store does not know why something is stored or for how long it is good.

mod head;
mod memory;
mod response;

pub use head::{Audience, HIDDEN, Head, HeadBuilder};
pub use memory::{Memory, Place, Settings, Slot, Usage};
pub use response::{MAX_VARIANTS, Regeneration, Standing, StoredResponse, VarySpec, Written};

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A key's place in tables: the full key is compared wherever an answer depends on it.
pub type KeyHash = u128;

/// Hashes keys with a seed of this process, so that nobody outside can look for collisions.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    seed: u64,
}

impl KeyHasher {
    pub fn new(seed: u64) -> Self {
        KeyHasher { seed }
    }

    pub fn hash(&self, key: &[u8]) -> KeyHash {
        xxh3_128_with_seed(key, self.seed)
    }
}
