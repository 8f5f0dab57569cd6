//! Journals on the disk: how they are opened, written, followed and taken over.

use super::event::EventNumber;
use super::journal::Journal;
use super::log::{self, Commit, Follower, Log, News};
use super::opening::{Followed, Found, Opened, Options, Role, Trust};
use super::queue::{Next, Queue};
use super::state::State;
use crate::store::disk::Files;
use semantics::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The file whose lock says which process holds the journal.
const LOCK: &str = "lock";

/// Where what happens is kept.
pub(super) enum Keeping {
    /// What is stored ends with this process, and so may its journal.
    Nowhere,
    Log(Log),
    Follower(Follower),
}

impl Keeping {
    /// A queue for it, in which nothing is yet.
    pub(super) fn queue(&self) -> Queue {
        match self {
            Keeping::Nowhere => Queue::new(Role::Holder, None),
            Keeping::Log(log) => Queue::new(Role::Holder, Some(log.commit().clone())),
            Keeping::Follower(_) => Queue::new(Role::Follower, None),
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
        self.queue.lock().role
    }

    /// Whether something happened that is not on the disk, because the disk refuses it. It takes effect, but would be lost
    /// by a restart.
    pub fn is_behind(&self) -> bool {
        self.commit().is_some_and(|commit| commit.is_behind())
    }

    fn commit(&self) -> Option<Arc<Commit>> {
        self.queue.lock().commit.clone()
    }

    /// Waits until the disk has an event, or refuses it, and says which; where there is no disk nothing is waited for.
    pub fn wait(&self, event: EventNumber) -> bool {
        self.write();
        self.commit().is_none_or(|commit| commit.wait(event.0))
    }

    /// The same, but for so long at most, and while another thread is at [`Journal::write_next`]. Of a disk that does not
    /// answer only those who come first find out by waiting.
    pub fn wait_for(&self, event: EventNumber, patience: Duration) -> bool {
        self.commit().is_none_or(|commit| commit.wait_for(event.0, patience))
    }

    /// Waits for something to happen, for so long at most, and writes it.
    pub fn write_next(&self, pause: Duration) {
        let mut queue = self.queue.lock();
        if queue.is_empty() {
            self.queued.wait_for(&mut queue, pause);
        }
        let (something, newest) = (!queue.is_empty(), queue.newest());
        drop(queue);
        if something {
            self.wait(EventNumber(newest));
        }
    }

    /// All of the state, to be written down, and up to which event it tells of them.
    fn whole(&self) -> (Vec<u8>, u64) {
        let queue = self.queue.lock();
        (self.state.read().dump(self.epoch()), queue.newest())
    }

    /// Gives the disk what is in the queue.
    pub(super) fn write(&self) {
        let Keeping::Log(log) = &mut *self.keeping.lock() else { return };
        loop {
            let next = self.queue.lock().next(log.written());
            let kept = match next {
                Next::Nothing => return,
                Next::Event(event) => log.keep(&event, &|| self.whole()),
                Next::Whole => log.rewrite(&|| self.whole()),
            };
            if kept.is_err() {
                let mut queue = self.queue.lock();
                queue.drop_all();
                log.commit().refuse(queue.newest());
                return;
            }
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
        *self.queue.lock() = keeping.queue();
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
