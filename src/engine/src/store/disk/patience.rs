//! Waiting for the disk: on a thread of the runtime's, of which few may wait at a time, and with a deadline. A disk that does
//! not answer costs these threads and no others.

use super::Disk;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a look-up may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);
/// The same for a piece of a page that is being delivered, and for what nobody waits for who visits a page.
pub(super) const LONG_DEADLINE: Duration = Duration::from_secs(10);
/// Look-ups and deliveries that may wait for the disk at a time.
const READERS: usize = 64;
/// The same for everything else: lists, versions, what is saved.
const CHORES: usize = 16;
/// The same for what takes as long as it takes. Places of their own, so that stuck ones keep no list from anybody.
const LONG_CHORES: usize = 4;

/// Who may wait for the disk.
pub(super) struct Waiters {
    pub(super) readers: Arc<Semaphore>,
    chores: Arc<Semaphore>,
    long_chores: Arc<Semaphore>,
}

impl Default for Waiters {
    fn default() -> Self {
        let places = |n| Arc::new(Semaphore::new(n));
        Waiters { readers: places(READERS), chores: places(CHORES), long_chores: places(LONG_CHORES) }
    }
}

impl Disk {
    /// Does something that visitors do not wait for. `None`: the disk is off, or does not answer in time.
    pub(crate) async fn chore<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Disk>) -> T + Send + 'static,
    ) -> Option<T> {
        self.while_on(&self.waiters.chores, LONG_DEADLINE, work).await
    }

    /// The same for what may take as long as it takes.
    pub(crate) async fn long_chore<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Disk>) -> T + Send + 'static,
    ) -> Option<T> {
        self.while_on(&self.waiters.long_chores, Duration::MAX, work).await
    }

    /// Something for a visitor.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Duration,
        work: impl FnOnce(&Arc<Disk>) -> T + Send + 'static,
    ) -> Option<T> {
        self.while_on(&self.waiters.readers, deadline, work).await
    }

    /// The rest of what a visitor has the beginning of: also while the disk is off, which may still give it.
    pub(super) async fn read_on<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Disk>) -> T + Send + 'static,
    ) -> Option<T> {
        self.waited(&self.waiters.readers, LONG_DEADLINE, work).await
    }

    async fn while_on<T: Send + 'static>(
        self: &Arc<Self>,
        waiters: &Arc<Semaphore>,
        deadline: Duration,
        work: impl FnOnce(&Arc<Disk>) -> T + Send + 'static,
    ) -> Option<T> {
        if self.health.is_off() { None } else { self.waited(waiters, deadline, work).await }
    }

    async fn waited<T: Send + 'static>(
        self: &Arc<Self>,
        waiters: &Arc<Semaphore>,
        deadline: Duration,
        work: impl FnOnce(&Arc<Disk>) -> T + Send + 'static,
    ) -> Option<T> {
        let Ok(Ok(permit)) = timeout(deadline.min(LONG_DEADLINE), waiters.clone().acquire_owned()).await else {
            self.health.count("busy", &"not done: so much waits for the disk already");
            return None;
        };
        let disk = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&disk);
            drop(permit);
            done
        });
        match timeout(deadline, done).await {
            Ok(done) => done.ok(),
            Err(_) => {
                self.health.failed("read-deadline", &std::io::ErrorKind::TimedOut.into());
                None
            }
        }
    }
}
