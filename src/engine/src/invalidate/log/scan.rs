//! Reads frame after frame, and tells an end that was never written from damage.
//!
//! A disk writes sectors, each whole or not at all, in any order. So the frame that was being written when the power failed
//! lacks its first sector, or its last one, and there are zeros in its place. Frames have no zeros there.

use super::super::event::Event;
use super::frame::{self, HEAD, Header, MARK, Read};

const SECTOR: u64 = 512;

/// What comes after the last whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Room, or nothing.
    Clean,
    /// A frame that was not written to its end.
    Torn,
    /// A frame that was, and cannot be read now.
    Damaged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// After the last whole frame, in the bytes.
    pub(super) end: usize,
    /// Stretches between whole frames that cannot be read.
    pub(super) gaps: u64,
    pub(super) tail: Tail,
}

impl Scanned {
    /// Frames, or more of them in one stretch, that were acknowledged and cannot be read.
    pub(super) fn bad(&self) -> u64 {
        self.gaps + u64::from(self.tail == Tail::Damaged)
    }
}

/// Some bytes of a log, from `offset` on, where a frame begins.
struct Bytes<'a> {
    bytes: &'a [u8],
    offset: u64,
    header: Header,
    /// After the last one that is not zero.
    written: usize,
}

/// Calls `each` for every event, in order, and for the end of its frame in the bytes.
pub(super) fn scan<'a>(
    bytes: &'a [u8],
    offset: u64,
    header: Header,
    each: &mut dyn FnMut(Event<'a>, usize),
) -> Scanned {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let log = Bytes { bytes, offset, header, written };
    let (mut at, mut gaps) = (0, 0);
    loop {
        if let Some((event, end)) = log.event(at) {
            each(event, end);
            at = end;
        } else if let Some(next) = log.next(at) {
            gaps += 1;
            at = next;
        } else {
            return Scanned { end: at, gaps, tail: log.tail(at) };
        }
    }
}

impl<'a> Bytes<'a> {
    fn read(&self, at: usize) -> Read {
        frame::read(self.bytes, at, self.offset + at as u64, self.header)
    }

    fn event(&self, at: usize) -> Option<(Event<'a>, usize)> {
        let Read::Frame { kind, payload, end } = self.read(at) else { return None };
        Some((Event::decode(kind, &self.bytes[payload])?, end))
    }

    /// Where the next whole frame begins.
    fn next(&self, after: usize) -> Option<usize> {
        let rest = self.bytes.get(after + 1..self.written)?;
        let places = rest.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
        places.map(|(n, _)| after + 1 + n).find(|at| self.event(*at).is_some())
    }

    fn tail(&self, at: usize) -> Tail {
        if at >= self.written {
            return Tail::Clean;
        }
        let sector = SECTOR - (self.offset + at as u64) % SECTOR;
        let first = self.bytes[at..].iter().take(usize::try_from(sector).unwrap_or(usize::MAX));
        let not_begun = first.copied().all(|byte| byte == 0);
        if not_begun || self.written < at + HEAD || self.read(at) == Read::Unfinished {
            return Tail::Torn;
        }
        Tail::Damaged
    }
}
