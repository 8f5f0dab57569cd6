//! `profile: rfc9111`: what RFC 9111 lets a shared cache store and reuse, without Larder's opinions. It holds for
//! header-driven routes.

use crate::cache_control::CacheControl;
use crate::time::{Timestamp, parse_date};
use http::{HeaderMap, header};
use std::time::Duration;

/// Statuses whose semantics are known here: those of RFC 9110 (for `must-understand`: RFC 9111, 5.2.2.3).
pub(crate) fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 451 | 500..=505 | 511)
}

/// Statuses that may be stored without a lifetime (RFC 9110, 15.1), but for 206, which is a part.
pub(crate) fn is_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether what was asked for with `Authorization` may be shared (RFC 9111, 3.5).
pub(crate) fn is_shared_with_credentials(cc: &CacheControl) -> bool {
    cc.public || cc.must_revalidate || cc.s_maxage.is_some()
}

/// A tenth of how long it has not changed, where nothing else is said and the status allows it (RFC 9111, 4.2.2).
pub(crate) fn heuristic(status: u16, fields: &HeaderMap, cc: &CacheControl, responded: Timestamp) -> Option<Duration> {
    if !is_heuristic(status) && !cc.public {
        return None;
    }
    let date = |name| parse_date(fields.get(name)?.as_bytes());
    let changed = date(header::LAST_MODIFIED)?;
    Some(date(header::DATE).unwrap_or(responded).since(changed) / 10)
}

/// How long past its lifetime a response may answer for an origin that fails; `None`: the origin does not say. `stale-if-error`
/// says so, and `s-maxage` forbids it (RFC 9111, 5.2.2.10) but for the windows beside it (our reading of RFC 5861).
pub(crate) fn stale_for_errors(cc: &CacheControl) -> Option<Duration> {
    let told = cc.s_maxage.is_some() || cc.stale_if_error.is_some();
    told.then(|| cc.stale_if_error.max(cc.stale_while_revalidate).unwrap_or_default())
}
