//! How a journal is opened, and what was found.

use std::path::PathBuf;

/// What a journal needs to be told when it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the store's keys are hashed with: so are the selectors of a journal that is new.
    pub seed: u64,
    /// What to think of stored responses where the journal itself gives no reason to doubt.
    pub trust: Trust,
    /// No stored response is known whose fetch began in a later epoch; 0, where that is not known.
    pub least: u64,
}

/// Whether the journal knows all that was invalidated of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Kept,
    /// Something may be lost, or is missing: what was fetched before is to be validated.
    Lost,
}

/// Who may write to a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This process does, and no other one, or there is no disk.
    Holder,
    /// Another process does: this one reads what it writes.
    Follower,
}

/// What was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A journal: its seed holds.
    Restored,
    /// None: the seed is the one of [`Options`].
    Nothing,
    /// One that cannot be read, or that a newer Larder wrote. It has another name now, and the seed is the one of
    /// [`Options`].
    Unreadable { kept_as: PathBuf },
}

/// A journal that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub role: Role,
    /// What the selectors are hashed with. Where it is not the store's, the journal is of another store.
    pub seed: u64,
    pub found: Found,
    /// So many frames, or stretches of them, were acknowledged and cannot be read.
    pub bad_frames: u64,
    pub trust: Trust,
}

/// What a process that follows has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Notes that have another value than before.
    pub notes: Vec<(String, Vec<u8>)>,
    /// So many frames, or stretches of them, cannot be read.
    pub bad_frames: u64,
}
