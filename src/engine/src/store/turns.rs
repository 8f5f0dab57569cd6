//! Whose turn it is to read a page from the disk: one visitor's, and the others find it in memory then.

use super::KeyHash;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Whoever waits longer for his turn does without what is on the disk.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<KeyHash, Arc<tokio::sync::Mutex<()>>>>);

/// While it lives nobody else has his turn there.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    hash: KeyHash,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// `None`: it took too long.
    pub(super) async fn take(&self, hash: KeyHash) -> Option<Turn<'_>> {
        let there = self.0.lock().entry(hash).or_default().clone();
        let mut turn = Turn { turns: self, hash, guard: None };
        turn.guard = Some(tokio::time::timeout(PATIENCE, there.lock_owned()).await.ok()?);
        Some(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut turns = self.turns.0.lock();
        // Only the map has it: nobody else waits.
        if turns.get(&self.hash).is_some_and(|there| Arc::strong_count(there) == 1) {
            turns.remove(&self.hash);
        }
    }
}
