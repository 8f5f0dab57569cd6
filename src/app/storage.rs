//! Opens what is stored: memory, and where the configuration has one, the directory under it.

use super::CannotRun;
use crate::config::{Config, Disk};
use engine::Clock;
use engine::invalidate::{Keeper, Volatile};
use engine::store::disk::{self, DiskSettings, Files, System};
use engine::store::{self, Memory, Store};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything of a store is in this directory of its own: nobody but Larder may write there, whatever holds for the one
/// above. Another layout would get another name.
const OWN: &str = "larder-1";

/// What engines are made on.
pub(super) struct Storage {
    pub(super) store: Store,
    pub(super) keeper: Box<dyn Keeper>,
    /// For hashing.
    pub(super) seed: u64,
}

/// `seed`: where there is no store yet that has one. `process`: no other process has the same.
pub(super) fn open(config: &Config, clock: &Clock, seed: u64, process: u64) -> Result<Storage, CannotRun> {
    let memory = Arc::new(Memory::new(config.store));
    let Some(disk) = &config.disk else {
        return Ok(Storage { store: Store::new(memory, None), keeper: Box::new(Volatile), seed });
    };
    let unusable = |error: io::Error| cannot_use(&disk.path, &error);
    let files: Arc<dyn Files> = Arc::new(directory(disk)?);
    let seed = match disk::read_seed(&*files).map_err(unusable)? {
        Some(seed) => seed,
        None => disk::write_seed(&*files, seed).map(|()| seed).map_err(unusable)?,
    };
    let settings = DiskSettings {
        max_size: disk.max_size,
        max_object: disk.max_object,
        sync: disk.sync,
        min_free: disk.min_free,
        seed,
        process,
    };
    let opened = store::Disk::open(files, settings, memory.clone(), clock.clone()).map_err(unusable)?;
    Ok(Storage { store: Store::new(memory, Some(opened)), keeper: Box::new(Volatile), seed })
}

/// The store's own directory, made where it is missing.
fn directory(disk: &Disk) -> Result<System, CannotRun> {
    let unusable = |error: io::Error| cannot_use(&disk.path, &error);
    match std::fs::DirBuilder::new().mode(0o700).create(&disk.path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
        _ => {}
    }
    let given = std::fs::metadata(&disk.path).map_err(unusable)?;
    if !given.is_dir() {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    if given.mode() & 0o002 != 0 && given.mode() & 0o1000 == 0 {
        tracing::warn!(path = %disk.path.display(), "everybody on this machine may write to `store.disk.path`, and so put another directory in the place of Larder's: `chmod 700` it");
    }
    let own: PathBuf = disk.path.join(OWN);
    let files = System::open(&own).map_err(|error| cannot_use(&own, &error))?;
    let there = std::fs::symlink_metadata(&own).map_err(|error| cannot_use(&own, &error))?;
    let ours = rustix::process::geteuid().as_raw();
    if there.uid() != ours || there.mode() & 0o022 != 0 {
        return Err(CannotRun(format!(
            "cannot keep pages in {} (`store.disk.path`): others may write there, and what they put there would be served; \
             if you trust what is in it, make it yours alone (`chown {ours}`, `chmod 700`), else remove it",
            own.display()
        )));
    }
    Ok(files)
}

fn cannot_use(path: &Path, error: &io::Error) -> CannotRun {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "the directory above it is missing: make it, or mount what belongs there",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "it, or something above it, is not a directory: choose another path, or remove what is there"
        }
        io::ErrorKind::PermissionDenied => "let Larder's user write there (`chown`)",
        io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only: mount it for writing, or choose another path",
        _ => "choose another path, or leave `store.disk` out",
    };
    CannotRun(format!("cannot keep pages in {} (`store.disk.path`): {error}; {remedy}", path.display()))
}
