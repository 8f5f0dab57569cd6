//! Room on the disk: the budget of the store, and what has to stay free for others. What was not asked for longest goes
//! first, whether or not its refresh fails.

use super::Disk;
use parking_lot::Mutex;
use semantics::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Over the budget, so much of it is left in use, in percent: not every page that is stored has another one removed.
const LOW_WATER: u64 = 97;
/// At most so many are removed at a time; what waits to be written comes between.
const AT_A_TIME: usize = 256;
/// A full disk gets so much room at once, in bytes.
const EMERGENCY: u64 = 8 << 20;
/// How often the file system is asked.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Room {
    /// Bytes that are missing for `min_free`.
    missing: AtomicU64,
    asked: AtomicU64,
    /// Over the budget, and not yet at the low water.
    evicting: AtomicBool,
    evictions: Mutex<BTreeMap<&'static str, u64>>,
}

impl Room {
    pub(super) fn evictions(&self) -> Vec<(&'static str, u64)> {
        self.evictions.lock().iter().map(|(reason, count)| (*reason, *count)).collect()
    }
}

impl Disk {
    /// Asks the file system how much room there is.
    pub(super) fn look_for_room(&self) {
        match self.files.space() {
            Ok(space) => {
                let least = space.total / 1000 * u64::from(self.settings.min_free);
                self.room.missing.store(least.saturating_sub(space.free), Ordering::Relaxed);
            }
            Err(error) => self.health.failed("space", &error),
        }
    }

    /// Whether nothing may be written, because too little would stay free.
    pub(super) fn is_too_full(&self) -> bool {
        self.room.missing.load(Ordering::Relaxed) > 0
    }

    /// Removes what has to go, some of it at a time.
    pub(super) fn make_room(&self, now: Timestamp) {
        if self.health.is_off() {
            return;
        }
        let asked = Timestamp::from_micros(self.room.asked.load(Ordering::Relaxed));
        if now.since(asked) >= EVERY || now < asked {
            self.room.asked.store(now.as_micros(), Ordering::Relaxed);
            self.look_for_room();
        }
        let missing = self.room.missing.load(Ordering::Relaxed);
        if missing > 0 {
            self.evict("min-free", self.index.bytes().saturating_sub(missing));
            self.look_for_room();
        }
        let (bytes, most) = (self.index.bytes(), self.settings.max_size);
        if bytes > most {
            self.room.evicting.store(true, Ordering::Relaxed);
        }
        if self.room.evicting.load(Ordering::Relaxed) {
            let low = most / 100 * LOW_WATER;
            self.evict("capacity", low);
            if self.index.bytes() <= low {
                self.room.evicting.store(false, Ordering::Relaxed);
            }
        }
    }

    /// The disk is full, whatever was thought of it.
    pub(super) fn evict_for_room(&self) {
        self.evict("no-space", self.index.bytes().saturating_sub(EMERGENCY));
    }

    fn evict(&self, reason: &'static str, down_to: u64) {
        let mut count = 0;
        while count < AT_A_TIME && self.index.bytes() > down_to {
            let Some(place) = self.index.victim(|hash| self.memory.last_used(hash)) else { break };
            if !self.unlink(place) {
                break;
            }
            count += 1;
        }
        if count > 0 {
            *self.room.evictions.lock().entry(reason).or_default() += count as u64;
        }
    }
}
