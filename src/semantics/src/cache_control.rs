//! Cache-Control (RFC 9111, 5.2; RFC 5861; RFC 8246). The parser cannot fail: what is malformed makes a response less
//! fresh, never more.

use std::time::Duration;

/// `stale-while-revalidate` without a value, as Nitro and older Next.js send it: one year (semantics 8).
pub const BARE_STALE_WHILE_REVALIDATE: Duration = Duration::from_secs(365 * 86_400);

/// The directives of a response that a shared cache acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    pub no_store: bool,
    pub no_cache: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
    pub stale_while_revalidate: Option<Duration>,
    pub stale_if_error: Option<Duration>,
}

impl CacheControl {
    /// Reads all Cache-Control lines of one message.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut cc = CacheControl::default();
        for line in lines {
            for (name, value) in directives(line) {
                cc.apply(name, value);
            }
        }
        cc
    }

    /// Whether stale reuse is forbidden altogether, by errors too (RFC 9111, 4.2.4).
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache
    }

    fn apply(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            // The field-name form (5.2.2.4) is treated as the plain one: less fresh, never more.
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("immutable") {
            self.immutable = true;
        } else if is("max-age") {
            self.max_age = Some(shorter(self.max_age, delta_seconds(value)));
        } else if is("s-maxage") {
            self.s_maxage = Some(shorter(self.s_maxage, delta_seconds(value)));
        } else if is("stale-while-revalidate") {
            let span = if value.is_none() { BARE_STALE_WHILE_REVALIDATE } else { delta_seconds(value) };
            self.stale_while_revalidate = Some(shorter(self.stale_while_revalidate, span));
        } else if is("stale-if-error") {
            self.stale_if_error = Some(shorter(self.stale_if_error, delta_seconds(value)));
        }
    }
}

/// Conflicting values count as the shorter one (RFC 9111, 4.2.1: "either the most restrictive or stale").
fn shorter(known: Option<Duration>, new: Duration) -> Duration {
    known.map_or(new, |k| k.min(new))
}

/// delta-seconds (RFC 9111, 1.2.2): too large saturates, anything but digits is zero, which is stale.
pub(crate) fn delta_seconds(value: Option<&[u8]>) -> Duration {
    let Some(digits) = value else { return Duration::ZERO };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Duration::ZERO;
    }
    let secs = digits.iter().fold(0u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0')));
    Duration::from_secs(secs.min(1 << 31))
}

/// Splits a field line into directives. Commas inside quoted strings do not split; quotes around a value are removed.
fn directives(line: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    commas(line).map(<[u8]>::trim_ascii).filter(|m| !m.is_empty()).map(|member| {
        match member.iter().position(|b| *b == b'=') {
            None => (member, None),
            Some(at) => (member[..at].trim_ascii_end(), Some(unquote(&member[at + 1..]))),
        }
    })
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// The members of a comma-separated list, quoted strings respected (RFC 9110, 5.6.1 and 5.6.4).
pub(crate) fn commas(rest: &[u8]) -> Members<'_> {
    Members { rest, separator: b',' }
}

/// The parameters of one member (RFC 8941, 3.1.2).
pub(crate) fn semicolons(rest: &[u8]) -> Members<'_> {
    Members { rest, separator: b';' }
}

#[derive(Clone)]
pub(crate) struct Members<'a> {
    rest: &'a [u8],
    separator: u8,
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = self.rest.iter().position(|b| {
            match *b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b if b == self.separator && !quoted => return true,
                _ => {}
            }
            false
        });
        // A quote that is never closed quotes nothing: what stands behind it counts (less fresh, never more).
        let end = if quoted { self.rest.iter().position(|b| *b == self.separator) } else { end };
        let member = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = end.map_or(&[][..], |at| &self.rest[at + 1..]);
        Some(member)
    }
}
