//! One stored response, and the state of its regeneration.

use super::body::Body;
use super::coded::Coded;
use super::head::Head;
use crate::invalidate::{Checked, Subject, Tags};
use crate::metrics::Counted;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use semantics::part::{Cut, Part};
use semantics::settlement::Failure;
use semantics::validation::Validators;
use semantics::{Timestamp, Windows, key, storability};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::KeyHash;

/// A complete response as it was in one generation. Never changed: a regeneration puts a new one in its place.
#[derive(Debug)]
pub struct StoredResponse {
    /// The full key: a hash that collides is a miss.
    pub key: Box<[u8]>,
    pub head: Head,
    pub body: Body,
    pub windows: Windows,
    /// When its fetch began.
    pub fetched_at: Timestamp,
    /// How it stands against invalidations: by the epoch in which its fetch began.
    pub checked: Checked,
    pub written: Written,
    pub route: Arc<str>,
    pub tags: Tags,
    /// How long the origin took for it, in milliseconds.
    pub rendered_in_ms: u32,
    /// The nominated fields and the values that selected this variant, replayed at a refresh.
    pub variant: Box<[(String, Option<Vec<u8>>)]>,
    pub regeneration: Regeneration,
    /// Put back by an operator: it is served until he takes that back, whatever happens short of a hard invalidation.
    pub pinned: bool,
    /// Good versions of its page that are kept.
    pub history: u16,
    /// The same in content codings, as far as somebody has asked for them.
    pub coded: Coded,
}

impl StoredResponse {
    pub fn rendered_in(&self) -> Duration {
        Duration::from_millis(u64::from(self.rendered_in_ms))
    }

    /// The validators that clients hold.
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: self.head.field("etag"), last_modified: self.head.field("last-modified") }
    }

    /// The origin's own validators, for a conditional fill (semantics 1).
    pub fn origin_validators(&self) -> Validators<'_> {
        Validators { etag: self.head.origin_field("etag"), last_modified: self.head.origin_field("last-modified") }
    }

    /// Whether the origin said that it is everybody's: see [`storability::is_shared`].
    pub fn is_shared(&self) -> bool {
        storability::is_shared(&self.head.origin_fields(), self.windows.generated)
    }

    /// Whether it may be renewed by what somebody's credentials bring: see [`storability::is_shared_with_credentials`].
    pub fn is_shared_with_credentials(&self) -> bool {
        storability::is_shared_with_credentials(&self.head.origin_fields())
    }

    /// What of a stored part answers a Range; `None`: it is no part, or does not hold it.
    pub fn cut(&self, range: &[u8]) -> Option<Cut> {
        let brought_by = key::part_range(&self.variant)?;
        Part::parse(self.head.field("content-range")?)?.cut(self.body.len(), range, Some(brought_by))
    }

    /// The same with its body elsewhere. Its regeneration begins anew.
    pub fn with_body(&self, body: Body) -> StoredResponse {
        StoredResponse {
            key: self.key.clone(),
            head: self.head.clone(),
            body,
            windows: self.windows,
            fetched_at: self.fetched_at,
            checked: self.checked.again(),
            written: self.written.inherited(),
            route: self.route.clone(),
            tags: self.tags.clone(),
            rendered_in_ms: self.rendered_in_ms,
            variant: self.variant.clone(),
            regeneration: Regeneration::default(),
            pinned: self.pinned,
            history: self.history,
            coded: Coded::default(),
        }
    }

    /// What it can be selected by; `None` if its key cannot be read.
    pub fn subject(&self) -> Option<Subject<'_>> {
        let (host, path) = key::host_and_path(&self.key, !self.variant.is_empty())?;
        let (host, path) = (std::str::from_utf8(host).ok()?, std::str::from_utf8(path).ok()?);
        Some(Subject { host, path, route: &self.route, tags: &self.tags })
    }

    /// Bytes that this response costs its store: key, head, body, variant and the structs around them.
    pub fn cost(&self) -> usize {
        let variant: usize = self
            .variant
            .iter()
            .map(|(n, v)| n.len() + v.as_ref().map_or(0, Vec::len) + size_of::<(String, Vec<u8>)>())
            .sum();
        let heap = self.key.len() + self.head.heap_size() + self.body.heap_size() + self.tags.heap_size() + variant;
        let heap = heap + self.coded.cost();
        size_of::<Self>() + heap + INDEX_COST
    }
}

/// What the table around a response costs: the list node, the map's slot at its usual load, and the counts of the Arc
/// and of two `Bytes`.
const INDEX_COST: usize = 176;

/// When an unsafe method last succeeded on this URL: from then on what was fetched before is to be validated
/// (RFC 9111, 4.4), as often as [`crate::guard::write_pause`] allows.
#[derive(Debug, Default)]
pub struct Written(AtomicU64);

impl Written {
    pub fn since(at: Timestamp) -> Self {
        Written(AtomicU64::new(at.as_micros()))
    }

    pub fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Acquire))
    }

    /// The same for what takes the response's place.
    pub fn inherited(&self) -> Self {
        Written::since(self.at())
    }

    /// Notes a success, without a pause.
    pub fn stamp(&self, now: Timestamp) {
        self.0.fetch_max(now.as_micros(), Ordering::AcqRel);
    }

    /// Notes a success on the URL of what was fetched at `fetched`. Within `pause` of the last one that was seen to, it
    /// counts from the pause's end: it is put off, not lost. Says whether that changes anything.
    pub fn note(&self, fetched: Timestamp, now: Timestamp, pause: Duration) -> bool {
        let later = |last: u64| {
            let last = Timestamp::from_micros(last);
            if last > fetched {
                // A validation is due already, or will be.
                return None;
            }
            let next = if last == Timestamp::EPOCH { now } else { last.after(pause).max(now) };
            Some(next.as_micros())
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, later).is_ok()
    }

    /// Whether it counts, now or later, for what was fetched at `fetched`.
    pub fn is_after(&self, fetched: Timestamp) -> bool {
        Timestamp::from_micros(self.0.load(Ordering::Acquire)) > fetched
    }

    /// Whether what was fetched at `fetched` is to be validated now.
    pub fn forbids(&self, fetched: Timestamp, now: Timestamp) -> bool {
        let from = Timestamp::from_micros(self.0.load(Ordering::Acquire));
        from > fetched && from <= now
    }
}

const IN_FLIGHT: u64 = u64::MAX;

/// The state of one stored response's regeneration: who may start the next one, and when (semantics 14, 31).
#[derive(Debug, Default)]
pub struct Regeneration {
    /// The earliest next attempt in microseconds; [`IN_FLIGHT`] while one runs.
    next_attempt: AtomicU64,
    /// Whether it was asked for since it was stored, and so is to be refreshed ahead.
    planned: AtomicBool,
    trouble: Mutex<Option<Box<Trouble>>>,
}

#[derive(Debug)]
struct Trouble {
    /// Counts this response among the failing ones.
    _counted: Counted,
    last: Failure,
    denied_since: Option<Timestamp>,
    uncacheable: u32,
    uncacheable_counted: Timestamp,
}

/// Three answers in a row that may not be stored, at least this far apart, drop an ISR page (semantics 33).
const UNCACHEABLE_APART: Duration = Duration::from_secs(30);
const UNCACHEABLE_IN_A_ROW: u32 = 3;
/// 401 and 403 keep a page for this long (semantics 29).
const DENIED_AT_MOST: Duration = Duration::from_secs(3600);

impl Regeneration {
    /// Takes the right to regenerate, if it is time and nobody has it. Whoever gets `true` must end it by
    /// [`Regeneration::failed`] or [`Regeneration::release`], or put a new response in this one's place.
    pub fn claim(&self, now: Timestamp) -> bool {
        let due = self.next_attempt.load(Ordering::Acquire);
        due <= now.as_micros()
            && self.next_attempt.compare_exchange(due, IN_FLIGHT, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether this is the first time that somebody asks for it. Reads alone after that: pages that many ask for stay in
    /// every core's cache.
    pub fn is_first_asked(&self) -> bool {
        !self.planned.load(Ordering::Relaxed) && !self.planned.swap(true, Ordering::Relaxed)
    }

    /// Gives the right back; the next attempt may start at `next`.
    pub fn release(&self, next: Timestamp) {
        self.next_attempt.store(next.as_micros().min(IN_FLIGHT - 1), Ordering::Release);
    }

    /// Gives the right back if it was not ended otherwise.
    pub fn release_if_in_flight(&self, next: Timestamp) {
        let next = next.as_micros().min(IN_FLIGHT - 1);
        let _ = self.next_attempt.compare_exchange(IN_FLIGHT, next, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Until when no attempt is made, if the last one failed.
    pub fn failing_until(&self) -> Option<Timestamp> {
        let next = self.next_attempt.load(Ordering::Acquire);
        (next > 0 && self.trouble.lock().is_some()).then_some(Timestamp::from_micros(next))
    }

    pub fn last_failure(&self) -> Option<Failure> {
        self.trouble.lock().as_ref().map(|t| t.last)
    }

    /// Notes a failed attempt, and says whether the response has now lost its right to stay.
    #[must_use]
    pub fn failed(&self, failure: Failure, now: Timestamp, next: Timestamp, failing: &Gauge) -> Standing {
        let mut slot = self.trouble.lock();
        let trouble = Trouble::after(slot.as_deref(), failure, now, failing);
        let standing = trouble.standing(now);
        *slot = Some(Box::new(trouble));
        drop(slot);
        self.release(next);
        standing
    }
}

/// Whether a response that could not be regenerated stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Stays,
    /// Denied or uncacheable for long enough.
    Goes,
}

impl Trouble {
    fn after(before: Option<&Trouble>, failure: Failure, now: Timestamp, failing: &Gauge) -> Trouble {
        let denied = matches!(failure, Failure::Status(300..=399 | 401 | 403 | 407));
        let denied_since = denied.then(|| before.and_then(|b| b.denied_since).unwrap_or(now));
        let (mut uncacheable, mut counted) = (0, Timestamp::EPOCH);
        if matches!(failure, Failure::Uncacheable(_)) {
            (uncacheable, counted) = before.map_or((0, Timestamp::EPOCH), |b| (b.uncacheable, b.uncacheable_counted));
            if now.since(counted) >= UNCACHEABLE_APART {
                (uncacheable, counted) = (uncacheable + 1, now);
            }
        }
        Trouble {
            _counted: Counted::new(failing),
            last: failure,
            denied_since,
            uncacheable,
            uncacheable_counted: counted,
        }
    }

    fn standing(&self, now: Timestamp) -> Standing {
        let denied = self.denied_since.is_some_and(|since| now.since(since) >= DENIED_AT_MOST);
        if denied || self.uncacheable >= UNCACHEABLE_IN_A_ROW { Standing::Goes } else { Standing::Stays }
    }
}

/// Stands at a primary key whose responses vary: which fields select among them.
#[derive(Debug)]
pub struct VarySpec {
    pub key: Box<[u8]>,
    /// Lower-case, in order.
    pub names: Vec<String>,
    /// The stored variants, oldest first.
    pub variants: Mutex<VecDeque<KeyHash>>,
    /// The epoch of the fill that found it out.
    pub began: u64,
    /// When the URL was last written to, for variants that are on their way.
    pub written: Written,
    /// Whether a variant was asked for again: then this leads to something that is known (see `memory`).
    pub known: AtomicBool,
}

/// At most this many variants a URL (semantics 47); the oldest goes.
pub const MAX_VARIANTS: usize = 64;

impl VarySpec {
    pub fn new(key: Box<[u8]>, names: Vec<String>, began: u64) -> Self {
        VarySpec {
            key,
            names,
            variants: Mutex::default(),
            began,
            written: Written::default(),
            known: AtomicBool::new(false),
        }
    }

    /// Notes a variant. Says whether it is a new one, and returns one that has to go.
    pub fn admit(&self, variant: KeyHash) -> (bool, Option<KeyHash>) {
        let mut variants = self.variants.lock();
        let before = variants.len();
        // What is filled again goes to the end: the one that nobody asked for longest goes first.
        variants.retain(|v| *v != variant);
        let new = variants.len() == before;
        variants.push_back(variant);
        (new, if variants.len() > MAX_VARIANTS { variants.pop_front() } else { None })
    }

    pub fn cost(&self) -> usize {
        size_of::<Self>()
            + self.key.len()
            + self.names.iter().map(|n| n.len() + size_of::<String>()).sum::<usize>()
            + MAX_VARIANTS * size_of::<KeyHash>()
            + INDEX_COST
    }
}
