//! What to do with a request, given what is stored: the one place that decides (RFC 9111, 4; semantics 13-20).

use crate::cache_status::Forward;
use crate::freshness::Windows;
use crate::message::{Facts, Method, Request};
use crate::policy::Policy;
use crate::query;
use crate::time::Timestamp;

/// What the store holds for a request.
#[derive(Clone, Copy, Debug)]
pub enum Selection {
    Nothing,
    /// The URL is known to vary, and this variant is not stored.
    OtherVariants,
    /// The key is known not to be storable (semantics 3).
    NotStorable,
    Stored {
        windows: Windows,
        /// Its regeneration failed, and is not tried again before then (semantics 31).
        failing_until: Option<Timestamp>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the store; the origin hears nothing.
    Reuse { ttl: i64, failing: bool },
    /// Answer from the store at once, and regenerate in the background.
    ReuseAndRefresh { ttl: i64 },
    /// Wait for a fill that validates the stored response.
    Validate,
    /// Wait for a fill.
    Fetch(Forward),
    /// Hand the request itself to the origin.
    Bypass(Forward),
    /// 504: the client wants a stored response and there is none to give (RFC 9111, 5.2.1.7).
    Unsatisfiable,
}

/// Whether a request may use the cache at all. `Err` says why it is passed.
pub fn admit(request: &Request<'_>, facts: &Facts<'_>, policy: &Policy) -> Result<(), Forward> {
    if request.method == Method::Other {
        return Err(Forward::Method);
    }
    if policy.bypass || facts.upgrade || facts.body {
        return Err(Forward::Bypass);
    }
    // A member's answer is not the page's (semantics 4).
    if facts.authorization && policy.is_isr() && !policy.keys_header("authorization") {
        return Err(Forward::Bypass);
    }
    let may_be_draft = facts.cookie && !policy.draft_cookies.is_empty();
    if may_be_draft && request.cookies().any(|(name, value)| policy.is_draft(name, value)) {
        return Err(Forward::Bypass);
    }
    if !policy.bypass_when.is_empty() && bypassed(request, policy) {
        return Err(Forward::Bypass);
    }
    Ok(())
}

fn bypassed(request: &Request<'_>, policy: &Policy) -> bool {
    let when = &policy.bypass_when;
    when.headers.iter().any(|h| request.field(h).is_some())
        || when.query.iter().any(|q| query::has(request.query, q))
        || (!when.cookies.is_empty() && request.cookies().any(|(n, _)| when.cookies.iter().any(|c| c.matches(n))))
}

/// Decides for a request that was admitted. Windows alone tell the state: FRESH, STALE or EXPIRED.
pub fn decide(facts: &Facts<'_>, selection: Selection, now: Timestamp) -> Decision {
    let decision = match selection {
        Selection::Stored { windows, failing_until } => decide_stored(&windows, failing_until, now),
        // A part of something that is not there is the origin's to answer (semantics 22).
        _ if facts.range.is_some() => Decision::Bypass(Forward::Request),
        Selection::NotStorable => Decision::Bypass(Forward::Miss),
        Selection::Nothing => Decision::Fetch(Forward::UriMiss),
        Selection::OtherVariants => Decision::Fetch(Forward::VaryMiss),
    };
    match decision {
        Decision::Reuse { .. } | Decision::ReuseAndRefresh { .. } => decision,
        _ if facts.only_if_cached => Decision::Unsatisfiable,
        _ => decision,
    }
}

fn decide_stored(windows: &Windows, failing_until: Option<Timestamp>, now: Timestamp) -> Decision {
    let ttl = windows.fresh_until.seconds_from(now);
    if now < windows.fresh_until {
        return Decision::Reuse { ttl, failing: false };
    }
    let failing = failing_until.is_some_and(|until| now < until);
    if failing && now < windows.usable_until() {
        return Decision::Reuse { ttl, failing: true };
    }
    if now < windows.stale_until {
        return Decision::ReuseAndRefresh { ttl };
    }
    Decision::Validate
}
