//! Passed answers that may be kept (`profile: rfc9111`): parts (RFC 9111, 3.3), whole pages for a Range that the origin did not
//! heed, and answers to POST that are those of a GET (RFC 9110, 9.3.3). They are collected as they go by, and stored when
//! they are whole; nobody waits for one.

use crate::fill::{Job, http_date};
use crate::invalidate::{Checked, Tags, Validity};
use crate::origin::{Kind, OriginRequest};
use crate::store::{Audience, Body, Coded, HeadBuilder, KeyHash, Regeneration, Slot, StoredResponse, Written};
use crate::{Engine, Route, Served, Visit, canonical, served};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lru::LruCache;
use parking_lot::Mutex;
use semantics::freshness::{self, Times};
use semantics::guard::Guard;
use semantics::part::{self, Part};
use semantics::vary::{self, Vary};
use semantics::{Method, Timestamp, key, range, storability, tags};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All that is collected at a time, in bytes: beyond it, answers go by unkept. Clients set the pace at which they go.
const ROOM: usize = 64 * 1024 * 1024;

/// So many URLs that were written to are remembered.
const WRITES: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// What all that is collected has in common.
#[derive(Default)]
pub(crate) struct Gathered {
    /// In bytes.
    held: AtomicUsize,
    writes: Mutex<Option<Writes>>,
}

struct Writes {
    /// By primary key.
    last: LruCache<KeyHash, Timestamp>,
    /// When the latest of those was that are forgotten.
    forgotten: Timestamp,
}

impl Gathered {
    fn note_written(&self, primary: KeyHash, now: Timestamp) {
        let mut writes = self.writes.lock();
        let writes = writes.get_or_insert_with(|| Writes { last: LruCache::new(WRITES), forgotten: Timestamp::EPOCH });
        if let Some((gone, at)) = writes.last.push(primary, now)
            && gone != primary
        {
            writes.forgotten = writes.forgotten.max(at);
        }
    }

    /// Whether that URL may have been written to after `since`.
    fn is_written_since(&self, primary: KeyHash, since: Timestamp) -> bool {
        let writes = self.writes.lock();
        let of = |writes: &Writes| writes.forgotten.max(writes.last.peek(&primary).copied().unwrap_or_default());
        writes.as_ref().is_some_and(|writes| of(writes) > since)
    }
}

/// A passed answer whose head has come.
pub struct Passing {
    /// It answers a POST; else a GET with a Range.
    pub posted: bool,
    pub status: StatusCode,
    /// Without hop-by-hop fields.
    pub fields: HeaderMap,
    /// `Content-Length`, where given.
    pub length: Option<u64>,
    /// The body's end will be told by the connection's.
    pub close_delimited: bool,
    /// The epoch in which the request came, and when that was.
    pub began: u64,
    pub requested: Timestamp,
}

enum What {
    Part(Part),
    Whole,
}

/// An answer on its way past, to be stored at its end. Dropped before, it is not.
pub struct Gather {
    engine: Arc<Engine>,
    route: Arc<Route>,
    what: What,
    passing: Passing,
    responded: Timestamp,
    /// What a fill for the same visit would have sent.
    request: OriginRequest,
    key: Box<[u8]>,
    primary: KeyHash,
    body: Vec<u8>,
    /// It is too much to be kept.
    given_up: bool,
}

impl Engine {
    /// Begins to collect a passed answer, if it may be stored for visits like this one.
    pub fn gather(self: &Arc<Self>, visit: &Visit<'_>, passing: Passing) -> Option<Gather> {
        let now = self.clock.now();
        let policy = &visit.route.policy;
        let too_large = passing.length.is_some_and(|length| length > self.store.max_object() as u64);
        let coded = passing.fields.contains_key(header::CONTENT_ENCODING);
        if !policy.is_plain() || policy.guard != Guard::default() || too_large || coded || passing.close_delimited {
            return None;
        }
        let what = what(visit, &passing, now)?;
        let lines = passing.fields.get_all(header::VARY).into_iter().map(HeaderValue::as_bytes);
        let Vary::Fields(nominated) = vary::parse(lines, policy) else { return None };
        let request = canonical::request(visit, &nominated, canonical::Carry::BrowserFields, Kind::Fill);
        Some(Gather {
            engine: self.clone(),
            route: visit.route.clone(),
            what,
            passing,
            responded: now,
            request,
            key: visit.key.into(),
            primary: visit.hash,
            body: Vec::new(),
            given_up: false,
        })
    }

    /// The stored part that holds what a visit asks for.
    pub(crate) fn part(&self, visit: &Visit<'_>, now: Timestamp) -> Option<Served> {
        let range = visit.facts.range.filter(|_| wants_part(visit))?;
        let (_, stored) = self.stored_part(visit.key, now)?;
        let validators = stored.validators();
        let holds = |condition| range::if_range_holds(condition, validators.etag, validators.last_modified);
        let answers = visit.facts.if_range.is_none_or(holds) && !self.must_ask_himself(visit, &stored);
        Part::parse(stored.head.field("content-range")?)?.cut(stored.body.len(), range).filter(|_| answers)?;
        Some(served(&stored, stored.windows.fresh_until.seconds_from(now), false))
    }

    /// The part that is stored of a page, while it is fresh.
    pub(crate) fn stored_part(&self, primary: &[u8], now: Timestamp) -> Option<(KeyHash, Arc<StoredResponse>)> {
        let (hash, key) = self.part_key(primary);
        let Some(Slot::Response(stored)) = self.store.get(hash, &key, now) else { return None };
        let windows = self.windows(&stored, now)?;
        (now < windows.fresh_until).then_some((hash, stored))
    }

    /// Brings a part that a visit may want back from the disk.
    pub(crate) async fn recall_part(&self, visit: &Visit<'_>) -> bool {
        if visit.facts.range.is_none() || !wants_part(visit) {
            return false;
        }
        let (hash, key) = self.part_key(visit.key);
        self.store.peek(hash, &key).is_none() && self.store.recall(hash, &key, true, self.clock.now()).await.is_some()
    }

    /// A write to a URL: parts of what was there go, and what is collected of it is not kept.
    pub(crate) fn note_written_to_parts(&self, visit: &Visit<'_>, now: Timestamp) {
        if visit.route.policy.is_plain() {
            self.gathered.note_written(visit.hash, now);
            let (hash, key) = self.part_key(visit.key);
            self.store.remove(hash, &key, true);
        }
    }

    fn part_key(&self, primary: &[u8]) -> (KeyHash, Vec<u8>) {
        let mut key = Vec::with_capacity(primary.len() + 16);
        key::write_part(&mut key, primary);
        (self.hasher.hash(&key), key)
    }
}

/// Where a whole page would be validated first, or is asked for, a part does not do.
fn wants_part(visit: &Visit<'_>) -> bool {
    visit.route.policy.is_plain() && visit.request.method == Method::Get && !visit.facts.conditional()
}

fn what(visit: &Visit<'_>, passing: &Passing, now: Timestamp) -> Option<What> {
    let Passing { posted, status, fields, .. } = passing;
    if *posted {
        let target = match visit.query {
            Some(query) => format!("{}?{query}", visit.request.path),
            None => visit.request.path.to_owned(),
        };
        // Under another name than he posted to, it would be another page's.
        let whole_query = visit.query == visit.request.query.filter(|query| !query.is_empty());
        let is = whole_query && storability::is_posted_for_get(fields, visit.request.host, &target, now);
        return is.then_some(What::Whole);
    }
    match *status {
        StatusCode::PARTIAL_CONTENT => {
            let may = part::may_be_stored(fields, &visit.route.policy, now, visit.facts.authorization);
            Part::of(fields).filter(|_| may).map(What::Part)
        }
        StatusCode::OK => Some(What::Whole),
        _ => None,
    }
}

impl Gather {
    /// The next bytes of the body.
    pub fn piece(&mut self, piece: &[u8]) {
        if self.given_up {
            return;
        }
        let before = self.engine.gathered.held.fetch_add(piece.len(), Ordering::Relaxed);
        let too_much = before + piece.len() > ROOM || self.body.len() + piece.len() > self.engine.store.max_object();
        if too_much {
            self.engine.gathered.held.fetch_sub(piece.len(), Ordering::Relaxed);
            self.give_up();
        } else {
            self.body.extend_from_slice(piece);
        }
    }

    /// The body has come to its proper end.
    pub fn whole(mut self) {
        let complete = self.passing.length.is_none_or(|length| length == self.body.len() as u64);
        let written = self.engine.gathered.is_written_since(self.primary, self.passing.requested);
        if self.given_up || !complete || written {
            return;
        }
        let mut body = std::mem::take(&mut self.body);
        self.engine.gathered.held.fetch_sub(body.len(), Ordering::Relaxed);
        body.shrink_to_fit();
        let body = Bytes::from(body);
        match self.what {
            What::Part(part) => self.store_part(&part, body),
            What::Whole => {
                let Passing { status, began, requested, .. } = self.passing;
                let times = Times { requested, responded: self.responded, completed: self.responded };
                let fields = std::mem::take(&mut self.passing.fields);
                let at = (self.primary, self.key.clone());
                if let Some(job) = Job::of_passed(&self.engine, &self.route, self.request.clone(), at, began) {
                    job.take_in(status, fields, body, times);
                }
            }
        }
    }

    /// The newest part takes the place of the one before.
    fn store_part(&self, part: &Part, body: Bytes) {
        let size = body.len() as u64;
        if size == 0 || size > part.length() {
            return;
        }
        let (now, policy) = (self.engine.clock.now(), &self.route.policy);
        let Passing { status, fields, began, requested, .. } = &self.passing;
        let times = Times { requested: *requested, responded: self.responded, completed: now };
        let length = Some(size);
        let date = http_date(self.responded);
        let head = HeadBuilder { status: *status, fields, policy, audience: Audience::Store, length, etag: None, date };
        let (hash, key) = self.engine.part_key(&self.key);
        let path = self.request.target.split('?').next().unwrap_or_default();
        let stored = Arc::new(StoredResponse {
            key: key.into_boxed_slice(),
            head: head.build(),
            coded: Coded::default(),
            body: Body::from(body),
            windows: freshness::windows(status.as_u16(), fields, policy, &times, false),
            fetched_at: *requested,
            checked: Checked::new(*began),
            written: Written::default(),
            route: self.route.name.clone(),
            tags: Tags::new(&tags::of(self.route.tags_of(path), fields).kept),
            rendered_in_ms: 0,
            variant: Box::new(key::part_variant()),
            regeneration: Regeneration::default(),
            pinned: false,
            history: 0,
        });
        if self.engine.validity(&stored, now) == Validity::Valid {
            self.engine.store.put(hash, Slot::Response(stored), now);
        }
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.engine.gathered.held.fetch_sub(std::mem::take(&mut self.body).len(), Ordering::Relaxed);
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        self.give_up();
    }
}
