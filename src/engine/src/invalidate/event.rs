//! What happens to a journal, as it is written down: see [`super::log`] for where.

use super::Invalidation;
use super::codec::{ReadMore, Reader, Write, WriteMore};
use semantics::Timestamp;
use std::borrow::Cow;

/// One thing that happened.
pub(super) enum Event<'a> {
    /// Everything up to here: a [`super::state::State`] as it dumps itself.
    Whole(&'a [u8]),
    /// The invalidations of one epoch.
    Invalidated { epoch: u64, at: Timestamp, all: Cow<'a, [Invalidation]> },
    /// Tags were added to a page.
    Tagged { epoch: u64, host: Option<&'a str>, path: &'a str, tags: Cow<'a, [String]> },
    /// Hard records up to this epoch are forgotten.
    Swept(u64),
    /// A note has this value from now on.
    Noted { name: &'a str, value: &'a [u8] },
    /// A process took the journal over, and goes on from this epoch.
    Taken(u64),
}

/// Which of the events of a journal it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventNumber(pub(super) u64);

/// An event, ready to be written.
pub(super) struct Encoded {
    pub(super) number: u64,
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

impl Encoded {
    pub(super) fn new(number: u64, event: &Event<'_>) -> Self {
        let (kind, payload) = event.encode();
        Encoded { number, kind, payload }
    }
}

/// Something cannot be invalidated, or noted, here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotKept(pub String);

impl std::fmt::Display for NotKept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it could not be kept: {}", self.0)
    }
}

impl std::error::Error for NotKept {}

/// The kind of [`Event::Whole`].
pub(super) const WHOLE: u8 = 1;
const INVALIDATED: u8 = 2;
const TAGGED: u8 = 3;
const SWEPT: u8 = 4;
const NOTED: u8 = 5;
const TAKEN: u8 = 6;

impl<'a> Event<'a> {
    /// Its kind, and what belongs to it.
    pub(super) fn encode(&self) -> (u8, Vec<u8>) {
        let mut out = Vec::new();
        let kind = match self {
            Event::Whole(bytes) => {
                out.extend_from_slice(bytes);
                WHOLE
            }
            Event::Invalidated { epoch, at, all } => {
                out.u64(*epoch);
                out.u64(at.as_micros());
                out.count(all.len());
                all.iter().for_each(|one| out.invalidation(one));
                INVALIDATED
            }
            Event::Tagged { epoch, host, path, tags } => {
                out.u64(*epoch);
                out.optional(*host);
                out.bytes(path.as_bytes());
                out.count(tags.len());
                tags.iter().for_each(|tag| out.bytes(tag.as_bytes()));
                TAGGED
            }
            Event::Swept(epoch) => {
                out.u64(*epoch);
                SWEPT
            }
            Event::Noted { name, value } => {
                out.bytes(name.as_bytes());
                out.bytes(value);
                NOTED
            }
            Event::Taken(epoch) => {
                out.u64(*epoch);
                TAKEN
            }
        };
        (kind, out)
    }

    /// `None`: not what [`Event::encode`] writes.
    pub(super) fn decode(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let mut read = Reader::new(payload);
        let event = match kind {
            WHOLE => return Some(Event::Whole(payload)),
            INVALIDATED => {
                let (epoch, at, count) = (read.u64()?, read.u64()?, read.count()?);
                let all: Option<Vec<_>> = (0..count).map(|_| read.invalidation()).collect();
                Event::Invalidated { epoch, at: Timestamp::from_micros(at), all: all?.into() }
            }
            TAGGED => {
                let (epoch, host, path, count) = (read.u64()?, read.optional()?, read.text()?, read.count()?);
                let tags: Option<Vec<_>> = (0..count).map(|_| read.text().map(str::to_owned)).collect();
                Event::Tagged { epoch, host, path, tags: tags?.into() }
            }
            SWEPT => Event::Swept(read.u64()?),
            NOTED => Event::Noted { name: read.text()?, value: read.bytes()? },
            TAKEN => Event::Taken(read.u64()?),
            _ => return None,
        };
        read.end()?;
        Some(event)
    }
}
