//! An open file on Linux.

use super::super::files::{File, Stat};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::any::Any;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

/// What one `copy_file_range` is asked for: less than what the kernel cuts off at, and a whole number of pages.
const MOST: u64 = 1 << 30;
const CHUNK: usize = 128 << 10;

#[derive(Debug)]
pub(super) struct Opened(pub(super) OwnedFd);

impl Opened {
    /// What of a copy the kernel does itself. Less than all where the file ends, or where it cannot do it.
    fn copy_within_kernel(&self, other: &Opened, from: u64, to: u64, length: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < length {
            let (mut at, mut into) = (from + done, to + done);
            let most = usize::try_from((length - done).min(MOST)).unwrap_or(CHUNK);
            match rustix::fs::copy_file_range(&other.0, Some(&mut at), &self.0, Some(&mut into), most) {
                Ok(0) => break,
                Ok(copied) => done += copied as u64,
                Err(Errno::INTR) => (),
                // Across file systems, on some that cannot, for overlaps, and in sandboxes that do not know of it.
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM) => break,
                Err(other) => return Err(other.into()),
            }
        }
        Ok(done)
    }
}

impl File for Opened {
    fn stat(&self) -> io::Result<Stat> {
        Ok(stat(&rustix::fs::fstat(&self.0)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(&self.0, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.0, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    fn copy_from(&self, other: &dyn File, from: u64, to: u64, length: u64) -> io::Result<()> {
        let mut done = match other.as_any().downcast_ref::<Opened>() {
            Some(opened) => self.copy_within_kernel(opened, from, to, length)?,
            None => 0,
        };
        let mut buffer = Vec::new();
        while done < length {
            buffer.resize(usize::try_from(length - done).unwrap_or(CHUNK).min(CHUNK), 0);
            let read = other.read_at(&mut buffer, from + done)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.write_at(&buffer[..read], to + done)?;
            done += read as u64;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Ok(rustix::io::retry_on_intr(|| rustix::fs::ftruncate(&self.0, length))?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// From the system's own. The casts: its fields are of other types on other machines, and never negative.
#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "see there")]
pub(super) fn stat(of: &rustix::fs::Stat) -> Stat {
    let seconds = Duration::from_secs(of.st_mtime.unsigned_abs());
    let moment = if of.st_mtime < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    let nanoseconds = Duration::from_nanos(of.st_mtime_nsec as u64);
    Stat {
        regular: FileType::from_raw_mode(of.st_mode) == FileType::RegularFile,
        length: of.st_size as u64,
        occupied: of.st_blocks as u64 * 512,
        modified: moment.and_then(|moment| moment.checked_add(nanoseconds)).unwrap_or(SystemTime::UNIX_EPOCH),
        identity: (of.st_dev as u64, of.st_ino as u64),
    }
}
