//! The tags of an answer (semantics 41): those of its route, and those in its fields, `Cache-Groups` among them (RFC
//! 9875).
//!
//! It knows how the fields are written, and the limits. It does not know what becomes of a tag, or who hears of those
//! that were left out.

use crate::structured::strings;
use http::{HeaderMap, HeaderValue};
use std::borrow::Cow;

/// The most characters of a tag.
pub const MAX_TAG: usize = 256;

/// The most tags of a stored response.
pub const MAX_TAGS: usize = 128;

/// The fields of an answer that carry tags, in lower case.
pub const FIELDS: [&str; 5] = ["cache-tag", "surrogate-key", "xkey", "x-next-cache-tags", "cache-groups"];

/// The tags of one answer, and how many were left out. Empty ones are not counted: they name nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Each once, in the order met; none has control characters.
    pub kept: Vec<String>,
    /// With more than [`MAX_TAG`] characters.
    pub too_long: usize,
    /// Beyond [`MAX_TAGS`].
    pub too_many: usize,
    /// With control characters or not UTF-8; a `Cache-Groups` field that is malformed counts as one.
    pub malformed: usize,
}

/// The tags of an answer: the route's first, then those in its fields.
pub fn of(route: Vec<String>, fields: &HeaderMap) -> Tags {
    let mut sieve = Sieve::default();
    for tag in route {
        sieve.add(Cow::Owned(tag));
    }
    for name in FIELDS {
        let lines = fields.get_all(name).iter().map(HeaderValue::as_bytes);
        let separators: &[u8] = match name {
            "cache-groups" => {
                sieve.add_groups(lines);
                continue;
            }
            "surrogate-key" => b" \t",
            "xkey" => b" \t,",
            _ => b",",
        };
        for line in lines {
            line.split(|b| separators.contains(b)).for_each(|tag| sieve.add_bytes(tag.trim_ascii()));
        }
    }
    sieve.tags
}

/// The groups in a `Cache-Group-Invalidation` field (RFC 9875, 3), from all its lines: the first [`MAX_TAGS`] of those
/// that a stored response can have. `None`: malformed, so the field is ignored.
pub fn groups<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<String>> {
    let mut sieve = Sieve::default();
    sieve.add_groups(lines)?;
    Some(sieve.tags.kept)
}

/// Lets tags through once, and within the limits.
#[derive(Default)]
struct Sieve {
    tags: Tags,
    /// Places in `tags.kept`, by the tags there: thousands of tags are not compared with every one.
    order: Vec<usize>,
}

impl Sieve {
    /// A member that is no string voids the field, which is counted; parameters are ignored (RFC 9875, 2).
    fn add_groups<'a>(&mut self, lines: impl IntoIterator<Item = &'a [u8]>) -> Option<()> {
        let Some(groups) = strings(lines) else {
            self.tags.malformed += 1;
            return None;
        };
        groups.into_iter().for_each(|group| self.add_bytes(&unescaped(group)));
        Some(())
    }

    fn add_bytes(&mut self, tag: &[u8]) {
        match std::str::from_utf8(tag) {
            Ok(tag) => self.add(Cow::Borrowed(tag)),
            Err(_) => self.tags.malformed += 1,
        }
    }

    fn add(&mut self, tag: Cow<'_, str>) {
        let tags = &mut self.tags;
        if tag.is_empty() {
            return;
        }
        if tag.chars().nth(MAX_TAG).is_some() {
            tags.too_long += 1;
            return;
        }
        if tag.chars().any(char::is_control) {
            tags.malformed += 1;
            return;
        }
        match self.order.binary_search_by(|at| tags.kept[*at].as_str().cmp(&tag)) {
            Ok(_) => {}
            Err(_) if tags.kept.len() >= MAX_TAGS => tags.too_many += 1,
            Err(place) => {
                self.order.insert(place, tags.kept.len());
                tags.kept.push(tag.into_owned());
            }
        }
    }
}

/// A string without the backslashes that escape (RFC 8941, 4.2.5).
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut escapes = false;
    let stays = |byte: &u8| {
        escapes = *byte == b'\\' && !escapes;
        !escapes
    };
    Cow::Owned(text.iter().copied().filter(stays).collect())
}
