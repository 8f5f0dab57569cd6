//! A file system seen through somebody who may do something else instead.

use super::super::files::{File, Files, Space, Stat};
use super::faulty::Faulty;
use std::any::Any;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Rename,
    Sync,
    SyncDir,
    SyncAll,
}

/// Says whether it is to be done.
type Hook = Arc<dyn Fn(Call) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) struct Through {
    files: Faulty,
    hook: Hook,
}

impl Through {
    pub(super) fn new(files: &Faulty, hook: impl Fn(Call) -> bool + Send + Sync + 'static) -> Through {
        Through { files: files.clone(), hook: Arc::new(hook) }
    }
}

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Through")
    }
}

impl Files for Through {
    fn create(&self, name: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Seen { file: self.files.create(name)?, hook: self.hook.clone() }))
    }

    fn open(&self, name: &Path) -> io::Result<Box<dyn File>> {
        self.files.open(name)
    }

    fn open_to_write(&self, name: &Path) -> io::Result<Box<dyn File>> {
        self.files.open_to_write(name)
    }

    /// The hook comes after it.
    fn read_at_once(&self, name: &Path, most: usize) -> io::Result<Vec<u8>> {
        let read = self.files.read_at_once(name, most);
        (self.hook)(Call::Read);
        read
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if (self.hook)(Call::Rename) { self.files.rename(from, to) } else { Ok(()) }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.link(from, to)
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        self.files.remove(name)
    }

    fn make_dir(&self, name: &Path) -> io::Result<()> {
        self.files.make_dir(name)
    }

    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        self.files.list(dir, each)
    }

    fn stat(&self, name: &Path) -> io::Result<Stat> {
        self.files.stat(name)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if (self.hook)(Call::SyncDir) { self.files.sync_dir(dir) } else { Ok(()) }
    }

    fn sync_all(&self) -> io::Result<()> {
        if (self.hook)(Call::SyncAll) { self.files.sync_all() } else { Ok(()) }
    }

    fn reopen(&self) -> io::Result<()> {
        self.files.reopen()
    }

    fn space(&self) -> io::Result<Space> {
        self.files.space()
    }

    fn lock(&self, name: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.files.lock(name)
    }
}

struct Seen {
    file: Box<dyn File>,
    hook: Hook,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

impl File for Seen {
    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn copy_from(&self, other: &dyn File, from: u64, to: u64, length: u64) -> io::Result<()> {
        self.file.copy_from(other, from, to, length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        if (self.hook)(Call::Sync) { self.file.sync() } else { Ok(()) }
    }

    fn as_any(&self) -> &dyn Any {
        self.file.as_any()
    }
}
