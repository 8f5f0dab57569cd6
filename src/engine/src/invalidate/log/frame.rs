//! Headers and frames as bytes: the format is in [`super`].

use std::io;
use std::ops::Range;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const MAGIC: [u8; 7] = *b"LARDERJ";
const VERSION: u8 = 1;

/// Bytes of a file's header.
pub(super) const HEADER: usize = 32;

/// The marker. None of its bytes, nor the last one of a frame, is a bit away from zero: zeros are what was not written.
pub(super) const MARK: [u8; 4] = [0xA7, b'L', b'J', 0xD3];
const END: u8 = 0xE7;

/// Bytes of a frame before its payload.
pub(super) const HEAD: usize = 13;
/// Bytes of a frame without its payload.
pub(super) const OVERHEAD: usize = HEAD + 8 + 1;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) seed: u64,
    pub(super) generation: u64,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..7].copy_from_slice(&MAGIC);
        bytes[7] = VERSION;
        bytes[8..16].copy_from_slice(&self.seed.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        let sum = xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// # Errors
    /// Why it cannot be read.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some(bytes) = bytes.first_chunk::<HEADER>() else { return Err("it is too short".to_owned()) };
        if bytes[..7] != MAGIC {
            return Err("it is not a journal".to_owned());
        }
        if bytes[7] != VERSION {
            return Err(format!("its format has version {}, and this Larder writes {VERSION}", bytes[7]));
        }
        if number(&bytes[24..]) != xxh3_64(&bytes[..24]) {
            return Err("its header is damaged".to_owned());
        }
        Ok(Header { seed: number(&bytes[8..]), generation: number(&bytes[16..]) })
    }

    /// What the frame at this offset is hashed with.
    fn seed_at(self, offset: u64) -> u64 {
        self.seed.wrapping_add(self.generation).wrapping_add(offset)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// The lower half.
fn short(sum: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = sum.to_le_bytes();
    [a, b, c, d]
}

/// Adds the frame for this offset to `out`.
///
/// # Errors
/// It is too long for a frame.
pub(super) fn write(out: &mut Vec<u8>, header: Header, offset: u64, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let seed = header.seed_at(offset);
    let start = out.len();
    out.reserve(payload.len() + OVERHEAD);
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    let sum = xxh3_64_with_seed(&out[start..], seed);
    out.extend_from_slice(&short(sum));
    out.extend_from_slice(payload);
    let sum = xxh3_64_with_seed(&out[start..], seed);
    out.extend_from_slice(&sum.to_le_bytes());
    out.push(END);
    Ok(())
}

/// What is at a place where a frame should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Frame {
        kind: u8,
        payload: Range<usize>,
        end: usize,
    },
    /// It begins well, but its end was not written.
    Unfinished,
    Bad,
}

/// Reads the frame at `bytes[at..]`, which is at `offset` in the file.
pub(super) fn read(bytes: &[u8], at: usize, offset: u64, header: Header) -> Read {
    let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEAD>()) else { return Read::Bad };
    let seed = header.seed_at(offset);
    if head[..4] != MARK || short(xxh3_64_with_seed(&head[..9], seed)) != head[9..] {
        return Read::Bad;
    }
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let after = at + HEAD + length;
    let Some(whole) = bytes.get(at..after + 9) else { return Read::Unfinished };
    let (content, sum) = whole.split_at(HEAD + length);
    match sum[8] {
        0 => Read::Unfinished,
        END if number(sum) == xxh3_64_with_seed(content, seed) => {
            Read::Frame { kind: head[8], payload: at + HEAD..after, end: after + 9 }
        }
        _ => Read::Bad,
    }
}
