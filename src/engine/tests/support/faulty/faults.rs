//! What fails, when, and what is left out.

use super::Rng;
use super::state::Op;
use std::collections::BTreeMap;
use std::io;

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// What can be asked of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Create,
    Open,
    Read,
    Write,
    SetLen,
    Rename,
    Link,
    Remove,
    MakeDir,
    List,
    Stat,
    Sync,
    SyncDir,
    SyncAll,
    Space,
    Reopen,
    Lock,
}

/// Syncs that say that they did something, and did nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sabotage {
    /// `File::sync` and `Files::sync_all`.
    pub ignore_sync: bool,
    /// `Files::sync_dir`.
    pub ignore_sync_dir: bool,
}

#[derive(Default)]
pub(super) struct Faults {
    counts: BTreeMap<Kind, u64>,
    plan: Option<Plan>,
    only: Option<Vec<Kind>>,
    /// How much files can take.
    pub capacity: Option<u64>,
    pub sabotage: Sabotage,
}

struct Plan {
    /// Operations until it fails.
    left: u64,
    /// And then again after so many.
    again: Option<u64>,
    error: i32,
}

impl Faults {
    pub fn after(&mut self, n: u64, error: i32) {
        self.plan = Some(Plan { left: n, again: None, error });
    }

    pub fn every(&mut self, n: u64, error: i32) {
        let between = n.checked_sub(1).expect("not each zeroth");
        self.plan = Some(Plan { left: between, again: Some(between), error });
    }

    pub fn only(&mut self, kinds: &[Kind]) {
        self.only = Some(kinds.to_vec());
    }

    pub fn heal(&mut self) {
        (self.plan, self.only, self.capacity) = (None, None, None);
    }

    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Counts an operation, and says whether it fails.
    pub fn next(&mut self, kind: Kind) -> io::Result<()> {
        *self.counts.entry(kind).or_default() += 1;
        let Some(plan) = &mut self.plan else { return Ok(()) };
        if self.only.as_ref().is_some_and(|only| !only.contains(&kind)) {
            return Ok(());
        }
        let error = plan.error;
        match (plan.left, plan.again) {
            (0, Some(again)) => plan.left = again,
            (0, None) => self.plan = None,
            _ => {
                plan.left -= 1;
                return Ok(());
            }
        }
        Err(io::Error::from_raw_os_error(error))
    }

    /// Chance that is the same each time that the same was done before.
    pub fn chance(&self) -> Rng {
        Rng(self.counts.values().sum())
    }

    pub fn sabotaged(&self, op: Op) -> Op {
        let nothing = match op {
            Op::Sync(_) | Op::SyncAll => self.sabotage.ignore_sync,
            Op::SyncDir(_) => self.sabotage.ignore_sync_dir,
            _ => false,
        };
        if nothing { Op::Nothing } else { op }
    }
}
