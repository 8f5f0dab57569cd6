//! What is in a file, and what of it is on the disk.

use super::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// What a disk writes as one, or not at all.
pub(super) const SECTOR: usize = 512;

/// Of 100 lost sectors of a file that grew, those that have what was there before.
const GARBAGE: u64 = 15;

#[derive(Clone)]
pub(super) struct Contents {
    pub now: Vec<u8>,
    pub modified: SystemTime,
    durable: Vec<u8>,
    /// What was done to it since.
    pending: Vec<Change>,
    /// A sync failed.
    failed: bool,
}

#[derive(Clone)]
enum Change {
    Write(usize, Arc<[u8]>),
    Length(usize),
}

impl Change {
    /// The bytes that are others afterwards.
    fn apply(&self, bytes: &mut Vec<u8>) -> std::ops::Range<usize> {
        match self {
            Change::Write(offset, new) => {
                let end = offset + new.len();
                // A gap up to there is zeros.
                let begin = bytes.len().min(*offset);
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(new);
                begin..end
            }
            Change::Length(length) => {
                let range = bytes.len().min(*length)..bytes.len().max(*length);
                bytes.resize(*length, 0);
                range
            }
        }
    }
}

impl Contents {
    pub fn new(modified: SystemTime) -> Contents {
        Contents { now: Vec::new(), modified, durable: Vec::new(), pending: Vec::new(), failed: false }
    }

    pub fn write(&mut self, offset: u64, bytes: &Arc<[u8]>, now: SystemTime) {
        if !bytes.is_empty() {
            self.change(Change::Write(size(offset), Arc::clone(bytes)), now);
        }
    }

    pub fn set_len(&mut self, length: u64, now: SystemTime) {
        self.change(Change::Length(size(length)), now);
    }

    fn change(&mut self, change: Change, now: SystemTime) {
        change.apply(&mut self.now);
        self.pending.push(change);
        self.modified = now;
    }

    pub fn sync(&mut self) {
        if !self.failed {
            self.durable.clone_from(&self.now);
            self.pending.clear();
        }
    }

    pub fn sync_failed(&mut self) {
        self.failed |= !self.pending.is_empty();
    }

    /// As it is found after the power went. `garbage` may give what other files left on the disk.
    pub fn crash(&self, chance: &mut Rng, mut garbage: impl FnMut(&mut Rng) -> Sector) -> Contents {
        let (sectors, lengths) = self.history();
        let (order, length) = Order::pick(self.pending.len(), chance);
        let mut found = self.durable.clone();
        found.resize(lengths[length], 0);
        let old = self.durable.len().div_ceil(SECTOR);
        for (number, history) in sectors {
            let begin = number * SECTOR;
            if begin >= found.len() {
                break;
            }
            let upto = order.upto(chance);
            let there = history.iter().rev().find(|version| version.after <= upto);
            let bytes = match there {
                Some(version) => version.bytes,
                None if number < old => sector(&self.durable, number),
                // The disk has room for it, but nothing is there yet.
                None if history.iter().any(|version| version.written) && chance.chance(GARBAGE) => garbage(chance),
                None => [0; SECTOR],
            };
            let end = found.len().min(begin + SECTOR);
            found[begin..end].copy_from_slice(&bytes[..end - begin]);
        }
        Contents { now: found.clone(), modified: self.modified, durable: found, pending: Vec::new(), failed: false }
    }

    /// What each sector was since the last sync, and the length after each change; first that of then.
    fn history(&self) -> (BTreeMap<usize, Vec<Version>>, Vec<usize>) {
        let mut sectors: BTreeMap<usize, Vec<Version>> = BTreeMap::new();
        let mut bytes = self.durable.clone();
        let mut lengths = vec![bytes.len()];
        for (before, change) in self.pending.iter().enumerate() {
            let touched = change.apply(&mut bytes);
            for number in touched.start / SECTOR..touched.end.div_ceil(SECTOR) {
                let written = matches!(change, Change::Write(offset, _) if (number + 1) * SECTOR > *offset);
                let version = Version { after: before + 1, bytes: sector(&bytes, number), written };
                sectors.entry(number).or_default().push(version);
            }
            lengths.push(bytes.len());
        }
        (sectors, lengths)
    }
}

pub(super) type Sector = [u8; SECTOR];

/// A sector after so many of the changes.
struct Version {
    after: usize,
    bytes: Sector,
    /// Not only moved by the file's length.
    written: bool,
}

/// Which changes reach the disk. Pure chance would seldom bring the states that programs meet.
enum Order {
    /// Those up to one, and it in part.
    Upto(usize),
    /// Each sector's up to any.
    Any(usize),
    Exactly(usize),
}

impl Order {
    /// Of so many changes. And the change that the length is from.
    fn pick(changes: usize, chance: &mut Rng) -> (Order, usize) {
        let any = |chance: &mut Rng| chance.index(changes + 1);
        match chance.below(8) {
            0 | 1 => (Order::Exactly(changes), changes),
            // The length is there before what it is the length of.
            2 => (Order::Exactly(0), changes),
            3 => (Order::Exactly(0), any(chance)),
            4 | 5 => {
                let one = any(chance);
                (Order::Upto(one), one)
            }
            6 => (Order::Any(changes), changes),
            _ => (Order::Any(changes), any(chance)),
        }
    }

    /// How many changes reached one sector.
    fn upto(&self, chance: &mut Rng) -> usize {
        match *self {
            Order::Upto(one) => one.saturating_sub(chance.index(2)),
            Order::Any(changes) => chance.index(changes + 1),
            Order::Exactly(one) => one,
        }
    }
}

/// One sector of these bytes; zeros after their end.
pub(super) fn sector(bytes: &[u8], number: usize) -> Sector {
    let mut sector = [0; SECTOR];
    let rest = bytes.get(number * SECTOR..).unwrap_or(&[]);
    let length = rest.len().min(SECTOR);
    sector[..length].copy_from_slice(&rest[..length]);
    sector
}

fn size(of: u64) -> usize {
    usize::try_from(of).expect("it fits into memory")
}
