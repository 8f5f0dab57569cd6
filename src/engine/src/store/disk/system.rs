//! [`Files`] on Linux: everything below one directory that stays open.
//!
//! The directory may be writable by others than this process, by mistake: so no link is followed in any part of a name,
//! and what is not a regular file is refused. The links in the way to the directory itself are the operator's.

mod opened;
#[cfg(test)]
mod tests;

use super::files::{File, Files, Space, Stat, not_regular};
use arc_swap::ArcSwap;
use opened::Opened;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, IoSliceMut, ReadWriteFlags};
use std::any::Any;
use std::ffi::OsStr;
use std::fs::{DirBuilder, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const ALWAYS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW);
/// Without waiting for who would write into a pipe that somebody put there.
const REGULAR: OFlags = ALWAYS.union(OFlags::NONBLOCK);
const TO_READ: OFlags = REGULAR.union(OFlags::RDONLY);
const TO_WRITE: OFlags = REGULAR.union(OFlags::RDWR);
/// To go through, not to read.
const WAY: OFlags = ALWAYS.union(OFlags::PATH).union(OFlags::DIRECTORY);
const DIRECTORY: OFlags = ALWAYS.union(OFlags::RDONLY).union(OFlags::DIRECTORY);
const OWNER: Mode = Mode::RUSR.union(Mode::WUSR);

/// The files below one directory. The empty name and `.` are the directory itself.
#[derive(Debug)]
pub struct System {
    path: PathBuf,
    root: ArcSwap<OwnedFd>,
    kernel: Kernel,
    /// Whether to try reading without waiting. Neither all kernels can do it nor all file systems.
    at_once: AtomicBool,
    /// Whether files can be read without a note of when that was: only their owner may. Each such note is a write, and one
    /// that waits for the journal, even where the read itself would not wait.
    unnoted: AtomicBool,
}

/// What of `openat2` there is.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    /// Since Linux 5.6, where the sandbox lets it pass.
    beneath: bool,
    /// Since Linux 5.12.
    cached: bool,
}

impl Kernel {
    fn of(root: &OwnedFd) -> Kernel {
        let open = |resolve| rustix::fs::openat2(root, ".", WAY, Mode::empty(), resolve).map(drop);
        let beneath = open(BENEATH).is_ok();
        let cached = beneath && matches!(open(BENEATH | ResolveFlags::CACHED), Ok(()) | Err(Errno::AGAIN));
        Kernel { beneath, cached }
    }
}

impl System {
    /// Opens a directory, and makes it for its owner alone where it is missing. Not those above it: where they are missing,
    /// something is not mounted.
    ///
    /// # Errors
    /// The system's; `NotADirectory`.
    pub fn open(path: &Path) -> io::Result<System> {
        let root = directory(path)?;
        let kernel = Kernel::of(&root);
        Ok(System {
            path: path.to_owned(),
            root: ArcSwap::from_pointee(root),
            kernel,
            at_once: AtomicBool::new(kernel.cached),
            unnoted: AtomicBool::new(true),
        })
    }

    fn open_at(&self, name: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let root = self.root.load();
        let name = within(name)?;
        if self.kernel.beneath {
            return rustix::fs::openat2(&**root, name, flags, mode, BENEATH);
        }
        let mut way: Option<OwnedFd> = None;
        let mut parts = name.components().peekable();
        while let Some(part) = parts.next() {
            let dir = way.as_ref().unwrap_or(&root);
            if parts.peek().is_none() {
                return rustix::fs::openat(dir, part.as_os_str(), flags, mode);
            }
            way = Some(rustix::fs::openat(dir, part.as_os_str(), WAY, Mode::empty())?);
        }
        Err(Errno::NOENT)
    }

    /// The directory that a name is in, and the name in there.
    fn parent<'n>(&self, name: &'n Path) -> io::Result<(Arc<OwnedFd>, &'n OsStr)> {
        let last = within(name)?.file_name().unwrap_or(OsStr::new("."));
        let dir = match name.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => Arc::new(self.open_at(dir, WAY, Mode::empty())?),
            _ => self.root.load_full(),
        };
        Ok((dir, last))
    }

    /// Opens a file to read it, without a note of that if it may.
    fn to_read(&self, open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>) -> io::Result<OwnedFd> {
        if self.unnoted.load(Ordering::Relaxed) {
            match open(TO_READ | OFlags::NOATIME) {
                Err(Errno::PERM) => self.unnoted.store(false, Ordering::Relaxed),
                other => return other.map_err(refused),
            }
        }
        open(TO_READ).map_err(refused)
    }
}

impl Files for System {
    fn create(&self, name: &Path) -> io::Result<Box<dyn File>> {
        let fd = self.open_at(name, TO_WRITE | OFlags::CREATE | OFlags::EXCL, OWNER)?;
        Ok(Box::new(Opened(fd)))
    }

    fn open(&self, name: &Path) -> io::Result<Box<dyn File>> {
        let fd = self.to_read(|flags| self.open_at(name, flags, Mode::empty()))?;
        Ok(Box::new(Opened(regular(fd)?)))
    }

    fn open_to_write(&self, name: &Path) -> io::Result<Box<dyn File>> {
        let fd = self.open_at(name, TO_WRITE, Mode::empty()).map_err(refused)?;
        Ok(Box::new(Opened(regular(fd)?)))
    }

    fn read_at_once(&self, name: &Path, most: usize) -> io::Result<Vec<u8>> {
        let would_block = || io::Error::from(io::ErrorKind::WouldBlock);
        if !self.at_once.load(Ordering::Relaxed) {
            return Err(would_block());
        }
        let root = self.root.load();
        let resolve = BENEATH | ResolveFlags::CACHED;
        // The name is not looked at before: the kernel does, and says EAGAIN itself.
        let fd = self.to_read(|flags| rustix::fs::openat2(&**root, name, flags, Mode::empty(), resolve))?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        let length = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if length > most {
            return Err(would_block());
        }
        let mut bytes = vec![0; length];
        match rustix::io::preadv2(&fd, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == length => Ok(bytes),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Err(would_block()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.at_once.store(false, Ordering::Relaxed);
                Err(would_block())
            }
            Err(other) => Err(other.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::renameat(&*from_dir, from, &*to_dir, to)?)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::linkat(&*from_dir, from, &*to_dir, to, AtFlags::empty())?)
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(name)?;
        match rustix::fs::unlinkat(&*dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Ok(rustix::fs::unlinkat(&*dir, name, AtFlags::REMOVEDIR)?),
            other => Ok(other?),
        }
    }

    fn make_dir(&self, name: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(name)?;
        match rustix::fs::mkdirat(&*dir, name, Mode::RWXU) {
            Err(Errno::EXIST) => {
                let there = rustix::fs::statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let directory = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
                if directory { Ok(()) } else { Err(not_regular()) }
            }
            other => Ok(other?),
        }
    }

    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        for entry in Dir::new(self.open_at(dir, DIRECTORY, Mode::empty())?)? {
            let entry = entry?;
            match entry.file_name().to_bytes() {
                b"." | b".." => (),
                name => each(OsStr::from_bytes(name)),
            }
        }
        Ok(())
    }

    fn stat(&self, name: &Path) -> io::Result<Stat> {
        let (dir, name) = self.parent(name)?;
        Ok(opened::stat(&rustix::fs::statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.open_at(dir, DIRECTORY, Mode::empty())?)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&*self.root.load_full())?)
    }

    fn space(&self) -> io::Result<Space> {
        let room = rustix::fs::fstatvfs(&*self.root.load_full())?;
        let bytes = |blocks: u64| blocks.saturating_mul(room.f_frsize);
        Ok(Space { total: bytes(room.f_blocks), free: bytes(room.f_bavail) })
    }

    /// What is open stays as it is.
    fn reopen(&self) -> io::Result<()> {
        self.root.store(Arc::new(directory(&self.path)?));
        // It may be on another file system now.
        self.at_once.store(self.kernel.cached, Ordering::Relaxed);
        self.unnoted.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn lock(&self, name: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let fd = self.open_at(name, TO_WRITE | OFlags::CREATE, OWNER).map_err(refused)?;
        let file = std::fs::File::from(regular(fd)?);
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            // What is synced in there is lost if the directory itself is.
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            std::fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
        Err(error) => return Err(error),
    }
    // This one name may be a link.
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Names that lead out of the directory are none. Not all kernels see to that themselves.
fn within(name: &Path) -> rustix::io::Result<&Path> {
    if name.as_os_str().is_empty() {
        return Ok(Path::new("."));
    }
    let within = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if within { Ok(name) } else { Err(Errno::INVAL) }
}

fn regular(fd: OwnedFd) -> io::Result<OwnedFd> {
    let mode = rustix::fs::fstat(&fd)?.st_mode;
    if FileType::from_raw_mode(mode) == FileType::RegularFile { Ok(fd) } else { Err(not_regular()) }
}

/// What the kernel says where a name, or a part of one, is a link, a directory, a socket, or a device without a driver, or
/// leads out of the directory.
fn refused(error: Errno) -> io::Error {
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO | Errno::NODEV | Errno::XDEV => not_regular(),
        other => other.into(),
    }
}
