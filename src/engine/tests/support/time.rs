//! Virtual time: tokio's paused time, and the engine's clock that follows it.

use engine::Clock;
use semantics::Timestamp;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// While the origin is at work, the engine's clock is at most this far behind tokio's.
pub const TICK: Duration = Duration::from_millis(50);

/// Tokio moves its paused time on by itself, as soon as every task waits for it. Whatever may wait, then, waits in
/// steps, and takes the engine's clock along.
#[derive(Clone)]
pub struct Time {
    pub clock: Clock,
    base: Timestamp,
    start: Instant,
}

impl Time {
    pub fn start() -> Self {
        let base = Timestamp::from_secs(1_700_000_000);
        Time { clock: Clock::manual(base), base, start: Instant::now() }
    }

    /// Moves the engine's clock to where tokio's is.
    pub fn sync(&self) -> Timestamp {
        let now = self.base.after(self.start.elapsed());
        self.clock.advance(now.since(self.clock.now()));
        now
    }

    /// Lets this much time pass.
    pub async fn pass(&self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            sleep((until - Instant::now()).min(TICK)).await;
            self.sync();
        }
    }

    /// Waits for something, however long it takes.
    pub async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        loop {
            let step = timeout(TICK, wait.as_mut()).await;
            self.sync();
            if let Ok(value) = step {
                return value;
            }
        }
    }
}
