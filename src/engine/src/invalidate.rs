//! Invalidation by epoch (semantics 32, 36-42): a record says what was invalidated, an entry says in which epoch its fetch
//! began, and a look-up compares. So a tag on a million pages costs one record, and a fill that began earlier cannot
//! bring old content back.
//!
//! It knows selectors and epochs; it does not know where responses are stored, or what becomes of them.

mod keeper;
mod prefixes;
mod records;

pub use keeper::{Keeper, NotKept, Volatile};
pub use records::TagsRefused;

use parking_lot::{Mutex, RwLock};
use records::Records;
use semantics::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};

/// What becomes of the responses that an invalidation selects. The names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// STALE: the next visit still gets them, and starts one regeneration.
    Soft,
    /// To be validated before they are used again: what a success of an unsafe method does (RFC 9111, 4.4).
    Validate,
    /// As if they were not stored; their validators are not sent either.
    Hard,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Soft => "soft",
            Mode::Validate => "validate",
            Mode::Hard => "hard",
        }
    }
}

/// What an invalidation selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A page with all its variants, queries and data URLs (semantics 40), in normal form.
    Path(String),
    /// Every page whose path begins so, in normal form.
    Prefix(String),
    /// Every page of the route of that name.
    Route(String),
    Tag(String),
}

impl Target {
    /// A metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Path(_) => "path",
            Target::Prefix(_) => "prefix",
            Target::Route(_) => "route",
            Target::Tag(_) => "tag",
        }
    }
}

/// For people: ``tag `blog` ``.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Target::Path(value) | Target::Prefix(value) | Target::Route(value) | Target::Tag(value)) = self;
        write!(f, "{} `{value}`", self.kind())
    }
}

/// One order to invalidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    pub target: Target,
    /// Only what is stored for this host; `None`: for any.
    pub host: Option<String>,
    pub mode: Mode,
}

/// What a stored response can be selected by.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub host: &'a str,
    /// As received.
    pub path: &'a str,
    pub route: &'a str,
    pub tags: &'a Tags,
}

/// The tags of one stored response, in one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Box<str>);

impl Tags {
    /// Tags have no control characters: one parts them here.
    pub fn new(tags: &[String]) -> Self {
        Tags(tags.join("\n").into_boxed_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split('\n').filter(|t| !t.is_empty())
    }

    /// All of them, a line each.
    pub fn joined(&self) -> &str {
        &self.0
    }

    /// What was [`Tags::joined`].
    pub fn from_joined(joined: Box<str>) -> Self {
        Tags(joined)
    }

    /// Bytes on the heap.
    pub fn heap_size(&self) -> usize {
        self.0.len()
    }
}

/// How a stored response stands against everything that was invalidated. Later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Valid,
    /// STALE from then on.
    Soft(Timestamp),
    /// To be validated.
    Validate,
    /// ABSENT.
    Hard,
}

/// One response's validity as it was last looked up. It only gets worse: what is regenerated is a new response.
#[derive(Debug)]
pub struct Checked {
    /// The epoch in which its fetch began.
    began: u64,
    /// The epoch of the last look into the records.
    epoch: AtomicU64,
    /// The worst so far: [`VALID`], when it became stale in microseconds, [`VALIDATE`] or [`HARD`].
    worst: AtomicU64,
}

const VALID: u64 = u64::MAX;
const VALIDATE: u64 = 1;
const HARD: u64 = 0;

impl Checked {
    pub fn new(began: u64) -> Self {
        Checked { began, epoch: AtomicU64::new(began), worst: AtomicU64::new(VALID) }
    }

    /// The epoch in which its fetch began.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// Of a response that was kept elsewhere meanwhile.
    pub fn restored(began: u64, seen: u64, swept: u64) -> Self {
        Checked { began, epoch: AtomicU64::new(seen.max(began).max(swept)), worst: AtomicU64::new(VALID) }
    }

    pub fn seen(&self) -> u64 {
        if self.validity() == Validity::Valid { self.epoch.load(Ordering::Acquire) } else { self.began }
    }

    /// The same for a copy.
    pub fn again(&self) -> Self {
        Checked::restored(self.began, self.seen(), 0)
    }

    fn validity(&self) -> Validity {
        match self.worst.load(Ordering::Acquire) {
            VALID => Validity::Valid,
            HARD => Validity::Hard,
            VALIDATE => Validity::Validate,
            at => Validity::Soft(Timestamp::from_micros(at)),
        }
    }

    /// The worst first, then the epoch: who reads the epoch finds at least that.
    fn note(&self, validity: Validity, epoch: u64) {
        let worst = match validity {
            Validity::Valid => VALID,
            Validity::Soft(at) => at.as_micros().clamp(VALIDATE + 1, VALID - 1),
            Validity::Validate => VALIDATE,
            Validity::Hard => HARD,
        };
        self.worst.fetch_min(worst, Ordering::AcqRel);
        self.epoch.fetch_max(epoch, Ordering::AcqRel);
    }
}

/// All invalidations.
pub struct Journal {
    epoch: AtomicU64,
    records: RwLock<Records>,
    /// One writer at a time, so that epochs reach the keeper in their order.
    keeper: Mutex<Box<dyn Keeper>>,
}

/// What an invalidation did to the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub epoch: u64,
    /// Soft records that were folded into one to make room.
    pub folded: u64,
    /// Hard records do not fold: what they select should be removed, so that they can be forgotten.
    pub sweep: bool,
}

impl Journal {
    /// `seed`: of this process, for hashing.
    pub fn new(seed: u64, keeper: Box<dyn Keeper>) -> Self {
        Journal { epoch: AtomicU64::new(1), records: RwLock::new(Records::new(seed)), keeper: Mutex::new(keeper) }
    }

    /// The newest epoch. A fetch that begins now sees what every invalidation so far was about.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Records invalidations. When this returns, no reader takes what they select for fresh.
    ///
    /// # Errors
    /// Where the records are kept they could not be written: nothing was invalidated.
    pub fn invalidate(&self, all: &[Invalidation], now: Timestamp) -> Result<Recorded, NotKept> {
        let mut keeper = self.keeper.lock();
        let epoch = self.epoch.load(Ordering::Acquire) + 1;
        keeper.keep(epoch, now, all)?;
        let mut records = self.records.write();
        let folded = all.iter().map(|one| records.add(one, epoch, now)).sum();
        let sweep = records.wants_sweep();
        // Before the lock is given back: who looks up with this epoch finds these records.
        self.epoch.store(epoch, Ordering::Release);
        Ok(Recorded { epoch, folded, sweep })
    }

    /// How a response stands. One load where nothing was invalidated since it was last looked up.
    pub fn check<'s>(&self, checked: &Checked, subject: impl FnOnce() -> Option<Subject<'s>>) -> Validity {
        let epoch = self.epoch();
        if checked.epoch.load(Ordering::Acquire) != epoch {
            let records = self.records.read();
            // Under the lock: a sweep looks everything up before it lets records be forgotten.
            let seen = checked.epoch.load(Ordering::Acquire);
            // Who cannot be named cannot be cleared.
            let validity = subject().map_or(Validity::Hard, |s| records.judge(&s, checked.began, seen));
            drop(records);
            checked.note(validity, epoch);
        }
        checked.validity()
    }

    /// How a response whose fetch began in `began` stands for somebody who came in `arrived`. What was invalidated after he
    /// came does not concern him.
    pub fn check_for(&self, subject: &Subject<'_>, began: u64, arrived: u64) -> Validity {
        if arrived <= began {
            return Validity::Valid;
        }
        self.records.read().judge(subject, began, began)
    }

    /// The invalidation that selects a response whose fetch began in that epoch, and its epoch: the worst, then the newest.
    pub fn reason(&self, subject: &Subject<'_>, began: u64) -> Option<(Mode, Target, u64)> {
        self.records.read().reason(subject, began)
    }

    /// Adds tags to whatever is stored at a page now and later (semantics 41), and returns all that were added there.
    ///
    /// # Errors
    /// There is no room for more: nothing was added.
    pub fn add_tags(&self, host: Option<&str>, path: &str, tags: &[String]) -> Result<Vec<String>, TagsRefused> {
        let mut records = self.records.write();
        records.add_tags(host, path, tags, self.epoch())
    }

    /// The tags that were added to a page.
    pub fn added_tags(&self, host: &str, path: &str) -> Vec<String> {
        self.records.read().added_tags(host, path)
    }

    /// When this tag was last to be validated on this host.
    pub fn last_of_tag(&self, host: &str, tag: &str) -> Option<Timestamp> {
        self.records.read().last_of_tag(host, tag)
    }

    /// Everything that hard records up to `epoch` select is gone: they are forgotten. A response that was not looked up
    /// since then counts as selected.
    pub fn swept(&self, epoch: u64) {
        self.records.write().forget_hard(epoch);
    }

    /// How many records there are, soft and hard.
    pub fn len(&self) -> usize {
        self.records.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
