//! What a process finds when it opens the log, and what it makes of it.

use super::super::event::{Encoded, Event};
use super::super::opening::{Found, Opened, Options, Role, Trust};
use super::super::state::State;
use super::commit::Commit;
use super::follower::Follower;
use super::frame::{HEADER, Header};
use super::scan::{Scanned, Tail, scan};
use super::{Lock, Log, NAME, NEW, ROOM, ROOT, limit};
use crate::store::disk::{File, Files};
use semantics::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who takes the journal over goes on so many epochs later: in those between there may have been invalidations that did not
/// reach the disk, and responses that were fetched after them. What comes now is newer than any of these.
const APART: u64 = 1 << 20;

/// The number of the first event: that there is a holder.
const TAKEN: u64 = 1;

/// What a file says.
pub(super) struct Loaded {
    pub(super) file: Arc<dyn File>,
    pub(super) identity: (u64, u64),
    pub(super) header: Header,
    pub(super) state: State,
    pub(super) epoch: u64,
    scanned: Scanned,
    /// Where the state ends that it begins with; `None`: it cannot be read.
    whole: Option<u64>,
    /// Frames that are whole, and say what cannot be.
    broken: u64,
    room: u64,
}

pub(super) enum Reading {
    Loaded(Box<Loaded>),
    Missing,
    Unreadable(String),
}

impl Loaded {
    /// After the last whole frame, in the file.
    pub(super) fn end(&self) -> u64 {
        (HEADER + self.scanned.end) as u64
    }

    /// Frames that were acknowledged and cannot be read. To a process that follows, an end may be one that is being written.
    pub(super) fn bad(&self, role: Role) -> u64 {
        let bad = match role {
            Role::Holder => self.scanned.bad(),
            Role::Follower => self.scanned.gaps,
        };
        (bad + self.broken).max(u64::from(self.whole.is_none()))
    }
}

/// All of a file from there on.
pub(super) fn rest_of(file: &dyn File, from: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.stat()?.length.saturating_sub(from)).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, from)?;
    bytes.truncate(read);
    Ok(bytes)
}

pub(super) fn load(files: &dyn Files, role: Role) -> io::Result<Reading> {
    let name = Path::new(NAME);
    let opened = match role {
        Role::Holder => files.open_to_write(name),
        Role::Follower => files.open(name),
    };
    let file: Arc<dyn File> = match opened {
        Ok(file) => file.into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reading::Missing),
        Err(error) => return Err(error),
    };
    let bytes = rest_of(&*file, 0)?;
    let header = match Header::decode(&bytes) {
        Ok(header) => header,
        Err(why) => return Ok(Reading::Unreadable(why)),
    };
    let (mut state, mut epoch, mut whole, mut broken) = (State::new(header.seed), 0_u64, None, 0);
    let scanned = scan(&bytes[HEADER..], HEADER as u64, header, &mut |event, end| match state.replay(&event) {
        Some(of) => {
            epoch = epoch.max(of);
            if matches!(event, Event::Whole(_)) {
                whole = Some((HEADER + end) as u64);
            }
        }
        None => broken += 1,
    });
    let identity = file.stat()?.identity;
    let room = bytes.len() as u64;
    Ok(Reading::Loaded(Box::new(Loaded { file, identity, header, state, epoch, scanned, whole, broken, room })))
}

/// What is to be known of a log that was opened.
pub(in crate::invalidate) struct Taken {
    pub(in crate::invalidate) log: Log,
    pub(in crate::invalidate) state: State,
    pub(in crate::invalidate) epoch: u64,
    pub(in crate::invalidate) opened: Opened,
}

/// Opens the log for the process that has its lock.
///
/// # Errors
/// It cannot be read, or not be moved out of the way. That it cannot be written is none: the log is behind then.
pub(in crate::invalidate) fn take(
    files: Arc<dyn Files>,
    lock: Lock,
    options: &Options,
    now: Timestamp,
) -> io::Result<Taken> {
    // Of a process that ended while it wrote it.
    let _ = files.remove(Path::new(NEW));
    let reading = load(&*files, Role::Holder)?;
    let mut opened =
        Opened { role: Role::Holder, seed: options.seed, found: Found::Nothing, bad_frames: 0, trust: options.trust };
    let loaded = match reading {
        Reading::Loaded(loaded) => {
            opened.seed = loaded.header.seed;
            opened.found = Found::Restored;
            opened.bad_frames = loaded.bad(Role::Holder);
            if opened.bad_frames > 0 {
                opened.trust = Trust::Lost;
            }
            Some(*loaded)
        }
        Reading::Missing => None,
        Reading::Unreadable(why) => {
            let name = set_aside(&*files)?;
            tracing::error!("the journal cannot be read: {why}. It is kept as {}", name.display());
            opened.found = Found::Unreadable { kept_as: name };
            opened.trust = Trust::Lost;
            None
        }
    };
    let epoch = begin(loaded.as_ref(), options.least, opened.trust, now);
    if opened.trust == Trust::Lost {
        let bad = opened.bad_frames;
        tracing::warn!(bad, "invalidations may be lost: every page that was stored before is validated");
    }
    let (log, state) = write(files, lock, loaded, &opened, epoch);
    Ok(Taken { log, state, epoch, opened })
}

/// Opens the log for a process that has followed it, and has its lock now.
///
/// # Errors
/// As [`take`]; `InvalidData`: it is another store's now.
pub(in crate::invalidate) fn take_over(
    follower: &Follower,
    lock: Lock,
    options: &Options,
    now: Timestamp,
) -> io::Result<Taken> {
    let mut options = *options;
    match load(&**follower.files(), Role::Follower)? {
        Reading::Loaded(loaded) if loaded.header.seed != follower.seed() => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal is another store's now"));
        }
        // It cannot tell what was in it after it was last read.
        Reading::Missing => options.trust = Trust::Lost,
        _ => {}
    }
    take(follower.files().clone(), lock, &options, now)
}

/// The epoch to go on with: no response was fetched in a later one.
fn begin(loaded: Option<&Loaded>, least: u64, trust: Trust, now: Timestamp) -> u64 {
    let known = loaded.map(|loaded| loaded.epoch.max(least).saturating_add(APART));
    match (loaded, known) {
        (Some(Loaded { whole: Some(_), .. }), Some(known)) => known,
        // Nobody knows how many there were: fewer than APART in every second since 1970.
        _ if trust == Trust::Lost => {
            let since = (now.as_micros() / 1_000_000).saturating_mul(APART).min(1 << 62);
            since.max(least.saturating_add(APART)).max(known.unwrap_or_default())
        }
        _ => least.saturating_add(1),
    }
}

/// Writes that there is a holder from now on: into the file that is there, or a new one.
fn write(files: Arc<dyn Files>, lock: Lock, loaded: Option<Loaded>, opened: &Opened, epoch: u64) -> (Log, State) {
    let mut header = Header { seed: opened.seed, generation: 0 };
    let (mut end, mut room, mut limited) = (0, 0, 0);
    let (mut tail, mut file) = (Tail::Clean, None);
    let mut state = State::new(opened.seed);
    if let Some(loaded) = loaded {
        (header, end, room) = (loaded.header, loaded.end(), loaded.room);
        (tail, limited) = (loaded.scanned.tail, limit(loaded.whole.unwrap_or_default()));
        state = loaded.state;
        // What is not trusted is written anew, so that damage is found once.
        file = (opened.trust == Trust::Kept).then_some(loaded.file);
    }
    if opened.trust == Trust::Lost {
        state.records.distrust(epoch);
    }
    let commit = Commit::new(file.clone());
    let mut log = Log { files, header, newest: header.generation, end, room, limit: limited, commit, _lock: lock };
    let written = match file {
        Some(file) if tail == Tail::Torn => wipe(&*file, end, room),
        Some(_) => Ok(()),
        None => log.rewrite(&|| (state.dump(epoch), TAKEN)),
    };
    match written {
        Ok(()) if opened.trust == Trust::Kept && opened.found == Found::Restored => {
            let taken = Encoded::new(TAKEN, &Event::Taken(epoch));
            if log.keep(&taken, &|| (state.dump(epoch), TAKEN)).is_ok() {
                log.commit().wait(TAKEN);
            }
        }
        Ok(()) => {}
        Err(error) => log.fall_behind(&error),
    }
    (log, state)
}

/// Makes room of what was not written to its end: nothing of it may follow a frame that is shorter.
fn wipe(file: &dyn File, end: u64, length: u64) -> io::Result<()> {
    let mut at = end;
    let zeros = vec![0; ROOM];
    while at < length {
        let part = usize::try_from(length - at).unwrap_or(ROOM).min(ROOM);
        file.write_at(&zeros[..part], at)?;
        at += part as u64;
    }
    file.sync()
}

/// Gives a journal that cannot be read a name of its own. It is never removed: a newer Larder may read it.
fn set_aside(files: &dyn Files) -> io::Result<PathBuf> {
    for n in 1_u64.. {
        let name = PathBuf::from(format!("{NAME}.bad-{n}"));
        match files.stat(&name) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files.rename(Path::new(NAME), &name)?;
                files.sync_dir(Path::new(ROOT))?;
                return Ok(name);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Opens the log of another process.
///
/// # Errors
/// The system's; `NotFound`: it is not written yet; `InvalidData`: it cannot be read.
pub(in crate::invalidate) fn load_to_follow(files: Arc<dyn Files>) -> io::Result<(Follower, State, u64, u64)> {
    let mut loaded = load_whole(&*files)?;
    if loaded.bad(Role::Follower) > 0 {
        // It may have been written while it was read.
        loaded = load_whole(&*files)?;
    }
    let bad = loaded.bad(Role::Follower);
    let (mut state, epoch) = (std::mem::replace(&mut loaded.state, State::new(0)), loaded.epoch);
    if bad > 0 {
        distrust_while_following(&mut state, epoch, bad);
    }
    Ok((Follower::new(files, &loaded), state, epoch, bad))
}

fn load_whole(files: &dyn Files) -> io::Result<Loaded> {
    let invalid =
        |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("the journal cannot be read: {why}"));
    match load(files, Role::Follower)? {
        Reading::Loaded(loaded) if loaded.whole.is_some() => Ok(*loaded),
        Reading::Loaded(_) => Err(invalid("its beginning is damaged".to_owned())),
        Reading::Unreadable(why) => Err(invalid(why)),
        Reading::Missing => Err(io::Error::new(io::ErrorKind::NotFound, "the journal is not written yet")),
    }
}

/// Only who holds the journal makes epochs: so until the next one nothing is trusted, not even what comes now.
pub(super) fn distrust_while_following(state: &mut State, epoch: u64, bad: u64) {
    tracing::warn!(bad, "the journal of another process is damaged: every page is validated");
    state.records.distrust(epoch.saturating_add(1));
}
