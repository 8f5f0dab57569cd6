//! What the journal on the disk needs from time to time: to be written again after the disk failed, and where another
//! process holds it, to be read, and taken over when that one leaves.

use crate::Engine;
use crate::invalidate::{Journal, Role};
use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often it is read while another process writes it.
const FOLLOWED: Duration = Duration::from_millis(100);
/// How often a disk that refused is tried.
const RETRIED: Duration = Duration::from_secs(1);

impl Engine {
    /// Starts what the disk store needs, where there is one: its threads, and one for the journal.
    ///
    /// # Errors
    /// The system has no threads left.
    pub fn start_storing(self: &Arc<Self>) -> std::io::Result<()> {
        let Some(disk) = self.store.disk() else { return Ok(()) };
        let journal = self.journal.clone();
        let hard = crate::invalidate::Validity::Hard;
        disk.start(Box::new(move |response| journal.check(&response.checked, || response.subject()) != hard))?;
        let (engine, journal) = (Arc::downgrade(self), self.journal.clone());
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || keep_up(&engine, &journal))?;
        self.keeps_journal.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes what is still to be written. Nothing is stored on the disk afterwards.
    pub fn leave(&self) {
        if let Some(disk) = self.store.disk() {
            disk.leave();
        }
    }

    fn keep_up_once(self: &Arc<Self>) -> Duration {
        if self.journal.role() == Role::Holder {
            self.journal.notice_removal();
            if self.journal.is_behind() && self.journal.retry().is_ok() {
                tracing::warn!("invalidations are kept on the disk again");
            }
            return RETRIED;
        }
        match self.journal.follow() {
            Ok(followed) => {
                self.store.swept(self.journal.swept_epoch());
                if !followed.notes.is_empty() {
                    self.follow_deployments();
                }
                self.count_bad_frames(followed.bad_frames);
            }
            // Not written yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.store.count_error("journal", &error),
        }
        match self.journal.take_over(self.clock.now()) {
            Ok(Some((opened, followed))) => {
                tracing::info!("the other process has left: this one holds the journal of the store now");
                self.store.swept(self.journal.swept_epoch());
                self.count_bad_frames(opened.bad_frames + followed.bad_frames);
                self.follow_deployments();
                self.configure_again();
            }
            Ok(None) => {}
            Err(error) => self.store.count_error("journal", &error),
        }
        FOLLOWED
    }

    /// What could not be read of the journal: everything that was fetched before is validated.
    pub fn count_bad_frames(&self, count: u64) {
        for _ in 0..count.min(1000) {
            self.store
                .count_error("journal", &"a record of invalidations is damaged: what was stored before is validated");
        }
    }
}

/// Writes the journal, and looks after it in between.
fn keep_up(engine: &Weak<Engine>, journal: &Journal) {
    while let Some(engine) = engine.upgrade() {
        let pause = engine.keep_up_once();
        drop(engine);
        journal.write_next(pause);
    }
}
