//! How slowly a client may read: he may pause for a moment, and on average he must keep up with `limits.send_min_rate`.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A reader may pause for so long before his average counts.
const GRACE: Duration = Duration::from_secs(10);

/// One reader's record.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    min_rate: usize,
    sent: u64,
    waited: Duration,
}

impl Pace {
    pub(super) fn new(min_rate: usize) -> Self {
        Pace { min_rate, sent: 0, waited: Duration::ZERO }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Bytes so far.
    pub(super) fn in_all(&self) -> u64 {
        self.sent
    }

    pub(super) fn waited(&mut self, span: Duration) {
        self.waited += span;
    }

    /// Waits for him, as long as his pace allows.
    pub(super) async fn wait_for<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        // Most often nothing is to be waited for.
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(poll(cx))).await {
            return done;
        }
        let from = Instant::now();
        let done = timeout(self.patience(), poll_fn(poll)).await;
        self.waited(from.elapsed());
        done.unwrap_or_else(|_| Err(too_slow()))
    }

    /// How much longer he may keep us waiting.
    pub(super) fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.sent / self.min_rate.max(1) as u64);
        (GRACE + earned).saturating_sub(self.waited).min(GRACE)
    }
}

/// What is said of one who does not keep up.
pub(super) fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client reads slower than `limits.send_min_rate`")
}
