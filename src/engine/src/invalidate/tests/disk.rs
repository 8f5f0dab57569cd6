//! A disk in memory. It knows what is on it, and what is only on its way there, and it can refuse.

use crate::store::disk::{File, Files, Space, Stat};
use parking_lot::{Condvar, Mutex};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

type Names = BTreeMap<PathBuf, u64>;

#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<(Mutex<Inner>, Condvar)>);

#[derive(Debug, Default)]
pub struct Inner {
    /// As they were when they last were on the disk, and after every change since.
    names: Vec<Names>,
    files: BTreeMap<u64, Content>,
    locked: BTreeSet<PathBuf>,
    /// Changes so far.
    pub operations: u64,
    pub syncs: u64,
    /// From this change on the disk refuses.
    pub dies_at: Option<u64>,
    /// No file becomes longer.
    pub full: bool,
    /// Syncs do not end.
    pub hangs: bool,
    /// Nothing that is written ends.
    pub writes_hang: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    Nothing,
    Everything,
    /// Any of the sectors, by this seed.
    Some(u64),
}

impl Inner {
    fn change(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.dies_at.is_some_and(|at| self.operations > at) {
            return Err(io::Error::other("the disk is dead"));
        }
        Ok(())
    }

    fn names(&self) -> Names {
        self.names.last().cloned().unwrap_or_default()
    }

    fn find(&self, name: &Path) -> io::Result<u64> {
        self.names().get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Content {
    fn write(to: &mut Vec<u8>, bytes: &[u8], at: usize) {
        to.resize(to.len().max(at + bytes.len()), 0);
        to[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl Disk {
    pub fn inner(&self) -> parking_lot::MutexGuard<'_, Inner> {
        self.0.0.lock()
    }

    pub fn let_go(&self) {
        let mut inner = self.inner();
        (inner.hangs, inner.writes_hang) = (false, false);
        drop(inner);
        self.0.1.notify_all();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let inner = self.inner();
        let id = inner.find(Path::new(name)).unwrap();
        inner.files[&id].now.clone()
    }

    /// A disk with this one file.
    pub fn with(name: &str, bytes: Vec<u8>) -> Disk {
        let disk = Disk::default();
        let mut inner = disk.inner();
        inner.files.insert(0, Content { now: bytes.clone(), synced: bytes, pending: Vec::new() });
        inner.names.push(Names::from([(PathBuf::from(name), 0)]));
        drop(inner);
        disk
    }

    pub fn list_all(&self) -> Vec<String> {
        self.inner().names().keys().map(|name| name.display().to_string()).collect()
    }

    /// The disk as it is when the power is back.
    pub fn cut(&self, cut: Cut) -> Disk {
        let inner = self.inner();
        let mut rng = super::Rng(if let Cut::Some(seed) = cut { seed } else { 0 });
        let names = match cut {
            Cut::Nothing => inner.names.first().cloned().unwrap_or_default(),
            Cut::Everything => inner.names(),
            Cut::Some(_) if inner.names.is_empty() => Names::new(),
            Cut::Some(_) => inner.names[rng.below(inner.names.len() as u64) as usize].clone(),
        };
        let disk = Disk::default();
        let mut new = disk.inner();
        new.names.push(names);
        for (id, content) in &inner.files {
            let now = match cut {
                Cut::Nothing => content.synced.clone(),
                Cut::Everything => content.now.clone(),
                Cut::Some(_) => some_of(content, &mut rng),
            };
            new.files.insert(*id, Content { synced: now.clone(), now, pending: Vec::new() });
        }
        drop(new);
        disk
    }
}

fn some_of(content: &Content, rng: &mut super::Rng) -> Vec<u8> {
    let mut now = content.synced.clone();
    for (at, bytes) in &content.pending {
        let (mut from, end) = (*at, at + bytes.len());
        while from < end {
            let to = (from / 512 * 512 + 512).min(end);
            if rng.below(2) == 0 {
                Content::write(&mut now, &bytes[from - at..to - at], from);
            }
            from = to;
        }
    }
    now
}

#[derive(Debug)]
struct Opened(Disk, u64);

#[derive(Debug)]
struct Lock(Disk, PathBuf);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.inner().locked.remove(&self.1);
    }
}

impl Files for Disk {
    fn create(&self, name: &Path) -> io::Result<Box<dyn File>> {
        let mut inner = self.inner();
        inner.change()?;
        let (mut names, id) = (inner.names(), inner.files.len() as u64);
        if names.insert(name.to_owned(), id).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.files.insert(id, Content::default());
        inner.names.push(names);
        Ok(Box::new(Opened(self.clone(), id)))
    }

    fn open(&self, name: &Path) -> io::Result<Box<dyn File>> {
        let id = self.inner().find(name)?;
        Ok(Box::new(Opened(self.clone(), id)))
    }

    fn open_to_write(&self, name: &Path) -> io::Result<Box<dyn File>> {
        self.open(name)
    }

    fn read_at_once(&self, _name: &Path, _most: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.change()?;
        let mut names = inner.names();
        let id = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_owned(), id);
        inner.names.push(names);
        Ok(())
    }

    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let mut names = inner.names();
        names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.change()?;
        inner.names.push(names);
        Ok(())
    }

    fn make_dir(&self, _name: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, _dir: &Path, each: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        self.inner().names().keys().for_each(|name| each(name.as_os_str()));
        Ok(())
    }

    fn stat(&self, name: &Path) -> io::Result<Stat> {
        let id = self.inner().find(name)?;
        Opened(self.clone(), id).stat()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        assert_eq!(dir, Path::new(""));
        let mut inner = self.inner();
        inner.change()?;
        inner.names = vec![inner.names()];
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn space(&self) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reopen(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let free = self.inner().locked.insert(name.to_owned());
        Ok(free.then(|| Box::new(Lock(self.clone(), name.to_owned())) as Box<dyn Any + Send + Sync>))
    }
}

impl Opened {
    fn content<T>(&self, then: impl FnOnce(&mut Content) -> T) -> T {
        then(self.0.inner().files.get_mut(&self.1).unwrap())
    }
}

impl File for Opened {
    fn stat(&self) -> io::Result<Stat> {
        let length = self.content(|content| content.now.len() as u64);
        let (regular, modified) = (true, SystemTime::UNIX_EPOCH);
        Ok(Stat { regular, length, occupied: length, modified, identity: (0, self.1) })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.content(|content| {
            let rest = content.now.get(offset as usize..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.0.inner();
        while inner.writes_hang {
            self.0.0.1.wait(&mut inner);
        }
        let (changed, full) = (inner.change(), inner.full);
        drop(inner);
        self.content(|content| {
            let offset = offset as usize;
            let refused = full && offset + bytes.len() > content.now.len();
            // What fails is half done.
            let done = if changed.is_ok() && !refused { bytes } else { &bytes[..bytes.len() / 2] };
            let done = if refused { &[] } else { done };
            if !done.is_empty() {
                Content::write(&mut content.now, done, offset);
                content.pending.push((offset, done.to_vec()));
            }
            changed?;
            if refused { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn copy_from(&self, _other: &dyn File, _from: u64, _to: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.0.inner();
        while inner.hangs {
            self.0.0.1.wait(&mut inner);
        }
        inner.syncs += 1;
        inner.change()?;
        let content = inner.files.get_mut(&self.1).unwrap();
        content.synced = content.now.clone();
        content.pending.clear();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
