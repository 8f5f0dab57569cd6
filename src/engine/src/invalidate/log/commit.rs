//! One wait for the disk for all who came while the last one lasted.

use crate::store::disk::File;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Which of the events are on the disk.
#[derive(Default)]
pub(in crate::invalidate) struct Commit {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    /// `None`: none could be written yet.
    file: Option<Arc<dyn File>>,
    /// Files so far.
    replaced: u64,
    /// Up to which event the file has them, and up to which they are on the disk.
    appended: u64,
    synced: u64,
    /// Up to which event somebody waited for the disk, and it did not answer in time.
    late: u64,
    /// Up to which event the disk refused them, if it has not taken them since.
    refused: u64,
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

    pub(in crate::invalidate) fn is_behind(&self) -> bool {
        self.progress.lock().standing == Standing::Behind
    }

    /// Up to which event the file has them.
    pub(in crate::invalidate) fn appended(&self) -> u64 {
        self.progress.lock().appended
    }

    /// The file has the events up to this one.
    pub(super) fn append(&self, number: u64) {
        self.progress.lock().appended = number;
    }

    /// This file has the events up to this one, and they are on the disk.
    pub(super) fn replace(&self, file: Arc<dyn File>, number: u64) {
        let mut progress = self.progress.lock();
        progress.file = Some(file);
        progress.replaced += 1;
        (progress.appended, progress.synced) = (number, number);
        progress.standing = Standing::Good;
        drop(progress);
        self.changed.notify_all();
    }

    /// The disk refused everything up to this event.
    pub(in crate::invalidate) fn refuse(&self, number: u64) {
        let mut progress = self.progress.lock();
        progress.refused = progress.refused.max(number);
        drop(progress);
        self.changed.notify_all();
    }

    pub(super) fn fall_behind(&self, error: &io::Error) {
        self.progress.lock().fall_behind(error);
        self.changed.notify_all();
    }

    /// Waits until an event that was appended is on the disk, and says whether it is.
    pub(in crate::invalidate) fn wait(&self, number: u64) -> bool {
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

    /// The same, while another thread writes it and waits for it, and for so long at most. Where the disk did not answer
    /// others in time, and has not since, it is not waited for.
    pub(in crate::invalidate) fn wait_for(&self, number: u64, patience: Duration) -> bool {
        let mut progress = self.progress.lock();
        let open = |progress: &mut Progress| {
            progress.synced < number && progress.refused < number && progress.synced >= progress.late
        };
        if self.changed.wait_while_for(&mut progress, open, patience).timed_out() && progress.synced < number {
            progress.late = number;
        }
        progress.synced >= number
    }
}

impl Progress {
    fn fall_behind(&mut self, error: &io::Error) {
        if self.standing == Standing::Good {
            tracing::warn!(%error, "the journal cannot be written: invalidations hold, but not over a restart");
        }
        self.standing = Standing::Behind;
        self.refused = self.refused.max(self.appended);
    }
}
