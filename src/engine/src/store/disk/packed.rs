//! Stored responses on their way out of a store and into another one, in the format of this store's files.

#[cfg(test)]
mod tests;

use super::Disk;
use super::find::{At, not_from_the_future};
use super::format::{self, BLOCK, Bad};
use crate::store::{KeyHash, NoAnswer, Slot, StoredResponse};
use semantics::Timestamp;
use std::sync::Arc;

/// A response that is being packed, its body piece by piece.
#[derive(Debug)]
pub struct Packing {
    bytes: Vec<u8>,
    id: u64,
    blocks: u64,
}

impl Packing {
    /// Everything but the body, of which so many bytes are to come as it says itself.
    pub fn begin(response: &Arc<StoredResponse>) -> Self {
        // Whoever stores it gives its body another one.
        let id = u64::try_from(response.body.digest() & u128::from(u64::MAX)).unwrap_or_default();
        let mut bytes = format::encode_head(&Slot::Response(response.clone()), id);
        if let Some(length) = usize::try_from(response.body.len()).ok().filter(|length| *length <= AHEAD) {
            bytes.reserve(length);
        }
        Packing { bytes, id, blocks: 0 }
    }

    /// What comes next of the body; all pieces but the last are whole blocks, as [`super::BodyReader`] gives them out.
    pub fn body(&mut self, piece: &[u8]) {
        format::append_blocks(&mut self.bytes, piece, self.id, self.blocks);
        self.blocks += piece.len().div_ceil(BLOCK) as u64;
    }

    /// All of it.
    pub fn end(self) -> Vec<u8> {
        self.bytes
    }
}

/// Room for longer bodies is made when they come, in bytes.
const AHEAD: usize = 64 << 20;

/// Reads a response that was packed somewhere else. What its clock was ahead of ours makes it no younger.
///
/// # Errors
/// It is damaged, of a later version, or something else.
pub fn unpack(bytes: &[u8], now: Timestamp) -> Result<StoredResponse, Bad> {
    match not_from_the_future(format::decode(bytes, 0)?, now) {
        Slot::Response(response) => {
            let response = Arc::into_inner(response).ok_or(Bad::Damaged)?;
            let fits = response.head.is_sound(response.body.len());
            if fits { Ok(response) } else { Err(Bad::Damaged) }
        }
        Slot::Varies(_) => Err(Bad::Foreign),
    }
}

impl Disk {
    /// What is stored at a key, its body left in its file. For threads that may wait.
    ///
    /// # Errors
    /// Nobody can say.
    pub(in crate::store) fn find_patiently(
        &self,
        hash: KeyHash,
        key: &[u8],
        variant: bool,
    ) -> Result<Option<Slot>, NoAnswer> {
        match self.pending_at(hash, key) {
            At::Once(None) if self.health.is_off() => return Err(NoAnswer),
            At::Once(pending) => return Ok(pending),
            At::Length => {}
        }
        let Some(place) = self.place(hash, key, variant) else { return Ok(None) };
        Ok(self.head_at(place)?.filter(|slot| slot.key() == key))
    }

    /// Whether there is room for many more pages that are to be written.
    pub(in crate::store) fn has_room(&self) -> bool {
        self.health.is_off() || self.queue.is_half_empty()
    }
}
