//! Targeted fields (RFC 9213): `Larder-Cache-Control` and `CDN-Cache-Control` as RFC 8941 dictionaries, and the older
//! `Surrogate-Control`. A targeted field that parses replaces Cache-Control and Expires completely; one that does not
//! is as if it had not been sent (RFC 9213, 2.1).

use crate::cache_control::{CacheControl, delta_seconds};
use std::time::Duration;

/// The targeted fields that Larder reads, the most specific first (RFC 9213, 2.2).
pub const FIELDS: [&str; 2] = ["larder-cache-control", "cdn-cache-control"];

/// Reads one targeted field from all its lines. `None`: absent, empty or malformed.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<CacheControl> {
    let mut cc = CacheControl::default();
    let (mut count, mut empty) = (0, 0);
    for line in lines {
        let mut rest = line.trim_ascii();
        count += 1;
        empty += usize::from(rest.is_empty());
        while !rest.is_empty() {
            rest = member(rest, &mut cc)?;
        }
    }
    // Lines are joined by commas: an empty one is a comma too many (RFC 8941, 4.2).
    (count > 0 && empty == 0).then_some(cc)
}

/// One dictionary member (RFC 8941, 4.2.2); returns what follows its comma.
fn member<'a>(input: &'a [u8], cc: &mut CacheControl) -> Option<&'a [u8]> {
    let (key, mut rest) = take_key(input)?;
    let value = if let [b'=', after @ ..] = rest {
        let (item, after) = if after.first() == Some(&b'(') { inner_list(after)? } else { item(after)? };
        rest = after;
        item
    } else {
        Item::Boolean(true)
    };
    rest = parameters(rest)?;
    apply(cc, key, value)?;
    after_comma(rest)
}

/// What follows a member: nothing, or a comma and the next one (RFC 8941, 4.2.1 and 4.2.2).
pub(crate) fn after_comma(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.trim_ascii_start();
    match rest {
        [] => Some(rest),
        [b',', after @ ..] => {
            let after = after.trim_ascii_start();
            // A trailing comma is a parse error.
            if after.is_empty() { None } else { Some(after) }
        }
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Item {
    Boolean(bool),
    Integer(i64),
    Other,
}

/// A directive with a value of the wrong type voids the field (our reading of RFC 9213, 2.1).
fn apply(cc: &mut CacheControl, key: &[u8], item: Item) -> Option<()> {
    let flag = match item {
        Item::Boolean(b) => Some(b),
        Item::Integer(_) | Item::Other => None,
    };
    let seconds = match item {
        Item::Integer(n) => Some(Duration::from_secs(u64::try_from(n).unwrap_or(0).min(1 << 31))),
        Item::Boolean(_) | Item::Other => None,
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

fn take_key(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *input.first()?;
    if !(first.is_ascii_lowercase() || first == b'*') {
        return None;
    }
    let ok = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'*');
    let end = input.iter().position(|b| !ok(b)).unwrap_or(input.len());
    Some(input.split_at(end))
}

fn item(input: &[u8]) -> Option<(Item, &[u8])> {
    match input.first()? {
        b'-' | b'0'..=b'9' => number(input),
        b'"' => string(input).map(|(_, rest)| (Item::Other, rest)),
        b'?' => match input {
            [b'?', b'1', rest @ ..] => Some((Item::Boolean(true), rest)),
            [b'?', b'0', rest @ ..] => Some((Item::Boolean(false), rest)),
            _ => None,
        },
        b':' => {
            let end = input[1..].iter().position(|b| *b == b':')?;
            let base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
            input[1..=end].iter().all(base64).then(|| (Item::Other, &input[end + 2..]))
        }
        b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
            let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(b);
            let end = input.iter().position(|b| !token(b)).unwrap_or(input.len());
            Some((Item::Other, &input[end..]))
        }
        _ => None,
    }
}

/// An integer of at most 15 digits, or a decimal (RFC 8941, 4.2.4).
fn number(input: &[u8]) -> Option<(Item, &[u8])> {
    let (negative, digits) = match input {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, input),
    };
    let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 || end > 15 {
        return None;
    }
    let (whole, rest) = digits.split_at(end);
    if let [b'.', fraction @ ..] = rest {
        let end = fraction.iter().position(|b| !b.is_ascii_digit()).unwrap_or(fraction.len());
        return ((1..=3).contains(&end) && whole.len() <= 12).then(|| (Item::Other, &fraction[end..]));
    }
    let value = whole.iter().fold(0i64, |n, d| n * 10 + i64::from(d - b'0'));
    Some((Item::Integer(if negative { -value } else { value }), rest))
}

/// What stands between the quotes of a string, escapes and all, and what follows it (RFC 8941, 4.2.5).
pub(crate) fn string(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = input.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => match text.get(at + 1)? {
                b'"' | b'\\' => at += 2,
                _ => return None,
            },
            0x20..=0x7e => at += 1,
            _ => return None,
        }
    }
}

/// Items in parentheses, each with its parameters (RFC 8941, 4.2.1.2). No directive has such a value.
fn inner_list(input: &[u8]) -> Option<(Item, &[u8])> {
    let mut rest = input.get(1..)?;
    loop {
        rest = rest.trim_ascii_start();
        if let [b')', after @ ..] = rest {
            return Some((Item::Other, after));
        }
        rest = parameters(item(rest)?.1)?;
        if !matches!(rest.first()?, b' ' | b')') {
            return None;
        }
    }
}

/// Skips `;key=value` parameters (RFC 8941, 4.2.3.2).
pub(crate) fn parameters(mut rest: &[u8]) -> Option<&[u8]> {
    while let [b';', after @ ..] = rest {
        let (_, after) = take_key(after.trim_ascii_start())?;
        rest = if let [b'=', value @ ..] = after { item(value)?.1 } else { after };
    }
    Some(rest)
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
