//! The cache key (RFC 9111, 2; semantics 43-46): deployment, scheme, host, path, query and keyed fields, each length-prefixed, so that no
//! two different requests ever write the same bytes.

mod read;

pub use read::{Key, deployment, host_and_path, primary, read};

use crate::message::{Facts, Request};
use crate::policy::Policy;
use std::borrow::Cow;

/// Fields that are keyed and forwarded on every route when present: Next.js' router fields, and its data requests.
/// The router's fields count only together with `RSC` (semantics 46).
pub const GROUP: [&str; 6] = [
    "rsc",
    "next-router-state-tree",
    "next-router-prefetch",
    "next-router-segment-prefetch",
    "next-url",
    "x-nextjs-data",
];

/// Whether a field of that name is keyed for this request, and so is sent on its fill.
pub fn is_group_field(name: &str, rsc: bool) -> bool {
    GROUP.iter().any(|g| g.eq_ignore_ascii_case(name)) && (rsc || name.eq_ignore_ascii_case("x-nextjs-data"))
}

/// The parts of a key that do not come from request fields.
#[derive(Clone, Debug)]
pub struct KeyParts<'a> {
    pub deployment: &'a str,
    pub request: &'a Request<'a>,
    /// The keyed part of the query: see [`crate::query::keyed`].
    pub query: Option<Cow<'a, str>>,
}

/// Writes the primary key into `out`, replacing what it held.
pub fn write_primary(out: &mut Vec<u8>, parts: &KeyParts<'_>, facts: &Facts<'_>, policy: &Policy) {
    let request = parts.request;
    out.clear();
    part(out, parts.deployment.as_bytes());
    part(out, request.scheme.as_str().as_bytes());
    part(out, request.host.as_bytes());
    part(out, request.path.as_bytes());
    optional(out, parts.query.as_deref().map(str::as_bytes));
    if facts.keyed_group {
        for name in GROUP {
            if is_group_field(name, facts.rsc) {
                lines(out, name, request);
            }
        }
    }
    for name in &policy.key_headers {
        lines(out, name, request);
    }
    for name in &policy.key_cookies {
        if let Some((_, value)) = request.cookies().find(|(n, _)| *n == name.as_bytes()) {
            length(out, COOKIE.len() + name.len());
            out.extend_from_slice(COOKIE.as_bytes());
            out.extend_from_slice(name.as_bytes());
            length(out, 1);
            part(out, value);
        }
    }
}

/// Stands before the name of a keyed cookie: no field's name has a colon.
const COOKIE: &str = "cookie:";

/// The same primary key for another deployment; `None`: it is no key.
pub fn of_deployment(out: &mut Vec<u8>, primary: &[u8], deployment: &str) -> Option<()> {
    let rest = read::behind_deployment(primary)?;
    out.clear();
    part(out, deployment.as_bytes());
    out.extend_from_slice(rest);
    Some(())
}

/// Extends a primary key by the normalised values of nominated fields: the key of one variant.
pub fn write_variant(out: &mut Vec<u8>, primary: &[u8], nominated: &[(String, Option<Vec<u8>>)]) {
    out.clear();
    part(out, primary);
    for (name, value) in nominated {
        part(out, name.as_bytes());
        optional(out, value.as_deref());
    }
}

/// Extends a primary key to that of a stored part of its representation.
pub fn write_part(out: &mut Vec<u8>, primary: &[u8]) {
    write_variant(out, primary, &[(PART.to_owned(), None)]);
}

/// What marks a stored part among the variants of its page, with the Range that brought it.
pub fn part_variant(range: &[u8]) -> [(String, Option<Vec<u8>>); 1] {
    [(PART.to_owned(), Some(range.to_vec()))]
}

/// Whether a variant's values are those of a stored part.
pub fn is_part(variant: &[(String, Option<Vec<u8>>)]) -> bool {
    variant.iter().any(|(name, _)| name == PART)
}

/// The Range that brought a stored part; `None`: it is none.
pub fn part_range(variant: &[(String, Option<Vec<u8>>)]) -> Option<&[u8]> {
    match variant {
        [(name, Some(range))] if name == PART => Some(range),
        _ => None,
    }
}

/// No field's name has a colon.
const PART: &str = "part:";

/// Name, count and values of a field; nothing where it is absent.
fn lines(out: &mut Vec<u8>, name: &str, request: &Request<'_>) {
    let count = request.fields_named(name).count();
    if count == 0 {
        return;
    }
    part(out, name.as_bytes());
    length(out, count);
    for value in request.fields_named(name) {
        part(out, value);
    }
}

fn optional(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            part(out, value);
        }
    }
}

fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// LEB128: one byte for most parts.
fn length(out: &mut Vec<u8>, mut n: usize) {
    loop {
        let low = u8::try_from(n & 0x7f).unwrap_or_default();
        n >>= 7;
        if n == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}
