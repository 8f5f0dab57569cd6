//! The one who writes. Files are written beside, made durable together, and only then renamed: at every moment there is
//! the old version of a page on the disk, or the new one, and neither is half there.

mod file;

use super::Disk;
use super::files::{File, is_in_the_way};
use super::health::is_full;
use super::index::Indexed;
use super::names::{ID, PAGES, Place, TMP, dir_path, shard_path};
use super::queue::{Job, Work};
use crate::store::{Body, Filed, KeyHash, Slot, StoredResponse};
use semantics::{Timestamp, key};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Jobs that are taken at a time.
const BATCH: usize = 64;
/// So many files are written at most before they are made durable.
const UNSYNCED_AT_MOST: usize = 1024;
/// So many bytes, too.
const UNSYNCED_BYTES_AT_MOST: u64 = 64 << 20;
/// So few are made durable one by one; for more the whole file system is asked once.
const FEW: usize = 4;
/// After so long what could not be removed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Written beside, and not in its place yet.
struct Beside {
    place: Place,
    number: u64,
    slot: Slot,
    name: PathBuf,
    /// Open for as long as it is one of a few.
    file: Option<Box<dyn File>>,
    occupied: u64,
    id: u64,
}

/// A body that was to get another head was evicted meanwhile: that says nothing of the disk.
const BODY_GONE: &str = "body-gone";
/// There is another body by now: another process stored a newer page, which stays.
const OVERTAKEN: &str = "overtaken";

/// What could not be done, and why.
type NotWritten = (&'static str, io::Error);

/// What a writer remembers from one step to the next.
#[derive(Default)]
pub(super) struct Writer {
    beside: Vec<Beside>,
    bytes: u64,
    since: Option<Timestamp>,
    /// Removed, but not durably so yet.
    removed: Vec<Job>,
    /// What could not be removed, and when that is tried again.
    stays: Vec<Job>,
    again: Timestamp,
    /// How long it takes to make things durable: the longest of late.
    settling: Duration,
    names: u64,
    /// Directories that are there.
    made: HashSet<(u64, usize)>,
}

impl Writer {
    /// Takes some jobs, and does what is due. Says whether there was anything to do.
    pub(super) fn step(&mut self, disk: &Disk) -> bool {
        let due = self.due(disk.settings.sync);
        if disk.health.is_off() {
            // What waits is found meanwhile, and is written when the disk works again.
            return false;
        }
        let patience = if self.beside.is_empty() { disk.settings.sync / 4 } else { due / 8 };
        let jobs = disk.queue.take(BATCH, patience);
        disk.writing_since.store(disk.clock.now().as_micros(), Ordering::Relaxed);
        let worked = !jobs.is_empty();
        for job in jobs {
            self.carry_out(disk, job);
        }
        let now = disk.clock.now();
        if !disk.health.is_off() && now >= self.again {
            for job in std::mem::take(&mut self.stays) {
                self.remove(disk, job);
            }
        }
        // What waits already goes along, for a while: the more at once, the less each costs.
        let most = if disk.queue.is_empty() { due } else { disk.settings.sync / 4 };
        let waits = self.since.is_some_and(|since| now.since(since) >= most);
        let many = self.beside.len() >= UNSYNCED_AT_MOST || self.bytes >= UNSYNCED_BYTES_AT_MOST;
        if waits || many || (!worked && disk.queue.is_hurried()) {
            self.settle(disk);
            self.settling = disk.clock.now().since(now).max(self.settling * 9 / 10);
        }
        disk.make_room(now);
        worked || !self.beside.is_empty() || !self.removed.is_empty()
    }

    /// How long what was written waits before it is made durable. That takes its time, too, and what comes while it does
    /// waits for the next time: twice as long as it takes, and this, are within `sync`.
    fn due(&self, sync: Duration) -> Duration {
        (sync / 4).min(sync.saturating_sub(self.settling * 5 / 2))
    }

    fn carry_out(&mut self, disk: &Disk, job: Job) {
        self.forget_older(disk, job.place.hash);
        match job.work {
            Work::Keep(slot) => {
                if let Err((operation, error)) = self.write(disk, job.place, job.number, &slot) {
                    if operation == OVERTAKEN {
                        return disk.queue.done(std::iter::once((job.place.hash, job.number)));
                    }
                    if operation == BODY_GONE {
                        disk.health.count(operation, &error);
                        // What was evicted must not come back with an older head than was seen since, if the power goes.
                        return disk.queue.remove_instead(job.place, job.number);
                    }
                    disk.health.failed(operation, &error);
                    if is_full(&error) && operation != "min-free" {
                        disk.evict_for_room();
                    }
                    disk.not_written(job.place, job.number, &slot, &error);
                }
            }
            Work::Remove => self.remove(disk, job),
            Work::Discard => {
                disk.discard(job.place);
                disk.queue.done(std::iter::once((job.place.hash, job.number)));
            }
        }
    }

    /// Whoever ordered it away may forget why once that is done: so it has to be gone, whatever happens.
    fn remove(&mut self, disk: &Disk, job: Job) {
        if !disk.queue.is_newest(job.place.hash, job.number) {
            return;
        }
        if disk.unlink(job.place) {
            self.since.get_or_insert(disk.clock.now());
            self.removed.push(job);
        } else {
            self.again = disk.clock.now().after(PAUSE);
            self.stays.push(job);
        }
    }

    /// An older version that is not in its place yet never gets there.
    fn forget_older(&mut self, disk: &Disk, hash: KeyHash) {
        self.beside.retain(|beside| {
            let stays = beside.place.hash != hash;
            if !stays {
                let _ = disk.files.remove(&beside.name);
            }
            stays
        });
    }

    fn write(&mut self, disk: &Disk, place: Place, number: u64, slot: &Slot) -> Result<(), NotWritten> {
        if disk.is_too_full() {
            return Err(("min-free", io::ErrorKind::StorageFull.into()));
        }
        self.directory(disk, place, slot).map_err(|error| ("make-dir", error))?;
        self.names += 1;
        let name: PathBuf = format!("{TMP}/{}/{}", disk.process, self.names).into();
        let id = disk.body_id(slot);
        let written = file::write(disk, &name, slot, id, place).and_then(|file| file.stat().map(|stat| (file, stat)));
        match written {
            Ok((file, stat)) => {
                disk.health.worked();
                self.bytes += stat.length;
                self.since.get_or_insert(disk.clock.now());
                // Where a file system decides late what a file takes, it takes nothing yet.
                let occupied = stat.occupied.max(stat.length.next_multiple_of(4096));
                let file = (self.beside.len() < FEW).then_some(file);
                self.beside.push(Beside { place, number, slot: slot.clone(), name, file, occupied, id });
                Ok(())
            }
            Err(error) => {
                let _ = disk.files.remove(&name);
                let filed = matches!(slot, Slot::Response(response) if response.body.held().is_none());
                match error.kind() {
                    io::ErrorKind::NotFound if filed => return Err((BODY_GONE, error)),
                    io::ErrorKind::ResourceBusy if filed => return Err((OVERTAKEN, error)),
                    _ => {}
                }
                // Somebody may have removed them.
                self.made.clear();
                Err(("write", error))
            }
        }
    }

    /// Makes the directory of a place, and says of which deployment it is.
    fn directory(&mut self, disk: &Disk, place: Place, slot: &Slot) -> io::Result<()> {
        let anew = disk.gone.lock().remove(&place.dir);
        if !anew && self.made.contains(&(place.dir, place.shard())) {
            return Ok(());
        }
        disk.files.make_dir(Path::new(PAGES))?;
        if self.made.is_empty() {
            disk.files.sync_dir(Path::new(""))?;
        }
        let dir = dir_path(place.dir);
        disk.files.make_dir(&dir)?;
        if let Some(deployment) = key::deployment(slot.key(), slot.is_variant())
            && disk.deployment_of(place.dir).is_none()
        {
            // As the pages themselves: all of it, or nothing.
            self.names += 1;
            let name: PathBuf = format!("{TMP}/{}/{}", disk.process, self.names).into();
            let file = disk.files.create(&name)?;
            let named = file.write_at(deployment, 0).and_then(|()| file.sync());
            let named = named.and_then(|()| disk.files.rename(&name, &dir.join(ID)));
            named.inspect_err(|_| drop(disk.files.remove(&name)))?;
        }
        disk.files.make_dir(&shard_path(place.dir, place.shard()))?;
        disk.files.sync_dir(&dir)?;
        disk.files.sync_dir(Path::new(PAGES))?;
        self.made.insert((place.dir, place.shard()));
        Ok(())
    }

    /// Makes what was written durable, and puts it in its place; what was removed is durably so.
    fn settle(&mut self, disk: &Disk) {
        self.bytes = 0;
        self.since = None;
        let beside = std::mem::take(&mut self.beside);
        let durable = self.make_durable(disk, &beside);
        let mut placed: Vec<&Beside> = Vec::with_capacity(beside.len());
        for one in beside.iter().filter(|_| durable) {
            match self.put_in_place(disk, one) {
                Ok(()) => placed.push(one),
                Err(error) => {
                    let _ = disk.files.remove(&one.name);
                    disk.not_written(one.place, one.number, &one.slot, &error);
                }
            }
        }
        let removed = std::mem::take(&mut self.removed);
        let places = placed.iter().map(|b| b.place).chain(removed.iter().map(|job| job.place));
        let touched: HashSet<_> = places.map(|place| (place.dir, place.shard())).collect();
        let sync_dir = |(dir, shard): &(u64, usize)| match disk.files.sync_dir(&shard_path(*dir, *shard)) {
            // It never was.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        };
        let names = if touched.len() <= FEW { touched.iter().try_for_each(sync_dir) } else { disk.files.sync_all() };
        disk.queue.done(placed.iter().map(|b| (b.place.hash, b.number)));
        match names {
            Ok(()) => disk.queue.done(removed.iter().map(|job| (job.place.hash, job.number))),
            Err(error) => {
                disk.health.failed("sync", &error);
                self.again = disk.clock.now().after(PAUSE);
                self.stays.extend(removed);
            }
        }
        if !self.stays.is_empty() {
            disk.queue.calm_down();
        }
    }

    /// Says whether all of it is on the disk.
    fn make_durable(&self, disk: &Disk, beside: &[Beside]) -> bool {
        let few: Option<Vec<&dyn File>> = beside.iter().map(|b| b.file.as_deref()).collect();
        let synced = match few {
            Some(few) => few.into_iter().try_for_each(File::sync),
            None => disk.files.sync_all(),
        };
        let Err(error) = synced else { return true };
        // What could not be made durable may be anything: it does not take the place of what is good.
        disk.health.failed("sync", &error);
        for Beside { place, number, slot, name, .. } in beside {
            let _ = disk.files.remove(name);
            disk.not_written(*place, *number, slot, &error);
        }
        if is_full(&error) {
            disk.evict_for_room();
        }
        false
    }

    /// When this returns it is in its place, or is not to be.
    fn put_in_place(&mut self, disk: &Disk, beside: &Beside) -> io::Result<()> {
        let Beside { place, number, slot, name, .. } = beside;
        // What was invalidated hard, or ordered away, since it was written.
        if !disk.queue.may_be_placed(place.hash, *number) || !disk.may_stay(slot) {
            let _ = disk.files.remove(name);
            return Ok(());
        }
        disk.keep_version(*place, slot);
        let put = match disk.files.rename(name, &place.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody removed its directory.
                self.made.clear();
                self.directory(disk, *place, slot).and_then(|()| disk.files.rename(name, &place.path()))
            }
            put => put,
        };
        if let Err(error) = put {
            self.made.clear();
            // What somebody put there is in the way of this page alone.
            if is_in_the_way(&error) {
                disk.health.count("not-a-file", &error);
            } else {
                disk.health.failed("rename", &error);
            }
            return Err(error);
        }
        disk.health.worked();
        disk.index.put(&Indexed { place: *place, occupied: beside.occupied, used: disk.clock.now() });
        disk.count_versions(*place, slot);
        if let Slot::Response(response) = slot {
            disk.leave_in_file(*place, response, beside.id);
        }
        Ok(())
    }
}

impl Disk {
    /// The id under which a body is stored.
    fn body_id(&self, slot: &Slot) -> u64 {
        match slot {
            Slot::Response(response) => match &response.body {
                Body::Filed(filed) => filed.id,
                Body::Held(_) => self.next_id(),
            },
            Slot::Varies(_) => self.next_id(),
        }
    }

    /// Whether this may still be stored.
    pub(super) fn may_stay(&self, slot: &Slot) -> bool {
        match slot {
            Slot::Response(response) => self.still_good.get().is_none_or(|good| good(response)),
            Slot::Varies(_) => true,
        }
    }

    /// What was not written is tried again, and found where it waits. What there is no room for, or what fails again and again,
    /// is in memory alone, if it is not too large for that; the version before it does not come back.
    fn not_written(&self, place: Place, number: u64, slot: &Slot, why: &io::Error) {
        if !is_full(why) && self.queue.again(place.hash, number) {
            return;
        }
        if self.index.has(place.hash) {
            // Done when that is durable.
            self.queue.remove_instead(place, number);
        } else {
            self.queue.done(std::iter::once((place.hash, number)));
        }
        if let Slot::Response(response) = slot
            && response.body.heap_size() > self.memory.settings().max_object
        {
            self.memory.remove_response(place.hash, response);
        }
    }

    /// A body that is too large for memory is read from its file from now on.
    fn leave_in_file(&self, place: Place, response: &Arc<StoredResponse>, id: u64) {
        if response.body.heap_size() > self.memory.settings().max_object {
            let filed = Filed { id, length: response.body.len(), digest: response.body.digest() };
            let slot = Slot::Response(Arc::new(response.with_body(Body::Filed(filed))));
            self.memory.replace_response(place.hash, response, slot);
        }
    }
}
