//! Patterns of paths, and which requests a route is for. Which of them may be cached is the policy's.
//!
//! A path is compared as it was received, but for percent-encoded unreserved characters, which are decoded (RFC 3986,
//! 6.2.2.2). Case counts, and so does a slash at the end: `/x` has one segment, `/x/` a second, empty one.

use semantics::page::{each_normal_byte, normal};

/// A pattern of paths: `/blog/{slug}`, `/api/**`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
    /// The segments that `{name}` captures, by their places.
    captures: Vec<(String, usize)>,
    /// Whether `**` stands for any further segments, or none.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Normalised as paths are; empty after a slash at the end.
    Literal(String),
    /// `*` or `{name}`: any segment but an empty one.
    Any,
}

impl Pattern {
    /// # Errors
    /// Says what is wrong with the pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else { return Err("must begin with `/`".to_owned()) };
        if is_ambiguous(text) {
            return Err("may not contain `//`, `.` or `..` as a segment, `%2f`, `%5c`, `\\` or `;`".to_owned());
        }
        let mut pattern = Pattern::default();
        for part in path.split('/') {
            if pattern.open {
                return Err("has something after `**`, which stands for all the rest".to_owned());
            }
            match part {
                "**" => pattern.open = true,
                "*" => pattern.segments.push(Segment::Any),
                part => match captured(part)? {
                    Some(name) if pattern.has_capture(name) => return Err(format!("captures `{{{name}}}` twice")),
                    Some(name) => {
                        pattern.captures.push((name.to_owned(), pattern.segments.len()));
                        pattern.segments.push(Segment::Any);
                    }
                    None => pattern.segments.push(Segment::Literal(literal(part)?)),
                },
            }
        }
        Ok(pattern)
    }

    /// Whether a path matches; nothing is allocated.
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut parts = path.split('/');
        for segment in &self.segments {
            let Some(part) = parts.next() else { return false };
            let same = match segment {
                Segment::Any => !part.is_empty(),
                Segment::Literal(literal) => equals(literal.as_bytes(), part.as_bytes()),
            };
            if !same {
                return false;
            }
        }
        self.open || parts.next().is_none()
    }

    /// Whether it captures a segment under that name.
    pub fn has_capture(&self, name: &str) -> bool {
        self.captures.iter().any(|(captured, _)| captured == name)
    }

    /// The segment that is captured under that name in a path that matches, as received.
    pub fn capture<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        let (_, at) = self.captures.iter().find(|(captured, _)| captured == name)?;
        path.strip_prefix('/')?.split('/').nth(*at)
    }

    /// Whether the first segment is a framework's own folder, spelt out.
    pub fn spells_internals(&self) -> bool {
        matches!(self.segments.first(), Some(Segment::Literal(first)) if INTERNAL.contains(&first.as_str()))
    }

    /// Whether every path that `other` matches is matched by this pattern too.
    fn covers(&self, other: &Pattern) -> bool {
        if other.segments.len() < self.segments.len() {
            return false;
        }
        let same = |(mine, theirs): (&Segment, &Segment)| match (mine, theirs) {
            (Segment::Any, Segment::Any) => true,
            (Segment::Any, Segment::Literal(literal)) => !literal.is_empty(),
            (Segment::Literal(mine), Segment::Literal(theirs)) => mine == theirs,
            (Segment::Literal(_), Segment::Any) => false,
        };
        let ends_alike = self.segments.len() == other.segments.len() && !other.open;
        self.segments.iter().zip(&other.segments).all(same) && (self.open || ends_alike)
    }
}

/// Which requests a route is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    pub patterns: Vec<Pattern>,
    /// Lower case; none stands for any.
    pub hosts: Vec<String>,
    /// Upper case; none stands for any.
    pub methods: Vec<String>,
}

impl Matcher {
    /// Nothing is allocated.
    pub fn matches(&self, method: &str, host: &str, path: &str) -> bool {
        let host_fits =
            |mine: &String| mine.eq_ignore_ascii_case(host) || mine.eq_ignore_ascii_case(without_port(host));
        (self.methods.is_empty() || self.methods.iter().any(|m| m == method))
            && (self.hosts.is_empty() || self.hosts.iter().any(host_fits))
            && self.patterns.iter().any(|p| p.matches(path))
    }

    /// Whether a pattern spells out a framework's own folder.
    pub fn spells_internals(&self) -> bool {
        self.patterns.iter().any(Pattern::spells_internals)
    }

    /// Whether it is certain that every request that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Matcher) -> bool {
        let any_or_all = |mine: &[String], theirs: &[String]| {
            mine.is_empty() || (!theirs.is_empty() && theirs.iter().all(|one| mine.contains(one)))
        };
        !other.patterns.is_empty()
            && any_or_all(&self.hosts, &other.hosts)
            && any_or_all(&self.methods, &other.methods)
            && other.patterns.iter().all(|theirs| self.patterns.iter().any(|mine| mine.covers(theirs)))
    }
}

/// Whether servers disagree on what a path means; such paths match no ISR route.
pub fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    let encoded_slash = |w: &[u8]| w.eq_ignore_ascii_case(b"%2f") || w.eq_ignore_ascii_case(b"%5c");
    bytes.iter().any(|b| matches!(b, b';' | b'\\'))
        || bytes.windows(2).any(|w| w == b"//")
        || bytes.windows(3).any(encoded_slash)
        || path.split('/').any(|part| equals(b".", part.as_bytes()) || equals(b"..", part.as_bytes()))
}

/// Folders that belong to a framework.
const INTERNAL: [&str; 3] = ["_next", "_nuxt", "_app"];

/// Whether a path is in a folder that belongs to a framework.
pub fn is_framework_internal(path: &str) -> bool {
    let Some((first, _)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else { return false };
    INTERNAL.iter().any(|folder| equals(folder.as_bytes(), first.as_bytes()))
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

/// The name in `{name}`, if the segment is a capture.
fn captured(part: &str) -> Result<Option<&str>, String> {
    let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return Ok(None) };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(Some(name));
    }
    Err(format!("captures `{{{name}}}`: a name is letters, digits and `_`"))
}

/// A literal segment in normal form.
fn literal(part: &str) -> Result<String, String> {
    if part.contains('[') {
        return Err("has a `[`: what Next.js writes `[slug]` is `{slug}` here, and `[...slug]` is `**`".to_owned());
    }
    if let Some(sign) = part.chars().find(|c| matches!(c, '*' | '{' | '}')) {
        return Err(format!("has a `{sign}` inside a segment: `*` and `{{name}}` stand for a whole one"));
    }
    if part.chars().any(|c| matches!(c, '?' | '#') || c.is_ascii_control() || c == ' ') {
        return Err("may not contain `?`, `#` or spaces: it is about the path alone".to_owned());
    }
    Ok(normal(part))
}

/// Whether a segment is this literal, which is in normal form.
fn equals(literal: &[u8], part: &[u8]) -> bool {
    if literal == part {
        return true;
    }
    if part.is_ascii() && !part.contains(&b'%') {
        return false;
    }
    let mut rest = literal;
    let same = each_normal_byte(part, |byte| match rest.split_first() {
        Some((first, tail)) if *first == byte => {
            rest = tail;
            true
        }
        _ => false,
    });
    same && rest.is_empty()
}

#[cfg(test)]
mod tests;
