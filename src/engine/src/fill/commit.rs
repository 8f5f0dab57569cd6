//! What a successful fill leaves in the store: replacement is atomic, every answer is wholly old or wholly new.

use super::place::Placed;
use super::{Ending, Job, Storable};
use crate::failed::Failed;
use crate::flight::Landing;
use crate::guard::{next_attempt, write_pause};
use crate::invalidate::{Checked, Tags, Validity};
use crate::origin::{Kind, OriginResponse};
use crate::store::{Audience, Body, Coded, KeyHash, Regeneration, Slot, StoredResponse, VarySpec, Written};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use semantics::cache_control::CacheControl;
use semantics::freshness::{self, Times};
use semantics::guard::{self, Broken, Guard};
use semantics::policy::{OnUncacheable, SetCookie};
use semantics::settlement::{Failure, may_be_empty};
use semantics::storability::{self, NotStorable};
use semantics::{Timestamp, Windows, honesty, tags};
use std::sync::Arc;
use std::time::Duration;

/// Bodies from here on are judged off the async workers, in bytes.
const LARGE: usize = 256 * 1024;

impl Job {
    /// Stores a whole answer.
    pub(super) fn commit(
        &mut self,
        storable: &Storable,
        mut placed: Placed,
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
        // A byte-identical body is not stored twice (semantics 19), nor coded.
        let same = self.stored.clone().filter(|stored| stored.body.is(&body));
        let body = same.as_ref().map_or_else(|| Body::from(body), |stored| stored.body.clone());
        let times = &storable.times;
        let etag = self.made_up_etag(response, &body);
        self.tell_stripped_cookies(response);
        let head = self.head(response, Audience::Store, Some(body.len()), etag);
        let replaces = self.stored.is_some();
        let windows =
            freshness::windows(response.status.as_u16(), &response.fields, &self.route.policy, times, replaces);
        let admitted = self.is_admitted();
        if broken.is_none() && admitted {
            placed = self.publish(placed, &storable.nominated, &response.fields);
        }
        let coded = same.map_or_else(Coded::default, |stored| stored.coded.carried(&head));
        let stored = Arc::new(StoredResponse {
            key: placed.key,
            head,
            coded,
            body,
            windows: self.honest(windows, &response.fields),
            fetched_at: times.requested,
            checked: Checked::new(self.began),
            written: self.written(times.requested, &windows, &placed.spec),
            route: self.route.name.clone(),
            tags: storable.tags.clone(),
            rendered_in_ms: self.rendered_in_ms(times, &response.fields),
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
            inherited.note(fetched, self.engine.clock.now(), write_pause(&self.route.policy, windows));
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
        if honesty::is_stale(fields) && !self.route.policy.is_plain() {
            honesty::stale_from_the_start(windows)
        } else {
            windows
        }
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
        let cookies = self.route.policy.set_cookie == SetCookie::Store;
        let fields = merged(&old, response, times, cookies);
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
            etag: (!fields.contains_key(ETAG)).then(|| made_up(&old.body)).filter(|_| self.route.policy.is_isr()),
            date: http_date(times.responded),
        };
        let head = builder.build();
        let stored = Arc::new(StoredResponse {
            key: old.key.clone(),
            coded: old.coded.carried(&head),
            head,
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
        // Before it can be found: whoever finds it finds it for its twins, too.
        self.engine.learn_twins(&self.route, &self.request, stored);
        self.engine.store.put(hash, Slot::Response(stored.clone()), now);
        if self.route.policy.is_plain() {
            // A part has its deployment in its key, whatever the page has.
            let (_, key) = self.engine.rekeyed(&self.key, &self.deployment);
            self.engine.forget_part(&key);
        }
        if let Some(before) = &self.stored {
            self.engine.code_again(before, stored);
        }
        if self.lead.was_written() {
            // Also what was written to between that look and this one.
            stored.written.note(stored.fetched_at, now, write_pause(&self.route.policy, &stored.windows));
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
        (wanted && !response.fields.contains_key(ETAG)).then(|| made_up(body))
    }
}

/// The stored fields with those of a 304 in their place. A cookie is nobody's, unless all `cookies` are kept, and the new Date
/// counts from now.
pub(super) fn merged(old: &StoredResponse, response: &OriginResponse, times: &Times, cookies: bool) -> HeaderMap {
    let mut fields = old.head.origin_fields();
    let same_but_swr = says_less(&fields, &response.fields);
    let (tagged, digested) = (fields.contains_key(ETAG), fields.contains_key("content-md5"));
    // What describes the body stays with the body (RFC 9111, 3.2): it may have been decoded since.
    let kept = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE];
    let stays = |name: &HeaderName| {
        kept.contains(name)
            || (same_but_swr && *name == CACHE_CONTROL)
            || (!cookies && *name == SET_COOKIE)
            || (tagged && *name == ETAG)
            || (digested && name.as_str() == "content-md5")
    };
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
