//! Parts of a representation, as 206 brings them (RFC 9110, 15.3.7): what is stored of one answers requests for what lies in it,
//! and spares the origin what it has sent already (RFC 9111, 3.3 and 3.4).

use crate::freshness::{self, Governing};
use crate::policy::{Policy, SetCookie};
use crate::storability::{forbids_storing, is_shared_with_credentials};
use crate::time::Timestamp;
use crate::vary::{self, Vary};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Fields that tell of the bytes of one message, not of what they are a part of (RFC 9530, 2; RFC 1864).
pub const OF_THE_CONTENT: [HeaderName; 2] =
    [HeaderName::from_static("content-digest"), HeaderName::from_static("content-md5")];

/// The one range that a Content-Range field names (RFC 9110, 14.4). First and last byte are both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub first: u64,
    pub last: u64,
    /// Of the whole representation, where it is known.
    pub complete: Option<u64>,
}

/// What of a stored part's body answers a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it begins in the stored body.
    pub offset: u64,
    /// Never 0.
    pub length: u64,
    /// What its Content-Range says.
    pub part: Part,
}

impl Part {
    /// Reads a Content-Range field value; `None` where it is malformed, invalid, or of a range that could not be satisfied.
    pub fn parse(value: &[u8]) -> Option<Part> {
        let rest = std::str::from_utf8(value).ok()?.strip_prefix("bytes ")?;
        let (range, complete) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let complete = if complete == "*" { None } else { Some(number(complete)?) };
        let part = Part { first: number(first)?, last: number(last)?, complete };
        let valid = part.first <= part.last && complete.is_none_or(|complete| part.last < complete);
        valid.then_some(part)
    }

    /// The part that an answer's head says it brings: one alone.
    pub fn of(fields: &HeaderMap) -> Option<Part> {
        let mut lines = fields.get_all(header::CONTENT_RANGE).iter();
        let (line, more) = (lines.next()?, lines.next());
        Part::parse(line.as_bytes()).filter(|_| more.is_none())
    }

    /// How many bytes it names.
    pub fn length(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether nothing comes behind it.
    fn is_the_end(&self) -> bool {
        self.complete.is_some_and(|complete| complete.checked_sub(1) == Some(self.last))
    }

    /// What of a body of `length` bytes, stored with this Content-Range, answers a Range field; `None` where it takes more
    /// than is stored (RFC 9111, 3.3), or is no single range. `brought_by`: the field that it was the answer to, and is again.
    /// A body that is shorter than its Content-Range says is counted from its first byte on.
    pub fn cut(&self, length: u64, range: &[u8], brought_by: Option<&[u8]>) -> Option<Cut> {
        let all = |part| Cut { offset: 0, length, part };
        if brought_by == Some(range) && length > 0 {
            let last = self.first.checked_add(length - 1)?;
            return Some(all(Part { last, ..*self }));
        }
        let spec = std::str::from_utf8(range.strip_prefix(b"bytes=")?).ok()?.trim();
        let (first, last) = spec.split_once('-').filter(|_| !spec.contains(','))?;
        let (offset, taken) = match (first, last) {
            ("", suffix) => {
                let counted = self.is_the_end() && length == self.length();
                let n = number(suffix).filter(|n| counted && *n > 0 && *n <= length)?;
                let last = self.last;
                let part = Part { first: last.checked_sub(n - 1)?, last, complete: self.complete };
                return Some(Cut { offset: length - n, length: n, part });
            }
            (first, "") => {
                let offset = number(first)?.checked_sub(self.first).filter(|_| self.is_the_end())?;
                (offset, length.checked_sub(offset)?)
            }
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                // Beyond the end of all is at the end (RFC 9110, 14.1.2).
                let last = if self.is_the_end() { last.min(self.last) } else { last };
                (first.checked_sub(self.first)?, last.checked_sub(first)?.checked_add(1)?)
            }
        };
        if taken == 0 || offset.checked_add(taken)? > length {
            return None;
        }
        let first = self.first + offset;
        Some(Cut { offset, length: taken, part: Part { first, last: first + taken - 1, complete: self.complete } })
    }

    /// Where the rest begins, if a body of `length` bytes is the beginning of all, and as long as it says.
    pub fn rest(&self, length: u64) -> Option<u64> {
        let from = self.last.checked_add(1)?;
        (self.first == 0 && length == self.length() && !self.is_the_end()).then_some(from)
    }

    /// Whether `next` goes on where this one ends, up to the end of the same representation.
    pub fn is_completed_by(&self, next: &Part) -> bool {
        self.last.checked_add(1) == Some(next.first) && next.complete == self.complete && next.is_the_end()
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.complete {
            Some(complete) => write!(f, "bytes {}-{}/{complete}", self.first, self.last),
            None => write!(f, "bytes {}-{}/*", self.first, self.last),
        }
    }
}

/// Whether 206 may be stored, by its head alone: with a lifetime of its own, for everybody alike, and as it is. RFC 9111 (3)
/// would allow variants and codings; which part of which one a later request means is not for a cache to guess (our choice).
pub fn may_be_stored(fields: &HeaderMap, policy: &Policy, responded: Timestamp, authorized: bool) -> bool {
    let governing = Governing::of(fields);
    let lifetime = freshness::explicit_lifetime(fields, &governing, responded);
    let varies = vary::parse(fields.get_all(header::VARY).into_iter().map(HeaderValue::as_bytes), policy);
    lifetime.is_some_and(|lifetime| !lifetime.is_zero())
        && forbids_storing(&governing.cache_control).is_none()
        && (!authorized || is_shared_with_credentials(fields))
        && varies == Vary::Fields(Vec::new())
        && !fields.contains_key(header::CONTENT_ENCODING)
        && !(policy.set_cookie == SetCookie::Bypass && fields.contains_key(header::SET_COOKIE))
}

/// Whether two heads are of the same representation, byte for byte (RFC 9110, 15.3.7.3): a strong tag says so.
pub fn are_of_the_same(one: &HeaderMap, other: &HeaderMap) -> bool {
    strong(one).is_some_and(|tag| strong(other) == Some(tag))
}

/// The entity tag, where it is a strong one (RFC 9110, 8.8.1).
pub fn strong(fields: &HeaderMap) -> Option<&HeaderValue> {
    fields.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}
