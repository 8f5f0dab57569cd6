//! A file system in memory that loses power, and whose disk fails.
//!
//! It does what it is asked like any other. But it also knows what of it a disk would have if the power went now, and no
//! more than that is promised:
//!
//! - Contents and lengths: what was there when the file was last synced. Of what was written since, any sectors may be
//!   there and any not, whatever the order. Where a file grew, lost sectors are zeros, or what other files left there.
//! - Names: those that were there when their directory was last synced. Of what was done since, each name may be at any
//!   step of it, whatever the other names are at. But a rename never loses the file: its old name goes only once it has
//!   the new one.
//! - A sync that failed has written nothing for sure, and no later one of that file does: Linux takes the pages for
//!   written.

mod contents;
mod faults;
mod names;
mod open;
mod state;

pub use faults::{EIO, ENOSPC, Kind, Sabotage};

use super::Rng;
use engine::store::disk::{File, Files, Space, Stat};
use faults::Faults;
use open::{Lock, Opened};
use parking_lot::{Mutex, MutexGuard};
use state::{Op, State};
use std::any::Any;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Clones are the same file system.
#[derive(Clone)]
pub struct Faulty(Arc<Mutex<Running>>);

/// A file system while processes use it.
struct Running {
    state: State,
    faults: Faults,
    /// The state when it began, and what was done since, each with the time.
    record: Option<(State, Vec<(Op, SystemTime)>)>,
    locks: BTreeSet<u64>,
    now: SystemTime,
    cold: bool,
}

impl Faulty {
    /// An empty one.
    pub fn new() -> Faulty {
        Faulty::with(State::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
    }

    /// An empty one that keeps what is done to it for [`Faulty::states`].
    pub fn recording() -> Faulty {
        let new = Faulty::new();
        new.record();
        new
    }

    /// Begins to keep what is done to it, or begins anew.
    pub fn record(&self) {
        let mut running = self.0.lock();
        running.record = Some((running.state.clone(), Vec::new()));
    }

    /// How many operations were kept.
    pub fn operations(&self) -> usize {
        self.0.lock().record.as_ref().map_or(0, |(_, log)| log.len())
    }

    /// As it was after the first so many of the operations that it kept.
    pub fn replay(&self, operations: usize) -> Faulty {
        self.states().nth(operations).expect("so many were kept")
    }

    /// As it was before the first operation that it kept, and after each. To all of them the power can be taken away.
    pub fn states(&self) -> impl Iterator<Item = Faulty> + use<> {
        let running = self.0.lock();
        let (mut state, log) = running.record.clone().expect("it records");
        let begin = Faulty::with(state.clone(), running.now);
        std::iter::once(begin).chain(log.into_iter().map(move |(op, now)| {
            state.apply(&op, now).expect("it could be done before");
            Faulty::with(state.clone(), now)
        }))
    }

    /// What is found after the power went. This one goes on as if it had not.
    pub fn crash(&self, chance: &mut Rng) -> Faulty {
        let running = self.0.lock();
        Faulty::with(running.state.crash(chance), running.now)
    }

    /// What is found after the process was killed: all that was written, but no more of it is synced. This one goes on.
    pub fn kill(&self) -> Faulty {
        let running = self.0.lock();
        Faulty::with(running.state.clone(), running.now)
    }

    /// After `n` more operations, one fails with this error number.
    pub fn fail_after(&self, n: u64, error: i32) {
        self.0.lock().faults.after(n, error);
    }

    /// Each `n`th operation from now on fails with this error number.
    pub fn fail_every(&self, n: u64, error: i32) {
        self.0.lock().faults.every(n, error);
    }

    /// Only operations of these kinds fail, and are counted for that. To be asked for after what fails.
    pub fn fail_only(&self, kinds: &[Kind]) {
        self.0.lock().faults.only(kinds);
    }

    /// Files can take so much more, in whole sectors. What is removed makes room again.
    pub fn no_space_after(&self, bytes: u64) {
        let mut running = self.0.lock();
        running.faults.capacity = Some(running.state.used() + bytes);
    }

    /// Nothing fails any more, and there is room.
    pub fn heal(&self) {
        self.0.lock().faults.heal();
    }

    /// Takes syncs away, to see that tests notice.
    pub fn sabotage(&self, sabotage: Sabotage) {
        self.0.lock().faults.sabotage = sabotage;
    }

    /// How often that was asked for, whether it failed or not.
    pub fn count(&self, kind: Kind) -> u64 {
        self.0.lock().faults.count(kind)
    }

    /// The time that files are written at from now on.
    pub fn set_now(&self, now: SystemTime) {
        self.0.lock().now = now;
    }

    /// Whether nothing can be read without waiting.
    pub fn set_cold(&self, cold: bool) {
        self.0.lock().cold = cold;
    }

    fn with(state: State, now: SystemTime) -> Faulty {
        let (faults, locks) = (Faults::default(), BTreeSet::new());
        Faulty(Arc::new(Mutex::new(Running { state, faults, record: None, locks, now, cold: false })))
    }

    /// Counts an operation that changes nothing, which may fail.
    fn look(&self, kind: Kind) -> io::Result<MutexGuard<'_, Running>> {
        let mut running = self.0.lock();
        running.faults.next(kind)?;
        Ok(running)
    }

    fn change(&self, kind: Kind, op: Op) -> io::Result<()> {
        self.0.lock().change(kind, op)
    }

    fn opened(&self, name: &Path, writes: bool) -> io::Result<Box<dyn File>> {
        let running = self.look(Kind::Open)?;
        let (inode, _) = running.state.regular(name)?;
        Ok(Box::new(Opened { files: self.clone(), inode, writes }))
    }
}

impl Running {
    /// Does what changes something, unless it fails, and keeps it.
    fn change(&mut self, kind: Kind, op: Op) -> io::Result<()> {
        let op = match self.faults.next(kind) {
            Ok(()) => self.faults.sabotaged(op),
            Err(error) => {
                // What such a failure leaves behind.
                if let Some(left) = op.failed(&mut self.faults.chance()) {
                    self.apply(left)?;
                }
                return Err(error);
            }
        };
        let Some(capacity) = self.faults.capacity else { return self.apply(op) };
        let room = capacity.saturating_sub(self.state.used());
        if self.state.growth(&op) <= room {
            return self.apply(op);
        }
        if let Some(part) = self.state.fitting(op, room) {
            self.apply(part)?;
        }
        Err(io::Error::from_raw_os_error(ENOSPC))
    }

    fn apply(&mut self, op: Op) -> io::Result<()> {
        self.state.apply(&op, self.now)?;
        if let Some((_, log)) = &mut self.record {
            log.push((op, self.now));
        }
        Ok(())
    }
}

impl Files for Faulty {
    fn create(&self, name: &Path) -> io::Result<Box<dyn File>> {
        let mut running = self.0.lock();
        running.change(Kind::Create, Op::Create(name.to_owned()))?;
        let inode = running.state.find(name)?;
        Ok(Box::new(Opened { files: self.clone(), inode, writes: true }))
    }

    fn open(&self, name: &Path) -> io::Result<Box<dyn File>> {
        self.opened(name, false)
    }

    fn open_to_write(&self, name: &Path) -> io::Result<Box<dyn File>> {
        self.opened(name, true)
    }

    fn read_at_once(&self, name: &Path, most: usize) -> io::Result<Vec<u8>> {
        let running = self.look(Kind::Read)?;
        if running.cold {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (_, contents) = running.state.regular(name)?;
        if contents.now.len() > most {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(contents.now.clone())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Kind::Rename, Op::Rename(from.to_owned(), to.to_owned()))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Kind::Link, Op::Link(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        self.change(Kind::Remove, Op::Remove(name.to_owned()))
    }

    fn make_dir(&self, name: &Path) -> io::Result<()> {
        self.change(Kind::MakeDir, Op::MakeDir(name.to_owned()))
    }

    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        let names: Vec<_> = {
            let running = self.look(Kind::List)?;
            let dir = running.state.find(dir)?;
            running
                .state
                .names(dir)
                .ok_or(io::ErrorKind::NotADirectory)?
                .now()
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        // Without the lock: it may ask for more.
        names.iter().for_each(|name| each(name));
        Ok(())
    }

    fn stat(&self, name: &Path) -> io::Result<Stat> {
        let running = self.look(Kind::Stat)?;
        Ok(running.state.stat(running.state.find(name)?))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(Kind::SyncDir, Op::SyncDir(dir.to_owned()))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.change(Kind::SyncAll, Op::SyncAll)
    }

    fn space(&self) -> io::Result<Space> {
        let running = self.look(Kind::Space)?;
        let total = running.faults.capacity.unwrap_or(1 << 40);
        Ok(Space { total, free: total.saturating_sub(running.state.used()) })
    }

    fn reopen(&self) -> io::Result<()> {
        self.look(Kind::Reopen).map(drop)
    }

    fn lock(&self, name: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut running = self.look(Kind::Lock)?;
        if running.state.find(name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            running.change(Kind::Create, Op::Create(name.to_owned()))?;
        }
        let (inode, _) = running.state.regular(name)?;
        if !running.locks.insert(inode) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock { files: self.clone(), inode })))
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}
