//! All that a journal holds: the records, and notes that others leave in it.

use super::Invalidation;
use super::codec::{Reader, Write};
use super::event::Event;
use super::records::Records;
use semantics::Timestamp;
use std::collections::BTreeMap;

/// The most bytes of a note's value, and of its name.
pub(super) const NOTE_AT_MOST: usize = 64 << 10;
pub(super) const NAME_AT_MOST: usize = 255;
/// At most so many notes: they are a handful, and every one of them is written whenever the log is.
pub(super) const NOTES_AT_MOST: usize = 64;

pub(super) struct State {
    pub(super) records: Records,
    pub(super) notes: BTreeMap<String, Vec<u8>>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        State { records: Records::new(seed), notes: BTreeMap::new() }
    }

    /// Adds records, and says how many had to fold for them.
    pub(super) fn invalidate(&mut self, all: &[Invalidation], epoch: u64, at: Timestamp) -> u64 {
        all.iter().map(|one| self.records.add(one, epoch, at)).sum()
    }

    /// Does again what happened before; [`Event::Whole`] takes the place of everything. Returns the epoch that it is of,
    /// if it is of one; `None` where it cannot be read.
    pub(super) fn replay(&mut self, event: &Event<'_>) -> Option<u64> {
        match event {
            Event::Whole(bytes) => {
                let (state, epoch) = State::restore(bytes, self.records.seed())?;
                *self = state;
                return Some(epoch);
            }
            Event::Invalidated { epoch, at, all } => {
                self.invalidate(all, *epoch, *at);
                return Some(*epoch);
            }
            Event::Tagged { epoch, host, path, tags } => {
                // What was refused is not written down, so there is room now as there was then.
                let _ = self.records.add_tags(*host, path, tags, *epoch);
            }
            Event::Swept(epoch) => self.records.forget_hard(*epoch),
            Event::Noted { name, value } => {
                self.notes.insert((*name).to_owned(), value.to_vec());
            }
            Event::Taken(epoch) => return Some(*epoch),
        }
        Some(0)
    }

    pub(super) fn dump(&self, epoch: u64) -> Vec<u8> {
        let mut out = Vec::new();
        out.u64(epoch);
        out.count(self.notes.len());
        for (name, value) in &self.notes {
            out.bytes(name.as_bytes());
            out.bytes(value);
        }
        self.records.dump(&mut out);
        out
    }

    /// What [`State::dump`] wrote, and the epoch.
    pub(super) fn restore(bytes: &[u8], seed: u64) -> Option<(Self, u64)> {
        let mut read = Reader::new(bytes);
        let (epoch, count) = (read.u64()?, read.count()?);
        let notes: Option<BTreeMap<_, _>> =
            (0..count).map(|_| Some((read.text()?.to_owned(), read.bytes()?.to_vec()))).collect();
        let records = Records::restore(&mut read, seed)?;
        read.end()?;
        Some((State { records, notes: notes? }, epoch))
    }
}
