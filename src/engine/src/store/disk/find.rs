//! Looking things up on the disk. What can be had without waiting is read at once; for the rest a thread waits, with a
//! deadline: a disk that is slow, full or broken makes misses, never errors.

use super::Disk;
use super::files::{File, is_not_regular};
use super::format::{self, Bad, PREAMBLE, Preamble};
use super::index::Indexed;
use super::names::{Place, dir_of};
use super::patience::DEADLINE;
use super::queue::{Pending, Work};
use crate::store::{Body, KeyHash, NoAnswer, Slot};
use semantics::Timestamp;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Files up to here may be read by the worker that asks, in bytes.
const AT_ONCE: usize = 128 << 10;
/// What cannot be waited for comes back within this, or did wait after all.
const AT_ONCE_WITHIN: Duration = Duration::from_millis(20);
/// So often in a row it may wait all the same.
const WAITED_AT_MOST: u32 = 3;
/// So often at most: what is stored near a hash only looks as if it were stored there.
const LOOKS: usize = 4;

/// Whether something can be had at once.
pub(crate) enum At<T> {
    Once(T),
    /// It has to be waited for.
    Length,
}

/// What a look at a file came to.
enum Looked {
    Found { slot: Slot, length: u64 },
    Bad(Bad),
    Failed(io::Error),
}

/// Whether somebody asks for a page, or only wants to know of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Yes,
    No,
}

impl Disk {
    /// What is stored at a key, if that can be said without waiting.
    pub(crate) fn find_at_once(&self, hash: KeyHash, key: &[u8], variant: bool) -> At<Option<Slot>> {
        let Some(place) = self.place(hash, key, variant) else { return At::Once(None) };
        let mut found = None;
        for _ in 0..LOOKS {
            let changes = self.queue.changes(hash);
            if let At::Once(pending) = self.pending_at(hash, key) {
                return At::Once(pending);
            }
            let At::Once(looked) = self.at_once(place) else { return At::Length };
            found = self.judge(looked, place, Use::Yes, |slot| slot.key() == key).unwrap_or_default();
            if found.is_none() || self.queue.changes(hash) == changes {
                break;
            }
            // It may have been ordered away while it was read, and be gone already.
        }
        At::Once(self.unless_gone(hash, found))
    }

    /// What is stored at a key. `None`: nothing that could be had in time.
    pub(crate) async fn find(self: &Arc<Self>, hash: KeyHash, key: &[u8], variant: bool) -> Option<Slot> {
        let place = self.place(hash, key, variant)?;
        let mut found = None;
        for _ in 0..LOOKS {
            let changes = self.queue.changes(hash);
            if let At::Once(pending) = self.pending_at(hash, key) {
                return pending;
            }
            let looked = self.read(DEADLINE, move |disk| disk.look(place)).await?;
            found = Some(self.judge(looked, place, Use::Yes, |slot| slot.key() == key).unwrap_or_default()?);
            if self.queue.changes(hash) == changes {
                break;
            }
        }
        self.unless_gone(hash, found)
    }

    /// What is known of a key without a look at the disk.
    pub(super) fn pending_at(&self, hash: KeyHash, key: &[u8]) -> At<Option<Slot>> {
        match self.queue.pending(hash) {
            Some(Pending::Slot(slot)) => At::Once(Some(slot).filter(|slot| slot.key() == key)),
            Some(Pending::Gone) => At::Once(None),
            None if self.health.is_off() => At::Once(None),
            None => At::Length,
        }
    }

    fn unless_gone(&self, hash: KeyHash, found: Option<Slot>) -> Option<Slot> {
        found.filter(|_| !matches!(self.queue.pending(hash), Some(Pending::Gone)))
    }

    /// What is at a place, whatever its key, its body left in its file. Not a use. For threads that may wait.
    ///
    /// # Errors
    /// It could not be read, and may be good.
    pub(super) fn head_at(&self, place: Place) -> Result<Option<Slot>, NoAnswer> {
        let looked = self.read_file(&place.path(), 0).unwrap_or_else(Looked::Failed);
        self.judge(looked, place, Use::No, |slot| self.place_of(slot) == Some(place))
    }

    fn at_once(&self, place: Place) -> At<Looked> {
        if self.waits.load(Ordering::Relaxed) {
            return At::Length;
        }
        let began = self.clock.now();
        let read = self.files.read_at_once(&place.path(), AT_ONCE);
        let now = self.clock.now();
        // Once may be chance. A file system that waits again and again cannot be taken at its word.
        if now.since(began) <= AT_ONCE_WITHIN {
            self.waited.store(0, Ordering::Relaxed);
        } else if self.waited.fetch_add(1, Ordering::Relaxed) + 1 >= WAITED_AT_MOST {
            self.waits.store(true, Ordering::Relaxed);
        }
        match read {
            Ok(bytes) => At::Once(self.decoded(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => At::Length,
            Err(error) => At::Once(Looked::Failed(error)),
        }
    }

    fn decoded(&self, bytes: &[u8]) -> Looked {
        match format::decode(bytes, self.swept.load(Ordering::Acquire)) {
            Ok(slot) => Looked::Found { slot, length: bytes.len() as u64 },
            Err(bad) => Looked::Bad(bad),
        }
    }

    fn look(&self, place: Place) -> Looked {
        let held = self.memory.settings().max_object as u64;
        self.read_file(&place.path(), held).unwrap_or_else(Looked::Failed)
    }

    /// Reads a file: whole, where its body is no larger than `held`.
    fn read_file(&self, path: &Path, held: u64) -> io::Result<Looked> {
        let file = self.files.open(path)?;
        let length = file.stat()?.length;
        let mut head = vec![0; PREAMBLE];
        let got = file.read_at(&mut head, 0)?;
        head.truncate(got);
        let preamble = match Preamble::read(&head) {
            Ok(preamble) => preamble,
            Err(bad) => return Ok(Looked::Bad(bad)),
        };
        if preamble.file_length() != Some(length) {
            return Ok(Looked::Bad(Bad::Damaged));
        }
        let whole = preamble.body <= held;
        let wanted = if whole { length } else { preamble.body_from() };
        let Ok(wanted) = usize::try_from(wanted) else { return Ok(Looked::Bad(Bad::Damaged)) };
        let mut bytes = vec![0; wanted];
        let got = file.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        if whole {
            return Ok(self.decoded(&bytes));
        }
        Ok(match format::decode_head(&preamble, &bytes, self.swept.load(Ordering::Acquire)) {
            Ok(slot) => Looked::Found { slot, length },
            Err(bad) => Looked::Bad(bad),
        })
    }

    /// What a look came to, for whoever asked; counts what went wrong.
    fn judge(
        &self,
        looked: Looked,
        place: Place,
        asked: Use,
        suits: impl Fn(&Slot) -> bool,
    ) -> Result<Option<Slot>, NoAnswer> {
        match looked {
            Looked::Found { slot, length } if suits(&slot) => {
                self.health.worked();
                let now = self.clock.now();
                let one = Indexed { place, occupied: length.next_multiple_of(4096), used: now };
                if asked == Use::Yes && !self.index.seen(&one) {
                    // Another process stored it, or it was not come to yet.
                    self.index.put_new(&one);
                }
                return Ok(Some(not_from_the_future(slot, now)));
            }
            Looked::Found { .. } => self.is_bad(place, Bad::Swapped),
            Looked::Bad(bad) => self.is_bad(place, bad),
            Looked::Failed(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.index.has(place.hash) {
                    // By the writer, who may have just stored it.
                    let _ = self.queue.push(place, Work::Discard);
                }
            }
            Looked::Failed(error) if is_not_regular(&error) => self.health.count("not-a-file", &error),
            Looked::Failed(error) => {
                self.health.failed("read", &error);
                return Err(NoAnswer);
            }
        }
        Ok(None)
    }

    pub(super) fn is_bad(&self, place: Place, bad: Bad) {
        self.health.count(bad.as_str(), &"a file of the store is not what it should be; nothing is served from it");
        // A later version's file may be wanted again by that version.
        if bad != Bad::Newer {
            let _ = self.queue.push(place, Work::Discard);
        }
    }

    /// Removes a file that is not what it should be, if that is still so.
    pub(super) fn discard(&self, place: Place) {
        let bad = match self.look(place) {
            Looked::Found { slot, .. } if self.place_of(&slot) == Some(place) => match &slot {
                Slot::Response(response) => {
                    matches!(&response.body, Body::Filed(filed) if !self.is_whole(place, filed))
                }
                Slot::Varies(_) => false,
            },
            Looked::Found { .. } => true,
            Looked::Bad(bad) => bad != Bad::Newer,
            // What could not be read may be good.
            Looked::Failed(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if bad {
            self.unlink(place);
        }
    }

    /// What is in a file, if it belongs to this place; its body too, where that is no larger than `held`.
    ///
    /// # Errors
    /// It could not be read, and may be good.
    pub(super) fn read_version(&self, path: &Path, place: Place, held: u64) -> io::Result<Option<Slot>> {
        match self.read_file(path, held) {
            Ok(Looked::Found { slot, .. }) if self.place_of(&slot) == Some(place) => Ok(Some(slot)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_not_regular(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where a slot belongs.
    pub(super) fn place_of(&self, slot: &Slot) -> Option<Place> {
        let key = slot.key();
        Some(Place { dir: dir_of(self.settings.seed, key, slot.is_variant())?, hash: self.hasher.hash(key) })
    }
}

/// The first bytes of an open file; `None`: they are not a stored response's.
pub(super) fn preamble_of(file: &dyn File) -> io::Result<Option<Preamble>> {
    let mut bytes = [0; PREAMBLE];
    let got = file.read_at(&mut bytes, 0)?;
    Ok(Preamble::read(&bytes[..got]).ok())
}

/// A clock that was set back must not make a page younger than it is: how old what lies ahead is nobody knows, so it is
/// STALE from now on, and what it had left beyond that counts from now.
pub(super) fn not_from_the_future(mut slot: Slot, now: Timestamp) -> Slot {
    const TOLERATED: Duration = Duration::from_secs(2);
    if let Slot::Response(response) = &mut slot
        && let Some(response) = Arc::get_mut(response)
    {
        let ahead = response.windows.generated.since(now);
        if ahead > TOLERATED {
            response.windows = response.windows.moved_back(ahead).stale_from(now);
        }
        response.fetched_at = response.fetched_at.min(now);
    }
    slot
}
