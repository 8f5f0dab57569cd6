//! Open files and held locks of a file system in memory.

use super::state::Op;
use super::{Faulty, Kind};
use engine::store::disk::{File, Stat};
use std::any::Any;
use std::io;

const EBADF: i32 = 9;

#[derive(Debug)]
pub(super) struct Opened {
    pub files: Faulty,
    pub inode: u64,
    pub writes: bool,
}

impl Opened {
    fn read(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let running = self.files.look(Kind::Read)?;
        let bytes = &running.state.contents(self.inode).expect("it is a file").now;
        let begin = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let end = bytes.len().min(begin.saturating_add(most));
        Ok(bytes[begin..end].to_vec())
    }

    fn writable(&self) -> io::Result<()> {
        if self.writes { Ok(()) } else { Err(io::Error::from_raw_os_error(EBADF)) }
    }
}

impl File for Opened {
    fn stat(&self) -> io::Result<Stat> {
        Ok(self.files.look(Kind::Stat)?.state.stat(self.inode))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.read(offset, buffer.len())?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.writable()?;
        self.files.change(Kind::Write, Op::Write(self.inode, offset, bytes.into()))
    }

    fn copy_from(&self, other: &dyn File, from: u64, to: u64, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).expect("it fits into memory");
        let bytes = match other.as_any().downcast_ref::<Opened>() {
            Some(other) => other.read(from, length)?,
            None => return Err(io::ErrorKind::Unsupported.into()),
        };
        self.write_at(&bytes, to)?;
        if bytes.len() < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.writable()?;
        self.files.change(Kind::SetLen, Op::SetLen(self.inode, length))
    }

    fn sync(&self) -> io::Result<()> {
        self.files.change(Kind::Sync, Op::Sync(self.inode))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Lets go when it is dropped.
pub(super) struct Lock {
    pub files: Faulty,
    pub inode: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.files.0.lock().locks.remove(&self.inode);
    }
}
