//! The format of one file of the disk store, version 1. All numbers are little endian.
//!
//! ```text
//!   0  8  "LARDERP\n"
//!   8  2  format version
//!  10  1  what it is: 1 a stored response, 2 which fields a URL varies on
//!  11  1  flags: 1 pinned
//!  12  4  length of the head in bytes
//!  16  8  length of the body in bytes
//!  24  8  the body's id: no two bodies have the same
//!  32  8  XXH3-64 of the head, seeded with the body's id
//!  40  8  XXH3-64 of the 40 bytes before
//!  48     the head: the full key, times, epochs, tags, the response's own head (`head.rs` has the order)
//!         the body in blocks of 64 KiB, the last one shorter, each with 8 bytes of XXH3-64 behind it, seeded with the
//!         body's id and the block's number
//! ```
//!
//! A file is valid only if it is exactly as long as that says, is named after its key, and every checksum fits: one that
//! was cut off, lengthened, flipped, mixed with another or written by somebody else is no stored response. The checksums find
//! damage, not malice: nobody but Larder may write in its directory.

mod head;

use crate::codec::Reader;
use crate::store::{Body, Slot};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Of everything here. Files of a later version are left alone.
const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"LARDERP\n";
/// Bytes before the head.
pub(super) const PREAMBLE: usize = 48;
/// Bytes of the body under one checksum.
pub(super) const BLOCK: usize = 64 << 10;
/// Bytes of a checksum.
pub(super) const SUM: usize = 8;
/// Heads are longer only in files that are not ours, in bytes.
pub(super) const HEAD_AT_MOST: usize = 16 << 20;

/// Why a file is no stored response. The names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bad {
    /// Not a file of Larder's.
    Foreign,
    /// Of a version that this one cannot read.
    Newer,
    /// Cut off, lengthened, or a checksum does not fit.
    Damaged,
    /// In the place of another key.
    Swapped,
}

impl Bad {
    pub fn as_str(self) -> &'static str {
        match self {
            Bad::Foreign => "foreign",
            Bad::Newer => "newer-format",
            Bad::Damaged => "damaged",
            Bad::Swapped => "swapped",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Response,
    Varies,
}

/// The first bytes of a file: what must be known to read the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preamble {
    kind: Kind,
    pub(super) pinned: bool,
    pub(super) head: usize,
    pub(super) body: u64,
    pub(super) id: u64,
    head_sum: u64,
}

impl Preamble {
    pub(super) fn read(bytes: &[u8]) -> Result<Preamble, Bad> {
        if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
            return Err(Bad::Foreign);
        }
        let bytes = bytes.get(..PREAMBLE).ok_or(Bad::Damaged)?;
        let mut reader = Reader::new(&bytes[MAGIC.len()..]);
        let version = reader.u16().ok_or(Bad::Damaged)?;
        let (kind, flags) = (reader.u8().ok_or(Bad::Damaged)?, reader.u8().ok_or(Bad::Damaged)?);
        let head = reader.u32().ok_or(Bad::Damaged)? as usize;
        let mut word = || reader.u64().ok_or(Bad::Damaged);
        let (body, id, head_sum, sum) = (word()?, word()?, word()?, word()?);
        if sum != xxh3_64(&bytes[..PREAMBLE - SUM]) {
            return Err(Bad::Damaged);
        }
        // Whole, and still not to be read by this version.
        if version > VERSION {
            return Err(Bad::Newer);
        }
        let kind = match kind {
            1 => Kind::Response,
            2 => Kind::Varies,
            _ => return Err(Bad::Foreign),
        };
        if head > HEAD_AT_MOST {
            return Err(Bad::Damaged);
        }
        Ok(Preamble { kind, pinned: flags & 1 != 0, head, body, id, head_sum })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(match self.kind {
            Kind::Response => 1,
            Kind::Varies => 2,
        });
        out.push(u8::from(self.pinned));
        out.extend_from_slice(&u32::try_from(self.head).unwrap_or(u32::MAX).to_le_bytes());
        for word in [self.body, self.id, self.head_sum] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let sum = xxh3_64(&out[from..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// How long the whole file is; `None`: no file is so long.
    pub(super) fn file_length(&self) -> Option<u64> {
        let sums = self.body.div_ceil(BLOCK as u64).checked_mul(SUM as u64)?;
        (PREAMBLE as u64 + self.head as u64).checked_add(self.body)?.checked_add(sums)
    }

    /// Where the body begins.
    pub(super) fn body_from(&self) -> u64 {
        PREAMBLE as u64 + self.head as u64
    }
}

/// What stands before the body. `id`: of the body.
pub(super) fn encode_head(slot: &Slot, id: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    let (kind, pinned, body) = match slot {
        Slot::Response(response) => {
            head::write_response(&mut head, response);
            (Kind::Response, response.pinned, response.body.len())
        }
        Slot::Varies(spec) => {
            head::write_varies(&mut head, spec);
            (Kind::Varies, false, 0)
        }
    };
    let head_sum = xxh3_64_with_seed(&head, id);
    let mut out = Vec::with_capacity(PREAMBLE + head.len());
    Preamble { kind, pinned, head: head.len(), body, id, head_sum }.write(&mut out);
    out.extend_from_slice(&head);
    out
}

/// The checksum behind one block of a body.
pub(super) fn block_sum(block: &[u8], id: u64, number: u64) -> [u8; SUM] {
    xxh3_64_with_seed(block, id ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()
}

/// Appends a body to a file's bytes.
pub(super) fn append_body(out: &mut Vec<u8>, body: &[u8], id: u64) {
    append_blocks(out, body, id, 0);
}

/// Appends a part of a body that begins with this block.
pub(super) fn append_blocks(out: &mut Vec<u8>, part: &[u8], id: u64, first: u64) {
    out.reserve(part.len() + part.len().div_ceil(BLOCK) * SUM);
    for (number, block) in (first..).zip(part.chunks(BLOCK)) {
        out.extend_from_slice(block);
        out.extend_from_slice(&block_sum(block, id, number));
    }
}

/// What a file says before its body; the body is left in the file. `bytes`: its first [`Preamble::body_from`] ones or more.
pub(super) fn decode_head(preamble: &Preamble, bytes: &[u8], swept: u64) -> Result<Slot, Bad> {
    let end = PREAMBLE.checked_add(preamble.head).ok_or(Bad::Damaged)?;
    let head = bytes.get(PREAMBLE..end).ok_or(Bad::Damaged)?;
    if xxh3_64_with_seed(head, preamble.id) != preamble.head_sum {
        return Err(Bad::Damaged);
    }
    match preamble.kind {
        Kind::Response => head::read_response(head, preamble, swept),
        Kind::Varies => head::read_varies(head),
    }
    .ok_or(Bad::Damaged)
}

/// What stands in a file, all of which is at hand. `swept`: up to this epoch everything on the disk was judged.
pub(super) fn decode(bytes: &[u8], swept: u64) -> Result<Slot, Bad> {
    let preamble = Preamble::read(bytes)?;
    if preamble.file_length() != Some(bytes.len() as u64) {
        return Err(Bad::Damaged);
    }
    let mut slot = decode_head(&preamble, bytes, swept)?;
    if let Slot::Response(response) = &mut slot {
        let stored = bytes.get(PREAMBLE + preamble.head..).ok_or(Bad::Damaged)?;
        let body = decode_body(stored, preamble.id).ok_or(Bad::Damaged)?;
        // Nobody else has it yet.
        if let Some(response) = std::sync::Arc::get_mut(response) {
            response.body = Body::Held(body.into());
        }
    }
    Ok(slot)
}

fn decode_body(stored: &[u8], id: u64) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(stored.len());
    for (number, block) in stored.chunks(BLOCK + SUM).enumerate() {
        let (block, sum) = block.split_at_checked(block.len().checked_sub(SUM)?)?;
        if block_sum(block, id, number as u64) != sum {
            return None;
        }
        body.extend_from_slice(block);
    }
    body.shrink_to_fit();
    Some(body)
}
