//! One wait for the disk for all who came while the last one lasted.

use crate::store::disk::File;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;

/// Which of the events in the log are on the disk.
#[derive(Default)]
pub(super) struct Commit {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    /// `None`: none could be written yet.
    file: Option<Arc<dyn File>>,
    /// Files so far.
    replaced: u64,
    /// Events so far, and how many of them are on the disk.
    appended: u64,
    synced: u64,
    phase: Phase,
    standing: Standing,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    /// Somebody waits for the disk, on behalf of all.
    Syncing,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// The file holds everything.
    Good,
    /// The disk refused something: the file is to be replaced before anything is written to it.
    #[default]
    Behind,
}

/// An event that was written, and may not be on the disk yet.
pub(in crate::invalidate) enum Ticket {
    Durable,
    /// It is not on the disk, and the log is behind.
    Lost,
    Written(Written),
}

/// See [`Ticket::Written`].
pub(in crate::invalidate) struct Written {
    commit: Arc<Commit>,
    number: u64,
}

impl Ticket {
    /// Waits for the disk, and says whether the event is there.
    pub(in crate::invalidate) fn wait(self) -> bool {
        match self {
            Ticket::Durable => true,
            Ticket::Lost => false,
            Ticket::Written(written) => written.commit.wait(written.number),
        }
    }
}

impl Commit {
    /// For a file all of whose events are on the disk; `None`: there is none, so the log is behind.
    pub(super) fn new(file: Option<Arc<dyn File>>) -> Arc<Self> {
        let standing = if file.is_some() { Standing::Good } else { Standing::Behind };
        Arc::new(Commit {
            progress: Mutex::new(Progress { file, standing, ..Progress::default() }),
            changed: Condvar::new(),
        })
    }

    pub(super) fn file(&self) -> Option<Arc<dyn File>> {
        self.progress.lock().file.clone()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.progress.lock().standing == Standing::Behind
    }

    /// One more event was written to the file.
    pub(super) fn appended(self: &Arc<Self>) -> Ticket {
        let mut progress = self.progress.lock();
        progress.appended += 1;
        Ticket::Written(Written { commit: self.clone(), number: progress.appended })
    }

    /// Everything so far is in this file, and on the disk.
    pub(super) fn replaced(&self, file: Arc<dyn File>) {
        let mut progress = self.progress.lock();
        progress.file = Some(file);
        progress.replaced += 1;
        progress.synced = progress.appended;
        progress.standing = Standing::Good;
        drop(progress);
        self.changed.notify_all();
    }

    pub(super) fn fall_behind(&self, error: &io::Error) {
        self.progress.lock().fall_behind(error);
        self.changed.notify_all();
    }

    fn wait(&self, number: u64) -> bool {
        let mut progress = self.progress.lock();
        loop {
            if progress.synced >= number {
                return true;
            }
            // What became of the file after a wait that failed cannot be told: another one that succeeds says nothing.
            let (Standing::Good, Some(file)) = (progress.standing, progress.file.clone()) else { return false };
            if progress.phase == Phase::Syncing {
                self.changed.wait(&mut progress);
                continue;
            }
            progress.phase = Phase::Syncing;
            let (target, replaced) = (progress.appended, progress.replaced);
            drop(progress);
            let result = file.sync();
            progress = self.progress.lock();
            progress.phase = Phase::Idle;
            match result {
                Ok(()) => progress.synced = progress.synced.max(target),
                // A file that was replaced meanwhile matters no more.
                Err(error) if progress.replaced == replaced => progress.fall_behind(&error),
                Err(_) => {}
            }
            self.changed.notify_all();
        }
    }
}

impl Progress {
    fn fall_behind(&mut self, error: &io::Error) {
        if self.standing == Standing::Good {
            tracing::warn!(%error, "the journal cannot be written: invalidations hold, but not over a restart");
        }
        self.standing = Standing::Behind;
    }
}
