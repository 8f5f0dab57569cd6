//! Stored responses and where they are kept: in memory, and under it on the disk. A store does not know why something is stored or for how long it is good.

pub mod archive;
mod body;
mod coded;
pub mod disk;
mod head;
mod memory;
mod response;
mod slot;
mod tiered;
mod turns;

pub use body::{Body, Filed};
pub use coded::{Coded, InCoding};
pub use disk::{BodyReader, Disk, DiskSettings, DiskUsage};
pub use head::{Audience, HIDDEN, Head, HeadBuilder, Made};
pub use memory::{Memory, Settings, Usage};
pub use response::{MAX_VARIANTS, Regeneration, Standing, StoredResponse, VarySpec, Written};
pub use slot::Slot;
pub use tiered::{NoAnswer, Place, Store, Tier};

use std::hash::Hasher;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A key's place in tables: the full key is compared wherever an answer depends on it.
pub type KeyHash = u128;

/// Hashes keys with a seed that nobody outside knows, so that he cannot look for collisions: of this process, or of the
/// disk store, whose files are named so.
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

/// Keys are hashes already.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}
