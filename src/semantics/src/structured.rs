//! Structured fields (RFC 8941): dictionaries and what stands in them, read strictly. What is malformed voids the field, never
//! the message.

/// A bare item, as far as somebody here asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Boolean(bool),
    Integer(i64),
    /// What stands between the quotes, escapes and all.
    String(&'a [u8]),
    /// A token, a decimal, bytes.
    Other,
}

/// The value of a member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Item(Item<'a>),
    List(Vec<Item<'a>>),
}

/// Reads a dictionary from all lines of a field, member by member (RFC 8941, 4.2 and 4.2.2). `None`: the field is absent, empty
/// or malformed, or a member is not what `take` takes.
pub(crate) fn dictionary<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    mut take: impl FnMut(&'a [u8], Value<'a>) -> Option<()>,
) -> Option<()> {
    let read = members(lines, |rest| {
        let (key, value, after) = member(rest)?;
        take(key, value)?;
        Some(after)
    })?;
    (read != Read::Nothing).then_some(())
}

/// Reads a list of strings from all lines of a field (RFC 8941, 4.2.1): what stands between the quotes of each. An absent or
/// empty field is an empty list. `None`: it is malformed.
pub(crate) fn strings<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<&'a [u8]>> {
    let mut found = Vec::new();
    members(lines, |rest| {
        let (text, after) = string(rest)?;
        found.push(text);
        parameters(after)
    })?;
    Some(found)
}

#[derive(PartialEq, Eq)]
enum Read {
    /// The field is absent or empty.
    Nothing,
    Members,
}

/// Goes through the members of a field; `one` reads the next of them, and returns what follows it. `None`: malformed.
fn members<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    mut one: impl FnMut(&'a [u8]) -> Option<&'a [u8]>,
) -> Option<Read> {
    let (mut count, mut empty) = (0, 0);
    for line in lines {
        let mut rest = line.trim_ascii();
        count += 1;
        empty += usize::from(rest.is_empty());
        while !rest.is_empty() {
            rest = after_comma(one(rest)?)?;
        }
    }
    match (count, empty) {
        (0, _) | (1, 1) => Some(Read::Nothing),
        (_, 0) => Some(Read::Members),
        // Lines are joined by commas: beside others an empty one is a comma too many (RFC 8941, 4.2).
        _ => None,
    }
}

/// One member, and what follows it.
fn member(input: &[u8]) -> Option<(&[u8], Value<'_>, &[u8])> {
    let (key, mut rest) = take_key(input)?;
    let value = if let [b'=', after @ ..] = rest {
        let (value, after) = match after.first() {
            Some(b'(') => inner_list(after).map(|(list, rest)| (Value::List(list), rest))?,
            _ => item(after).map(|(item, rest)| (Value::Item(item), rest))?,
        };
        rest = after;
        value
    } else {
        Value::Item(Item::Boolean(true))
    };
    Some((key, value, parameters(rest)?))
}

/// What follows a member: nothing, or a comma and the next one (RFC 8941, 4.2.1 and 4.2.2).
fn after_comma(rest: &[u8]) -> Option<&[u8]> {
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

fn take_key(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *input.first()?;
    if !(first.is_ascii_lowercase() || first == b'*') {
        return None;
    }
    let ok = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'*');
    let end = input.iter().position(|b| !ok(b)).unwrap_or(input.len());
    Some(input.split_at(end))
}

fn item(input: &[u8]) -> Option<(Item<'_>, &[u8])> {
    match input.first()? {
        b'-' | b'0'..=b'9' => number(input),
        b'"' => string(input).map(|(text, rest)| (Item::String(text), rest)),
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
fn number(input: &[u8]) -> Option<(Item<'_>, &[u8])> {
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
fn string(input: &[u8]) -> Option<(&[u8], &[u8])> {
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

/// Items in parentheses, each with its parameters (RFC 8941, 4.2.1.2).
fn inner_list(input: &[u8]) -> Option<(Vec<Item<'_>>, &[u8])> {
    let mut items = Vec::new();
    let mut rest = input.get(1..)?;
    loop {
        rest = rest.trim_ascii_start();
        if let [b')', after @ ..] = rest {
            return Some((items, after));
        }
        let (one, after) = item(rest)?;
        items.push(one);
        rest = parameters(after)?;
        if !matches!(rest.first()?, b' ' | b')') {
            return None;
        }
    }
}

/// Skips `;key=value` parameters (RFC 8941, 4.2.3.2).
fn parameters(mut rest: &[u8]) -> Option<&[u8]> {
    while let [b';', after @ ..] = rest {
        let (_, after) = take_key(after.trim_ascii_start())?;
        rest = if let [b'=', value @ ..] = after { item(value)?.1 } else { after };
    }
    Some(rest)
}
