//! What the disk store asks of a file system, and nothing more: so that tests can take the power away between any two
//! of these operations (`tests/crash.rs`).
//!
//! Names are relative to the store's own directory. Nothing here follows links, and nothing but regular files is opened.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// The files of one store. Blocking: not for the async workers, but for [`Files::read_at_once`].
pub trait Files: Debug + Send + Sync {
    /// Makes a file that is not there yet, for its owner alone, for reading and writing.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` where something has that name.
    fn create(&self, name: &Path) -> io::Result<Box<dyn File>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// The system's; `NotFound`; [`not_regular`] for links, directories, pipes and devices, without waiting for any.
    fn open(&self, name: &Path) -> io::Result<Box<dyn File>>;

    /// The same for reading and writing.
    ///
    /// # Errors
    /// As [`Files::open`].
    fn open_to_write(&self, name: &Path) -> io::Result<Box<dyn File>>;

    /// All of a small file, if that can be had without waiting for the disk: for the async workers. `most`: larger ones are
    /// not read.
    ///
    /// # Errors
    /// `WouldBlock` where it would have to wait, or cannot tell; else as [`Files::open`].
    fn read_at_once(&self, name: &Path, most: usize) -> io::Result<Vec<u8>>;

    /// Gives a file another name, in the place of what had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` where something has that name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, or an empty directory.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &Path) -> io::Result<()>;

    /// Makes a directory for its owner alone; what is there already is as good.
    ///
    /// # Errors
    /// The system's; [`not_regular`] where something else has that name.
    fn make_dir(&self, name: &Path) -> io::Result<()>;

    /// What is in a directory, without `.` and `..`. `each` may be called for names that went meanwhile.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&std::ffi::OsStr)) -> io::Result<()>;

    /// What has that name, links not followed.
    ///
    /// # Errors
    /// The system's.
    fn stat(&self, name: &Path) -> io::Result<Stat>;

    /// Returns when the names in a directory are on the disk as they are now.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Returns when everything that was written so far, contents and names, is on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync_all(&self) -> io::Result<()>;

    /// Finds the store's directory again by its path, after somebody removed it or mounted another one there.
    ///
    /// # Errors
    /// The system's.
    fn reopen(&self) -> io::Result<()>;

    /// How much room there is.
    ///
    /// # Errors
    /// The system's.
    fn space(&self) -> io::Result<Space>;

    /// Takes a file's lock for this process, until what is returned is dropped; `None`: another process has it. Makes the
    /// file where it is missing.
    ///
    /// # Errors
    /// The system's.
    fn lock(&self, name: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
}

/// An open file.
pub trait File: Debug + Send + Sync {
    /// Its length in bytes, and what tells it from another of the same name.
    ///
    /// # Errors
    /// The system's.
    fn stat(&self) -> io::Result<Stat>;

    /// Reads from an offset; less than asked for only at the end of the file.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of it at an offset.
    ///
    /// # Errors
    /// The system's. Some of it may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Copies from another file, in the kernel where that can be done, from one offset to the same.
    ///
    /// # Errors
    /// The system's.
    fn copy_from(&self, other: &dyn File, from: u64, to: u64, length: u64) -> io::Result<()>;

    /// Cuts a file off, or makes room up to a length.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Returns when its contents are on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;

    /// For [`File::copy_from`].
    fn as_any(&self) -> &dyn Any;
}

/// What is known of a file from the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub regular: bool,
    pub length: u64,
    /// Bytes that it takes on the disk.
    pub occupied: u64,
    pub modified: SystemTime,
    /// Device and inode.
    pub identity: (u64, u64),
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    /// For this process: without what is kept for others.
    pub free: u64,
}

/// Says that a name belongs to something that is not a regular file.
pub fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Whether an error says so.
pub fn is_not_regular(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || error.kind() == io::ErrorKind::IsADirectory
}

/// Whether something that is no file is in the way of one: that says nothing of the disk.
pub fn is_in_the_way(error: &io::Error) -> bool {
    is_not_regular(error) || error.kind() == io::ErrorKind::DirectoryNotEmpty
}
