//! Reads an archive, or the frames of one, from beginning to end. What is damaged is told with its place, and never given
//! out.

use super::{Chain, END, FRAME, FrameHead, HEAD, Kind, MAGIC, SUM, VERSION, head};
use crate::store::KeyHash;
use std::io::{self, Read};
use xxhash_rust::xxh3::xxh3_64;

/// What is wrong with an archive.
#[derive(Debug)]
pub enum What {
    /// No archive of Larder's.
    Foreign,
    /// Of a version that this one cannot read.
    Newer,
    /// It breaks off.
    CutOff,
    /// One entry: the next one can be read.
    DamagedEntry,
    /// What tells entries apart: nothing can be read from here on.
    Damaged,
    /// What it says of itself at its end does not fit: entries are missing, or doubled.
    Mixed,
    /// Something stands behind its end.
    Longer,
    /// It cannot be read.
    Unreadable(io::Error),
}

/// Something that is wrong, and where: at which byte what is not whole begins.
#[derive(Debug)]
pub struct Trouble {
    pub at: u64,
    pub what: What,
}

impl Trouble {
    /// Whether what follows can be read.
    pub fn is_one_entry(&self) -> bool {
        matches!(self.what, What::DamagedEntry)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.at;
        match &self.what {
            What::Foreign => f.write_str("it is no archive of Larder's"),
            What::Newer => f.write_str("it is of a later version of Larder, which alone can read it"),
            What::CutOff => write!(f, "it is incomplete: it breaks off in what begins at byte {at}"),
            What::DamagedEntry => write!(f, "the entry that begins at byte {at} is damaged"),
            What::Damaged => write!(f, "it is damaged from byte {at} on"),
            What::Mixed => write!(f, "its end, at byte {at}, does not fit to what stands before"),
            What::Longer => write!(f, "something stands behind its end, from byte {at} on"),
            What::Unreadable(error) => write!(f, "it cannot be read at byte {at}: {error}"),
        }
    }
}

/// One stored response of an archive, as it lies there.
#[derive(Debug)]
pub struct Entry {
    /// Where the walk goes on behind it.
    pub cursor: KeyHash,
    /// The byte at which it begins.
    pub at: u64,
    /// The whole frame.
    pub frame: Vec<u8>,
}

impl Entry {
    /// The response, in the format of the disk store's files.
    pub fn content(&self) -> &[u8] {
        self.frame.get(FRAME..).unwrap_or_default()
    }
}

/// Reads entry after entry.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    store: u64,
    chain: Chain,
    /// Bytes that are read, all of them whole.
    at: u64,
    /// Whether frames alone are read, which have no end of their own.
    bare: bool,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the head of an archive.
    ///
    /// # Errors
    /// It is none, or of a later version.
    pub fn open(mut input: R) -> Result<Self, Trouble> {
        let bytes = take(&mut input, HEAD as u64).map_err(|error| Trouble { at: 0, what: What::Unreadable(error) })?;
        let store = read_head(&bytes).map_err(|what| Trouble { at: 0, what })?;
        Ok(Reader { input, store, chain: Chain::of(store), at: HEAD as u64, bare: false, over: false })
    }

    /// Of frames alone, as they are sent.
    pub fn of_frames(input: R) -> Self {
        Reader { input, store: 0, chain: Chain::of(0), at: 0, bare: true, over: false }
    }

    /// The store that the archive was taken from.
    pub fn store(&self) -> u64 {
        self.store
    }

    /// Of all whole frames so far.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// So many bytes are read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next entry; `None` behind the last one of an archive that is complete.
    ///
    /// # Errors
    /// What is wrong. Unless that is one entry alone, nothing follows.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Trouble> {
        if self.over {
            return Ok(None);
        }
        let at = self.at;
        let read = self.read();
        // After this nobody knows where anything begins.
        self.over = !matches!(read, Ok(Some(_)) | Err(What::DamagedEntry));
        read.map_err(|what| Trouble { at: if matches!(what, What::Longer) { self.at } else { at }, what })
    }

    fn read(&mut self) -> Result<Option<Entry>, What> {
        let mut frame = self.take(FRAME as u64)?;
        if frame.is_empty() && self.bare {
            return Ok(None);
        }
        let bytes = frame.first_chunk::<FRAME>().ok_or(What::CutOff)?;
        let head = FrameHead::read(bytes).ok_or(What::Damaged)?;
        let content = self.take(head.length)?;
        if content.len() as u64 != head.length {
            return Err(What::CutOff);
        }
        let whole = xxh3_64(&content) == head.content_sum;
        let at = self.at;
        self.at += FRAME as u64 + head.length;
        match head.kind {
            Kind::End if self.bare || !whole || content.len() != END => Err(What::Damaged),
            Kind::End if content != self.chain.content() => Err(What::Mixed),
            Kind::End if !self.take(1)?.is_empty() => Err(What::Longer),
            Kind::End => Ok(None),
            Kind::Response => {
                self.chain.add(&head);
                if !whole {
                    return Err(What::DamagedEntry);
                }
                frame.extend_from_slice(&content);
                Ok(Some(Entry { cursor: head.cursor, at, frame }))
            }
        }
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>, What> {
        take(&mut self.input, length).map_err(What::Unreadable)
    }
}

/// So many bytes, or fewer where they end. Takes no more room than there are bytes, whatever a damaged length says.
fn take(input: impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_head(bytes: &[u8]) -> Result<u64, What> {
    if !bytes.starts_with(MAGIC) {
        return Err(if MAGIC.starts_with(bytes) { What::CutOff } else { What::Foreign });
    }
    let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let (store, sum) = word(16).zip(word(HEAD - SUM)).ok_or(What::CutOff)?;
    if sum != xxh3_64(&bytes[..HEAD - SUM]) {
        return Err(What::Damaged);
    }
    if bytes[8..10] != VERSION.to_le_bytes() {
        return Err(What::Newer);
    }
    // What is 0 in this version is 0.
    if bytes != head(store) { Err(What::Damaged) } else { Ok(store) }
}
