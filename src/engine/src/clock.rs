//! The one clock. Freshness runs on monotonic time anchored to the wall clock once, so that a step of the wall clock
//! neither ages nor rejuvenates anything.

use semantics::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Tells `now` to everything above it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { wall: Timestamp, anchor: Instant },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::EPOCH.after(since_epoch);
        Clock(Source::System { wall, anchor: Instant::now() })
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Clock(Source::Manual(Arc::new(AtomicU64::new(start.as_micros()))))
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { wall, anchor } => wall.after(anchor.elapsed()),
            Source::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock forward; does nothing to the system's.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(micros) = &self.0 {
            let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
            micros.fetch_add(span, Ordering::AcqRel);
        }
    }
}
