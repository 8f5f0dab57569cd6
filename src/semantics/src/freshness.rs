//! Freshness lifetime, current age and the windows in which a stored response may answer (RFC 9111, 4.2; RFC 5861; semantics 7-12).

use crate::cache_control::CacheControl;
use crate::plain;
use crate::policy::{Policy, Revalidate};
use crate::targeted;
use crate::time::{Timestamp, parse_date};
use http::HeaderMap;
use std::time::Duration;

/// When one fetch happened.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The request was sent.
    pub requested: Timestamp,
    /// The head of the response was there.
    pub responded: Timestamp,
    /// The response was complete: G.
    pub completed: Timestamp,
}

/// Until when a stored response may answer, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// G: when the response was complete.
    pub generated: Timestamp,
    /// Its age at G, as the origin and the caches behind it told (RFC 9111, 4.2.3).
    pub age_at_generation: Duration,
    /// G + R: until here it is FRESH.
    pub fresh_until: Timestamp,
    /// X: until here it may be served stale while it is regenerated.
    pub stale_until: Timestamp,
    /// Until here it answers for an origin that fails.
    pub error_until: Timestamp,
}

impl Windows {
    /// Until when it may answer in the place of a failing origin, one way or the other.
    pub fn usable_until(&self) -> Timestamp {
        self.error_until.max(self.stale_until)
    }

    /// After a soft invalidation: STALE from `at` on, and never for longer than without it (semantics 36 and 39).
    #[must_use]
    pub fn stale_from(self, at: Timestamp) -> Self {
        Windows { fresh_until: self.fresh_until.min(at), ..self }
    }

    /// Good for nothing but validation from `at` on, also where the origin fails.
    #[must_use]
    pub fn ended_at(self, at: Timestamp) -> Self {
        Windows { error_until: self.error_until.min(at), ..self.validated_from(at) }
    }

    /// Everything earlier by `span`; what has no end has none.
    #[must_use]
    pub fn moved_back(self, span: Duration) -> Self {
        let back = |at: Timestamp| if at == Timestamp::NEVER { at } else { at.before(span) };
        Windows {
            generated: back(self.generated),
            age_at_generation: self.age_at_generation,
            fresh_until: back(self.fresh_until),
            stale_until: back(self.stale_until),
            error_until: back(self.error_until),
        }
    }

    /// Fresh for ever: what an operator has put in its place.
    #[must_use]
    pub fn for_ever(self) -> Self {
        let never = Timestamp::NEVER;
        Windows { fresh_until: never, stale_until: never, error_until: never, ..self }
    }

    /// The same windows once more from `at` on, without a younger page.
    #[must_use]
    pub fn again_from(self, at: Timestamp) -> Self {
        let span = at.since(self.generated);
        Windows {
            fresh_until: self.fresh_until.after(span),
            stale_until: self.stale_until.after(span),
            error_until: self.error_until.after(span),
            ..self
        }
    }

    /// To be validated from `at` on (RFC 9111, 4.4). For a failing origin it still answers, where stale use is not
    /// forbidden.
    #[must_use]
    pub fn validated_from(self, at: Timestamp) -> Self {
        let error_until = if self.forbid_stale() { self.error_until.min(at) } else { self.error_until };
        Windows { stale_until: self.stale_until.min(at), error_until, ..self.stale_from(at) }
    }

    /// Where stale use is forbidden the windows end together.
    pub(crate) fn forbid_stale(&self) -> bool {
        self.stale_until <= self.fresh_until && self.error_until <= self.fresh_until
    }

    /// Current age (RFC 9111, 4.2.3).
    pub fn age(&self, now: Timestamp) -> Duration {
        self.age_at_generation + now.since(self.generated)
    }
}

/// The directives that govern a response, targeted fields first (semantics 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Governing {
    pub cache_control: CacheControl,
    /// Whether a targeted field was read: then Cache-Control and Expires do not count (RFC 9213, 2.1).
    pub targeted: bool,
}

impl Governing {
    pub fn of(fields: &HeaderMap) -> Self {
        let lines = |name: &str| fields.get_all(name).into_iter().map(http::HeaderValue::as_bytes).collect::<Vec<_>>();
        let targeted = targeted::FIELDS
            .iter()
            .find_map(|name| targeted::parse(lines(name)))
            .or_else(|| targeted::surrogate_control(lines("surrogate-control")));
        match targeted {
            Some(cache_control) => Governing { cache_control, targeted: true },
            None => Governing { cache_control: CacheControl::parse(lines("cache-control")), targeted: false },
        }
    }
}

/// The origin's own freshness lifetime, if it gave one (RFC 9111, 4.2.1).
pub fn explicit_lifetime(fields: &HeaderMap, governing: &Governing, responded: Timestamp) -> Option<Duration> {
    let cc = &governing.cache_control;
    if let Some(explicit) = cc.s_maxage.or(cc.max_age) {
        return Some(explicit);
    }
    if governing.targeted || !fields.contains_key(http::header::EXPIRES) {
        return None;
    }
    // Both of the origin's dates, so that its clock may be wrong; the time of reception where Date is missing or bad.
    let date = single_date(fields, "date").unwrap_or(responded);
    // More than one Expires, or one that is no date, is in the past (RFC 9111, 5.3).
    Some(single_date(fields, "expires").map_or(Duration::ZERO, |expires| expires.since(date)))
}

fn single_date(fields: &HeaderMap, name: &str) -> Option<Timestamp> {
    let mut lines = fields.get_all(name).into_iter();
    let only = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    parse_date(only.as_bytes())
}

/// Age when it was complete: the larger of what Age says and what the dates say, plus the time on the way (RFC 9111, 4.2.3). A
/// plain cache counts from its head on; a page that took its time to come is otherwise as new as its last byte (our choice).
fn age_at_completion(fields: &HeaderMap, times: &Times, policy: &Policy) -> Duration {
    let apparent = single_date(fields, "date").map_or(Duration::ZERO, |date| {
        let apparent = times.responded.since(date);
        // Date has whole seconds: less than one of them is rounding, not age.
        if apparent < Duration::from_secs(1) { Duration::ZERO } else { apparent }
    });
    let told = age_field(fields);
    let delay = times.responded.since(times.requested);
    let corrected = if told.is_zero() && !policy.is_plain() { told } else { told + delay };
    // Our choice: a Date that is off by less than a minute is a clock that is off. Age is what caches behind us send.
    let tolerated = !policy.is_plain() && apparent < Duration::from_secs(60);
    let apparent = if tolerated { Duration::ZERO } else { apparent };
    let coming = if policy.is_plain() { times.completed.since(times.responded) } else { Duration::ZERO };
    apparent.max(corrected) + coming
}

/// The first member of the first Age line; anything but digits is ignored (RFC 9111, 5.1).
fn age_field(fields: &HeaderMap) -> Duration {
    let Some(line) = fields.get(http::header::AGE) else { return Duration::ZERO };
    let first = line.as_bytes().split(|b| *b == b',').next().unwrap_or_default().trim_ascii();
    crate::cache_control::delta_seconds(Some(first))
}

/// The windows of a complete, storable response. `replaces`: something is stored that it takes the place of.
pub fn windows(status: u16, fields: &HeaderMap, policy: &Policy, times: &Times, replaces: bool) -> Windows {
    let governing = Governing::of(fields);
    let age = age_at_completion(fields, times, policy);
    let own = explicit_lifetime(fields, &governing, times.responded).or_else(|| {
        if policy.is_plain() {
            return plain::heuristic(status, fields, &governing.cache_control, times.responded);
        }
        (replaces && is_gone(status)).then_some(GONE_AT_MOST)
    });
    match policy.revalidate {
        Revalidate::Origin => header_driven(&governing.cache_control, own, age, policy, times.completed),
        Revalidate::Every(window) => isr(Some(window), status, own, age, policy, times.completed),
        Revalidate::Never => isr(None, status, own, age, policy, times.completed),
    }
}

fn header_driven(
    cc: &CacheControl,
    own: Option<Duration>,
    age: Duration,
    policy: &Policy,
    completed: Timestamp,
) -> Windows {
    // `no-cache` is stored, and validated on every use (RFC 9111, 5.2.2.4).
    let lifetime = if cc.no_cache { Duration::ZERO } else { own.unwrap_or(Duration::ZERO) };
    // The lifetime runs from the origin's generation, `age` before it was complete here: it may have ended on the way.
    let fresh_until = match lifetime.checked_sub(age) {
        Some(left) => completed.after(left),
        None => completed.before(age - lifetime),
    };
    if cc.forbids_stale() {
        let (stale_until, error_until) = (fresh_until, fresh_until);
        return Windows { generated: completed, age_at_generation: age, fresh_until, stale_until, error_until };
    }
    let stale_for = cc.stale_while_revalidate.unwrap_or(Duration::ZERO);
    let told = plain::stale_for_errors(cc).filter(|_| policy.is_plain());
    let error_until = error_until(fresh_until, policy);
    Windows {
        generated: completed,
        age_at_generation: age,
        fresh_until,
        stale_until: fresh_until.after(stale_for),
        error_until: told.map_or(error_until, |told| fresh_until.after(told).min(error_until)),
    }
}

/// Whether a status says that the page is no more.
pub fn is_gone(status: u16) -> bool {
    matches!(status, 404 | 410)
}

/// 404 and 410 without a lifetime of their own stay at most this long in a page's place, so that it heals (semantics 30).
const GONE_AT_MOST: Duration = Duration::from_secs(60);

fn isr(
    window: Option<Duration>,
    status: u16,
    own: Option<Duration>,
    age: Duration,
    policy: &Policy,
    completed: Timestamp,
) -> Windows {
    let window = match status {
        404 | 410 => Some(own.unwrap_or(GONE_AT_MOST).min(window.unwrap_or(Duration::MAX))),
        // Redirects that are not permanent live as long as the origin said (semantics 28).
        302 | 303 | 307 => own.map(|own| own.min(window.unwrap_or(Duration::MAX))),
        _ => window,
    };
    // R is at least a second, also where the origin's own lifetime counts (semantics 7).
    let fresh_until = window.map_or(Timestamp::NEVER, |w| completed.after(w.max(Duration::from_secs(1))));
    Windows {
        generated: completed,
        age_at_generation: age,
        fresh_until,
        stale_until: completed.after(policy.expire).max(fresh_until),
        error_until: error_until(fresh_until, policy),
    }
}

fn error_until(fresh_until: Timestamp, policy: &Policy) -> Timestamp {
    policy.stale_if_error.map_or(Timestamp::NEVER, |span| fresh_until.after(span))
}
