//! The body of a stored response: in memory, or in its file where it is too large for that.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

#[derive(Clone, Debug)]
pub enum Body {
    Held(Bytes),
    Filed(Filed),
}

/// A body that stays on the disk, and is read from there for everybody who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filed {
    /// No two bodies have the same.
    pub id: u64,
    /// Bytes.
    pub length: u64,
    /// Of all of it: see [`Body::digest`].
    pub digest: u128,
}

impl Body {
    /// Bytes.
    pub fn len(&self) -> u64 {
        match self {
            Body::Held(bytes) => bytes.len() as u64,
            Body::Filed(filed) => filed.length,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What of it is in memory: all, or nothing.
    pub fn held(&self) -> Option<&Bytes> {
        match self {
            Body::Held(bytes) => Some(bytes),
            Body::Filed(_) => None,
        }
    }

    /// Bytes that it takes in memory.
    pub fn heap_size(&self) -> usize {
        self.held().map_or(0, Bytes::len)
    }

    /// XXH3-128 of all of it: two bodies with the same one are taken for the same.
    pub fn digest(&self) -> u128 {
        match self {
            Body::Held(bytes) => xxh3_128(bytes),
            Body::Filed(filed) => filed.digest,
        }
    }

    /// Whether these are the same bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Body::Held(held) => held == bytes,
            Body::Filed(filed) => filed.length == bytes.len() as u64 && filed.digest == xxh3_128(bytes),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::Held(bytes)
    }
}
