//! `larder export`: all that is stored, in one file that can be verified. It is written beside, and gets its name when it is
//! whole; what broke off is gone on with behind its last whole entry.

use super::text::{safe, size};
use super::{Admin, Connection, Failure, REGENERATE, finish, print};
use engine::store::archive::{self, Chain, Reader, Trouble, What};
use http::HeaderMap;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// The file to write. Until it is whole it is called FILE.part; an export that broke off is gone on with.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Begin anew, and replace what is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The archive as far as it is written.
struct Part {
    name: PathBuf,
    file: File,
    /// What it says at its end.
    chain: Chain,
    /// The store it is of, and the last entry; `None`: nothing is in it yet.
    of: Option<(u64, u128)>,
    /// Whether an export before had begun it.
    resumed: bool,
}

/// What the first or next piece says of itself.
struct Said {
    store: u64,
    entries: u64,
    unread: u64,
    next: Option<String>,
}

impl ExportArgs {
    /// Asks, writes, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(self.export())
    }

    fn export(&self) -> Result<(), Failure> {
        let admin = Admin::at(&self.connection, REGENERATE)?;
        let mut part = self.begin()?;
        let unread = part.fetch(&admin)?;
        let (entries, bytes) = (part.chain.count(), part.complete(&self.file)?);
        let (file, resumed) = (self.file.display().to_string(), part.resumed);
        if self.connection.json {
            let told =
                json!({ "file": file, "entries": entries, "bytes": bytes, "resumed": resumed, "unread": unread });
            print(&format!("{told}\n"))?;
        } else {
            print(&format!("{}: {entries} entries, {}\n", safe(&file), size(bytes)))?;
        }
        if unread > 0 {
            return Err(Failure::CannotRun(format!(
                "{unread} entries are stored there and could not be read: {} is whole but for these. Larder's log says why",
                safe(&file)
            )));
        }
        Ok(())
    }

    /// Finds out what is there already.
    fn begin(&self) -> Result<Part, Failure> {
        let (shown, mut name) = (safe(&self.file.display().to_string()), self.file.clone().into_os_string());
        name.push(".part");
        let name = PathBuf::from(name);
        if !self.force {
            match state_of(&self.file)? {
                State::Missing => {}
                State::Whole => {
                    let what =
                        format!("{shown} is there already, and complete: name another file, or --force to replace it");
                    return Err(Failure::Mistake(what));
                }
                State::Wrong(trouble) if !matches!(trouble.what, What::CutOff) => {
                    let what =
                        format!("{shown} is there already: {trouble}. Name another file, or --force to replace it");
                    return Err(Failure::Mistake(what));
                }
                State::Wrong(_) if name.exists() => {
                    let what = format!(
                        "{shown} is incomplete, and there is {shown}.part as well: remove one of them, or --force to begin anew"
                    );
                    return Err(Failure::Mistake(what));
                }
                // Somebody cut it off: it is gone on with under the name of what is not whole.
                State::Wrong(_) => std::fs::rename(&self.file, &name).map_err(|e| cannot_write(&name, &e))?,
            }
        }
        Part::open(name, self.force)
    }
}

/// What is at a name.
enum State {
    Missing,
    Whole,
    Wrong(Trouble),
}

fn state_of(file: &Path) -> Result<State, Failure> {
    let file = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::Missing),
        Err(error) => {
            return Err(Failure::CannotRun(format!("{} cannot be read: {error}", safe(&file.display().to_string()))));
        }
    };
    let mut reader = match Reader::open(BufReader::new(file)) {
        Ok(reader) => reader,
        Err(trouble) => return Ok(State::Wrong(trouble)),
    };
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(State::Whole),
            Err(trouble) => return Ok(State::Wrong(trouble)),
        }
    }
}

impl Part {
    fn open(name: PathBuf, anew: bool) -> Result<Part, Failure> {
        // Nobody else may read what is stored.
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&name);
        let file = options.map_err(|e| cannot_write(&name, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("another export writes {} at present", safe(&name.display().to_string()));
                return Err(Failure::Mistake(what));
            }
            Err(TryLockError::Error(error)) => return Err(cannot_write(&name, &error)),
        }
        let mut part = Part { name, file, chain: Chain::of(0), of: None, resumed: false };
        if anew {
            part.cut(0)?;
        } else {
            part.resume()?;
        }
        Ok(part)
    }

    /// Goes behind the last whole entry; what follows it is taken away.
    fn resume(&mut self) -> Result<(), Failure> {
        let file = self.file.try_clone().map_err(|e| cannot_write(&self.name, &e))?;
        let Ok(mut reader) = Reader::open(BufReader::new(file)) else { return self.cut(0) };
        self.chain = reader.chain();
        let mut at = reader.at();
        let mut last = None;
        while let Ok(Some(entry)) = reader.next_entry() {
            (self.chain, at, last) = (reader.chain(), reader.at(), Some(entry.cursor));
        }
        let Some(last) = last else { return self.cut(0) };
        self.of = Some((reader.store(), last));
        self.resumed = true;
        eprintln!(
            "larder: going on behind the {} entries that are in {}",
            self.chain.count(),
            safe(&self.name.display().to_string())
        );
        self.cut(at)
    }

    fn cut(&mut self, at: u64) -> Result<(), Failure> {
        let cut = self.file.set_len(at).and_then(|()| self.file.seek(SeekFrom::Start(at)));
        cut.map(drop).map_err(|e| cannot_write(&self.name, &e))
    }

    /// Fetches all that is missing. Says how many entries could not be read there.
    fn fetch(&mut self, admin: &Admin) -> Result<u64, Failure> {
        let mut cursor = self.of.map(|(store, last)| format!("{store:016x}{last:032x}"));
        let bar = bar();
        let mut unread = 0;
        loop {
            let query: Vec<(&str, &str)> = cursor.iter().map(|cursor| ("cursor", cursor.as_str())).collect();
            let (fields, frames) = admin.piece("/v1/export", &query).map_err(|failure| self.may_be_another(failure))?;
            let said = Said::read(&fields).ok_or_else(|| self.garbled())?;
            unread += said.unread;
            self.append(said.store, &frames)?;
            bar.set_length(said.entries.max(self.chain.count()));
            bar.set_position(self.chain.count());
            match said.next {
                None => break,
                // It would go round for ever.
                next if next == cursor => return Err(self.garbled()),
                next => cursor = next,
            }
        }
        bar.finish_and_clear();
        Ok(unread)
    }

    /// Writes a piece, if it is what was sent.
    fn append(&mut self, store: u64, frames: &[u8]) -> Result<(), Failure> {
        match self.of {
            Some((of, _)) if of != store => return Err(self.is_another()),
            Some(_) => {}
            None => {
                self.write(&archive::head(store))?;
                (self.chain, self.of) = (Chain::of(store), Some((store, 0)));
            }
        }
        let mut reader = Reader::of_frames(frames);
        let mut chain = self.chain;
        while let Some(entry) = reader.next_entry().map_err(|_| self.garbled())? {
            chain.push(&entry);
        }
        self.write(frames)?;
        self.chain = chain;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|e| cannot_write(&self.name, &e))
    }

    /// Ends it, and gives it its name. Says how long it is.
    fn complete(&mut self, name: &Path) -> Result<u64, Failure> {
        self.write(&self.chain.end())?;
        let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let done = self.file.sync_all().and_then(|()| {
            std::fs::rename(&self.name, name)?;
            File::open(folder)?.sync_all()?;
            Ok(self.file.metadata()?.len())
        });
        done.map_err(|e| cannot_write(name, &e))
    }

    /// A refusal of where to go on means one thing alone.
    fn may_be_another(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Mistake(what) if self.of.is_some() && what.contains("`cursor`") => self.is_another(),
            other => other,
        }
    }

    fn is_another(&self) -> Failure {
        Failure::Mistake(format!(
            "{} was begun with another store, or that Larder keeps pages in memory alone and was restarted: --force begins \
             anew",
            safe(&self.name.display().to_string())
        ))
    }

    fn garbled(&self) -> Failure {
        Failure::CannotRun(format!(
            "a piece arrived damaged, or not from Larder: try again, it goes on behind the {} entries that are there",
            self.chain.count()
        ))
    }
}

impl Said {
    fn read(fields: &HeaderMap) -> Option<Said> {
        let field = |name| fields.get(name).and_then(|value| value.to_str().ok());
        Some(Said {
            store: u64::from_str_radix(field("larder-store")?, 16).ok()?,
            entries: field("larder-entries")?.parse().ok()?,
            unread: field("larder-unread")?.parse().ok()?,
            next: field("larder-next-cursor").map(str::to_owned),
        })
    }
}

/// On a terminal alone.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let form = "{wide_bar} {pos} of {len} entries, {eta} left";
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::CannotRun(format!("{} cannot be written: {error}", safe(&file.display().to_string())))
}
