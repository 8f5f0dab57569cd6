//! What one stored response knows of its own validity.

use super::Validity;
use semantics::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};

/// One response's validity as it was last looked up. It only gets worse: what is regenerated is a new response.
#[derive(Debug)]
pub struct Checked {
    /// The epoch in which its fetch began.
    began: u64,
    /// Up to this epoch a sweep has cleared it of hard records, whether or not anybody looked it up.
    swept: u64,
    /// The epoch of the last look into the records.
    epoch: AtomicU64,
    /// The worst so far: [`VALID`], when it became stale in microseconds, [`VALIDATE`], [`DOUBT`] or [`HARD`].
    worst: AtomicU64,
}

const VALID: u64 = u64::MAX;
const VALIDATE: u64 = 2;
const DOUBT: u64 = 1;
const HARD: u64 = 0;

impl Checked {
    pub fn new(began: u64) -> Self {
        Checked::restored(began, began, began)
    }

    /// Of a response that was kept elsewhere meanwhile. `seen`: what [`Checked::seen`] said when it was put there. `swept`:
    /// what [`super::Journal::swept_epoch`] said before it was fetched from there, where sweeps remove what they judge to
    /// be selected; else `began`.
    ///
    /// The two are not one: a sweep leaves what is soft, and says nothing of soft records that were folded.
    pub fn restored(began: u64, seen: u64, swept: u64) -> Self {
        Checked { began, swept, epoch: AtomicU64::new(seen.max(began)), worst: AtomicU64::new(VALID) }
    }

    /// The epoch in which its fetch began.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// The last epoch in which it was looked up and found valid, or in which its fetch began: what is kept with it where
    /// nothing worse is.
    pub fn seen(&self) -> u64 {
        // The epoch first: who reads it finds at least what was noted with it.
        let epoch = self.epoch();
        if self.validity() == Validity::Valid { epoch } else { self.began }
    }

    /// The same for a copy of its response.
    pub fn again(&self) -> Self {
        Checked::restored(self.began, self.seen(), self.swept)
    }

    /// A sweep has cleared it up to here.
    pub(super) fn swept(&self) -> u64 {
        self.swept
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn validity(&self) -> Validity {
        match self.worst.load(Ordering::Acquire) {
            VALID => Validity::Valid,
            HARD => Validity::Hard,
            VALIDATE => Validity::Validate,
            DOUBT => Validity::Doubt,
            at => Validity::Soft(Timestamp::from_micros(at)),
        }
    }

    /// The worst first, then the epoch: who reads the epoch finds at least that.
    pub(super) fn note(&self, validity: Validity, epoch: u64) {
        let worst = match validity {
            Validity::Valid => VALID,
            Validity::Soft(at) => at.as_micros().clamp(VALIDATE + 1, VALID - 1),
            Validity::Validate => VALIDATE,
            Validity::Doubt => DOUBT,
            Validity::Hard => HARD,
        };
        self.worst.fetch_min(worst, Ordering::AcqRel);
        self.epoch.fetch_max(epoch, Ordering::AcqRel);
    }
}
