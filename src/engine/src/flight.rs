//! Single flight: one fill a key, watched by everybody who waits for it (semantics 20).
//!
//! A fill writes into its flight; watchers read from it, each at his own pace. Nobody owns a fill but the engine: a
//! watcher that goes away changes nothing, and a lead that goes away without a result frees the others.

mod watcher;

pub use watcher::Watcher;

use crate::failed::Failed;
use crate::invalidate::Tags;
use crate::store::{Head, KeyHash, StoredResponse};
use bytes::Bytes;
use parking_lot::Mutex;
use semantics::Timestamp;
use semantics::storability::NotStorable;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// An answer whose head is known, while its body is on the way.
#[derive(Debug)]
pub struct Opened {
    pub head: Head,
    /// The body's length, where the origin told it.
    pub length: Option<u64>,
    /// The nominated fields with the values that were sent: a watcher with other values needs another variant.
    pub variant: Vec<(String, Option<Vec<u8>>)>,
    /// The epoch in which the fetch began, and the tags of the answer: whether an invalidation came between.
    pub began: u64,
    pub tags: Tags,
    /// Whether the answer says that it is everybody's.
    pub shared: bool,
    /// Whether it is going to be stored, as far as can be told.
    pub stored: bool,
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub enum Landing {
    Stored(Arc<StoredResponse>),
    /// The answer was freshened by a 304.
    Freshened(Arc<StoredResponse>),
    Failed(Arc<Failed>),
    /// The answer is the leader's alone; the others ask for themselves.
    NotStorable(NotStorable),
    /// Not stored, and delivered whole.
    Delivered,
    /// Something keeps it out of the store: whoever waited for it shares it.
    Unstored(Arc<StoredResponse>),
    /// The lead went away without a result: whoever still waits starts over.
    Abandoned,
}

/// What a watcher sees first.
pub enum Sight {
    /// Storable so far: everybody may read along.
    Open(Arc<Opened>),
    /// Not to be stored: for the leader, if it is his own.
    Relay(Arc<Opened>, NotStorable),
    Landed(Landing),
}

#[derive(Default)]
struct State {
    opened: Option<Arc<Opened>>,
    relay: Option<NotStorable>,
    landing: Option<Landing>,
    chunks: VecDeque<Bytes>,
    /// Index of the first chunk that is still held.
    first: usize,
    held_bytes: usize,
    /// Where each watcher reads next.
    cursors: HashMap<u64, usize>,
    next_watcher: u64,
    /// When an unsafe method first succeeded on the URL meanwhile.
    written: Option<Timestamp>,
    /// The last write to the URL that was known when it began.
    written_before: Timestamp,
}

pub struct Flight {
    state: Mutex<State>,
    /// Wakes watchers.
    news: watch::Sender<()>,
    /// Wakes the fill when a watcher has read or gone.
    room: Notify,
    /// Wakes a fill that nobody asked for, when somebody does.
    wanted: Notify,
}

impl Flight {
    fn new() -> Arc<Self> {
        Arc::new(Flight {
            state: Mutex::default(),
            news: watch::Sender::new(()),
            room: Notify::new(),
            wanted: Notify::new(),
        })
    }

    fn watch(self: &Arc<Self>) -> Watcher {
        let mut state = self.state.lock();
        let id = state.next_watcher;
        state.next_watcher += 1;
        let at = state.first;
        state.cursors.insert(id, at);
        drop(state);
        Watcher { flight: self.clone(), id, news: self.news.subscribe() }
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.news.send_replace(());
    }

    /// Drops chunks that every watcher has read; only when nobody can come late any more.
    fn trim(state: &mut State) {
        if state.relay.is_none() {
            return;
        }
        let slowest = state.cursors.values().copied().min().unwrap_or(usize::MAX);
        while state.first < slowest {
            let Some(chunk) = state.chunks.pop_front() else { break };
            state.first += 1;
            state.held_bytes -= chunk.len();
        }
    }
}

const SHARDS: usize = 64;

type Shard = Mutex<HashMap<KeyHash, Arc<Flight>>>;

/// All flights by key.
pub struct Flights {
    shards: Box<[Shard]>,
}

impl Default for Flights {
    fn default() -> Self {
        Flights { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Flights {
    fn shard(&self, hash: KeyHash) -> &Shard {
        &self.shards[usize::try_from(hash % SHARDS as u128).unwrap_or_default()]
    }

    /// Joins the flight of this key, or leads a new one.
    pub fn join_or_lead(self: &Arc<Self>, hash: KeyHash) -> (Watcher, Option<Lead>) {
        let mut shard = self.shard(hash).lock();
        if let Some(flight) = shard.get(&hash) {
            return (flight.watch(), None);
        }
        let flight = Flight::new();
        shard.insert(hash, flight.clone());
        drop(shard);
        let watcher = flight.watch();
        (watcher, Some(Lead { flights: self.clone(), flight, keys: vec![hash] }))
    }

    /// Leads a flight of this key, unless there is one already.
    pub fn lead(self: &Arc<Self>, hash: KeyHash) -> Option<Lead> {
        self.join_or_lead(hash).1
    }

    /// Lets this flight be joined no more at that key: it goes on for those who watch it, and the next visit leads a new one.
    pub fn abandon(&self, hash: KeyHash, watcher: &Watcher) {
        let mut shard = self.shard(hash).lock();
        if shard.get(&hash).is_some_and(|f| Arc::ptr_eq(f, &watcher.flight)) {
            shard.remove(&hash);
        }
    }

    /// Whether there is a flight of this key.
    pub fn is_flying(&self, hash: KeyHash) -> bool {
        self.shard(hash).lock().contains_key(&hash)
    }

    /// Notes that the URL was written to while its page was on the way.
    pub fn note_written(&self, hash: KeyHash, now: Timestamp) {
        if let Some(flight) = self.shard(hash).lock().get(&hash) {
            flight.state.lock().written.get_or_insert(now);
        }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The right and the duty to bring a flight to its end. Dropped without a landing, it lands as abandoned.
pub struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    keys: Vec<KeyHash>,
}

/// While a body is relayed, at most this much of it waits for the slowest watcher, in bytes.
const RELAY_WINDOW: usize = 256 * 1024;

impl Lead {
    /// The head is known and storable: watchers may answer.
    pub fn open(&self, opened: Opened) {
        self.flight.tell(|s| s.opened = Some(Arc::new(opened)));
    }

    /// Whether watchers may read already.
    pub fn is_open(&self) -> bool {
        self.flight.state.lock().opened.is_some()
    }

    /// Lets the flight be found under a second key too: the variant's, once Vary is known.
    pub fn also(&mut self, hash: KeyHash) {
        if self.keys.contains(&hash) {
            return;
        }
        let mut shard = self.flights.shard(hash).lock();
        if let std::collections::hash_map::Entry::Vacant(slot) = shard.entry(hash) {
            slot.insert(self.flight.clone());
            self.keys.push(hash);
        }
    }

    /// From now on nothing is kept for late comers: the flight cannot be joined, and its bytes go to those who have
    /// begun to read, or to the leader.
    pub fn relay(&mut self, opened: Option<Opened>, reason: NotStorable) {
        self.unlist();
        self.flight.tell(|s| {
            s.opened = opened.map(Arc::new).or(s.opened.take());
            s.relay = Some(reason);
            Flight::trim(s);
        });
    }

    pub fn push(&self, chunk: Bytes) {
        self.flight.tell(|s| {
            s.held_bytes += chunk.len();
            s.chunks.push_back(chunk);
        });
    }

    /// Whether the URL was written to since this flight began.
    pub fn was_written(&self) -> bool {
        self.flight.state.lock().written.is_some()
    }

    /// This fill comes after a write: whoever comes after another one is not for it.
    pub fn comes_after_write(&self, at: Timestamp) {
        self.flight.state.lock().written_before = at;
    }

    /// Waits until a visitor waits for it.
    pub async fn wanted(&self) {
        self.flight.wanted.notified().await;
    }

    /// Every key at which this flight is found.
    pub fn keys(&self) -> &[KeyHash] {
        &self.keys
    }

    /// Waits until the watchers of a relay have read enough. `false`: nobody reads any more.
    pub async fn has_room(&self) -> bool {
        loop {
            let room = self.flight.room.notified();
            {
                let state = self.flight.state.lock();
                if state.cursors.is_empty() {
                    return false;
                }
                if state.held_bytes < RELAY_WINDOW {
                    return true;
                }
            }
            room.await;
        }
    }

    /// Waits until nobody watches.
    pub async fn deserted(&self) {
        loop {
            let room = self.flight.room.notified();
            if self.flight.state.lock().cursors.is_empty() {
                return;
            }
            room.await;
        }
    }

    /// The whole body so far.
    pub fn collected(&self) -> Vec<Bytes> {
        self.flight.state.lock().chunks.iter().cloned().collect()
    }

    /// Ends the flight.
    pub fn land(&mut self, landing: Landing) {
        self.unlist();
        self.flight.tell(|s| s.landing = Some(landing));
    }

    fn unlist(&mut self) {
        for hash in self.keys.drain(..) {
            let mut shard = self.flights.shard(hash).lock();
            if shard.get(&hash).is_some_and(|f| Arc::ptr_eq(f, &self.flight)) {
                shard.remove(&hash);
            }
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.unlist();
        let landed = self.flight.state.lock().landing.is_some();
        if !landed {
            self.flight.tell(|s| s.landing = Some(Landing::Abandoned));
        }
    }
}
