//! Conditional requests, both ways: a client's against a stored response (RFC 9110, 13.2), and Larder's own against
//! the origin (RFC 9111, 4.3).

use crate::cache_control::commas;
use crate::message::Request;
use crate::time::parse_date;

/// The validators that a stored response was delivered with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    pub etag: Option<&'a [u8]>,
    pub last_modified: Option<&'a [u8]>,
}

impl Validators<'_> {
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// Whether a client's conditional GET or HEAD is answered by 304 (RFC 9110, 13.2.2; only on a stored 200).
pub fn not_modified(request: &Request<'_>, stored: Validators<'_>) -> bool {
    let mut lines = request.fields_named("if-none-match").peekable();
    if lines.peek().is_some() {
        // If-None-Match decides alone, whatever If-Modified-Since says (RFC 9110, 13.1.3).
        let matches = |m: &[u8]| m == b"*" || stored.etag.is_some_and(|etag| weakly_equal(m, etag));
        return lines.flat_map(commas).map(<[u8]>::trim_ascii).any(matches);
    }
    let since = request.field("if-modified-since").and_then(parse_date);
    let modified = stored.last_modified.and_then(parse_date);
    matches!((since, modified), (Some(since), Some(modified)) if modified <= since)
}

/// Weak comparison (RFC 9110, 8.8.3.2).
pub fn weakly_equal(a: &[u8], b: &[u8]) -> bool {
    opaque(a) == opaque(b)
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a 304 belongs to the conditional that Larder sent (RFC 9111, 4.3.4; semantics 18): a strong tag must be the
/// stored one, a weak one must match weakly; without a tag the date counts. One without any is taken at its word.
pub fn confirms(sent: Validators<'_>, etag: Option<&[u8]>, last_modified: Option<&[u8]>) -> bool {
    if let Some(etag) = etag {
        return sent.etag.is_some_and(|s| if etag.starts_with(b"W/") { weakly_equal(s, etag) } else { s == etag });
    }
    if let Some(modified) = last_modified {
        return sent.last_modified.is_none_or(|s| s == modified);
    }
    true
}
