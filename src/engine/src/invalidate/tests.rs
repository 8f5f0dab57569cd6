//! The journal on the disk, over a disk that can be taken away at any moment.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod crash;
mod damage;
mod disk;
mod failing;
mod following;
mod restore;

use super::{
    Invalidation, Journal, Mode, NotKept, Opened, Options, Subject, Tags, TagsRefused, Target, Trust, Validity,
};
use disk::Disk;
use semantics::Timestamp;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const SEED: u64 = 0x5eed;
const OPTIONS: Options = Options { seed: SEED, trust: Trust::Kept, least: 0 };

fn now() -> Timestamp {
    Timestamp::from_secs(1_700_000_000)
}

/// A journal each event of which is waited for.
struct Waited(Journal);

impl std::ops::Deref for Waited {
    type Target = Journal;

    fn deref(&self) -> &Journal {
        &self.0
    }
}

/// What came of an invalidation.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    epoch: u64,
    folded: u64,
    durable: bool,
}

impl Waited {
    fn invalidate(&self, all: &[Invalidation], now: Timestamp) -> Result<Done, NotKept> {
        let recorded = self.0.invalidate(all, now)?;
        Ok(Done { epoch: recorded.epoch, folded: recorded.folded, durable: self.wait(recorded.event) })
    }

    fn add_tags(&self, host: Option<&str>, path: &str, tags: &[String]) -> Result<Vec<String>, TagsRefused> {
        let tagged = self.0.add_tags(host, path, tags)?;
        tagged.event.map(|event| self.wait(event));
        Ok(tagged.names)
    }

    fn swept(&self, epoch: u64) {
        self.0.swept(epoch);
        self.write_next(Duration::ZERO);
    }

    fn note(&self, name: &str, value: &[u8]) -> Result<bool, NotKept> {
        self.0.note(name, value).map(|event| self.wait(event))
    }
}

fn open(disk: &Disk) -> (Waited, Opened) {
    open_with(disk, &OPTIONS).unwrap()
}

fn open_with(disk: &Disk, options: &Options) -> io::Result<(Waited, Opened)> {
    Journal::open(Arc::new(disk.clone()), options, now()).map(|(journal, opened)| (Waited(journal), opened))
}

fn one(mode: Mode, target: Target) -> Invalidation {
    Invalidation { target, host: None, mode }
}

fn tag(name: &str) -> Target {
    Target::Tag(name.to_owned())
}

/// How a page of these tags stands that was fetched in this epoch, and not looked up since.
fn judge(journal: &Journal, path: &str, tags: &[&str], began: u64) -> Validity {
    let tags: Vec<String> = tags.iter().map(|t| (*t).to_owned()).collect();
    let tags = Tags::new(&tags);
    let subject = Subject { host: "h", path, route: "r", tags: &tags };
    journal.state.read().records.judge(&subject, began, began, began)
}

/// All that a journal holds, but for its epoch.
fn held(journal: &Journal) -> Vec<u8> {
    journal.state.read().dump(0)
}

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }
}

/// Something that happens to a journal.
#[derive(Clone, Debug)]
enum Act {
    Invalidate(Vec<Invalidation>),
    Tag(Option<String>, String, Vec<String>),
    Sweep,
    Note(String, Vec<u8>),
}

impl Act {
    /// Out of few names, so that they meet again.
    fn random(rng: &mut Rng) -> Act {
        let host = (rng.below(3) == 0).then(|| format!("h{}", rng.below(2)));
        match rng.below(10) {
            0..6 => Act::Invalidate((0..1 + rng.below(3)).map(|_| invalidation(rng)).collect()),
            6 | 7 => {
                let tags = (0..1 + rng.below(3)).map(|_| format!("t{}", rng.below(12))).collect();
                Act::Tag(host, path(rng), tags)
            }
            8 => Act::Sweep,
            _ => {
                let length = rng.below(40) as usize;
                Act::Note(format!("n{}", rng.below(5)), vec![rng.draw() as u8; length])
            }
        }
    }

    /// Does it, and says whether it is on the disk.
    fn act(&self, journal: &Waited) -> bool {
        match self {
            Act::Invalidate(all) => journal.invalidate(all, now()).unwrap().durable,
            Act::Tag(host, path, tags) => {
                let _ = journal.add_tags(host.as_deref(), path, tags);
                !journal.is_behind()
            }
            Act::Sweep => {
                journal.swept(journal.epoch().saturating_sub(3));
                !journal.is_behind()
            }
            Act::Note(name, value) => journal.note(name, value).unwrap(),
        }
    }
}

fn path(rng: &mut Rng) -> String {
    ["/", "/a", "/a/b", "/a/b/c", "/b", "/b/ä"][rng.below(6) as usize].to_owned()
}

fn invalidation(rng: &mut Rng) -> Invalidation {
    let target = match rng.below(4) {
        0 => Target::Path(path(rng)),
        1 => Target::Prefix(path(rng)),
        2 => Target::Route(format!("r{}", rng.below(3))),
        _ => Target::Tag(format!("t{}", rng.below(12))),
    };
    let host = (rng.below(3) == 0).then(|| format!("h{}", rng.below(2)));
    let mode = [Mode::Soft, Mode::Validate, Mode::Hard][rng.below(3) as usize];
    Invalidation { target, host, mode }
}

/// How random pages stand.
fn random_pages(journal: &Journal, rng: &mut Rng, epoch: u64) -> Vec<Validity> {
    let state = journal.state.read();
    let judged = (0..20).map(|_| {
        let tags: Vec<String> = (0..rng.below(3)).map(|_| format!("t{}", rng.below(12))).collect();
        let (tags, path) = (Tags::new(&tags), path(rng));
        let (host, route) = (format!("h{}", rng.below(3)), format!("r{}", rng.below(4)));
        let subject = Subject { host: &host, path: &path, route: &route, tags: &tags };
        let began = rng.below(epoch + 1);
        state.records.judge(&subject, began, began + rng.below(epoch - began + 1), 0)
    });
    judged.collect()
}
