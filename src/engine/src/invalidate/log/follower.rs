//! Reads what another process writes.

use super::super::event::Event;
use super::super::state::State;
use super::NAME;
use super::frame::Header;
use super::open::{Loaded, distrust_while_following, load_to_follow, rest_of};
use super::scan::{Scanned, scan};
use crate::store::disk::{File, Files};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The log of a process that holds it, read up to some place.
pub(in crate::invalidate) struct Follower {
    files: Arc<dyn Files>,
    /// Open for as long as it is followed: no other file can get its identity meanwhile.
    file: Arc<dyn File>,
    identity: (u64, u64),
    header: Header,
    at: u64,
}

/// What was written since.
pub(in crate::invalidate) enum News {
    Nothing,
    More(More),
    /// Another file stands in the place of the one that was read.
    Anew {
        state: Box<State>,
        epoch: u64,
        bad: u64,
    },
}

/// Some frames.
pub(in crate::invalidate) struct More {
    bytes: Vec<u8>,
    offset: u64,
    header: Header,
    gaps: u64,
}

impl Follower {
    pub(super) fn new(files: Arc<dyn Files>, loaded: &Loaded) -> Self {
        let (identity, header) = (loaded.identity, loaded.header);
        Follower { files, file: loaded.file.clone(), identity, header, at: loaded.end() }
    }

    pub(in crate::invalidate) fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    pub(in crate::invalidate) fn seed(&self) -> u64 {
        self.header.seed
    }

    /// Reads what was written since the last time.
    ///
    /// # Errors
    /// The system's; `InvalidData`: what stands there now cannot be read, or is another store's.
    pub(in crate::invalidate) fn follow(&mut self) -> io::Result<News> {
        match self.files.stat(Path::new(NAME)) {
            Ok(stat) if stat.identity != self.identity => return self.reload(),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Also where it is being moved out of the way.
            _ => {}
        }
        let (mut bytes, mut scanned) = self.rest()?;
        if scanned.gaps > 0 {
            // It may have been written while it was read.
            (bytes, scanned) = self.rest()?;
        }
        if scanned.end == 0 {
            return Ok(News::Nothing);
        }
        bytes.truncate(scanned.end);
        let more = More { bytes, offset: self.at, header: self.header, gaps: scanned.gaps };
        self.at += scanned.end as u64;
        Ok(News::More(more))
    }

    fn rest(&self) -> io::Result<(Vec<u8>, Scanned)> {
        let bytes = rest_of(&*self.file, self.at)?;
        let scanned = scan(&bytes, self.at, self.header, &mut |_, _| {});
        Ok((bytes, scanned))
    }

    fn reload(&mut self) -> io::Result<News> {
        let (follower, state, epoch, bad) = load_to_follow(self.files.clone())?;
        if follower.seed() != self.seed() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal is another store's now"));
        }
        *self = follower;
        Ok(News::Anew { state: Box::new(state), epoch, bad })
    }
}

impl More {
    /// Does what happened. Returns the newest epoch, and how much cannot be read.
    pub(in crate::invalidate) fn replay(&self, state: &mut State, mut epoch: u64) -> (u64, u64) {
        let mut bad = self.gaps;
        scan(&self.bytes, self.offset, self.header, &mut |event: Event<'_>, _| match state.replay(&event) {
            Some(of) => epoch = epoch.max(of),
            None => bad += 1,
        });
        if bad > 0 {
            distrust_while_following(state, epoch, bad);
        }
        (epoch, bad)
    }
}
