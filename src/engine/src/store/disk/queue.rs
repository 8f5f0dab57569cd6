//! What is to be written. Whoever stores something does not wait for the disk: he leaves it here, where it is found until
//! it is on the disk. Of two versions of a page only the newer one is written.

use super::index::SHARDS;
use super::names::{Place, shard_of};
use crate::store::{KeyHash, Slot};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What waits takes so much memory at most, in bytes, beside what the memory store counts anyway.
const BYTES_AT_MOST: usize = 128 << 20;
const JOBS_AT_MOST: usize = 65_536;
/// What fails so often fails for a reason of its own.
const TRIES: u8 = 3;

/// What is to happen at a place.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Keep(Slot),
    Remove,
    /// Remove it if it is still no stored response.
    Discard,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) place: Place,
    pub(super) work: Work,
    /// Jobs of one key are told apart by it.
    pub(super) number: u64,
    /// How often it was tried in vain.
    tries: u8,
    /// Bytes that it is counted with, whatever its response grows to meanwhile.
    cost: usize,
}

/// What is known of a key that is not settled on the disk yet.
pub(super) enum Pending {
    Slot(Slot),
    /// What lies on the disk does not count any more.
    Gone,
}

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// What was left here to be stored or removed, counted by the first byte of the hash.
    changes: Box<[AtomicU64]>,
    news: Condvar,
    settled: Condvar,
}

impl Default for Queue {
    fn default() -> Self {
        let changes = (0..SHARDS).map(|_| AtomicU64::new(0)).collect();
        Queue { waiting: Mutex::default(), changes, news: Condvar::new(), settled: Condvar::new() }
    }
}

#[derive(Default)]
struct Waiting {
    jobs: HashMap<KeyHash, Job>,
    order: VecDeque<(KeyHash, u64)>,
    bytes: usize,
    numbers: u64,
    stopped: bool,
    /// Whoever waits for everything that was left here before.
    hurried: bool,
}

impl Waiting {
    /// Forgets the places in line of what was replaced by something newer.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.jobs.len() + 1024 {
            let jobs = &self.jobs;
            self.order.retain(|(hash, number)| jobs.get(hash).is_some_and(|job| job.number == *number));
        }
    }

    fn take_out(&mut self, hash: KeyHash) {
        if let Some(job) = self.jobs.remove(&hash) {
            self.bytes -= job.cost;
        }
    }
}

fn cost(work: &Work) -> usize {
    match work {
        Work::Keep(slot) => slot.cost(),
        Work::Remove | Work::Discard => 0,
    }
}

/// Why something is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Queue {
    /// Leaves something to be done.
    pub(super) fn push(&self, place: Place, work: Work) -> Result<(), Full> {
        let mut waiting = self.waiting.lock();
        let newer =
            |job: &Job| matches!((&job.work, &work), (Work::Keep(there), Work::Keep(new)) if there.is_newer_than(new));
        let there = waiting.jobs.get(&place.hash);
        if there.is_some_and(newer) || (matches!(work, Work::Discard) && there.is_some()) {
            return Ok(());
        }
        if !matches!(work, Work::Discard) {
            self.changes[shard_of(place.hash)].fetch_add(1, Ordering::AcqRel);
        }
        let cost = cost(&work);
        let room = waiting.jobs.len() < JOBS_AT_MOST && waiting.bytes + cost <= BYTES_AT_MOST;
        // What is to go must go; it costs little.
        if matches!(work, Work::Keep(_)) && !room && waiting.bytes > 0 {
            return Err(Full);
        }
        waiting.take_out(place.hash);
        waiting.bytes += cost;
        waiting.numbers += 1;
        let number = waiting.numbers;
        waiting.jobs.insert(place.hash, Job { place, work, number, tries: 0, cost });
        waiting.order.push_back((place.hash, number));
        waiting.tidy();
        drop(waiting);
        self.news.notify_one();
        Ok(())
    }

    pub(super) fn pending(&self, hash: KeyHash) -> Option<Pending> {
        match &self.waiting.lock().jobs.get(&hash)?.work {
            Work::Keep(slot) => Some(Pending::Slot(slot.clone())),
            Work::Remove => Some(Pending::Gone),
            Work::Discard => None,
        }
    }

    /// The next jobs, `most` at most, which can be found here until they are [`Queue::done`]; none after `patience`.
    pub(super) fn take(&self, most: usize, patience: Duration) -> Vec<Job> {
        let mut waiting = self.waiting.lock();
        if waiting.order.is_empty() && !waiting.stopped && !waiting.hurried && !patience.is_zero() {
            self.news.wait_for(&mut waiting, patience);
        }
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((hash, number)) = waiting.order.pop_front()
        {
            // A newer one stands further behind.
            taken.extend(waiting.jobs.get(&hash).filter(|job| job.number == number).cloned());
        }
        taken
    }

    /// What these jobs were for is on the disk, or will not be.
    pub(super) fn done(&self, jobs: impl Iterator<Item = (KeyHash, u64)>) {
        let mut waiting = self.waiting.lock();
        for (hash, number) in jobs {
            if waiting.jobs.get(&hash).is_some_and(|job| job.number == number) {
                waiting.take_out(hash);
            }
        }
        if waiting.jobs.is_empty() {
            waiting.hurried = false;
        }
        self.settled.notify_all();
    }

    /// A job failed: it is tried again after the others. `false`: it was tried often enough, or is outdated.
    pub(super) fn again(&self, hash: KeyHash, number: u64) -> bool {
        let mut waiting = self.waiting.lock();
        let Some(job) = waiting.jobs.get_mut(&hash).filter(|job| job.number == number) else { return false };
        job.tries += 1;
        let again = job.tries < TRIES;
        if again {
            waiting.order.push_back((hash, number));
        }
        again
    }

    /// In the place of a job that failed what lies there is removed, unless something newer is to happen there.
    pub(super) fn remove_instead(&self, place: Place, number: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.jobs.get(&place.hash).is_none_or(|job| job.number != number) {
            return;
        }
        self.changes[shard_of(place.hash)].fetch_add(1, Ordering::AcqRel);
        waiting.take_out(place.hash);
        waiting.numbers += 1;
        let job = Job { place, work: Work::Remove, number: waiting.numbers, tries: 0, cost: 0 };
        waiting.order.push_back((place.hash, job.number));
        waiting.jobs.insert(place.hash, job);
    }

    /// Lets some time pass while nothing can be done; less if everything is to end.
    pub(super) fn rest(&self, pause: Duration) {
        let mut waiting = self.waiting.lock();
        if !waiting.stopped {
            self.news.wait_for(&mut waiting, pause);
        }
    }

    /// Whether nothing newer is to happen there.
    pub(super) fn is_newest(&self, hash: KeyHash, number: u64) -> bool {
        self.waiting.lock().jobs.get(&hash).is_none_or(|job| job.number == number)
    }

    /// Whether a version that was written may get its place: not where it is to be removed. A newer one that waits does not
    /// stop it: until that is on the disk the older is the best that a restart finds, and a page may change all the time.
    pub(super) fn may_be_placed(&self, hash: KeyHash, number: u64) -> bool {
        let waiting = self.waiting.lock();
        waiting.jobs.get(&hash).is_none_or(|job| job.number == number || matches!(job.work, Work::Keep(_)))
    }

    /// Whether all of it was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.lock().order.is_empty()
    }

    /// Whether somebody waits for all of it.
    pub(super) fn is_hurried(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.hurried || waiting.stopped
    }

    /// What is left could not be done: it is tried again, but nobody hurries.
    pub(super) fn calm_down(&self) {
        self.waiting.lock().hurried = false;
    }

    /// Grows whenever something is stored or removed near this hash.
    pub(super) fn changes(&self, hash: KeyHash) -> u64 {
        self.changes[shard_of(hash)].load(Ordering::Acquire)
    }

    /// Waits until everything is done, for so long at most. Says whether it is.
    pub(super) fn settle(&self, patience: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.jobs.is_empty() {
            return true;
        }
        waiting.hurried = true;
        self.news.notify_all();
        // What comes later is not waited for.
        let newest = waiting.numbers;
        let before = |waiting: &Waiting| waiting.jobs.values().any(|job| job.number <= newest);
        self.settled.wait_while_for(&mut waiting, |waiting| before(waiting), patience);
        !before(&waiting)
    }

    pub(super) fn stop(&self) {
        self.waiting.lock().stopped = true;
        self.news.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.waiting.lock().stopped
    }

    /// Whether half of the room is left at least.
    pub(super) fn is_half_empty(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.jobs.len() < JOBS_AT_MOST / 2 && waiting.bytes < BYTES_AT_MOST / 2
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.lock().jobs.len()
    }
}
