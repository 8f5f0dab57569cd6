//! What a successful fill leaves in the store: replacement is atomic, every answer is wholly old or wholly new.

use super::{Ending, Job, Storable};
use crate::failed::Failed;
use crate::flight::Landing;
use crate::guard::{back_off, next_attempt};
use crate::history::Cause;
use crate::invalidate::{Checked, Tags, Validity};
use crate::origin::{Kind, OriginResponse};
use crate::store::{Audience, Body, KeyHash, Regeneration, Slot, StoredResponse, VarySpec, Written};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use semantics::cache_control::CacheControl;
use semantics::freshness::{self, Governing, Times};
use semantics::guard::{self, Broken, Guard};
use semantics::policy::{OnUncacheable, SetCookie};
use semantics::settlement::{Failure, may_be_empty};
use semantics::storability::{self, NotStorable};
use semantics::vary::{self, Vary};
use semantics::{Field, Method, Request, Timestamp, Windows, honesty, key, tags};
use std::sync::Arc;
use std::time::Duration;

/// Bodies from here on are judged off the async workers, in bytes.
const LARGE: usize = 256 * 1024;

/// Where a response is stored.
pub(super) struct Placed {
    pub(super) key: Box<[u8]>,
    pub(super) hash: KeyHash,
    pub(super) variant: Vec<(String, Option<Vec<u8>>)>,
    /// Stands at the primary key when the response varies.
    spec: Option<Arc<VarySpec>>,
    /// Others with the same nominated fields find their variants already: nothing stored becomes unreachable by this one.
    pub(super) settled: bool,
}

impl Job {
    /// The place of a response with these nominated fields: the primary key, or a variant's. A URL's nominated fields
    /// only grow: varying on more than one response asks for is always right (RFC 9111, 4.1), and never ambiguous.
    ///
    /// What is stored stays reachable until the new response is whole: only where nothing is, visitors are told at once.
    pub(super) fn place(&mut self, nominated: &[String], fields: &HeaderMap) -> Placed {
        self.move_home(fields);
        let slot = self.engine.store.peek(self.primary, &self.key);
        let known = match &slot {
            Some(Slot::Varies(spec)) => Some(spec.clone()),
            _ => None,
        };
        let mut names = known.as_ref().map(|s| s.names.clone()).unwrap_or_default();
        names.extend(nominated.iter().cloned());
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            let (key, hash) = (self.key.clone(), self.primary);
            return Placed { key, hash, variant: Vec::new(), spec: None, settled: true };
        }
        let variant = self.sent_values(&names);
        let mut key = Vec::new();
        key::write_variant(&mut key, &self.key, &variant);
        let hash = self.engine.hasher.hash(&key);
        let unchanged = known.filter(|s| s.names == names);
        let settled = unchanged.is_some() || (slot.is_none() && self.is_admitted());
        let spec = unchanged.unwrap_or_else(|| Arc::new(VarySpec::new(self.key.clone(), names, self.began)));
        if settled && self.stored.is_none() {
            // First the flight can be found at the variant, then visitors are sent there.
            self.lead.also(hash);
            if slot.is_none() {
                self.engine.store.put(self.primary, Slot::Varies(spec.clone()), self.engine.clock.now());
            }
        }
        Placed { key: key.into_boxed_slice(), hash, variant, spec: Some(spec), settled }
    }

    /// Answers that never change are keyed without the deployment: visitors who still have pages of an older one ask for its
    /// assets when the origin has forgotten them (semantics 43 and 54).
    fn move_home(&mut self, fields: &HeaderMap) {
        let immutable = !self.route.policy.is_isr() && Governing::of(fields).cache_control.immutable;
        let deployment = if immutable { "" } else { self.deployment.as_str() };
        let mut home = Vec::with_capacity(self.key.len());
        if key::of_deployment(&mut home, &self.key, deployment).is_none() || *home == *self.key {
            return;
        }
        self.key = home.into_boxed_slice();
        self.primary = self.engine.hasher.hash(&self.key);
        self.lead.also(self.primary);
    }

    /// Whether enough have asked for a page that is not stored yet (`admit_after`). Nobody needs to ask for what operators
    /// order.
    pub(super) fn is_admitted(&self) -> bool {
        let after = self.route.policy.admit_after;
        let new = self.stored.is_none() && self.cause == Cause::Miss;
        !new || after <= 1 || self.engine.admission.requests(self.primary, self.engine.clock.now()) >= after
    }

    /// Makes a stored variant findable, and lets the oldest one go when there are too many.
    fn publish(&self, placed: &Placed) {
        let Some(spec) = &placed.spec else { return };
        let now = self.engine.clock.now();
        let there = self.engine.store.peek(self.primary, &self.key);
        if !matches!(&there, Some(Slot::Varies(known)) if Arc::ptr_eq(known, spec)) {
            self.engine.store.put(self.primary, Slot::Varies(spec.clone()), now);
        }
        let (new, oldest) = spec.admit(placed.hash);
        if let Some(oldest) = oldest {
            self.engine.store.remove(oldest, &placed.key, true);
        }
        if new {
            self.engine.store.keep(self.primary, &Slot::Varies(spec.clone()));
        }
    }

    /// The fields that an answer nominates, as this fill sent them: who sent others would have got another answer.
    pub(super) fn nominated_by(&self, response: &OriginResponse) -> Vec<(String, Option<Vec<u8>>)> {
        let lines = response.fields.get_all(http::header::VARY).into_iter().map(HeaderValue::as_bytes);
        match vary::parse(lines, &self.route.policy) {
            Vary::Fields(names) => self.sent_values(&names),
            Vary::Unmatchable | Vary::Personal(_) => Vec::new(),
        }
    }

    /// The nominated fields as this fill sent them.
    fn sent_values(&self, names: &[String]) -> Vec<(String, Option<Vec<u8>>)> {
        let fields: Vec<Field<'_>> =
            self.request.fields.iter().map(|(n, v)| Field { name: n.as_str(), value: v.as_bytes() }).collect();
        let request = Request {
            method: Method::Get,
            scheme: self.request.scheme,
            host: &self.request.host,
            path: &self.request.target,
            query: None,
            fields: &fields,
        };
        vary::nominated(names, &request)
    }

    /// Stores a whole answer.
    pub(super) fn commit(
        &mut self,
        storable: &Storable,
        placed: Placed,
        body: Bytes,
        broken: Option<Broken>,
    ) -> Result<Landing, Ending> {
        let now = self.engine.clock.now();
        let response = &storable.response;
        let replaces_body = self.stored.as_ref().is_some_and(|s| !s.body.is_empty());
        if replaces_body && body.is_empty() && !may_be_empty(response.status) {
            let message = "the new version is empty";
            return Err(Ending::failed(Failed::plain(Failure::Empty, message, now)));
        }
        if let (Some(broken), Some(_)) = (broken, &self.stored) {
            let message = format!("the new version breaks the guard `{}`", broken.as_str());
            return Err(Ending::failed(Failed::plain(Failure::Guard(broken), message, now)));
        }
        // A byte-identical body is not stored twice (semantics 19).
        let body = match &self.stored {
            Some(stored) if stored.body.is(&body) => stored.body.clone(),
            _ => Body::from(body),
        };
        let times = Times { requested: storable.requested, responded: storable.responded, completed: now };
        let etag = self.made_up_etag(response, &body);
        self.tell_stripped_cookies(response);
        let head = self.head(response, Audience::Store, Some(body.len()), etag);
        let replaces = self.stored.is_some();
        let windows =
            freshness::windows(response.status.as_u16(), &response.fields, &self.route.policy, &times, replaces);
        let admitted = self.is_admitted();
        if broken.is_none() && admitted {
            self.publish(&placed);
        }
        let stored = Arc::new(StoredResponse {
            key: placed.key,
            head,
            body,
            windows: self.honest(windows, &response.fields),
            fetched_at: storable.requested,
            checked: Checked::new(self.began),
            written: self.written(storable.requested, &windows, &placed.spec),
            route: self.route.name.clone(),
            tags: storable.tags.clone(),
            rendered_in_ms: self.rendered_in_ms(&times, &response.fields),
            variant: placed.variant.into_boxed_slice(),
            regeneration: Regeneration::default(),
            pinned: false,
            history: self.route.policy.history,
        });
        if let Some(broken) = broken {
            return Err(Ending::Guarded(stored, broken));
        }
        if !admitted {
            return Err(Ending::NotAdmitted(stored));
        }
        if !matches!(stored.head.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
            self.route.storm.succeeded(now);
        }
        self.keep(placed.hash, &stored, &response.fields, windows);
        Ok(Landing::Stored(stored))
    }

    /// The guard of its route that a whole answer breaks (semantics 34), counted.
    pub(super) async fn broken_guard(
        &self,
        status: StatusCode,
        kind: Option<HeaderValue>,
        body: &Bytes,
    ) -> Option<Broken> {
        let guard = &self.route.policy.guard;
        if !guard::applies_to(status) || *guard == Guard::default() {
            return None;
        }
        // A page may come back smaller than the words that it was gone.
        let page = self.stored.as_ref().filter(|s| guard::applies_to(s.head.status()));
        let replaces = page.map(|s| usize::try_from(s.body.len()).unwrap_or(usize::MAX));
        let judge = {
            let (guard, body) = (guard.clone(), body.clone());
            move || guard::judge(&guard, kind.as_ref().map(HeaderValue::as_bytes), &body, replaces).err()
        };
        // A large body takes its time, which is not the time of those who are served meanwhile.
        let broken = if body.len() < LARGE { judge() } else { tokio::task::spawn_blocking(judge).await.ok()? }?;
        self.engine.metrics.guard_rejected(&self.route.name, broken);
        Some(broken)
    }

    /// What was written to while it was on the way, from `fetched` on, is to be validated; no sooner than the back-off
    /// after the last time.
    fn written(&self, fetched: Timestamp, windows: &Windows, spec: &Option<Arc<VarySpec>>) -> Written {
        let inherited = self.stored.as_ref().map(|stored| stored.written.inherited()).unwrap_or_default();
        let of_url = spec.as_ref().is_some_and(|spec| spec.written.is_after(fetched));
        if of_url || self.lead.was_written() {
            inherited.note(fetched, self.engine.clock.now(), back_off(windows));
        }
        inherited
    }

    /// The tags of an answer: the route's, and those that the origin gave (semantics 41). What is left out is counted and
    /// told of: the page will not be found by it.
    pub(super) fn tags(&self, fields: &HeaderMap) -> Tags {
        let path = self.request.target.split('?').next().unwrap_or_default();
        let tags = tags::of(self.route.tags_of(path), fields);
        let left_out = [("too-long", tags.too_long), ("too-many", tags.too_many), ("malformed", tags.malformed)];
        for (reason, count) in left_out.into_iter().filter(|(_, count)| *count > 0) {
            self.engine.metrics.tags_dropped(&self.route.name, reason, count as u64);
            if self.route.may_log(self.engine.clock.now()) {
                tracing::warn!(route = %self.route.name, url = %self.request.url(), reason, count, "tags were left out: an entry has at most {} tags of at most {} characters", tags::MAX_TAGS, tags::MAX_TAG);
            }
        }
        Tags::new(&tags.kept)
    }

    /// What says of itself that it is stale is never stored as fresh (semantics 23).
    fn honest(&self, windows: Windows, fields: &HeaderMap) -> Windows {
        if honesty::is_stale(fields) { honesty::stale_from_the_start(windows) } else { windows }
    }

    /// A stale answer comes quickly and says nothing of the render behind it.
    fn rendered_in_ms(&self, times: &Times, fields: &HeaderMap) -> u32 {
        let took = u32::try_from(times.completed.since(times.requested).as_millis()).unwrap_or(u32::MAX);
        match &self.stored {
            Some(stored) if honesty::is_stale(fields) => {
                let slower = if self.request.kind == Kind::Refresh { honesty::SLOWER } else { Duration::ZERO };
                stored.rendered_in_ms.max(took).max(u32::try_from(slower.as_millis()).unwrap_or(u32::MAX))
            }
            // What was there when it was asked for again says nothing of its render either.
            Some(stored) if self.asked_again => stored.rendered_in_ms.max(took),
            _ => took,
        }
    }

    /// A 304: the same body for another window, its fields brought up to date (RFC 9111, 3.2 and 4.3.4). What the fields
    /// then say of storing it counts as for any other answer.
    pub(super) fn freshen(&mut self, response: &OriginResponse, times: &Times) -> Result<Arc<StoredResponse>, Ending> {
        let Some(old) = self.stored.clone() else {
            unreachable!("a 304 is settled as Freshen only against a stored response")
        };
        let fields = merged(&old, response, times);
        if let Err(reason) = storability::judge(old.head.status(), &fields, &self.route.policy, times.responded, true) {
            return Err(self.became_uncacheable(reason));
        }
        let windows = freshness::windows(old.head.status().as_u16(), &fields, &self.route.policy, times, true);
        let builder = crate::store::HeadBuilder {
            status: old.head.status(),
            fields: &fields,
            policy: &self.route.policy,
            audience: Audience::Store,
            length: Some(old.body.len()),
            etag: (!fields.contains_key(http::header::ETAG))
                .then(|| made_up(&old.body))
                .filter(|_| self.route.policy.is_isr()),
            date: http_date(times.responded),
        };
        let stored = Arc::new(StoredResponse {
            key: old.key.clone(),
            head: builder.build(),
            body: old.body.clone(),
            windows: self.honest(windows, &response.fields),
            fetched_at: times.requested,
            checked: Checked::new(self.began),
            written: self.written(times.requested, &windows, &None),
            route: self.route.name.clone(),
            tags: self.tags(&fields),
            rendered_in_ms: self.rendered_in_ms(times, &response.fields),
            variant: old.variant.clone(),
            regeneration: Regeneration::default(),
            pinned: false,
            history: self.route.policy.history,
        });
        self.route.storm.succeeded(times.completed);
        self.keep(self.hash, &stored, &response.fields, windows);
        Ok(stored)
    }

    fn became_uncacheable(&self, reason: NotStorable) -> Ending {
        if self.route.policy.on_uncacheable == OnUncacheable::Drop {
            return Ending::Dropped(reason);
        }
        let message = "the origin's 304 says that the page may not be stored any more";
        Ending::failed(Failed::plain(Failure::Uncacheable(reason), message, self.engine.clock.now()))
    }

    /// `windows`: as they would be if the answer was as fresh as it says.
    fn keep(&mut self, hash: KeyHash, stored: &Arc<StoredResponse>, fields: &HeaderMap, windows: Windows) {
        if self.request.kind == Kind::Refresh && honesty::is_stale(fields) {
            // Asked as often as it may be: the next regeneration starts after the usual pause.
            stored.regeneration.release(next_attempt(&windows, None, windows.generated));
        }
        self.engine.verdicts.forget(self.hash);
        let now = self.engine.clock.now();
        if self.engine.validity(stored, now) == Validity::Hard {
            // Overtaken: it would only take the place of what may still be good.
            return;
        }
        if self.engine.is_pinned(hash) {
            // It was asked for before that, and waited for its turn.
            return;
        }
        self.claimed = false;
        self.engine.store.put(hash, Slot::Response(stored.clone()), now);
        if self.lead.was_written() {
            // Also what was written to between that look and this one.
            stored.written.note(stored.fetched_at, now, back_off(&stored.windows));
        }
        if let Some(old) = self.stored.as_ref().filter(|_| hash != self.hash) {
            // What it replaces stands elsewhere, and nobody would regenerate it any more.
            self.engine.store.remove_response(self.hash, old);
        }
    }

    /// A cookie that is stripped is told of once a route: somebody may wait for it (semantics 11).
    fn tell_stripped_cookies(&self, response: &OriginResponse) {
        if self.route.policy.set_cookie != SetCookie::Strip {
            return;
        }
        for line in response.fields.get_all(SET_COOKIE) {
            self.engine.metrics.cookie_stripped(&self.route.name);
            let name = line.as_bytes().split(|b| *b == b'=').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            if self.route.first_stripping(&name) {
                tracing::warn!(route = %self.route.name, cookie = %name, "Set-Cookie is stripped from stored pages; `set_cookie: bypass` keeps such answers out of the cache instead");
            }
        }
    }

    /// An ISR page without an ETag gets a strong one from its body (semantics 48).
    fn made_up_etag(&self, response: &OriginResponse, body: &Body) -> Option<HeaderValue> {
        let wanted = self.route.policy.is_isr() && response.status == StatusCode::OK;
        (wanted && !response.fields.contains_key(http::header::ETAG)).then(|| made_up(body))
    }
}

/// The stored fields with those of a 304 in their place. A cookie is nobody's, and the new Date counts from now.
fn merged(old: &StoredResponse, response: &OriginResponse, times: &Times) -> HeaderMap {
    let mut fields = old.head.origin_fields();
    let same_but_swr = says_less(&fields, &response.fields);
    // What describes the body stays with the body (RFC 9111, 3.2): it may have been decoded since.
    let kept = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, SET_COOKIE];
    let stays = |name: &HeaderName| kept.contains(name) || (same_but_swr && *name == CACHE_CONTROL);
    let news = || response.fields.iter().filter(|(name, _)| !stays(name));
    for (name, _) in news() {
        fields.remove(name);
    }
    if !response.fields.contains_key(DATE) {
        fields.insert(DATE, http_date(times.responded));
    }
    for (name, value) in news() {
        fields.append(name, value.clone());
    }
    fields
}

/// Whether a 304's Cache-Control is the stored one without its stale window: Nitro leaves that out of its 304s, and does
/// not mean to take it back (our choice).
fn says_less(stored: &HeaderMap, news: &HeaderMap) -> bool {
    let parse =
        |fields: &HeaderMap| CacheControl::parse(fields.get_all(CACHE_CONTROL).into_iter().map(HeaderValue::as_bytes));
    let (stored, news) = (parse(stored), parse(news));
    let without = CacheControl { stale_while_revalidate: None, ..stored };
    stored.stale_while_revalidate.is_some() && news == without
}

fn made_up(body: &Body) -> HeaderValue {
    let tag = format!("\"{:032x}\"", body.digest());
    HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// An HTTP-date for a Date field (RFC 9110, 5.6.7).
pub(crate) fn http_date(at: Timestamp) -> HeaderValue {
    semantics::time::http_date(at).try_into().unwrap_or_else(|_| HeaderValue::from_static(""))
}
