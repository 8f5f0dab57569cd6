//! The head of a stored response, built once for the wire: a hit writes it as it lies, and adds Age, Cache-Status and
//! connection fields behind it.
//!
//! Layout of `wire`: status line, the origin's fields as clients see them, then (from `own_from`) Larder's own. The
//! origin's fields that clients do not see are kept beside it, because a later 304 is merged into what the origin said.

use bytes::Bytes;
use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use semantics::coding::{self, Coding};
use semantics::policy::{Policy, SetCookie};

#[derive(Clone, Debug)]
pub struct Head {
    status: StatusCode,
    /// Status line and fields, each line with its CRLF; without the empty line at the end.
    wire: Bytes,
    fields_from: u32,
    own_from: u32,
    /// The origin's fields that clients do not get, in the same form.
    hidden: Box<[u8]>,
}

/// Fields about this connection or this delivery, never stored (RFC 9110, 7.6.1; RFC 9111, 3.1).
const NOT_STORED: [&str; 8] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"];

/// What is meant for caches, or says what another cache did (semantics 41, 50).
pub const HIDDEN: [&str; 8] = [
    "surrogate-control",
    "larder-cache-control",
    "cache-tag",
    "surrogate-key",
    "xkey",
    "x-next-cache-tags",
    "cache-groups",
    "x-nextjs-cache",
];

/// What a head is made of.
pub struct HeadBuilder<'a> {
    pub status: StatusCode,
    /// The origin's fields.
    pub fields: &'a HeaderMap,
    pub policy: &'a Policy,
    pub audience: Audience,
    /// Of the body; `None` while it is still on its way.
    pub length: Option<u64>,
    /// A validator of Larder's own, where the origin gave none.
    pub etag: Option<HeaderValue>,
    /// Added when the origin sent no Date (RFC 9110, 6.6.1).
    pub date: HeaderValue,
}

/// Who is to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever asks, from the store: what is one visitor's is taken out, browsers are told what the route says, and Age is
    /// told anew with every answer.
    Store,
    /// The same while it comes, with the origin's own Age.
    Watchers,
    /// The one who asked: he gets what the origin says to him.
    Owner,
}

impl HeadBuilder<'_> {
    pub fn build(&self) -> Head {
        let mut wire = Vec::with_capacity(512);
        let reason = self.status.canonical_reason().unwrap_or("Unknown");
        wire.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status.as_str()).as_bytes());
        let fields_from = wire.len();
        let mut hidden = Vec::new();
        for (name, value) in self.fields {
            match self.place(name) {
                Place::Wire => line(&mut wire, name.as_str(), value.as_bytes()),
                Place::Hidden => line(&mut hidden, name.as_str(), value.as_bytes()),
                Place::Nowhere => {}
            }
        }
        let own_from = wire.len();
        self.write_own(&mut wire);
        wire.shrink_to_fit();
        Head {
            status: self.status,
            wire: Bytes::from(wire),
            fields_from: offset(fields_from),
            own_from: offset(own_from),
            hidden: hidden.into_boxed_slice(),
        }
    }

    fn place(&self, name: &HeaderName) -> Place {
        let name = name.as_str();
        if NOT_STORED.contains(&name) || (name == "age" && self.audience == Audience::Store) {
            return Place::Nowhere;
        }
        let shared = self.audience != Audience::Owner;
        if name == "set-cookie" && shared && self.policy.set_cookie == SetCookie::Strip {
            return Place::Nowhere;
        }
        let replaced = (name == "cache-control" && self.browser_cache_control().is_some())
            || self.policy.response_headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let hidden = HIDDEN.contains(&name) && !self.policy.is_plain();
        if replaced || hidden { Place::Hidden } else { Place::Wire }
    }

    fn browser_cache_control(&self) -> Option<&str> {
        self.policy.browser_cache_control.as_deref().filter(|_| self.audience != Audience::Owner)
    }

    fn write_own(&self, wire: &mut Vec<u8>) {
        if !self.fields.contains_key(http::header::DATE) {
            line(wire, "date", self.date.as_bytes());
        }
        // 204 has no length (RFC 9110, 8.6).
        if let Some(length) = self.length.filter(|_| self.status != StatusCode::NO_CONTENT) {
            line(wire, "content-length", length.to_string().as_bytes());
        }
        if let Some(etag) = &self.etag {
            line(wire, "etag", etag.as_bytes());
        }
        if let Some(browser) = self.browser_cache_control() {
            line(wire, "cache-control", browser.as_bytes());
        }
        for (name, value) in &self.policy.response_headers {
            line(wire, &name.to_ascii_lowercase(), value.as_bytes());
        }
        if self.is_coded_for_some() {
            line(wire, "vary", b"accept-encoding");
        }
    }

    /// Whether this visitor, or another one, may get it in a coding (RFC 9110, 12.5.5).
    fn is_coded_for_some(&self) -> bool {
        let vary = self.fields.get_all(VARY).into_iter().map(HeaderValue::as_bytes);
        self.audience != Audience::Owner
            && !self.policy.compress.is_empty()
            && coding::is_codable(self.status, self.fields, self.length)
            && !coding::varies_by_coding(vary)
    }
}

enum Place {
    Wire,
    Hidden,
    Nowhere,
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How a body in a coding came about. What is made anew each time is not always of the same bytes, so that its tag is weak
/// (RFC 9110, 8.8.1).
#[derive(Clone, Copy)]
pub enum Made {
    /// Once for everybody, with this length.
    Once(usize),
    /// For one visitor, with this length.
    ForOne(usize),
    /// For one visitor, while it comes.
    OnItsWay,
}

impl Head {
    /// Everything, to be written down: the wire, where fields and Larder's own begin in it, and what is hidden.
    pub(super) fn parts(&self) -> (&[u8], u32, u32, &[u8]) {
        (&self.wire, self.fields_from, self.own_from, &self.hidden)
    }

    /// The same back again; `None`: this was never a head.
    pub(super) fn from_parts(
        status: StatusCode,
        wire: Bytes,
        fields_from: u32,
        own_from: u32,
        hidden: Box<[u8]>,
    ) -> Option<Head> {
        let fits = fields_from <= own_from && own_from as usize <= wire.len();
        fits.then_some(Head { status, wire, fields_from, own_from, hidden })
    }

    /// Whether every client reads this in one way, with a body of that length: of a head that came from elsewhere.
    pub(super) fn is_sound(&self, body: u64) -> bool {
        let (first, fields) = (self.fields_from as usize, self.wire.get(self.fields_from as usize..));
        let own = self.wire.get(self.own_from as usize..);
        let begins = format!("HTTP/1.1 {} ", self.status.as_str());
        let status = self.wire.get(..first).and_then(|line| line.strip_suffix(b"\r\n"));
        let status_line = status.is_some_and(|line| {
            line.starts_with(begins.as_bytes()) && line.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f))
        });
        let blocks = [fields, own, Some(&*self.hidden)];
        status_line
            && blocks.into_iter().all(|block| block.is_some_and(are_field_lines))
            && self.fields().all(|(name, value)| match name {
                "content-length" => value == body.to_string().as_bytes(),
                "transfer-encoding" => false,
                _ => true,
            })
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Status line and fields, ready to be written; the empty line is still missing.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The same as [`Head::wire`] for the body in a coding.
    pub fn in_coding(&self, coding: Coding, made: Made) -> Bytes {
        let mut wire = self.wire[..self.fields_from as usize].to_vec();
        for (name, value) in self.fields() {
            match name {
                "content-length" => {
                    if let Made::Once(length) | Made::ForOne(length) = made {
                        line(&mut wire, name, length.to_string().as_bytes());
                    }
                }
                "etag" => {
                    let etag = coding::etag_in(value, coding);
                    line(&mut wire, name, &if matches!(made, Made::Once(_)) { etag } else { coding::weak(&etag) });
                }
                "accept-ranges" => {}
                _ if coding::OF_THE_BYTES.iter().any(|of| of == name) => {}
                _ => line(&mut wire, name, value),
            }
        }
        line(&mut wire, "content-encoding", coding.as_str().as_bytes());
        if !coding::varies_by_coding(self.fields().filter(|(name, _)| *name == "vary").map(|(_, value)| value)) {
            line(&mut wire, "vary", b"accept-encoding");
        }
        Bytes::from(wire)
    }

    /// Bytes held beside the struct itself.
    pub fn heap_size(&self) -> usize {
        self.wire.len() + self.hidden.len()
    }

    /// Every field that clients get, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        lines(&self.wire[self.fields_from as usize..])
    }

    /// The first field of that (lower-case) name that clients get.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// What the origin sent: the visible fields without Larder's own, and the hidden ones.
    pub fn origin_fields(&self) -> HeaderMap {
        let visible = lines(&self.wire[self.fields_from as usize..self.own_from as usize]);
        let mut fields = HeaderMap::new();
        for (name, value) in visible.chain(lines(&self.hidden)) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) {
                fields.append(name, value);
            }
        }
        fields
    }

    /// The origin's own field of that name: a validator that Larder made up is not sent to the origin.
    pub fn origin_field(&self, name: &str) -> Option<&[u8]> {
        let visible = lines(&self.wire[self.fields_from as usize..self.own_from as usize]);
        visible.chain(lines(&self.hidden)).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

/// Whether these are whole lines, each with a name in lower case and a value that may stand in a head.
fn are_field_lines(block: &[u8]) -> bool {
    block.split_inclusive(|b| *b == b'\n').all(|line| {
        let Some(line) = line.strip_suffix(b"\r\n") else { return false };
        let colon = line.windows(2).position(|two| two == b": ");
        colon.and_then(|at| line.split_at_checked(at)).is_some_and(|(name, value)| {
            let lower = !name.iter().any(u8::is_ascii_uppercase);
            lower && HeaderName::from_bytes(name).is_ok() && HeaderValue::from_bytes(&value[2..]).is_ok()
        })
    })
}

fn lines(block: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    block.split(|b| *b == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|b| *b == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        Some((name, line.get(colon + 2..).unwrap_or_default()))
    })
}
