//! A failure that everybody who waited for it shares (semantics 27).

use crate::store::Head;
use bytes::Bytes;
use semantics::Timestamp;
use semantics::settlement::Failure;
use std::time::Duration;

/// How long a failed first generation answers further requests (semantics 27).
pub const SHARED_FOR: Duration = Duration::from_secs(1);

/// The origin's own words are passed on up to this many bytes; longer ones are replaced by Larder's.
pub const BODY_AT_MOST: usize = 32 * 1024;

/// One failed attempt.
#[derive(Debug)]
pub struct Failed {
    pub failure: Failure,
    /// What happened, for people.
    pub message: String,
    /// The origin's own answer, where it sent a whole one.
    pub answer: Option<(Head, Bytes)>,
    pub at: Timestamp,
    /// Until then it answers requests for its key.
    pub until: Timestamp,
    /// The origin asked to be left alone for so long (RFC 9110, 10.2.3).
    pub retry_after: Option<Duration>,
}

impl Failed {
    pub fn plain(failure: Failure, message: impl Into<String>, at: Timestamp) -> Self {
        Failed { failure, message: message.into(), answer: None, at, until: at.after(SHARED_FOR), retry_after: None }
    }

    /// Whether it still answers requests for its key.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}
