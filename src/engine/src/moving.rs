//! What is stored, on its way to another Larder or into a file: out piece by piece, and in again (`store::archive` says how
//! it looks). Nothing becomes fresher by moving, and nothing is stored that is not whole.

use crate::Engine;
use crate::invalidate::{Checked, Tags, Validity};
use crate::store::archive::{self, Reader, Trouble};
use crate::store::disk::{Bad, Packing, unpack};
use crate::store::{Body, KeyHash, NoAnswer, Place, Slot, StoredResponse, VarySpec};
use semantics::key;
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// A piece is no larger than this, unless one entry alone is.
const PIECE: u64 = 8 << 20;
/// So many files are read for one step of the walk: more would be read in vain where few fit in a piece.
const FILES: usize = 16;
/// How often a body is looked for that just went from its place.
const LOOKS: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long an entry waits for room in what is to be written.
const ROOM: Duration = Duration::from_secs(30);
/// Of what was refused so much is told.
const PROBLEMS: usize = 100;
/// What an entry takes beside its body, in bytes.
const BESIDE: usize = 17 << 20;

const DAMAGED: &str = "it is damaged";
const NO_ANSWER: &str = "the disk does not answer, and may have a newer page there: import this again";

/// A piece of a walk through the store.
#[derive(Debug, Default)]
pub struct Piece {
    /// Frames of an archive.
    pub frames: Vec<u8>,
    /// The entry that the walk goes on behind; `None`: it is over.
    pub next: Option<KeyHash>,
    /// Entries that are stored and could not be read.
    pub unread: u64,
}

/// What came of entries from elsewhere.
#[derive(Debug, Default)]
pub struct Imported {
    pub stored: u64,
    /// What is here is at least as new, or nobody could find it beside what is here.
    pub skipped: u64,
    pub refused: u64,
    /// Why entries were refused, as far as there is room to tell.
    pub problems: Vec<String>,
}

/// What becomes of one entry.
enum Taken {
    Stored,
    Skipped,
    Refused(String),
}

impl Engine {
    /// The store's name for those who keep cursors: in another store they lead nowhere. A store in memory is another one
    /// after a restart.
    pub fn store_id(&self) -> u64 {
        let mark = self.hasher.hash(b"the name of this store").to_le_bytes();
        xxh3_64(&mark)
    }

    /// Whether everything that is stored is known: not at once after a start.
    pub fn is_indexed(&self) -> bool {
        self.store.disk_usage().is_none_or(|usage| usage.indexed || !usage.up)
    }

    /// About how many entries there are.
    pub fn stored_entries(&self) -> usize {
        let below = self.store.disk_usage().map_or(0, |usage| usage.entries);
        self.store.usage().entries.max(below)
    }

    /// The largest frame that can be stored, in bytes.
    pub fn largest_frame(&self) -> usize {
        let body = self.store.max_object();
        // With the checksums between its blocks.
        body.saturating_add(body / 4096).saturating_add(BESIDE)
    }

    /// The next entries of a walk through all that is stored, `limit` at most, from behind `after`. What was invalidated hard
    /// is left out, as are variants that nobody can find any more.
    pub async fn export(&self, after: Option<KeyHash>, limit: usize) -> Piece {
        let (mut piece, mut count) = (Piece::default(), 0);
        let mut place = after.map(Place::behind);
        loop {
            let walked = self.store.walk_by(place, FILES).await;
            piece.unread += u64::from(!walked.whole);
            for (hash, response, _) in walked.met {
                let full = piece.frames.len() as u64 + response.body.len() > PIECE;
                if count == limit || (full && count > 0) {
                    return piece;
                }
                let packed = match self.can_be_found(&response).await {
                    Ok(true) => self.packed(hash, response).await,
                    Ok(false) => Packed::Gone,
                    Err(NoAnswer) => Packed::Unread,
                };
                match packed {
                    Packed::Whole(content) => {
                        archive::append(&mut piece.frames, hash, &content);
                        piece.next = Some(hash);
                        count += 1;
                    }
                    Packed::Gone => {}
                    Packed::Unread => piece.unread += 1,
                }
            }
            place = walked.next;
            if place.is_none() {
                return Piece { next: None, ..piece };
            }
            // Requests come first.
            tokio::task::yield_now().await;
        }
    }

    /// Whether a visit would come by it: a variant only by what says which fields select it.
    async fn can_be_found(&self, response: &StoredResponse) -> Result<bool, NoAnswer> {
        if response.variant.is_empty() {
            return Ok(true);
        }
        let Some(primary) = key::primary(&response.key, true) else { return Ok(false) };
        let there = self.store.look(self.hasher.hash(primary), primary, false).await?;
        Ok(matches!(there, Some(Slot::Varies(spec)) if selects(&spec, response)))
    }

    /// A response as it is now, in the format of the disk store.
    async fn packed(&self, hash: KeyHash, mut response: Arc<StoredResponse>) -> Packed {
        for look in 0..LOOKS {
            let Some(copy) = self.as_it_is(&response) else { return Packed::Gone };
            let mut packing = Packing::begin(&Arc::new(copy));
            match &response.body {
                Body::Held(bytes) => {
                    packing.body(bytes);
                    return Packed::Whole(packing.end());
                }
                Body::Filed(_) => {
                    if let Some(whole) = self.pack_file(&response, packing).await {
                        return Packed::Whole(whole);
                    }
                }
            }
            // Another version may have taken its place, or too many look for something at present.
            if look + 1 < LOOKS {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            match self.store.look(hash, &response.key, !response.variant.is_empty()).await {
                Ok(Some(Slot::Response(there))) => response = there,
                Ok(_) => return Packed::Gone,
                Err(NoAnswer) => return Packed::Unread,
            }
        }
        Packed::Unread
    }

    /// `None`: its body is not there, or damaged.
    async fn pack_file(&self, response: &StoredResponse, mut packing: Packing) -> Option<Vec<u8>> {
        let mut reader = self.store.open(response).await?;
        while let Some(piece) = reader.chunk().await.ok()? {
            packing.body(&piece);
        }
        Some(packing.end())
    }

    /// A copy with what invalidations left to it, and with the tags that were added to its page; `None` after a hard one.
    fn as_it_is(&self, response: &StoredResponse) -> Option<StoredResponse> {
        let windows = self.windows(response, self.clock.now())?;
        let subject = response.subject()?;
        let mut tags: Vec<String> = subject.tags.iter().map(str::to_owned).collect();
        for tag in self.journal.added_tags(subject.host, subject.path) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let copy = response.with_body(response.body.clone());
        Some(StoredResponse { windows, tags: Tags::new(&tags), ..copy })
    }

    /// Stores what [`Engine::export`] gave out somewhere else. It counts as fetched now: what was invalidated here before does
    /// not select it, what is invalidated from now on does.
    ///
    /// # Errors
    /// There is no frame at all in this.
    pub async fn import(&self, frames: &[u8]) -> Result<Imported, Trouble> {
        let mut told = Imported::default();
        let mut reader = Reader::of_frames(frames);
        loop {
            let (at, taken) = match reader.next_entry() {
                Ok(None) => return Ok(told),
                Ok(Some(entry)) => (entry.at, self.take_in(entry.content()).await),
                Err(trouble) if trouble.at == 0 && !trouble.is_one_entry() => return Err(trouble),
                Err(trouble) if trouble.is_one_entry() => (trouble.at, Taken::Refused(DAMAGED.to_owned())),
                Err(trouble) => (trouble.at, Taken::Refused(trouble.to_string())),
            };
            match taken {
                Taken::Stored => told.stored += 1,
                Taken::Skipped => told.skipped += 1,
                Taken::Refused(why) => {
                    told.refused += 1;
                    if told.problems.len() < PROBLEMS {
                        told.problems.push(format!("the entry at byte {at} of what was sent: {why}"));
                    }
                }
            }
            // Requests come first.
            tokio::task::yield_now().await;
        }
    }

    async fn take_in(&self, content: &[u8]) -> Taken {
        let response = match unpack(content, self.clock.now()) {
            Ok(response) => response,
            Err(bad) => return Taken::Refused(refusal(bad).to_owned()),
        };
        if !has_its_key(&response) {
            return Taken::Refused("its key cannot be read".to_owned());
        }
        let most = self.store.max_object() as u64;
        if response.body.len() > most {
            let length = response.body.len();
            let url = key::read(&response.key, !response.variant.is_empty()).map(|key| key.url()).unwrap_or_default();
            return Taken::Refused(format!("{url} has {length} bytes; over {most} is not stored here (`max_object`)"));
        }
        self.wait_for_room().await;
        let taken = self.store_imported(response).await;
        taken.unwrap_or_else(|NoAnswer| Taken::Refused(NO_ANSWER.to_owned()))
    }

    /// The disk is slower than what is sent here: what it has no room for would be in memory alone.
    async fn wait_for_room(&self) {
        let began = self.clock.now();
        while !self.store.has_room() && self.clock.now().since(began) < ROOM {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn store_imported(&self, response: StoredResponse) -> Result<Taken, NoAnswer> {
        let (hash, variant) = (self.hasher.hash(&response.key), !response.variant.is_empty());
        let there = self.store.look(hash, &response.key, variant).await?;
        let now = self.clock.now();
        match &there {
            Some(Slot::Response(there)) if self.outdoes(there, &response) => return Ok(Taken::Skipped),
            // It is known here that this URL varies: a page for everybody would never be found.
            Some(Slot::Varies(_)) => return Ok(Taken::Skipped),
            _ => {}
        }
        let response = StoredResponse { checked: Checked::new(self.journal.epoch()), ..response };
        if variant && !self.publish_imported(hash, &response).await? {
            return Ok(Taken::Skipped);
        }
        self.verdicts.forget(hash);
        self.store.put(hash, Slot::Response(Arc::new(response)), now);
        Ok(Taken::Stored)
    }

    /// Whether what is stored here is better than what comes.
    fn outdoes(&self, there: &StoredResponse, new: &StoredResponse) -> bool {
        let good = self.validity(there, self.clock.now()) != Validity::Hard;
        good && (there.pinned || there.windows.generated >= new.windows.generated)
    }

    /// Makes a variant findable. `false`: it cannot be, beside what stands at its URL here.
    async fn publish_imported(&self, hash: KeyHash, response: &StoredResponse) -> Result<bool, NoAnswer> {
        let Some(primary) = key::primary(&response.key, true) else { return Ok(false) };
        let at = self.hasher.hash(primary);
        let known = match self.store.look(at, primary, false).await? {
            Some(Slot::Response(there)) if self.outdoes(&there, response) => return Ok(false),
            Some(Slot::Varies(spec)) => Some(spec),
            _ => None,
        };
        let names = || response.variant.iter().map(|(name, _)| name);
        let spec = match &known {
            Some(spec) if selects(spec, response) => spec.clone(),
            // What a URL varies on only grows.
            Some(spec) if !spec.names.iter().all(|name| names().any(|n| n == name)) => return Ok(false),
            _ => {
                let began = response.checked.began();
                Arc::new(VarySpec::new(primary.into(), names().cloned().collect(), began))
            }
        };
        self.publish_variant(at, known.as_deref(), &spec, (hash, &response.key));
        Ok(true)
    }
}

/// What became of an entry that is to leave.
enum Packed {
    Whole(Vec<u8>),
    /// It is not stored any more.
    Gone,
    Unread,
}

/// Whether visits that this sends on come by such a variant.
fn selects(spec: &VarySpec, variant: &StoredResponse) -> bool {
    spec.names.iter().eq(variant.variant.iter().map(|(name, _)| name))
}

/// Whether a response's key is one, and fits to what is said beside it.
fn has_its_key(response: &StoredResponse) -> bool {
    let variant = !response.variant.is_empty();
    let Some(primary) = key::primary(&response.key, variant) else { return false };
    let mut written = Vec::with_capacity(response.key.len());
    if variant {
        key::write_variant(&mut written, primary, &response.variant);
    }
    let sorted = response.variant.is_sorted_by(|(one, _), (next, _)| one < next);
    let fits = !variant || (sorted && *written == *response.key && !key::is_part(&response.variant));
    fits && response.subject().is_some() && key::read(&response.key, variant).is_some()
}

fn refusal(bad: Bad) -> &'static str {
    match bad {
        Bad::Newer => "it is of a later version of Larder, which alone can read it",
        Bad::Foreign => "it is no stored response",
        Bad::Damaged | Bad::Swapped => DAMAGED,
    }
}
