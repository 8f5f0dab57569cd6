//! Opens what is stored: memory, and where the configuration has one, the directory under it.

use super::CannotRun;
use crate::config::{Config, Disk};
use engine::Clock;
use engine::invalidate::{Found, Journal, Opened, Options, Trust};
use engine::store::disk::{self, DiskSettings, Files, System};
use engine::store::{self, Memory, Store};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Everything of a store is in this directory of its own: nobody but Larder may write there, whatever holds for the one
/// above. Another layout would get another name.
const OWN: &str = "larder-1";

const JOURNAL: &str = "journal";
const LOCK: &str = "lock";
/// How long another process may take to write its journal.
const PATIENCE: Duration = Duration::from_secs(10);

/// What engines are made on.
pub(super) struct Storage {
    pub(super) store: Store,
    pub(super) journal: Journal,
    /// So many of its records are damaged.
    pub(super) bad_frames: u64,
    /// For hashing.
    pub(super) seed: u64,
}

/// `seed`: where there is no store yet that has one. `process`: no other process has the same.
pub(super) fn open(config: &Config, clock: &Clock, seed: u64, process: u64) -> Result<Storage, CannotRun> {
    let memory = Arc::new(Memory::new(config.store));
    let Some(disk) = &config.disk else {
        let journal = Journal::new(seed);
        return Ok(Storage { store: Store::new(memory, None), journal, bad_frames: 0, seed });
    };
    let unusable = |error: io::Error| cannot_use(&disk.path, &error);
    let files: Arc<dyn Files> = Arc::new(directory(disk)?);
    out_of_the_way(&*files);
    let (journal, opened) = journal(&files, clock, seed).map_err(unusable)?;
    let seed = opened.seed;
    let settings = DiskSettings {
        max_size: disk.max_size,
        max_object: disk.max_object,
        sync: disk.sync,
        min_free: disk.min_free,
        seed,
        process,
    };
    let disk = store::Disk::open(files, settings, memory.clone(), clock.clone()).map_err(unusable)?;
    Ok(Storage { store: Store::new(memory, Some(disk)), journal, bad_frames: opened.bad_frames, seed })
}

/// What is no file, and has the name of one of the store's own, gets another name: nobody but Larder is at home there.
fn out_of_the_way(files: &dyn Files) {
    for name in [disk::MARKER, JOURNAL, LOCK, "index"] {
        let planted = files.stat(Path::new(name)).is_ok_and(|stat| !stat.regular);
        let aside = (0..100).map(|n| format!("{name}.bad-{n}")).find(|aside| files.stat(Path::new(aside)).is_err());
        if let (true, Some(aside)) = (planted, aside) {
            let moved = files.rename(Path::new(name), Path::new(&aside));
            tracing::error!(%name, %aside, moved = moved.is_ok(), "something that is not a file had the name of one of the store's own");
        }
    }
}

/// Opens the journal of invalidations, and finds out with which seed the store's names were hashed: both it and the marker
/// say so, and either is enough.
fn journal(files: &Arc<dyn Files>, clock: &Clock, fresh: u64) -> io::Result<(Journal, Opened)> {
    let marked = disk::read_seed(&**files)?;
    let missing = files.stat(Path::new(JOURNAL)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    // Pages without their journal: nobody knows what of them was invalidated.
    let trust = if marked.is_some() && missing { Trust::Lost } else { Trust::Kept };
    let options = Options { seed: marked.unwrap_or(fresh), trust, least: 0 };
    let began = clock.now();
    let (journal, opened) = loop {
        match Journal::open(files.clone(), &options, clock.now()) {
            // Another process is about to write it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && clock.now().since(began) < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::other("another process uses it, and cannot write its journal of invalidations"));
            }
            opened => break opened?,
        }
    };
    if let Found::Unreadable { kept_as } = &opened.found {
        tracing::error!(kept_as = %kept_as.display(), "the journal of invalidations cannot be read: every page that was stored before is validated before it is served as fresh");
    } else if opened.trust == Trust::Lost {
        tracing::error!(
            bad_records = opened.bad_frames,
            "the journal of invalidations is missing or damaged: every page that was stored before is validated before it is served as fresh"
        );
    }
    if let Some(seed) = marked.filter(|seed| *seed != opened.seed) {
        let message = format!(
            "its journal is of another store ({:016x}, not {seed:016x}): remove the file `journal`",
            opened.seed
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    if marked.is_none() {
        disk::write_seed(&**files, opened.seed)?;
    }
    Ok((journal, opened))
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
