//! Whether the disk is to be used. Where it fails again and again it is left alone, loudly, and tried once a second until
//! it works again; meanwhile there is the memory store, and the origin.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// So many errors in a row, without anything that worked between them, and the disk is left alone.
const IN_A_ROW: u32 = 5;
/// Of errors of one kind, one in so many is told, the first one always.
const TOLD: u64 = 1000;

#[derive(Default)]
pub(super) struct Health {
    off: AtomicBool,
    in_a_row: AtomicU32,
    /// By what was tried.
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Health {
    pub(super) fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// Something worked.
    pub(super) fn worked(&self) {
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// The disk failed.
    pub(super) fn failed(&self, operation: &'static str, error: &io::Error) {
        self.count(operation, error);
        // A full disk can still be read, and be made less full.
        if is_full(error) {
            return;
        }
        if self.in_a_row.fetch_add(1, Ordering::AcqRel) + 1 >= IN_A_ROW && !self.off.swap(true, Ordering::AcqRel) {
            tracing::error!(operation, %error, "the disk store is off: the disk failed {IN_A_ROW} times in a row. Pages are served from memory and the origin meanwhile; the disk is tried once a second");
        }
    }

    /// Something went wrong that says nothing of the disk.
    pub(super) fn count(&self, operation: &'static str, error: &dyn std::fmt::Display) {
        let mut errors = self.errors.lock();
        let count = errors.entry(operation).or_default();
        *count += 1;
        let count = *count;
        drop(errors);
        if count % TOLD == 1 {
            tracing::warn!(operation, count, %error, "an error of the disk store: no request fails for it");
        }
    }

    /// Nothing will work any more for now: an operation does not come back.
    pub(super) fn stuck(&self, what: &'static str) {
        if !self.off.swap(true, Ordering::AcqRel) {
            tracing::error!(
                operation = what,
                "the disk store is off: the disk does not answer. Pages are served from memory and the origin meanwhile; the disk is tried once a second"
            );
        }
    }

    /// It was tried, and works again.
    pub(super) fn recovered(&self) {
        self.in_a_row.store(0, Ordering::Release);
        if self.off.swap(false, Ordering::AcqRel) {
            tracing::warn!("the disk store is on again");
        }
    }

    pub(super) fn errors(&self) -> Vec<(&'static str, u64)> {
        self.errors.lock().iter().map(|(operation, count)| (*operation, *count)).collect()
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
