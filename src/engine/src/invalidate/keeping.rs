//! Journals on the disk: how they are opened, followed and taken over.

use super::event::Event;
use super::journal::Journal;
use super::keeper::{Keeper, NotKept};
use super::log::{self, Follower, Log, News, Ticket};
use super::opening::{Followed, Found, Opened, Options, Role, Trust};
use super::state::State;
use crate::store::disk::Files;
use semantics::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The file whose lock says which process holds the journal.
const LOCK: &str = "lock";

/// Where what happens is kept.
pub(super) enum Keeping {
    /// Invalidations, and nothing else, by somebody else.
    Elsewhere(Box<dyn Keeper>),
    Log(Log),
    Follower(Follower),
}

impl Keeping {
    /// Whether this process may write at all.
    pub(super) fn may_write(&self) -> Result<(), NotKept> {
        match self {
            Keeping::Elsewhere(_) | Keeping::Log(_) => Ok(()),
            Keeping::Follower(_) => {
                let why = "another process holds the journal of this directory, and alone may write to it";
                Err(NotKept(why.to_owned()))
            }
        }
    }

    /// Writes down what has happened already. `whole`: all of the state, this included.
    pub(super) fn keep(&mut self, event: &Event<'_>, whole: &dyn Fn() -> Vec<u8>) -> Ticket {
        match self {
            Keeping::Elsewhere(_) => Ticket::Durable,
            Keeping::Log(log) => log.keep(event, whole),
            Keeping::Follower(_) => Ticket::Lost,
        }
    }
}

impl Journal {
    /// Opens the journal of a directory: to hold it, or, where another process does, to follow it. What cannot be written is
    /// no error: see [`Journal::is_behind`].
    ///
    /// # Errors
    /// The system's: it cannot be read. `NotFound`: another process holds it, and has not written it yet. `InvalidData`:
    /// another process holds it, and it cannot be read.
    pub fn open(files: Arc<dyn Files>, options: &Options, now: Timestamp) -> io::Result<(Self, Opened)> {
        if let Some(lock) = files.lock(Path::new(LOCK))? {
            let taken = log::take(files, lock, options, now)?;
            let journal = Journal::restored(taken.state, taken.epoch, Keeping::Log(taken.log));
            return Ok((journal, taken.opened));
        }
        let (follower, mut state, epoch, bad_frames) = log::load_to_follow(files)?;
        if options.trust == Trust::Lost {
            state.records.distrust(epoch);
        }
        let trust = if bad_frames > 0 { Trust::Lost } else { options.trust };
        let seed = follower.seed();
        let opened = Opened { role: Role::Follower, seed, found: Found::Restored, bad_frames, trust };
        Ok((Journal::restored(state, epoch, Keeping::Follower(follower)), opened))
    }

    /// Whether this process may write.
    pub fn role(&self) -> Role {
        match &*self.keeping.lock() {
            Keeping::Elsewhere(_) | Keeping::Log(_) => Role::Holder,
            Keeping::Follower(_) => Role::Follower,
        }
    }

    /// Whether something happened that is not on the disk, because the disk refuses it. It takes effect, but would be lost
    /// by a restart.
    pub fn is_behind(&self) -> bool {
        match &*self.keeping.lock() {
            Keeping::Log(log) => log.is_behind(),
            Keeping::Elsewhere(_) | Keeping::Follower(_) => false,
        }
    }

    /// Finds out whether somebody removed the journal: then it is behind.
    pub fn notice_removal(&self) {
        if let Keeping::Log(log) = &*self.keeping.lock() {
            log.notice_removal();
        }
    }

    /// Writes what the disk refused before. Nothing to do is as good.
    ///
    /// # Errors
    /// The disk's: it still refuses.
    pub fn retry(&self) -> io::Result<()> {
        match &mut *self.keeping.lock() {
            Keeping::Log(log) if log.is_behind() => log.rewrite(&|| self.whole()),
            _ => Ok(()),
        }
    }

    /// Reads what the process that holds the journal has written since; nothing, where that is this one.
    ///
    /// # Errors
    /// The system's; `InvalidData`: what was written cannot be read, or is another store's. Nothing changed, and the next
    /// call tries again.
    pub fn follow(&self) -> io::Result<Followed> {
        let mut keeping = self.keeping.lock();
        let Keeping::Follower(follower) = &mut *keeping else { return Ok(Followed::default()) };
        match follower.follow()? {
            News::Nothing => Ok(Followed::default()),
            News::More(more) => {
                let mut state = self.state.write();
                let before = state.notes.clone();
                let (epoch, bad_frames) = more.replay(&mut state, self.epoch());
                // Before the lock is given back: who looks up with this epoch finds these records.
                self.raise(epoch);
                Ok(Followed { notes: changed(&before, &state.notes), bad_frames })
            }
            News::Anew { state, epoch, bad } => Ok(Followed { notes: self.replace(*state, epoch), bad_frames: bad }),
        }
    }

    /// Tries to become the process that holds the journal, and reads the rest of it then. `None`: another process still
    /// holds it.
    ///
    /// # Errors
    /// The system's; `InvalidData`: the journal is another store's now. This process follows as before.
    pub fn take_over(&self, now: Timestamp) -> io::Result<Option<(Opened, Followed)>> {
        let mut keeping = self.keeping.lock();
        let Keeping::Follower(follower) = &*keeping else { return Ok(None) };
        let Some(lock) = follower.files().lock(Path::new(LOCK))? else { return Ok(None) };
        let options = Options { seed: follower.seed(), trust: Trust::Kept, least: self.epoch() };
        let taken = log::take_over(follower, lock, &options, now)?;
        let notes = self.replace(taken.state, taken.epoch);
        let bad_frames = taken.opened.bad_frames;
        *keeping = Keeping::Log(taken.log);
        Ok(Some((taken.opened, Followed { notes, bad_frames })))
    }

    /// Puts another state in the place of this one, and returns the notes that are others then.
    fn replace(&self, mut new: State, epoch: u64) -> Vec<(String, Vec<u8>)> {
        let mut state = self.state.write();
        // What was doubted once stays so.
        new.records.distrust(state.records.distrusted());
        let old = std::mem::replace(&mut *state, new);
        self.raise(epoch);
        let notes = changed(&old.notes, &state.notes);
        drop(state);
        // Only now is it taken apart, which takes its time.
        drop(old);
        notes
    }
}

fn changed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let new = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    new.map(|(name, value)| (name.clone(), value.clone())).collect()
}
