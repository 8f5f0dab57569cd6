//! The records themselves, by selector. A newer record of the same selector takes the older one's place, so that it is
//! not calls that cost room but selectors.

mod dump;

use super::prefixes::Prefixes;
use super::{Invalidation, Mode, Subject, Target, Validity};
use lru::LruCache;
use semantics::{Timestamp, page, tags};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Of soft records by path, route and tag at most so many; beyond that the oldest fold into one (semantics 37).
const SOFT_AT_MOST: usize = 100_000;
/// The same for records by prefix, of which half fold at a time.
const PREFIXES_AT_MOST: usize = 100_000;
/// Beyond so many hard records what they select is removed, so that they can be forgotten.
const HARD_AT_MOST: usize = 100_000;
/// At most so many pages carry tags that were added to them.
const TAGGED_AT_MOST: usize = 100_000;

/// When something was invalidated.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    epoch: u64,
    at: Timestamp,
    /// The newest that wants validation, and not only staleness; 0: none.
    validate: u64,
}

impl Mark {
    fn newer(self, then: Mark) -> Mark {
        Mark { epoch: self.epoch.max(then.epoch), at: self.at.max(then.at), validate: self.validate.max(then.validate) }
    }
}

#[derive(Default)]
struct PrefixMarks {
    soft: Option<Mark>,
    hard: Option<u64>,
}

/// All of these tags together, in bytes.
const ADDED_BYTES_AT_MOST: usize = 64 << 20;
/// All recorded prefixes together, in bytes: half of it for soft ones.
const PREFIX_BYTES_AT_MOST: usize = 32 << 20;

/// There is no room for more tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagsRefused {
    /// More than an entry may have.
    TooManyOnPath,
    /// So many pages carry added tags already.
    TooManyPaths,
    /// Another process holds the journal of this directory, and it alone may add any.
    HeldElsewhere,
}

/// Selectors are kept as hashes: one that collides invalidates too much, never too little.
pub(super) struct Records {
    seed: u64,
    soft: LruCache<u128, Mark>,
    hard: HashMap<u128, u64>,
    prefixes: Prefixes<PrefixMarks>,
    hard_prefixes: usize,
    /// Whether any record is for one host alone.
    scoped: bool,
    /// What was folded: a response that was not looked up since is soft.
    folded: Mark,
    /// Hard records up to here are forgotten: a response that was not looked up since counts as selected.
    forgotten: u64,
    /// Records may be lost: a response whose fetch began before is to be validated, whatever the records say.
    distrusted: u64,
    added: HashMap<u128, Vec<Added>>,
    added_bytes: usize,
}

/// A tag that was added to a page, and in which epoch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Added {
    tag: String,
    epoch: u64,
}

/// The worst of what selects a response.
#[derive(Clone, Copy, Default)]
struct Found {
    hard: Option<u64>,
    soft: Option<Mark>,
}

impl Records {
    pub(super) fn new(seed: u64) -> Self {
        Records {
            seed,
            soft: LruCache::unbounded(),
            hard: HashMap::new(),
            prefixes: Prefixes::default(),
            hard_prefixes: 0,
            scoped: false,
            folded: Mark::default(),
            forgotten: 0,
            distrusted: 0,
            added: HashMap::new(),
            added_bytes: 0,
        }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Hard records up to here are forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Responses whose fetch began before this epoch are to be validated.
    pub(super) fn distrusted(&self) -> u64 {
        self.distrusted
    }

    pub(super) fn distrust(&mut self, before: u64) {
        self.distrusted = self.distrusted.max(before);
    }

    pub(super) fn len(&self) -> usize {
        self.soft.len() + self.hard.len() + self.prefixes.len()
    }

    pub(super) fn wants_sweep(&self) -> bool {
        self.hard.len() + self.hard_prefixes > HARD_AT_MOST || self.prefixes.bytes() > PREFIX_BYTES_AT_MOST
    }

    fn hash(&self, host: &str, kind: &str, value: &str) -> u128 {
        self.hash_in(&mut Vec::with_capacity(host.len() + kind.len() + value.len() + 2), host, kind, value)
    }

    fn hash_in(&self, bytes: &mut Vec<u8>, host: &str, kind: &str, value: &str) -> u128 {
        bytes.clear();
        for part in [host, kind] {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(value.as_bytes());
        xxh3_128_with_seed(bytes, self.seed)
    }

    /// Adds one record, and says how many had to fold for it.
    pub(super) fn add(&mut self, one: &Invalidation, epoch: u64, at: Timestamp) -> u64 {
        let host = one.host.as_deref().unwrap_or_default();
        self.scoped |= one.host.is_some();
        let mark = Mark { epoch, at, validate: if one.mode == Mode::Validate { epoch } else { 0 } };
        if let Target::Prefix(prefix) = &one.target {
            return self.add_prefix(host, prefix, one.mode, mark);
        }
        let (Target::Path(value) | Target::Prefix(value) | Target::Route(value) | Target::Tag(value)) = &one.target;
        let hash = self.hash(host, one.target.kind(), value);
        if one.mode == Mode::Hard {
            self.hard.insert(hash, epoch);
            return 0;
        }
        let mark = self.soft.peek(&hash).map_or(mark, |old| old.newer(mark));
        self.soft.put(hash, mark);
        if self.soft.len() <= SOFT_AT_MOST {
            return 0;
        }
        if let Some((_, oldest)) = self.soft.pop_lru() {
            self.fold(oldest);
        }
        1
    }

    fn fold(&mut self, mark: Mark) {
        self.folded = self.folded.newer(Mark { validate: 0, ..mark });
    }

    fn add_prefix(&mut self, host: &str, prefix: &str, mode: Mode, mark: Mark) -> u64 {
        let marks = self.prefixes.entry(host, prefix).or_default();
        if mode == Mode::Hard {
            self.hard_prefixes += usize::from(marks.hard.is_none());
            marks.hard = Some(mark.epoch);
            return 0;
        }
        marks.soft = Some(marks.soft.map_or(mark, |old| old.newer(mark)));
        let few = self.prefixes.len() - self.hard_prefixes <= PREFIXES_AT_MOST;
        if few && self.prefixes.bytes() <= PREFIX_BYTES_AT_MOST / 2 {
            return 0;
        }
        self.fold_prefixes()
    }

    /// Folds the older half, so that the next thousands of them need no look at all the others.
    fn fold_prefixes(&mut self) -> u64 {
        let mut epochs: Vec<u64> = self.prefixes.values().filter_map(|m| m.soft.map(|s| s.epoch)).collect();
        if epochs.is_empty() {
            return 0;
        }
        let middle = epochs.len() / 2;
        let (_, median, _) = epochs.select_nth_unstable(middle);
        let median = *median;
        let mut folded = Vec::new();
        self.prefixes.retain(|marks| {
            folded.extend(marks.soft.take_if(|s| s.epoch <= median));
            marks.soft.is_some() || marks.hard.is_some()
        });
        folded.iter().for_each(|mark| self.fold(*mark));
        folded.len() as u64
    }

    /// How a response stands whose fetch began in `began`, that was last looked up in `seen`, and that a sweep cleared of
    /// hard records up to `swept`.
    pub(super) fn judge(&self, subject: &Subject<'_>, began: u64, seen: u64, swept: u64) -> Validity {
        let mut found = Found::default();
        self.each(subject, began, |_, _, hit| {
            found.hard = found.hard.max(hit.hard);
            found.soft = match (found.soft, hit.soft) {
                (Some(a), Some(b)) => Some(a.newer(b)),
                (a, b) => a.or(b),
            };
        });
        if found.hard.is_some() || seen.max(swept) < self.forgotten {
            return Validity::Hard;
        }
        // By its beginning: that it was looked up since does not say that what was lost did not select it.
        if began < self.distrusted {
            return Validity::Doubt;
        }
        if seen < self.folded.epoch {
            found.soft = Some(found.soft.map_or(self.folded, |s| s.newer(self.folded)));
        }
        match found.soft {
            Some(mark) if mark.validate > began => Validity::Validate,
            Some(mark) => Validity::Soft(mark.at),
            None => Validity::Valid,
        }
    }

    pub(super) fn reason(&self, subject: &Subject<'_>, began: u64) -> Option<(Mode, Target, u64)> {
        let mut reasons: Vec<(Mode, Target, u64)> = Vec::new();
        self.each(subject, began, |kind, value, hit| {
            let target = || match kind {
                "path" => Target::Path(value.to_owned()),
                "prefix" => Target::Prefix(value.to_owned()),
                "route" => Target::Route(value.to_owned()),
                _ => Target::Tag(value.to_owned()),
            };
            if let Some(epoch) = hit.hard {
                reasons.push((Mode::Hard, target(), epoch));
            }
            if let Some(mark) = hit.soft {
                let mode = if mark.validate > began { Mode::Validate } else { Mode::Soft };
                reasons.push((mode, target(), mark.epoch));
            }
        });
        let rank = |mode: Mode| [Mode::Soft, Mode::Validate, Mode::Hard].iter().position(|m| *m == mode);
        reasons.into_iter().max_by_key(|(mode, _, epoch)| (rank(*mode), *epoch))
    }

    /// Calls `found` for every selector of the subject that was invalidated after `began`: its kind, its value, and what
    /// was recorded.
    fn each(&self, subject: &Subject<'_>, began: u64, mut found: impl FnMut(&str, &str, Found)) {
        let pages = page::pages_of(subject.path);
        let hosts: &[&str] = if self.scoped { &["", subject.host] } else { &[""] };
        let mut bytes = Vec::with_capacity(128);
        for host in hosts {
            let mut look = |kind: &str, value: &str, since: u64| {
                let hash = self.hash_in(&mut bytes, host, kind, value);
                let hard = self.hard.get(&hash).copied().filter(|epoch| *epoch > since);
                let soft = self.soft.peek(&hash).copied().filter(|mark| mark.epoch > since);
                if hard.is_some() || soft.is_some() {
                    found(kind, value, Found { hard, soft });
                }
            };
            look("route", subject.route, began);
            subject.tags.iter().for_each(|tag| look("tag", tag, began));
            // A tag that was added later says nothing of what was invalidated before.
            self.added(subject.host, &pages).for_each(|added| look("tag", &added.tag, began.max(added.epoch)));
            pages.iter().for_each(|path| look("path", path, began));
            for path in &pages {
                self.prefixes.each_of(host, path, |prefix, marks| {
                    let hard = marks.hard.filter(|epoch| *epoch > began);
                    let soft = marks.soft.filter(|mark| mark.epoch > began);
                    if hard.is_some() || soft.is_some() {
                        found("prefix", prefix, Found { hard, soft });
                    }
                });
            }
        }
    }

    fn added<'r>(&'r self, host: &str, pages: &[String]) -> impl Iterator<Item = &'r Added> {
        let anything = !self.added.is_empty();
        let places = ["", host].into_iter().flat_map(|h| pages.iter().map(move |p| (h, p)));
        let hashes: Vec<u128> = places.filter(|_| anything).map(|(h, p)| self.hash(h, "path", p)).collect();
        hashes.into_iter().filter_map(|hash| self.added.get(&hash)).flatten()
    }

    pub(super) fn added_tags(&self, host: &str, path: &str) -> Vec<String> {
        self.added(host, &page::pages_of(path)).map(|added| added.tag.clone()).collect()
    }

    /// All that were added there so far, and how many of them are new.
    pub(super) fn add_tags(
        &mut self,
        host: Option<&str>,
        path: &str,
        tags: &[String],
        epoch: u64,
    ) -> Result<(Vec<String>, usize), TagsRefused> {
        let hash = self.hash(host.unwrap_or_default(), "path", &page::normal(path));
        let there = self.added.get(&hash);
        if there.is_none() && self.added.len() >= TAGGED_AT_MOST {
            return Err(TagsRefused::TooManyPaths);
        }
        let count = there.map_or(0, Vec::len);
        let mut all = there.cloned().unwrap_or_default();
        all.extend(tags.iter().map(|tag| Added { tag: tag.clone(), epoch }));
        // Of two that are the same the older one stays.
        all.sort_unstable();
        all.dedup_by(|later, earlier| later.tag == earlier.tag);
        if all.len() > tags::MAX_TAGS {
            return Err(TagsRefused::TooManyOnPath);
        }
        let names: Vec<String> = all.iter().map(|added| added.tag.clone()).collect();
        // What is there already costs no room.
        let before: usize = there.into_iter().flatten().map(|added| added.tag.len()).sum();
        let bytes = self.added_bytes - before + names.iter().map(String::len).sum::<usize>();
        if bytes > ADDED_BYTES_AT_MOST {
            return Err(TagsRefused::TooManyPaths);
        }
        self.added_bytes = bytes;
        let new = all.len() - count;
        self.added.insert(hash, all);
        Ok((names, new))
    }

    pub(super) fn last_of_tag(&self, host: &str, tag: &str) -> Option<Timestamp> {
        self.soft.peek(&self.hash(host, "tag", tag)).filter(|mark| mark.validate > 0).map(|mark| mark.at)
    }

    pub(super) fn forget_hard(&mut self, epoch: u64) {
        self.hard.retain(|_, e| *e > epoch);
        let mut left = 0;
        self.prefixes.retain(|marks| {
            marks.hard = marks.hard.filter(|e| *e > epoch);
            left += usize::from(marks.hard.is_some());
            marks.soft.is_some() || marks.hard.is_some()
        });
        self.hard_prefixes = left;
        self.hard.shrink_to_fit();
        self.forgotten = self.forgotten.max(epoch);
    }
}
