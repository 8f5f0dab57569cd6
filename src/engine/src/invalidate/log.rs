//! The journal on the disk: a file that is only appended to, `journal` in the store's directory.
//!
//! # Format, version 1
//!
//! All numbers are little endian. The file begins with a header of 32 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `LARDERJ` |
//! | 1 | version of the format |
//! | 8 | the store's seed: what keys and selectors are hashed with |
//! | 8 | the file's generation: one more whenever the file is replaced |
//! | 8 | checksum: XXH3 (64 bits) of these 24 bytes |
//!
//! Then come frames, one after the other:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | marker: `A7 4C 4A D3` |
//! | 4 | length of the payload |
//! | 1 | kind |
//! | 4 | checksum of these 9 bytes: the lower half of their XXH3 |
//! | length | payload |
//! | 8 | checksum: XXH3 of everything from the marker on |
//! | 1 | end: `E7` |
//!
//! Frames' checksums are seeded with seed + generation + offset of the frame in the file, so that no frame can be taken for
//! one of another file, or of another place, nor what is in a payload for a frame. After the last frame there are zeros:
//! room made ahead, so that an event can be written to a disk that is full, and need not change the file's length.
//!
//! | kind | payload |
//! |---|---|
//! | 1, whole | epoch, notes, records: the state as it was when the file was written. Always the first frame, and only that |
//! | 2, invalidated | epoch, time, and of every order: kind of target, mode, host, value |
//! | 3, tagged | epoch, host, path, tags |
//! | 4, swept | epoch up to which hard records are forgotten |
//! | 5, noted | name, value |
//! | 6, taken | the epoch from which a process that took the journal over goes on |
//!
//! Numbers have 8 bytes, hashes 16, counts and lengths of strings 4; kinds, modes, and whether something is there, have 1.
//!
//! # What is on the disk
//!
//! Who writes an event waits until it is on the disk; those who come meanwhile share the next wait ([`commit`]). When the
//! file has grown well beyond the state that it describes, `journal.new` is written with the state alone, and renamed over
//! it: at every moment one of the two is whole.
//!
//! Where the disk refuses, the log is *behind*: what happens takes effect, but is not durable. Before anything more is
//! written then, the file is replaced, because what became of what was written to it cannot be told.
//!
//! # What is read
//!
//! Power that fails leaves an end that was not written ([`scan`]): nobody was told that it would hold. Everything else that
//! cannot be read may be an invalidation that somebody relies on. Then nothing that was fetched before is trusted. In doubt
//! it is so too: where the power fails while several events, or one of many sectors, are on their way, and the disk writes
//! the later part first.

mod commit;
mod follower;
mod frame;
mod open;
mod scan;

pub(super) use commit::Commit;
pub(super) use follower::{Follower, News};
pub(super) use open::{load_to_follow, take, take_over};

use super::event::{Encoded, WHOLE};
use crate::store::disk::{File, Files};
use frame::{HEADER, Header, OVERHEAD};
use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Names in the store's directory.
pub(super) const NAME: &str = "journal";
const NEW: &str = "journal.new";
/// The store's directory itself.
const ROOT: &str = "";

/// So much room is made at a time.
const ROOM: usize = 64 << 10;
/// A log up to this length is not replaced.
const LEAST: u64 = 1 << 20;
/// A longer one is, when it is so many times as long as the state that it begins with.
const TIMES: u64 = 4;

/// The lock that says who holds the journal.
pub(super) type Lock = Box<dyn Any + Send + Sync>;

/// The log of the process that holds it.
pub(super) struct Log {
    files: Arc<dyn Files>,
    header: Header,
    /// The newest generation of which there may be a file.
    newest: u64,
    /// After the last frame.
    end: u64,
    /// Up to here the file is known to have room.
    room: u64,
    /// Beyond this length the file is replaced.
    limit: u64,
    commit: Arc<Commit>,
    _lock: Lock,
}

/// All of the state, and up to which event it tells of them.
type Whole<'a> = &'a dyn Fn() -> (Vec<u8>, u64);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("header", &self.header).field("end", &self.end).finish_non_exhaustive()
    }
}

/// A file that is to replace the one that is there.
struct New {
    file: Arc<dyn File>,
    end: u64,
    room: u64,
    /// Up to this event it tells of them.
    told: u64,
}

/// How far replacing the file came.
enum Failed {
    /// The file that was there is still the one that counts.
    Before(io::Error),
    /// It cannot be told which one counts.
    Amid(io::Error),
}

impl Failed {
    fn into_error(self) -> io::Error {
        match self {
            Failed::Before(error) | Failed::Amid(error) => error,
        }
    }
}

impl Log {
    pub(super) fn is_behind(&self) -> bool {
        self.commit.is_behind()
    }

    /// Somebody removed the file, perhaps with everything else: what is written on would never be found again.
    pub(super) fn notice_removal(&self) {
        if let Err(error) = self.files.stat(Path::new(NAME))
            && error.kind() == io::ErrorKind::NotFound
            && !self.is_behind()
        {
            self.fall_behind(&error);
        }
    }

    fn fall_behind(&self, error: &io::Error) {
        self.commit.fall_behind(error);
    }

    pub(super) fn commit(&self) -> &Arc<Commit> {
        &self.commit
    }

    /// Up to here events were given to the disk.
    pub(super) fn written(&self) -> u64 {
        self.commit.appended()
    }

    /// Gives the disk what has happened. Who wants to know whether it is there waits for it.
    ///
    /// # Errors
    /// The disk's: the log is behind.
    pub(super) fn keep(&mut self, event: &Encoded, whole: Whole<'_>) -> io::Result<()> {
        if self.is_behind() {
            return self.rewrite(whole);
        }
        if self.end > self.limit {
            match self.replace(whole) {
                Ok(()) => return Ok(()),
                Err(Failed::Before(error)) => {
                    tracing::warn!(%error, "the journal grows: it could not be written anew");
                    self.limit = self.end.saturating_add(LEAST);
                }
                Err(Failed::Amid(error)) => {
                    self.fall_behind(&error);
                    return Err(error);
                }
            }
        }
        self.append(event).inspect_err(|error| self.fall_behind(error))
    }

    fn append(&mut self, event: &Encoded) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(event.payload.len() + OVERHEAD);
        frame::write(&mut bytes, self.header, self.end, event.kind, &event.payload)?;
        let file = self.commit.file().ok_or(io::ErrorKind::NotFound)?;
        let end = self.end + bytes.len() as u64;
        if end > self.room {
            let made = self.make_room(&*file, end);
            if end > self.room {
                made?;
            }
        }
        file.write_at(&bytes, self.end)?;
        self.end = end;
        if self.room - self.end < ROOM as u64 / 2 {
            // While there is some left it does no harm if there is no more.
            let _ = self.make_room(&*file, self.room);
        }
        self.commit.append(event.number);
        Ok(())
    }

    /// Makes room up to there, and [`ROOM`] more.
    fn make_room(&mut self, file: &dyn File, up_to: u64) -> io::Result<()> {
        let zeros = vec![0; ROOM];
        while self.room < up_to.saturating_add(ROOM as u64) {
            file.write_at(&zeros, self.room)?;
            self.room += ROOM as u64;
        }
        Ok(())
    }

    /// Replaces the file by one with the whole state: what is not durable is then.
    ///
    /// # Errors
    /// The disk's: the log is behind.
    pub(super) fn rewrite(&mut self, whole: Whole<'_>) -> io::Result<()> {
        let was_behind = self.is_behind();
        self.replace(whole).map_err(Failed::into_error).inspect_err(|error| self.fall_behind(error))?;
        if was_behind {
            tracing::info!("the journal is on the disk again");
        }
        Ok(())
    }

    fn replace(&mut self, whole: Whole<'_>) -> Result<(), Failed> {
        // Also where this fails: no two files may have one generation.
        self.newest = self.newest.wrapping_add(1);
        let header = Header { generation: self.newest, ..self.header };
        let New { file, end, room, told } = self.write_new(header, whole).map_err(Failed::Before)?;
        let (from, to) = (Path::new(NEW), Path::new(NAME));
        let renamed = self.files.rename(from, to).and_then(|()| self.files.sync_dir(Path::new(ROOT)));
        renamed.map_err(Failed::Amid)?;
        (self.header, self.end, self.room) = (header, end, room);
        self.limit = limit(end);
        self.commit.replace(file, told);
        Ok(())
    }

    fn write_new(&self, header: Header, whole: Whole<'_>) -> io::Result<New> {
        let name = Path::new(NEW);
        match self.files.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.files.create(name)?;
        // By itself: a disk that is full says so before the state is collected.
        file.write_at(&header.encode(), 0)?;
        let mut bytes = Vec::new();
        let (state, told) = whole();
        frame::write(&mut bytes, header, HEADER as u64, WHOLE, &state)?;
        let end = (HEADER + bytes.len()) as u64;
        bytes.resize(bytes.len() + ROOM, 0);
        file.write_at(&bytes, HEADER as u64)?;
        file.sync()?;
        Ok(New { file: file.into(), end, room: end + ROOM as u64, told })
    }
}

/// How long a log may become that begins with a state up to there.
fn limit(end_of_state: u64) -> u64 {
    end_of_state.saturating_mul(TIMES).max(LEAST)
}
