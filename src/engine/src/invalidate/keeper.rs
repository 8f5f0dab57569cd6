//! Where invalidations are kept beyond this process.

use super::Invalidation;
use semantics::Timestamp;

/// Keeps the journal. What it has kept holds after a crash.
pub trait Keeper: Send + Sync {
    /// Keeps the invalidations of one epoch, before the call that made them is answered.
    ///
    /// # Errors
    /// They are not kept, and do not count.
    fn keep(&mut self, epoch: u64, at: Timestamp, all: &[Invalidation]) -> Result<(), NotKept>;
}

/// An invalidation could not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotKept(pub String);

impl std::fmt::Display for NotKept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the invalidation could not be kept: {}", self.0)
    }
}

impl std::error::Error for NotKept {}

/// Keeps nothing: what is stored in memory ends with the process, and so may its journal.
pub struct Volatile;

impl Keeper for Volatile {
    fn keep(&mut self, _epoch: u64, _at: Timestamp, _all: &[Invalidation]) -> Result<(), NotKept> {
        Ok(())
    }
}
