//! May this answer be stored, and is it a success at all? (RFC 9111, 3; semantics 11, 28, 29.)

use crate::cache_control::CacheControl;
use crate::freshness::{self, Governing};
use crate::plain;
use crate::policy::{Policy, SetCookie};
use crate::reference::on_same_host;
use crate::time::Timestamp;
use crate::vary::{self, Vary};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// Why an answer that is no failure is not stored. The names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStorable {
    /// `Cache-Control: no-store` (RFC 9111, 5.2.2.5).
    NoStore,
    /// `Cache-Control: private` (RFC 9111, 5.2.2.7).
    Private,
    /// Asked for with `Authorization`, and not said to be everybody's (RFC 9111, 3.5).
    Authorization,
    /// Set-Cookie on a route that does not strip it (our choice: RFC 9111 allows it, sessions forbid it).
    SetCookie,
    /// `Vary: *` (RFC 9111, 4.1), or more fields than can be told apart.
    VaryUnmatchable,
    /// Vary on Cookie, Authorization or User-Agent (semantics 11).
    VaryPersonal,
    /// Neither a lifetime nor a validator: it could never be reused.
    NoLifetime,
    /// A status that is never stored, or a redirect without a lifetime of its own (semantics 28).
    Status,
    /// 206 answers a range, not the page (semantics 48).
    Partial,
    /// The body is larger than `max_object`.
    TooLarge,
    /// The body ended with the connection, so that nobody can tell whether it is whole.
    CloseDelimited,
    /// More hosts than may hold entries without a `hosts` list (semantics 43).
    HostLimit,
    /// `text/x-component` in answer to a request without `RSC` (semantics 46).
    ComponentWithoutRsc,
    /// A content coding that cannot be undone: it would reach clients that did not ask for it (semantics 47).
    Encoded,
    /// A first version that breaks one of its route's guards (semantics 34).
    Guard,
    /// Too few have asked for it so far (`admit_after`).
    NotAdmitted,
}

impl NotStorable {
    pub fn as_str(self) -> &'static str {
        match self {
            NotStorable::NoStore => "no-store",
            NotStorable::Private => "private",
            NotStorable::Authorization => "authorization",
            NotStorable::SetCookie => "set-cookie",
            NotStorable::VaryUnmatchable => "vary-unmatchable",
            NotStorable::VaryPersonal => "vary-personal",
            NotStorable::NoLifetime => "no-lifetime",
            NotStorable::Status => "status",
            NotStorable::Partial => "partial",
            NotStorable::TooLarge => "too-large",
            NotStorable::CloseDelimited => "close-delimited",
            NotStorable::HostLimit => "host-limit",
            NotStorable::ComponentWithoutRsc => "component-without-rsc",
            NotStorable::Encoded => "content-encoding",
            NotStorable::Guard => "guard",
            NotStorable::NotAdmitted => "not-admitted",
        }
    }
}

/// How a status counts (semantics 28 and 29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200, 203, 300, 301, 308, 404, 410, 451.
    Success,
    /// 302, 303, 307: a success with the origin's own lifetime.
    SuccessWithLifetime,
    /// 204: complete, but never in place of a body.
    Empty,
    NotModified,
    /// 401 and 403: somebody else may be let in.
    Denied,
    /// 5xx, 408, 425, 429: the origin is not well.
    Sick,
    /// Any other status.
    Other,
}

/// Sorts a final status.
pub fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200 | 203 | 300 | 301 | 308 | 404 | 410 | 451 => Verdict::Success,
        302 | 303 | 307 => Verdict::SuccessWithLifetime,
        204 => Verdict::Empty,
        304 => Verdict::NotModified,
        401 | 403 | 407 => Verdict::Denied,
        408 | 425 | 429 | 500..=599 => Verdict::Sick,
        _ => Verdict::Other,
    }
}

/// Whether a response whose status is a success may be stored, by its head alone. `Ok` holds the nominated fields.
/// `replaces`: something is stored that it takes the place of.
pub fn judge(
    status: StatusCode,
    fields: &HeaderMap,
    policy: &Policy,
    responded: Timestamp,
    replaces: bool,
) -> Result<Vec<String>, NotStorable> {
    let governing = Governing::of(fields);
    if policy.is_plain() {
        let own = freshness::explicit_lifetime(fields, &governing, responded);
        judge_plainly(status, fields, &governing.cache_control, own)?;
    } else {
        judge_by_opinion(status, fields, policy, &governing, responded, replaces)?;
    }
    if policy.set_cookie == SetCookie::Bypass && fields.contains_key(http::header::SET_COOKIE) {
        return Err(NotStorable::SetCookie);
    }
    match vary::parse(fields.get_all(http::header::VARY).into_iter().map(http::HeaderValue::as_bytes), policy) {
        Vary::Fields(names) => Ok(names),
        Vary::Unmatchable => Err(NotStorable::VaryUnmatchable),
        Vary::Personal(_) => Err(NotStorable::VaryPersonal),
    }
}

/// The same for all that Vary and cookies do not decide, by semantics 7, 11, 28 and 30.
fn judge_by_opinion(
    status: StatusCode,
    fields: &HeaderMap,
    policy: &Policy,
    governing: &Governing,
    responded: Timestamp,
    replaces: bool,
) -> Result<(), NotStorable> {
    match verdict(status) {
        Verdict::Success | Verdict::SuccessWithLifetime => {}
        _ if status == StatusCode::PARTIAL_CONTENT => return Err(NotStorable::Partial),
        _ => return Err(NotStorable::Status),
    }
    forbidden(&governing.cache_control, policy)?;
    let own = freshness::explicit_lifetime(fields, governing, responded);
    if own.is_none() && verdict(status) == Verdict::SuccessWithLifetime {
        return Err(NotStorable::Status);
    }
    let reusable = own.is_some_and(|l| !l.is_zero()) || governing.cache_control.stale_while_revalidate.is_some();
    // A page that is gone is replaced for a while, whatever is said of lifetimes (semantics 30).
    let gone = replaces && freshness::is_gone(status.as_u16());
    if !policy.is_isr() && !reusable && !gone && !has_validator(fields) {
        return Err(NotStorable::NoLifetime);
    }
    Ok(())
}

/// The same by RFC 9111 (3) alone. `own`: its explicit lifetime.
///
/// # Errors
/// It may not, or there would be no use in it.
fn judge_plainly(
    status: StatusCode,
    fields: &HeaderMap,
    cc: &CacheControl,
    own: Option<Duration>,
) -> Result<(), NotStorable> {
    if status == StatusCode::PARTIAL_CONTENT {
        return Err(NotStorable::Partial);
    }
    let code = status.as_u16();
    if status.is_informational()
        || status == StatusCode::NOT_MODIFIED
        || (cc.must_understand && !plain::is_understood(code))
    {
        return Err(NotStorable::Status);
    }
    if let Some(reason) = forbids_storing(cc) {
        return Err(reason);
    }
    if own.is_none() && !cc.public && !plain::is_heuristic(code) {
        return Err(NotStorable::Status);
    }
    let reusable = own.is_some() || cc.stale_while_revalidate.is_some();
    if reusable || has_validator(fields) { Ok(()) } else { Err(NotStorable::NoLifetime) }
}

/// Whether an answer to a request with `Authorization` may be shared, where such a request may fill at all.
pub fn is_shared_with_credentials(fields: &HeaderMap) -> bool {
    plain::is_shared_with_credentials(&Governing::of(fields).cache_control)
}

/// Whether the answer to a POST is what a GET of the same URL would get, and says for how long (RFC 9110, 9.3.3).
/// `target`: the POST's own path and query.
pub fn is_posted_for_get(fields: &HeaderMap, host: &str, target: &str, responded: Timestamp) -> bool {
    let mut there = fields.get_all(http::header::CONTENT_LOCATION).iter();
    let (Some(location), None) = (there.next().and_then(|l| l.to_str().ok()), there.next()) else { return false };
    let lifetime = freshness::explicit_lifetime(fields, &Governing::of(fields), responded);
    on_same_host(location, host, target).as_deref() == Some(target) && lifetime.is_some_and(|l| !l.is_zero())
}

/// Whether a storable answer says that it is everybody's: a lifetime or a stale window, `public`, or a field for shared
/// caches (RFC 9111, 5.2.2.9 and 5.2.2.10). A validator alone says nothing of the kind (our choice: RFC 9111 lets it be
/// stored, but an application behind a cache that asks without its visitors' cookies could never tell members apart).
pub fn is_shared(fields: &HeaderMap, responded: Timestamp) -> bool {
    let governing = Governing::of(fields);
    let lifetime = freshness::explicit_lifetime(fields, &governing, responded);
    let cc = &governing.cache_control;
    cc.public || cc.s_maxage.is_some() || cc.stale_while_revalidate.is_some() || lifetime.is_some_and(|l| !l.is_zero())
}

fn forbidden(cc: &CacheControl, policy: &Policy) -> Result<(), NotStorable> {
    if policy.is_isr() && policy.override_origin {
        return Ok(());
    }
    // Every status that gets here is understood.
    forbids_storing(cc).map_or(Ok(()), Err)
}

/// What a shared cache may not store, whatever else is said. An understood status is taken for granted: then
/// `must-understand` takes `no-store` back (RFC 9111, 5.2.2.3).
pub(crate) fn forbids_storing(cc: &CacheControl) -> Option<NotStorable> {
    let no_store = cc.no_store && !cc.must_understand;
    if no_store { Some(NotStorable::NoStore) } else { cc.private.then_some(NotStorable::Private) }
}

fn has_validator(fields: &HeaderMap) -> bool {
    fields.contains_key(http::header::ETAG) || fields.contains_key(http::header::LAST_MODIFIED)
}
