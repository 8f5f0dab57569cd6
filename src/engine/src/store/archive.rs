//! An archive of stored responses, to be kept or moved to another machine, version 1. All numbers are little endian.
//!
//! ```text
//! its head
//!   0  8  "LARDERX\n"
//!   8  2  format version
//!  10  6  0
//!  16  8  the store that it was taken from: its cursors lead nowhere in another one
//!  24  8  XXH3-64 of the 24 bytes before
//! then frames
//!   0  4  what it is: 1 a stored response, 2 the end
//!   4  4  0
//!   8  8  length of the content in bytes
//!  16 16  cursor: where the walk through the store goes on behind this entry
//!  32  8  XXH3-64 of the content
//!  40  8  XXH3-64 of the 40 bytes before
//!  48     the content: a stored response in the format of the disk store's files, with checksums of its own
//! and as the last one the end, whose content is
//!   0  8  how many stored responses there are
//!   8  8  the checksums of all frames before, chained
//! ```
//!
//! An archive without its end is incomplete: it can be gone on with behind its last whole frame. The checksums find damage,
//! not malice.

mod reader;
#[cfg(test)]
mod tests;

pub use reader::{Entry, Reader, Trouble, What};

use super::KeyHash;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const MAGIC: &[u8; 8] = b"LARDERX\n";
const VERSION: u16 = 1;
/// Bytes of an archive's head.
pub const HEAD: usize = 32;
/// Bytes of a frame before its content.
pub const FRAME: usize = 48;
/// Bytes of a checksum.
const SUM: usize = 8;
/// Bytes of the content of the last frame.
const END: usize = 16;

/// The first bytes of an archive of this store.
pub fn head(store: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&store.to_le_bytes());
    let sum = xxh3_64(&head[..HEAD - SUM]);
    head[HEAD - SUM..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// Appends a stored response to what is written. `cursor`: its hash where it was stored.
pub fn append(out: &mut Vec<u8>, cursor: KeyHash, content: &[u8]) {
    append_frame(out, Kind::Response, cursor, content);
}

fn append_frame(out: &mut Vec<u8>, kind: Kind, cursor: KeyHash, content: &[u8]) {
    let from = out.len();
    out.extend_from_slice(&kind.number().to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(content.len() as u64).to_le_bytes());
    out.extend_from_slice(&cursor.to_le_bytes());
    out.extend_from_slice(&xxh3_64(content).to_le_bytes());
    let sum = xxh3_64(&out[from..]);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(content);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Response,
    End,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Kind::Response => 1,
            Kind::End => 2,
        }
    }
}

/// What stands before a frame's content.
#[derive(Clone, Copy, Debug)]
struct FrameHead {
    kind: Kind,
    length: u64,
    cursor: KeyHash,
    content_sum: u64,
    sum: u64,
}

impl FrameHead {
    /// `None`: it is damaged, and nobody knows where the next one begins.
    fn read(bytes: &[u8; FRAME]) -> Option<FrameHead> {
        let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let sum = word(40)?;
        if sum != xxh3_64(&bytes[..FRAME - SUM]) {
            return None;
        }
        let kind = match u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) {
            1 => Kind::Response,
            2 => Kind::End,
            _ => return None,
        };
        let cursor = KeyHash::from_le_bytes(bytes.get(16..32)?.try_into().ok()?);
        Some(FrameHead { kind, length: word(8)?, cursor, content_sum: word(32)?, sum })
    }
}

/// What is known of all frames so far: what the end has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    count: u64,
    sum: u64,
}

impl Chain {
    /// Of an archive in which nothing is yet.
    pub fn of(store: u64) -> Self {
        Chain { count: 0, sum: xxh3_64(&head(store)) }
    }

    fn add(&mut self, frame: &FrameHead) {
        self.count += 1;
        self.sum = xxh3_64_with_seed(&frame.sum.to_le_bytes(), self.sum);
    }

    /// With one more entry.
    pub fn push(&mut self, entry: &Entry) {
        if let Some(head) = entry.frame.first_chunk::<FRAME>().and_then(FrameHead::read) {
            self.add(&head);
        }
    }

    /// How many stored responses there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn content(&self) -> [u8; END] {
        let mut content = [0; END];
        content[..8].copy_from_slice(&self.count.to_le_bytes());
        content[8..].copy_from_slice(&self.sum.to_le_bytes());
        content
    }

    /// The frame that ends the archive.
    pub fn end(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME + END);
        append_frame(&mut out, Kind::End, 0, &self.content());
        out
    }
}
