//! The names in a directory, and which of them are on the disk.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Operations in the order that they were done in.
pub(super) type Stamp = u64;

/// A name in a directory as of an operation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub dir: u64,
    pub name: OsString,
    pub stamp: Stamp,
}

#[derive(Clone, Default)]
pub(super) struct Names(BTreeMap<OsString, History>);

#[derive(Clone, Default)]
pub(super) struct History {
    durable: Option<u64>,
    pending: Vec<Step>,
}

#[derive(Clone)]
pub(super) struct Step {
    pub stamp: Stamp,
    pub inode: Option<u64>,
    /// What is on the disk wherever this is.
    pub needs: Vec<Need>,
}

impl History {
    fn now(&self) -> Option<u64> {
        self.pending.last().map_or(self.durable, |step| step.inode)
    }

    /// What it is if of the pending steps only those up to this one reach the disk.
    pub fn upto(&self, stamp: Stamp) -> Option<u64> {
        self.steps(stamp).last().map_or(self.durable, |step| step.inode)
    }

    fn steps(&self, stamp: Stamp) -> &[Step] {
        &self.pending[..self.pending.partition_point(|step| step.stamp <= stamp)]
    }
}

impl Names {
    /// As found on a disk.
    pub fn found(names: BTreeMap<OsString, u64>) -> Names {
        let history = |inode| History { durable: Some(inode), pending: Vec::new() };
        Names(names.into_iter().map(|(name, inode)| (name, history(inode))).collect())
    }

    pub fn get(&self, name: &OsStr) -> Option<u64> {
        self.0.get(name).and_then(History::now)
    }

    pub fn now(&self) -> impl Iterator<Item = (&OsStr, u64)> {
        self.0.iter().filter_map(|(name, history)| Some((name.as_os_str(), history.now()?)))
    }

    pub fn histories(&self) -> impl Iterator<Item = (&OsString, &History)> {
        self.0.iter()
    }

    /// What was done to a name up to an operation, and may not be on the disk.
    pub fn steps(&self, name: &OsStr, upto: Stamp) -> &[Step] {
        self.0.get(name).map_or(&[], |history| history.steps(upto))
    }

    pub fn set(&mut self, name: &OsStr, step: Step) {
        self.0.entry(name.to_owned()).or_default().pending.push(step);
    }

    /// All that was done to a name, up to an operation, is on the disk. What has to be there too, is returned.
    pub fn sync(&mut self, name: &OsStr, stamp: Stamp) -> Vec<Need> {
        let Some(history) = self.0.get_mut(name) else { return Vec::new() };
        history.durable = history.upto(stamp);
        let done = history.steps(stamp).len();
        let needs = history.pending.drain(..done).flat_map(|step| step.needs).collect();
        if history.durable.is_none() && history.pending.is_empty() {
            self.0.remove(name);
        }
        needs
    }

    /// What was done last to each name, where it may not be on the disk.
    pub fn unsynced(&self, dir: u64) -> impl Iterator<Item = Need> {
        self.0.iter().filter_map(move |(name, history)| {
            let stamp = history.pending.last()?.stamp;
            Some(Need { dir, name: name.clone(), stamp })
        })
    }

    /// The same for one name.
    pub fn need(&self, dir: u64, name: &OsStr) -> Option<Need> {
        let stamp = self.0.get(name)?.pending.last()?.stamp;
        Some(Need { dir, name: name.to_owned(), stamp })
    }
}
