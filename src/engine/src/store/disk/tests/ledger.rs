//! What was done to each key, what of it was acknowledged when, and whether what is found agrees with that.

use super::faulty::Faulty;
use super::pages::{Key, Stored, compare, number};
use super::{Files, Life, list, stored_files};
use crate::store::{Slot, StoredResponse};
use std::collections::HashSet;
use std::path::Path;
use tokio::runtime::Runtime;

enum What {
    Put(u64, Stored),
    Gone,
}

struct Event {
    what: What,
    /// So many operations of the file system were done before.
    at: usize,
}

/// What was done to one key.
#[derive(Default)]
pub(super) struct Past {
    events: Vec<Event>,
    /// After so many operations, so many events were acknowledged.
    acknowledged: Vec<(usize, usize)>,
    /// Before so many operations it was evicted: with all its versions of then, but not for ever if the power went.
    evicted: Vec<usize>,
}

impl Past {
    pub(super) fn put(&mut self, number: u64, stored: Stored, at: usize) {
        self.events.push(Event { what: What::Put(number, stored), at });
    }

    pub(super) fn gone(&mut self, at: usize) {
        self.events.push(Event { what: What::Gone, at });
    }

    pub(super) fn evicted(&mut self, at: usize) {
        self.evicted.push(at);
    }

    /// All of it is on the disk. `there`: something is stored.
    pub(super) fn acknowledge(&mut self, there: bool, at: usize) {
        if self.last().is_some() && !there {
            self.evicted(at);
        }
        self.acknowledged.push((at, self.events.len()));
    }

    /// What was stored last, and not removed.
    pub(super) fn last(&self) -> Option<&Stored> {
        match &self.events.last()?.what {
            What::Put(_, stored) => Some(stored),
            What::Gone => None,
        }
    }

    /// The version of that number, and the event that it came by.
    fn version(&self, number: u64) -> Option<(usize, &Stored)> {
        self.events.iter().enumerate().find_map(|(at, event)| match &event.what {
            What::Put(n, stored) if *n == number => Some((at, stored)),
            _ => None,
        })
    }

    /// Whether nothing may be found after so many operations; `floor`: the last event that was acknowledged.
    fn may_be_absent(&self, floor: Option<usize>, operations: usize) -> bool {
        let Some(floor) = floor else { return true };
        let acknowledged = self.acknowledged_at(operations);
        self.events[floor..].iter().any(|event| matches!(event.what, What::Gone) && event.at <= operations)
            || self.evicted.iter().any(|at| *at >= acknowledged && *at <= operations)
    }

    fn acknowledged_at(&self, operations: usize) -> usize {
        self.acknowledged.iter().rev().find(|(at, _)| *at <= operations).map_or(0, |(at, _)| *at)
    }

    fn floor(&self, operations: usize) -> Option<usize> {
        let known = self.acknowledged.iter().rev().find(|(at, _)| *at <= operations);
        known.and_then(|(_, events)| events.checked_sub(1))
    }

    /// Looks a key up after so many operations. `strict`: what was acknowledged has to be there.
    pub(super) fn check(
        &self,
        life: &Life,
        key: &Key,
        operations: usize,
        strict: bool,
        runtime: &Runtime,
    ) -> Result<Option<Slot>, String> {
        let floor = self.floor(operations);
        let Some(found) = life.find(key, runtime) else {
            let absent = !strict || self.may_be_absent(floor, operations);
            return if absent { Ok(None) } else { Err("acknowledged, and lost".to_owned()) };
        };
        let number = number(&found).ok_or("what is found has no number")?;
        let (event, stored) = self.version(number).ok_or(format!("{number} was never stored there"))?;
        let oldest = if strict { floor } else { self.last_gone(operations) };
        if oldest.is_some_and(|oldest| event < oldest) {
            return Err(format!("{number} is older than what was acknowledged"));
        }
        match compare(life, &found, stored, runtime) {
            Ok(()) => Ok(Some(found)),
            // Its body could not be read.
            Err(error) if !strict && !error.contains("another") => Ok(None),
            Err(error) => Err(format!("{number}: {error}")),
        }
    }

    /// The last acknowledged removal.
    fn last_gone(&self, operations: usize) -> Option<usize> {
        let floor = self.floor(operations)?;
        (0..=floor).rev().find(|at| matches!(self.events[*at].what, What::Gone))
    }

    /// Every version that is kept is whole.
    fn check_versions(&self, life: &Life, response: &StoredResponse, runtime: &Runtime) -> Result<(), String> {
        let files =
            list(&*life.disk.files, Path::new(&format!("versions/{:032x}", super::hash_of(&response.key)))).len();
        let versions = life.disk.versions(response);
        if versions.len() != files {
            return Err(format!("{files} versions are kept, {} can be read", versions.len()));
        }
        for version in versions {
            let slot = Slot::Response(life.disk.version(response, version.id).ok_or("a version cannot be read")?);
            let stored = number(&slot).and_then(|number| self.version(number)).ok_or("a version was never stored")?;
            compare(life, &slot, stored.1, runtime).map_err(|error| format!("a version has {error}"))?;
        }
        Ok(())
    }
}

/// Takes a file system into use as it was left after so many operations, and says what is wrong with it.
pub(super) fn check(files: &Faulty, keys: &[Key], pasts: &[Past], operations: usize, runtime: &Runtime) -> Vec<String> {
    let life = Life::begin(std::sync::Arc::new(files.clone()), super::PLENTY);
    let mut wrong = Vec::new();
    let orphans: Vec<_> = list(files, Path::new("tmp")).iter().flat_map(|dir| list(files, dir)).collect();
    if orphans.len() != 1 {
        wrong.push(format!("left below tmp: {orphans:?}"));
    }
    life.disk.index_all();
    wrong.extend(check_index(&life, files));
    for (key, past) in keys.iter().zip(pasts) {
        match past.check(&life, key, operations, true, runtime) {
            Ok(Some(Slot::Response(found))) => wrong.extend(past.check_versions(&life, &found, runtime).err()),
            Ok(_) => {}
            Err(error) => wrong.push(error),
        }
    }
    let usage = life.disk.usage();
    // What has its place was durable before it got there.
    wrong.extend(usage.errors.iter().map(|(name, count)| format!("{count} are {name}")));
    let versions = list(files, Path::new("versions")).into_iter().flat_map(|page| list(files, &page));
    let beside: u64 = versions.map(|name| files.stat(&name).unwrap().length.next_multiple_of(4096)).sum();
    let occupied = beside + stored_files(files).iter().map(|(_, occupied)| occupied).sum::<u64>();
    if usage.bytes != occupied {
        wrong.push(format!("{} bytes are counted, {occupied} are there", usage.bytes));
    }
    let named: usize = life.disk.deployments().iter().map(|(_, count)| count).sum();
    if named != usage.entries {
        wrong.push(format!("{} are stored, {named} of deployments that are known", usage.entries));
    }
    wrong
}

/// The index says exactly what is there.
fn check_index(life: &Life, files: &Faulty) -> Option<String> {
    let indexed: HashSet<_> =
        (0..256).flat_map(|shard| life.disk.index.shard(shard)).map(|one| one.place.path()).collect();
    let there: HashSet<_> = stored_files(files).into_iter().map(|(name, _)| name).collect();
    let usage = life.disk.usage();
    let right = indexed == there && usage.entries == there.len() && usage.indexed;
    (!right).then(|| format!("{} are there, {} in the index, {} counted", there.len(), indexed.len(), usage.entries))
}
