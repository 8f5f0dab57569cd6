//! Those who wait for a flight: each reads at his own pace, and may go away at any time.

use super::{Flight, Landing, Sight};
use bytes::Bytes;
use semantics::Timestamp;
use semantics::settlement::Failure;
use std::sync::Arc;
use tokio::sync::watch;

/// A reader of one flight.
pub struct Watcher {
    pub(super) flight: Arc<Flight>,
    pub(super) id: u64,
    pub(super) news: watch::Receiver<()>,
}

impl Watcher {
    /// Waits for the head or the end, whichever comes first.
    pub async fn sight(&mut self) -> Sight {
        loop {
            self.news.borrow_and_update();
            {
                let state = self.flight.state.lock();
                match (&state.opened, &state.relay, &state.landing) {
                    (Some(opened), Some(reason), _) => return Sight::Relay(opened.clone(), *reason),
                    (_, _, Some(landing)) => return Sight::Landed(landing.clone()),
                    (Some(opened), None, None) => return Sight::Open(opened.clone()),
                    (None, _, None) => {}
                }
            }
            if self.news.changed().await.is_err() {
                return Sight::Landed(Landing::Abandoned);
            }
        }
    }

    /// Waits for the end, without reading; `None` when the body is handed through, and nothing will be stored.
    pub async fn landing(&mut self) -> Option<Landing> {
        loop {
            self.news.borrow_and_update();
            {
                let state = self.flight.state.lock();
                if state.relay.is_some() {
                    return None;
                }
                if let Some(landing) = &state.landing {
                    return Some(landing.clone());
                }
            }
            if self.news.changed().await.is_err() {
                return Some(Landing::Abandoned);
            }
        }
    }

    /// Says that a visitor waits for it.
    pub fn want(&self) {
        self.flight.wanted.notify_one();
    }

    /// Whether the URL was written to while this flight was under way, and before `at`.
    pub fn was_written_before(&self, at: Timestamp) -> bool {
        self.flight.state.lock().written.is_some_and(|written| written <= at)
    }

    /// Whether this flight began before the last write to its URL, which was at `written`.
    pub fn began_before_write(&self, written: Timestamp) -> bool {
        self.flight.state.lock().written_before < written
    }

    /// The next bytes of the body; `None` at its proper end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            self.news.borrow_and_update();
            if let Some(result) = self.poll_chunk() {
                return result;
            }
            if self.news.changed().await.is_err() {
                return Err(Failure::Internal);
            }
        }
    }

    fn poll_chunk(&self) -> Option<Result<Option<Bytes>, Failure>> {
        let mut state = self.flight.state.lock();
        let first = state.first;
        let cursor = state.cursors.get_mut(&self.id)?;
        let at = *cursor;
        if let Some(chunk) = at.checked_sub(first).and_then(|i| state.chunks.get(i)).cloned() {
            state.cursors.insert(self.id, at + 1);
            Flight::trim(&mut state);
            let draining = state.relay.is_some();
            drop(state);
            if draining {
                self.flight.room.notify_one();
            }
            return Some(Ok(Some(chunk)));
        }
        match &state.landing {
            None => None,
            Some(Landing::Failed(failed)) => Some(Err(failed.failure)),
            Some(Landing::Abandoned) => Some(Err(Failure::Internal)),
            Some(_) => Some(Ok(None)),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        state.cursors.remove(&self.id);
        Flight::trim(&mut state);
        drop(state);
        self.flight.room.notify_one();
    }
}
