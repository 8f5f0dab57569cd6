//! Passed answers that may be kept (`profile: rfc9111`): parts (RFC 9111, 3.3), whole pages for a Range that the origin did not
//! heed, and answers to POST that are those of a GET (RFC 9110, 9.3.3). They are collected as they go by, and stored when
//! they are whole; nobody waits for one.
//!
//! Stored is what any visitor could have asked for: whoever hands an answer over has made sure that nothing else of its
//! visitor's was sent along.

use crate::fill::{Job, http_date};
use crate::invalidate::{Checked, Tags, Validity};
use crate::origin::{Kind, OriginRequest};
use crate::store::{Audience, Body, Coded, HeadBuilder, KeyHash, Regeneration, Slot, StoredResponse, Written};
use crate::writes::Writer;
use crate::{Engine, Route, Visit, canonical};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use semantics::freshness::{self, Times};
use semantics::guard::Guard;
use semantics::part::{self, Part};
use semantics::vary::{self, Vary};
use semantics::{Timestamp, key, storability, tags};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All that is collected at a time, in bytes, and no more than a quarter of it for one answer: beyond that, answers go by
/// unkept. Clients set the pace at which they go.
const ROOM: usize = 64 * 1024 * 1024;

/// What all that is gathered has in common.
#[derive(Default)]
pub(crate) struct Gathered {
    /// In bytes.
    held: AtomicUsize,
}

/// What a request found when it came.
#[derive(Clone)]
pub struct Moment {
    at: Timestamp,
    epoch: u64,
    deployment: Arc<String>,
}

/// A passed answer whose head has come.
pub struct Passing {
    /// It answers a POST; else a GET with a Range.
    pub posted: bool,
    /// The Range, and what it hangs on.
    pub range: Vec<u8>,
    pub if_range: Option<Vec<u8>>,
    pub status: StatusCode,
    /// Without hop-by-hop fields.
    pub fields: HeaderMap,
    /// `Content-Length`, where given.
    pub length: Option<u64>,
    /// The body's end will be told by the connection's.
    pub close_delimited: bool,
    /// When the request came.
    pub came: Moment,
}

#[derive(Clone, Copy)]
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
    writer: Writer,
    /// When the head came.
    responded: Timestamp,
    /// From when on a write outdates what is stored of it.
    fetched: Timestamp,
    /// What a fill for the same visit would have sent.
    request: OriginRequest,
    key: Box<[u8]>,
    primary: KeyHash,
    body: Vec<u8>,
    /// Bytes that there is room for in the body, counted as held.
    held: usize,
    /// It is too much to be kept, or too slow.
    given_up: bool,
}

impl Engine {
    /// What a request finds that comes now.
    pub fn moment(&self) -> Moment {
        Moment { at: self.clock.now(), epoch: self.journal.epoch(), deployment: self.deployment() }
    }

    /// Begins to collect a passed answer, if it may be stored for visits like this one: it has the fields that were sent.
    pub fn gather(self: &Arc<Self>, visit: &Visit<'_>, passing: Passing) -> Option<Gather> {
        let (now, policy, came) = (self.clock.now(), &visit.route.policy, &passing.came);
        let coded = passing.fields.contains_key(header::CONTENT_ENCODING);
        // Under the name of a deployment that was not asked, or past a guard, nothing is stored.
        let other = *came.deployment != *self.deployment() || policy.guard != Guard::default();
        if !policy.is_plain() || other || coded || passing.close_delimited {
            return None;
        }
        let what = what(visit, &passing, now)?;
        // It is judged again when it is stored; what will not be is not collected.
        let own = visit.facts.authorization && !storability::is_shared_with_credentials(&passing.fields);
        let whole = matches!(what, What::Whole);
        if whole && (own || storability::judge(passing.status, &passing.fields, policy, now, false).is_err()) {
            return None;
        }
        let lines = || passing.fields.get_all(header::VARY).into_iter().map(HeaderValue::as_bytes);
        let Vary::Fields(nominated) = vary::parse(lines(), policy) else { return None };
        let writer = self.writes.writer();
        if vary::varies_with_the_way(lines()) || self.writes.any_since(visit.hash, came.at, writer) {
            return None;
        }
        let request = canonical::request(visit, &nominated, canonical::Carry::BrowserFields, Kind::Fill);
        let length = passing.length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let mut gather = Gather {
            engine: self.clone(),
            route: visit.route.clone(),
            what,
            writer,
            responded: now,
            fetched: came.at,
            request,
            key: visit.key.into(),
            primary: visit.hash,
            body: Vec::new(),
            held: 0,
            given_up: false,
            passing,
        };
        gather.grow(length.unwrap_or(0)).then_some(gather)
    }
}

fn what(visit: &Visit<'_>, passing: &Passing, now: Timestamp) -> Option<What> {
    let Passing { posted, status, fields, .. } = passing;
    // What the key leaves out was seen by the origin: the answer may be that of another page.
    if visit.query != visit.request.query.filter(|query| !query.is_empty()) {
        return None;
    }
    if *posted {
        let target = match visit.query {
            Some(query) => format!("{}?{query}", visit.request.path),
            None => visit.request.path.to_owned(),
        };
        // Of an error Content-Location says something else (RFC 9110, 8.7).
        let is = *status == StatusCode::OK && storability::is_posted_for_get(fields, visit.request.host, &target, now);
        return is.then_some(What::Whole);
    }
    match *status {
        StatusCode::PARTIAL_CONTENT if visit.route.policy.admit_after <= 1 => {
            let may = part::may_be_stored(fields, &visit.route.policy, now, visit.facts.authorization);
            // To who has some of it already the origin may leave out what he knows (RFC 9110, 15.3.7).
            let told = |tag: &Vec<u8>| {
                part::strong(fields).is_some_and(|etag| etag.as_bytes() == tag)
                    && fields.contains_key(header::CONTENT_TYPE)
            };
            Part::of(fields).filter(|_| may && passing.if_range.as_ref().is_none_or(told)).map(What::Part)
        }
        StatusCode::OK if passing.if_range.is_none() => Some(What::Whole),
        _ => None,
    }
}

impl Gather {
    /// Who it is whose answer this is, where that was a write.
    pub fn writer(&self) -> Writer {
        self.writer
    }

    /// The POST whose answer this is has outdated what was stored before; its own answer comes behind that.
    pub fn comes_behind_its_own_write(&mut self) {
        self.fetched = self.engine.clock.now();
    }

    /// The next bytes of the body.
    pub fn piece(&mut self, piece: &[u8]) {
        // Who reads slowly decides how long it takes; a fill would not take longer.
        let most = self.engine.origins[self.request.origin].settings.total;
        let late = self.engine.clock.now().since(self.responded) > most;
        if self.given_up || late || !self.grow(self.body.len() + piece.len()) {
            return self.give_up();
        }
        self.body.extend_from_slice(piece);
    }

    /// The body has come to its proper end.
    pub fn whole(mut self) {
        let complete = self.passing.length.is_none_or(|length| length == self.body.len() as u64);
        let activated = *self.passing.came.deployment != *self.engine.deployment();
        if self.given_up || !complete || activated || self.is_written_over() {
            return;
        }
        let mut body = std::mem::take(&mut self.body);
        self.give_up();
        body.shrink_to_fit();
        match self.what {
            What::Part(part) => self.store_part(&part, Bytes::from(body)),
            What::Whole => self.store_whole(Bytes::from(body)),
        }
    }

    fn is_written_over(&self) -> bool {
        self.engine.writes.any_since(self.primary, self.passing.came.at, self.writer)
    }

    fn store_whole(&mut self, body: Bytes) {
        let (times, began) = (self.times(), self.passing.came.epoch);
        let at = (self.primary, self.key.clone());
        let Some(job) = Job::of_passed(&self.engine, &self.route, self.request.clone(), at, began) else { return };
        // From now on a write marks the job.
        if !self.is_written_over() {
            job.take_in(self.passing.status, std::mem::take(&mut self.passing.fields), body, times);
        }
    }

    /// The newest part takes the place of the one before.
    fn store_part(&self, part: &Part, body: Bytes) {
        let size = body.len() as u64;
        // What is stored of the page goes first; and where it varies, nobody can tell of which variant this is a part.
        let known = || self.engine.store.peek(self.primary, &self.key).is_some();
        if size == 0 || size > part.length() || known() {
            return;
        }
        let (now, policy, times) = (self.engine.clock.now(), &self.route.policy, self.times());
        let Passing { status, fields, came, range, .. } = &self.passing;
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
            fetched_at: self.fetched,
            checked: Checked::new(came.epoch),
            written: Written::default(),
            route: self.route.name.clone(),
            tags: Tags::new(&tags::of(self.route.tags_of(path), fields).kept),
            rendered_in_ms: 0,
            variant: Box::new(key::part_variant(range)),
            regeneration: Regeneration::default(),
            pinned: false,
            history: 0,
        });
        if self.engine.validity(&stored, now) != Validity::Valid || stored.windows.fresh_until <= now {
            return;
        }
        self.engine.store.put(hash, Slot::Response(stored.clone()), now);
        if self.is_written_over() || known() {
            // Who wrote, or stored the page, just now may have looked for it before it was there.
            self.engine.store.remove_response(hash, &stored);
        }
    }

    /// How old it is does not depend on who read it.
    fn times(&self) -> Times {
        Times { requested: self.fetched, responded: self.responded, completed: self.responded }
    }

    /// Makes room for a body of so many bytes, if there is any.
    fn grow(&mut self, size: usize) -> bool {
        if size <= self.held {
            return true;
        }
        let most = self.engine.store.max_object().min(ROOM / 4);
        if size > most {
            return false;
        }
        let held = size.max(self.held * 2).min(most);
        let (more, all) = (held - self.held, &self.engine.gathered.held);
        if all.fetch_add(more, Ordering::Relaxed) + more > ROOM {
            all.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.held = held;
        self.body.reserve_exact(held - self.body.len());
        true
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.body = Vec::new();
        self.engine.gathered.held.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        self.give_up();
    }
}
