//! Vary (RFC 9111, 4.1; semantics 5, 11, 47): which fields an answer nominates, and how their values are compared.

use crate::cache_control::commas;
use crate::key;
use crate::message::Request;
use crate::personal;
use crate::policy::Policy;
use crate::weight::weighted;
use std::cmp::Reverse;

/// A response nominates at most this many fields that are not keyed anyway (our choice: each one multiplies variants).
pub const MAX_NOMINATED: usize = 16;

/// What a response's Vary lines mean for storing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// `*`, or more fields than [`MAX_NOMINATED`]: no request can be shown to match.
    Unmatchable,
    /// On a field that identifies a visitor, and that the route does not key.
    Personal(&'static str),
    /// Lower-case names in order, without those that are keyed or fixed on every fill.
    Fields(Vec<String>),
}

/// Reads all Vary lines of a response.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>, policy: &Policy) -> Vary {
    let mut names: Vec<String> = Vec::new();
    for line in lines {
        for member in commas(line).map(<[u8]>::trim_ascii).filter(|m| !m.is_empty()) {
            if member == b"*" {
                return Vary::Unmatchable;
            }
            let Ok(name) = std::str::from_utf8(member) else { return Vary::Unmatchable };
            // It could be taken for one of our own marks; nobody can send a field of that name anyway.
            if name.contains(':') {
                return Vary::Unmatchable;
            }
            let name = name.to_ascii_lowercase();
            match nomination(&name, policy) {
                Nomination::Settled => {}
                Nomination::Personal(which) => return Vary::Personal(which),
                Nomination::Varies => names.push(name),
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    if names.len() > MAX_NOMINATED { Vary::Unmatchable } else { Vary::Fields(names) }
}

enum Nomination {
    /// In the key already, or the same on every fill: nothing varies.
    Settled,
    Personal(&'static str),
    Varies,
}

fn nomination(name: &str, policy: &Policy) -> Nomination {
    match name {
        // Every fill asks for `identity`.
        "accept-encoding" => Nomination::Settled,
        // Fills have the visitor's own: whoever sends the same may have it.
        "cookie" | "authorization" | "user-agent" if policy.is_plain() && !policy.keys_header(name) => {
            Nomination::Varies
        }
        "cookie" if policy.key_cookies.is_empty() && !policy.keys_header(name) => Nomination::Personal("cookie"),
        "cookie" => Nomination::Settled,
        "authorization" if !policy.keys_header(name) => Nomination::Personal("authorization"),
        "user-agent" if !policy.keys_header(name) => Nomination::Personal("user-agent"),
        _ if policy.keys_header(name) => Nomination::Settled,
        // Sent on a fill as it came.
        _ if policy.is_plain() && personal::is_forwarded_plainly(name) => Nomination::Varies,
        // Ours to say, or never sent on a fill: the same for everybody, whatever a visitor sends.
        _ if personal::is_never_on_a_fill(name) => Nomination::Settled,
        // Without `RSC` a fill sends none of them, so they are absent on both sides.
        _ if key::GROUP.contains(&name) => Nomination::Settled,
        _ => Nomination::Varies,
    }
}

/// The nominated fields of `request` with their values in canonical form: equal bytes select the same variant.
pub fn nominated(names: &[String], request: &Request<'_>, policy: &Policy) -> Vec<(String, Option<Vec<u8>>)> {
    let value = |name: &str| match canonical(name, request) {
        // The order of languages means nothing, their weights do (RFC 9110, 12.5.4). Applications often go by it all the same,
        // and so does every profile but that of the RFC.
        Some(value) if name == ACCEPT_LANGUAGE && policy.is_plain() => Some(sorted(&value)),
        value => value,
    };
    names.iter().map(|name| (name.clone(), value(name))).collect()
}

/// The language that a request asks for before all others; `None`: there is none, or any would do.
pub fn favourite_language<'r>(request: &Request<'r>) -> Option<&'r [u8]> {
    let liked: Vec<(&[u8], u16)> =
        request.fields_named(ACCEPT_LANGUAGE).flat_map(commas).filter_map(weighted).collect();
    let most = liked.iter().map(|(_, weight)| *weight).max().filter(|weight| *weight > 0)?;
    let mut favourites = liked.iter().filter(|(_, weight)| *weight == most).map(|(language, _)| *language);
    favourites.next().filter(|language| favourites.next().is_none() && *language != b"*")
}

pub const ACCEPT_LANGUAGE: &str = "accept-language";

/// By weight, and what is liked as much by name: lists as browsers send them stay in their order.
fn sorted(list: &[u8]) -> Vec<u8> {
    let mut members: Vec<&[u8]> = list.split(|b| *b == b',').collect();
    members.sort_unstable_by_key(|member| (Reverse(weighted(member).map_or(0, |(_, weight)| weight)), *member));
    members.join(&b',')
}

/// Whether a list of languages has nothing in it but languages and their weights.
pub fn is_list_of_languages(value: &[u8]) -> bool {
    let language = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'*');
    value.split(|b| *b == b',').all(|one| weighted(one).is_some_and(|(name, _)| name.iter().all(language)))
}

/// Whether an answer may vary with what only the passed road tells an origin: fills say nothing of it, so `Vary` is not heard
/// there (see [`parse`]).
pub fn varies_with_the_way<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> bool {
    const ALIKE: [&str; 5] = ["accept-encoding", "host", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];
    let names = lines.into_iter().flat_map(commas).map(<[u8]>::trim_ascii).filter(|m| !m.is_empty());
    let mut names = names.filter_map(|name| std::str::from_utf8(name).ok()).map(str::to_ascii_lowercase);
    names.any(|name| personal::is_never_on_a_fill(&name) && !ALIKE.contains(&name.as_str()))
}

/// Fields in which a comma is a character like others.
const NO_LISTS: [&str; 5] = ["authorization", "cookie", "from", "referer", "user-agent"];

/// RFC 9111, 4.1 allows lines to be combined, and whitespace and case to be normalised where the field's definition does.
fn canonical(name: &str, request: &Request<'_>) -> Option<Vec<u8>> {
    if NO_LISTS.contains(&name) {
        let lines: Vec<&[u8]> = request.fields_named(name).collect();
        // HTTP/2 splits cookies into lines (RFC 9113, 8.2.3).
        let between: &[u8] = if name == "cookie" { b"; " } else { b", " };
        return (!lines.is_empty()).then(|| lines.join(between));
    }
    let mut value: Option<Vec<u8>> = None;
    for line in request.fields_named(name) {
        let value = value.get_or_insert_default();
        for member in commas(line).map(<[u8]>::trim_ascii).filter(|m| !m.is_empty()) {
            if !value.is_empty() {
                value.push(b',');
            }
            value.extend_from_slice(member);
        }
    }
    // Of these we know that case does not matter, nor space around their weights (RFC 9110, 12.4.2 and 12.5).
    if let Some(value) = value.as_mut().filter(|_| matches!(name, ACCEPT_LANGUAGE | "accept" | "accept-charset")) {
        value.make_ascii_lowercase();
        value.retain(|b| !matches!(b, b' ' | b'\t'));
    }
    value
}
