//! Targeted fields (RFC 9213): `Larder-Cache-Control` and `CDN-Cache-Control` as RFC 8941 dictionaries, and the older
//! `Surrogate-Control`. A targeted field that parses replaces Cache-Control and Expires completely; one that does not
//! is as if it had not been sent (RFC 9213, 2.1).

use crate::cache_control::{CacheControl, delta_seconds};
use crate::structured::{self, Item, Value};
use std::time::Duration;

/// The targeted fields that Larder reads, the most specific first (RFC 9213, 2.2).
pub const FIELDS: [&str; 2] = ["larder-cache-control", "cdn-cache-control"];

/// Reads one targeted field from all its lines. `None`: absent, empty or malformed.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<CacheControl> {
    let mut cc = CacheControl::default();
    structured::dictionary(lines, |key, value| apply(&mut cc, key, &value))?;
    Some(cc)
}

/// A directive with a value of the wrong type voids the field (our reading of RFC 9213, 2.1).
fn apply(cc: &mut CacheControl, key: &[u8], value: &Value<'_>) -> Option<()> {
    let (flag, seconds) = match value {
        Value::Item(Item::Boolean(flag)) => (Some(*flag), None),
        Value::Item(Item::Integer(n)) => (None, Some(Duration::from_secs(u64::try_from(*n).unwrap_or(0).min(1 << 31)))),
        _ => (None, None),
    };
    match key {
        b"no-store" => cc.no_store = flag?,
        b"no-cache" => cc.no_cache = flag.unwrap_or(true),
        b"private" => cc.private = flag.unwrap_or(true),
        b"public" => cc.public = flag?,
        b"must-revalidate" => cc.must_revalidate = flag?,
        b"proxy-revalidate" => cc.proxy_revalidate = flag?,
        b"must-understand" => cc.must_understand = flag?,
        b"immutable" => cc.immutable = flag?,
        b"max-age" => cc.max_age = Some(seconds?),
        b"s-maxage" => cc.s_maxage = Some(seconds?),
        b"stale-while-revalidate" => {
            cc.stale_while_revalidate =
                Some(if flag == Some(true) { crate::cache_control::BARE_STALE_WHILE_REVALIDATE } else { seconds? });
        }
        b"stale-if-error" => cc.stale_if_error = Some(seconds?),
        _ => {}
    }
    Some(())
}

/// `Surrogate-Control` (W3C Edge Architecture note): `max-age=600`, `max-age=600+60` (fresh, then stale), `no-store`.
pub fn surrogate_control<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<CacheControl> {
    let mut cc = CacheControl::default();
    let mut understood = false;
    for directive in lines.into_iter().flat_map(|l| l.split(|b| *b == b',')).map(<[u8]>::trim_ascii) {
        let directive = directive.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let (name, value) = match directive.iter().position(|b| *b == b'=') {
            Some(at) => (&directive[..at], Some(&directive[at + 1..])),
            None => (directive, None),
        };
        if name.eq_ignore_ascii_case(b"no-store") {
            (cc.no_store, understood) = (true, true);
        } else if name.eq_ignore_ascii_case(b"max-age") {
            let value = value.unwrap_or_default();
            let mut parts = value.split(|b| *b == b'+');
            let fresh = delta_seconds(parts.next());
            // Conflicting lifetimes count as the shorter one (semantics 12).
            if cc.max_age.is_none_or(|known| fresh < known) {
                cc.max_age = Some(fresh);
                cc.stale_while_revalidate = parts.next().map(|p| delta_seconds(Some(p)));
            }
            understood = true;
        }
    }
    understood.then_some(cc)
}
