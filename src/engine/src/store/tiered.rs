//! Memory over disk, one store to the engine. What is stored goes to both; what memory has no room for stays on the disk, and
//! comes back when somebody asks for it.

use super::disk::{At, BodyReader, Disk, DiskUsage, Version};
use super::memory::{Memory, SHARDS, Usage};
use super::response::{StoredResponse, VarySpec};
use super::turns::Turns;
use super::{Body, KeyHash, Slot};
use semantics::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Where a stored response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Memory,
    Disk,
}

impl Tier {
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Memory => "memory",
            Tier::Disk => "disk",
        }
    }
}

/// Where a walk through the store goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    shard: usize,
    after: Option<KeyHash>,
}

impl Place {
    /// Behind the response at that hash.
    pub fn behind(hash: KeyHash) -> Self {
        Place { shard: super::memory::shard_of(hash), after: Some(hash) }
    }
}

/// How long somebody waits for what is on its way to the disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many files are read for one piece of a walk.
const FILES_AT_A_TIME: usize = 256;

/// A response that a walk came by.
pub type Met = (KeyHash, Arc<StoredResponse>, Tier);

/// One piece of a walk.
pub struct Piece {
    pub met: Vec<Met>,
    /// Where the next one begins; `None`: it is over.
    pub next: Option<Place>,
    /// Whether the disk told all that it has of this piece.
    pub whole: bool,
}

/// The disk does not answer: what it has nobody knows at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

pub struct Store {
    memory: Arc<Memory>,
    disk: Option<Arc<Disk>>,
    turns: Turns,
}

impl Store {
    pub fn new(memory: Arc<Memory>, disk: Option<Arc<Disk>>) -> Self {
        Store { memory, disk, turns: Turns::default() }
    }

    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
    }

    /// Larger bodies are not stored anywhere, in bytes.
    pub fn max_object(&self) -> usize {
        let memory = self.memory.settings().max_object;
        let on_disk = self.disk.as_ref().filter(|_| self.is_whole());
        let disk = on_disk.map_or(0, |disk| usize::try_from(disk.settings().max_object).unwrap_or(usize::MAX));
        memory.max(disk)
    }

    /// Whether nothing of it is off.
    pub fn is_whole(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.is_up())
    }

    /// What stands at this key in memory, and notes its use.
    pub fn get(&self, hash: KeyHash, key: &[u8], now: Timestamp) -> Option<Slot> {
        self.memory.get(hash, key, now)
    }

    /// A variant of what stands at this key was asked for again.
    pub fn known(&self, hash: KeyHash, spec: &VarySpec) {
        self.memory.known(hash, spec);
    }

    /// What stands at this key in memory, without noting a use.
    pub fn peek(&self, hash: KeyHash, key: &[u8]) -> Option<Slot> {
        self.memory.peek(hash, key)
    }

    /// The response at this hash in memory, whatever its key.
    pub fn peek_response(&self, hash: KeyHash) -> Option<Arc<StoredResponse>> {
        self.memory.peek_response(hash)
    }

    /// What lies on the disk at this key, and not in memory; it stays there.
    pub async fn peek_below(&self, hash: KeyHash, key: &[u8], variant: bool) -> Option<Slot> {
        let disk = self.disk.as_ref()?;
        match disk.find_at_once(hash, key, variant) {
            At::Once(found) => found,
            At::Length => disk.find(hash, key, variant).await,
        }
    }

    /// What stands at this key, in memory or on the disk.
    ///
    /// # Errors
    /// The disk does not answer: there may be something.
    pub async fn look(&self, hash: KeyHash, key: &[u8], variant: bool) -> Result<Option<Slot>, NoAnswer> {
        let held = self.memory.peek(hash, key);
        let Some(disk) = self.disk.as_ref().filter(|_| held.is_none()) else { return Ok(held) };
        let key = key.to_owned();
        disk.chore(move |disk| disk.find_patiently(hash, &key, variant)).await.unwrap_or(Err(NoAnswer))
    }

    /// Whether many more can be put, and all of them get to the disk.
    pub fn has_room(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.has_room())
    }

    /// Brings what lies on the disk at this key into memory.
    pub async fn recall(&self, hash: KeyHash, key: &[u8], variant: bool, now: Timestamp) -> Option<Slot> {
        let disk = self.disk.as_ref()?;
        let changes = disk.changes(hash);
        if let At::Once(found) = disk.find_at_once(hash, key, variant) {
            return self.recalled(disk, hash, changes, found?, now).filter(|slot| slot.key() == key);
        }
        // However many ask for it, it is read once.
        let _turn = self.turns.take(hash).await?;
        if let Some(slot) = self.memory.peek(hash, key) {
            return Some(slot);
        }
        let changes = disk.changes(hash);
        let found = disk.find(hash, key, variant).await?;
        self.recalled(disk, hash, changes, found, now).filter(|slot| slot.key() == key)
    }

    /// Puts what was read into memory, unless it was removed or replaced meanwhile. `changes`: from before it was read.
    fn recalled(&self, disk: &Disk, hash: KeyHash, changes: u64, slot: Slot, now: Timestamp) -> Option<Slot> {
        let counts = self.memory.put_absent(hash, slot.clone(), now);
        if let Slot::Response(response) = slot
            && disk.changes(hash) != changes
        {
            self.memory.remove_response(hash, &response);
        }
        Some(counts)
    }

    /// Puts a response or a vary specification at its key, in the place of what was there.
    pub fn put(&self, hash: KeyHash, slot: Slot, now: Timestamp) {
        if !self.memory.put(hash, slot.clone(), now) {
            return;
        }
        let on_disk = self.disk.as_ref().is_some_and(|disk| disk.keep(hash, &slot));
        if let Slot::Response(response) = slot
            && !on_disk
            && response.body.heap_size() > self.memory.settings().max_object
        {
            self.memory.remove_response(hash, &response);
        }
    }

    /// Writes what is stored in memory to the disk once more: something that is not its content changed.
    pub fn keep(&self, hash: KeyHash, slot: &Slot) {
        if let Some(disk) = &self.disk {
            disk.keep(hash, slot);
        }
    }

    /// Removes what stands at a key.
    pub fn remove(&self, hash: KeyHash, key: &[u8], variant: bool) {
        // The disk first: whoever reads it now finds out that he came too late, or puts what he read where it is removed next.
        if let Some(disk) = &self.disk {
            disk.remove(hash, key, variant);
        }
        self.memory.remove(hash);
    }

    /// The same, where there may be nothing: then it costs nothing.
    pub fn remove_any(&self, hash: KeyHash, key: &[u8], variant: bool) {
        let below = || self.disk.as_ref().is_some_and(|disk| disk.may_have(hash));
        if self.memory.peek_at(hash).is_some() || below() {
            self.remove(hash, key, variant);
        }
    }

    /// Removes this very response; a newer one in its place stays.
    pub fn remove_response(&self, hash: KeyHash, response: &Arc<StoredResponse>) {
        let this = |slot: Slot| matches!(slot, Slot::Response(there) if Arc::ptr_eq(&there, response));
        if self.memory.peek_at(hash).is_none_or(this) {
            self.remove(hash, &response.key, !response.variant.is_empty());
        }
    }

    /// Forgets that this response is in memory.
    pub fn forget(&self, hash: KeyHash, response: &Arc<StoredResponse>) {
        self.memory.remove_response(hash, response);
    }

    /// Whether a response's body can be had, as far as is known without a look at the disk.
    pub fn has_body_of(&self, response: &StoredResponse) -> bool {
        response.body.held().is_some() || self.disk.as_ref().is_some_and(|disk| disk.is_up())
    }

    /// Opens a body that is not held in memory; `None`: it is gone.
    pub async fn open(&self, response: &StoredResponse) -> Option<BodyReader> {
        match (&response.body, &self.disk) {
            (Body::Filed(filed), Some(disk)) => disk.read_body(response, *filed).await,
            _ => None,
        }
    }

    /// One piece of a walk through all responses, in an order that does not change while the store does: what is there
    /// throughout is met exactly once, in as far as the disk answers. `from` is `None` at the start.
    pub async fn walk(&self, from: Option<Place>) -> Piece {
        self.walk_by(from, FILES_AT_A_TIME).await
    }

    /// The same with so many files at a time: for whoever needs little of what they hold.
    pub async fn walk_by(&self, from: Option<Place>, files: usize) -> Piece {
        let place = from.unwrap_or(Place { shard: 0, after: None });
        if place.shard >= SHARDS {
            return Piece { met: Vec::new(), next: None, whole: true };
        }
        let held = self.memory.shard_responses(place.shard, place.after);
        let mut next = Some(Place { shard: place.shard + 1, after: None }).filter(|next| next.shard < SHARDS);
        let mut met: Vec<Met> = held.into_iter().map(|(hash, response)| (hash, response, Tier::Memory)).collect();
        let Some(disk) = &self.disk else { return Piece { met, next, whole: true } };
        let there: HashSet<KeyHash> = met.iter().map(|(hash, ..)| *hash).collect();
        let mut below = disk.listed(place.shard, place.after, |hash| !there.contains(&hash));
        if below.len() > files {
            below.truncate(files);
            let last = below.last().map(|one| one.hash());
            met.retain(|(hash, ..)| Some(*hash) <= last);
            next = Some(Place { shard: place.shard, after: last });
        }
        let read = disk.chore(move |disk| {
            let (mut found, mut whole) = (Vec::with_capacity(below.len()), true);
            for one in below {
                match disk.read_listed(one) {
                    Ok(Some(Slot::Response(response))) => found.push((one.hash(), response, Tier::Disk)),
                    Ok(Some(Slot::Varies(_)) | None) => {}
                    Err(NoAnswer) => whole = false,
                }
            }
            (found, whole)
        });
        let (read, whole) = read.await.unwrap_or_default();
        met.extend(read);
        met.sort_unstable_by_key(|(hash, ..)| *hash);
        Piece { met, next, whole }
    }

    /// What of one part of the hashes is in memory; `None` after the last part.
    pub fn held(&self, part: usize) -> Option<Vec<(KeyHash, Arc<StoredResponse>)>> {
        (part < SHARDS).then(|| self.memory.shard_responses(part, None))
    }

    /// The same, with how often each was asked for.
    pub fn held_with_hits(&self, part: usize) -> Option<Vec<(KeyHash, Arc<StoredResponse>, u32)>> {
        (part < SHARDS).then(|| self.memory.shard_hits(part))
    }

    /// What of a deployment is on the disk and was asked for last, without these.
    pub async fn recent_below(&self, deployment: &str, most: usize, without: Vec<KeyHash>) -> Vec<Arc<StoredResponse>> {
        let Some(disk) = &self.disk else { return Vec::new() };
        let deployment = deployment.to_owned();
        disk.long_chore(move |disk| disk.most_recent(&deployment, most, &without)).await.unwrap_or_default()
    }

    /// Removes what is on the disk of a deployment.
    pub async fn remove_deployment(&self, id: String) {
        if let Some(disk) = &self.disk {
            disk.long_chore(move |disk| disk.remove_deployment(&id)).await;
        }
    }

    /// The older versions of a response's page, the newest first; their bodies stay on the disk.
    pub async fn versions(&self, response: &Arc<StoredResponse>) -> Vec<Version> {
        let Some(disk) = &self.disk else { return Vec::new() };
        let response = response.clone();
        disk.chore(move |disk| disk.versions(&response)).await.unwrap_or_default()
    }

    /// One of them, all of it in memory.
    pub async fn version(&self, response: &Arc<StoredResponse>, id: u64) -> Option<Arc<StoredResponse>> {
        let response = response.clone();
        self.disk.as_ref()?.chore(move |disk| disk.version(&response, id)).await?
    }

    /// Whether what is stored now gets to the disk, as far as is known; without a disk nothing has to.
    pub fn takes_more(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.takes_more())
    }

    /// Waits a few seconds for what is on its way to the disk.
    pub async fn written(&self) {
        if let Some(disk) = &self.disk {
            disk.chore(|disk| disk.settle(PATIENCE)).await;
        }
    }

    /// The same, and says whether this very response is there; without a disk it is not.
    pub async fn is_written(&self, response: &Arc<StoredResponse>) -> bool {
        let Some(disk) = &self.disk else { return false };
        let response = response.clone();
        disk.chore(move |disk| disk.settle(PATIENCE) && disk.has(&response)).await.unwrap_or(false)
    }

    /// Removes older versions that were invalidated hard. Says whether it saw them all.
    pub async fn sweep_versions(&self) -> bool {
        let Some(disk) = &self.disk else { return true };
        disk.long_chore(|disk| disk.sweep_versions()).await.unwrap_or(false)
    }

    /// Waits until the disk is as memory says. `false`: it is not, or not everything there is known.
    pub async fn settle(&self) -> bool {
        let Some(disk) = &self.disk else { return true };
        disk.long_chore(|disk| disk.usage().indexed && disk.settle(12 * PATIENCE)).await.unwrap_or(false)
    }

    /// Everything that hard invalidations up to this epoch select is gone from here.
    pub fn swept(&self, epoch: u64) {
        if let Some(disk) = &self.disk {
            disk.swept(epoch);
        }
    }

    /// How many responses of each deployment lie on the disk.
    pub async fn disk_deployments(&self) -> Vec<(String, usize)> {
        let Some(disk) = &self.disk else { return Vec::new() };
        disk.chore(|disk| disk.deployments()).await.unwrap_or_default()
    }

    /// Has something on the disk that is to be found again after a restart.
    pub async fn save(&self, name: String, bytes: Vec<u8>) {
        if let Some(disk) = &self.disk {
            disk.chore(move |disk| disk.save(&name, &bytes)).await;
        }
    }

    /// What was saved under that name.
    pub async fn saved(&self, name: String) -> Option<Vec<u8>> {
        self.disk.as_ref()?.chore(move |disk| disk.saved(&name)).await?
    }

    /// Whether what lies on the disk there is pinned.
    pub fn is_pinned_below(&self, hash: KeyHash) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.is_pinned_at(hash))
    }

    /// Counts something that went wrong on the disk and was not the store's own doing.
    pub fn count_error(&self, operation: &'static str, error: &dyn std::fmt::Display) {
        if let Some(disk) = &self.disk {
            disk.count_error(operation, error);
        }
    }

    pub fn usage(&self) -> Usage {
        self.memory.usage()
    }

    pub fn disk_usage(&self) -> Option<DiskUsage> {
        self.disk.as_ref().map(|disk| disk.usage())
    }
}
