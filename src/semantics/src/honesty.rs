//! Origins with a cache of their own (Next.js' ISR, a CDN): does an answer say of itself that it is stale? (semantics 23.)

use crate::cache_control::{commas, semicolons};
use crate::freshness::Windows;
use http::HeaderMap;
use std::time::Duration;

/// Where frameworks say what their own caches did.
const FRAMEWORKS: [&str; 2] = ["x-nextjs-cache", "x-astro-cache"];

/// Whether an answer is marked as stale by whoever gave it.
pub fn is_stale(fields: &HeaderMap) -> bool {
    let marked = |name: &str| fields.get(name).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"STALE"));
    FRAMEWORKS.into_iter().any(marked)
        || fields.get_all("cache-status").iter().any(|line| commas(line.as_bytes()).any(hit_past_its_ttl))
}

/// One member of Cache-Status (RFC 9211, 2): a hit whose ttl is negative.
fn hit_past_its_ttl(member: &[u8]) -> bool {
    let mut parameters = semicolons(member).map(<[u8]>::trim_ascii).skip(1);
    let hit = parameters.clone().any(|p| p == b"hit" || p == b"hit=?1");
    hit && parameters.any(|p| p.strip_prefix(b"ttl=").is_some_and(|ttl| ttl.first() == Some(&b'-')))
}

/// How often one regeneration asks, in all: what takes a second to render may still be on its way.
pub fn requests_at_most(rendered_in: Duration) -> usize {
    if rendered_in < Duration::from_secs(1) { 2 } else { 5 }
}

/// How long to wait before asking again: longer than the last render took, because an early second request is a wasted
/// one, and quick renders have no third.
pub fn pause(rendered_in: Duration) -> Duration {
    (rendered_in * 5 / 4).max(Duration::from_millis(500))
}

/// How long a render is taken for that was not there when it was asked for again, and said to be quick: nearly as long as
/// a quick one may take.
pub const SLOWER: Duration = Duration::from_millis(900);

/// The windows of an answer that was stale already: never fresh.
pub fn stale_from_the_start(windows: Windows) -> Windows {
    let never = windows.generated;
    if windows.forbid_stale() {
        return Windows { fresh_until: never, stale_until: never, error_until: never, ..windows };
    }
    Windows { fresh_until: never, ..windows }
}
