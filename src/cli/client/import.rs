//! `larder import`: what another Larder exported is verified, and then stored here. It may be done again: what is here
//! already is skipped.

use super::export::bar;
use super::text::{safe, size};
use super::{Admin, Connection, Failure, REGENERATE, finish, print};
use engine::store::archive::{Reader, Trouble};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::PathBuf;
use std::process::ExitCode;

/// So much is sent at a time, unless one entry alone is larger.
const BATCH: usize = 8 << 20;
/// Of what was refused so much is told.
const PROBLEMS_SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// What `larder export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only verify the file; nobody is asked.
    #[arg(long, conflicts_with = "partial")]
    check: bool,
    /// Take what is whole of an archive that is incomplete or damaged.
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What a look through the file came to.
struct Looked {
    /// Whole ones.
    entries: u64,
    /// The first thing that is wrong.
    trouble: Option<Trouble>,
}

#[derive(Deserialize)]
struct Imported {
    stored: u64,
    skipped: u64,
    refused: u64,
    problems: Vec<String>,
}

impl ImportArgs {
    /// Verifies, sends, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(self.import())
    }

    fn import(&self) -> Result<(), Failure> {
        // A token that cannot be sent is told of before a large file is read.
        let admin = if self.check { None } else { Some(Admin::at(&self.connection, REGENERATE)?) };
        let mut file = File::open(&self.file).map_err(|e| self.cannot_read(&e))?;
        let looked = look(&file, |_| Ok(()))?;
        let entries = looked.entries;
        if let Some(trouble) = &looked.trouble {
            let what = format!("{}: {trouble}", self.shown());
            if !self.partial || entries == 0 {
                let more = match (entries, self.check) {
                    (0, _) => "Nothing in it can be read".to_owned(),
                    (_, true) => format!("{entries} entries are whole"),
                    (_, false) => format!("Nothing was stored; --partial takes the {entries} entries that are whole"),
                };
                return Err(Failure::Mistake(format!("{what}. {more}")));
            }
            eprintln!("larder: {what}. The {entries} entries that are whole are taken");
        }
        let Some(admin) = admin else { return self.checked(entries) };
        file.rewind().map_err(|e| self.cannot_read(&e))?;
        self.send(&admin, &file, entries)
    }

    fn checked(&self, entries: u64) -> Result<(), Failure> {
        if self.connection.json {
            let told = json!({ "file": self.file.display().to_string(), "entries": entries, "complete": true });
            return print(&format!("{told}\n"));
        }
        print(&format!("{}: complete, {entries} entries\n", self.shown()))
    }

    fn send(&self, admin: &Admin, file: &File, entries: u64) -> Result<(), Failure> {
        let bar = bar();
        bar.set_length(entries);
        let mut sum = Imported { stored: 0, skipped: 0, refused: 0, problems: Vec::new() };
        let mut batch = Vec::new();
        let again = look(file, |frame| {
            if !batch.is_empty() && batch.len() + frame.len() > BATCH {
                sum.add(admin, &std::mem::take(&mut batch))?;
                bar.set_position(sum.all());
            }
            batch.extend_from_slice(frame);
            Ok(())
        })?;
        if !batch.is_empty() {
            sum.add(admin, &batch)?;
        }
        if again.entries != entries {
            return Err(Failure::CannotRun(format!("{} changed while it was sent: import it again", self.shown())));
        }
        bar.finish_and_clear();
        let Imported { stored, skipped, refused, problems } = &sum;
        if self.connection.json {
            let told = json!({ "stored": stored, "skipped": skipped, "refused": refused, "problems": problems });
            print(&format!("{}\n", super::safe_json(&told.to_string())))?;
        } else {
            print(&format!("{entries} entries: {stored} stored, {skipped} skipped, {refused} refused\n"))?;
        }
        if *refused == 0 {
            return Ok(());
        }
        let told: String =
            problems.iter().take(PROBLEMS_SHOWN).map(|problem| format!("\n  {}", safe(problem))).collect();
        Err(Failure::CannotRun(format!("not everything was stored:{told}")))
    }

    fn shown(&self) -> String {
        safe(&self.file.display().to_string())
    }

    fn cannot_read(&self, error: &std::io::Error) -> Failure {
        Failure::Mistake(format!("{} cannot be read: {error}", self.shown()))
    }
}

/// Calls `each` with every whole frame.
fn look(file: &File, mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<Looked, Failure> {
    let mut looked = Looked { entries: 0, trouble: None };
    let mut reader = match Reader::open(BufReader::new(file)) {
        Ok(reader) => reader,
        Err(trouble) => return Ok(Looked { trouble: Some(trouble), ..looked }),
    };
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => {
                looked.entries += 1;
                each(&entry.frame)?;
            }
            Ok(None) => return Ok(looked),
            Err(trouble) => {
                let goes_on = trouble.is_one_entry();
                looked.trouble.get_or_insert(trouble);
                if !goes_on {
                    return Ok(looked);
                }
            }
        }
    }
}

impl Imported {
    fn add(&mut self, admin: &Admin, batch: &[u8]) -> Result<(), Failure> {
        let answer = admin.send("/v1/import", batch)?;
        // No batch is too large, but one entry may be.
        if answer.status == StatusCode::PAYLOAD_TOO_LARGE && answer.problem().is_some() {
            self.refused += 1;
            self.problems.push(format!("an entry of {} is larger than that Larder stores", size(batch.len() as u64)));
            return Ok(());
        }
        let more: Imported = admin.success(&answer)?;
        self.stored += more.stored;
        self.skipped += more.skipped;
        self.refused += more.refused;
        self.problems.extend(more.problems);
        Ok(())
    }

    fn all(&self) -> u64 {
        self.stored + self.skipped + self.refused
    }
}
