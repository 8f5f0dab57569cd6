//! `No-Vary-Search`: which parts of a query make no difference (draft-ietf-httpbis-no-vary-search, on the cache's side). A
//! response that has it answers every URL that differs from its own in nothing else.

use crate::structured::{self, Item, Value};
use std::borrow::Cow;

/// What a response says of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variance {
    ordered: bool,
    ignored: Ignored,
}

/// Parameters by their names, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ignored {
    Only(Vec<Vec<u8>>),
    AllBut(Vec<Vec<u8>>),
}

impl Variance {
    /// From all lines of the field. `None`: it is absent, malformed, of the wrong types, or says that everything matters.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Variance> {
        let (mut key_order, mut params, mut except) = (None, None, None);
        structured::dictionary(lines, |key, value| {
            match key {
                b"key-order" => key_order = Some(value),
                b"params" => params = Some(value),
                b"except" => except = Some(value),
                _ => {}
            }
            Some(())
        })?;
        let ordered = match key_order {
            None => true,
            Some(Value::Item(Item::Boolean(free))) => !free,
            Some(_) => return None,
        };
        let ignored = match (params, except) {
            (None | Some(Value::Item(Item::Boolean(false))), None) => Ignored::Only(Vec::new()),
            (Some(Value::List(names)), None) => Ignored::Only(names_of(&names)?),
            (Some(Value::Item(Item::Boolean(true))), None) => Ignored::AllBut(Vec::new()),
            (Some(Value::Item(Item::Boolean(true))), Some(Value::List(names))) => Ignored::AllBut(names_of(&names)?),
            _ => return None,
        };
        let variance = Variance { ordered, ignored };
        (variance != Variance { ordered: true, ignored: Ignored::Only(Vec::new()) }).then_some(variance)
    }

    /// What of a query matters, in a form that two queries share exactly if they are the same to this response.
    pub fn essence(&self, query: Option<&str>) -> Vec<u8> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut kept: Vec<(Text<'_>, Text<'_>)> = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name.as_bytes()), decoded(value.as_bytes())))
            .filter(|(name, _)| self.matters(name))
            .collect();
        if !self.ordered {
            kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        let mut essence = Vec::new();
        for part in kept.iter().flat_map(|(name, value)| [name, value]) {
            essence.extend_from_slice(&(part.len() as u64).to_le_bytes());
            essence.extend_from_slice(part);
        }
        essence
    }

    fn matters(&self, name: &[u8]) -> bool {
        let named = |names: &[Vec<u8>]| names.iter().any(|one| one == name);
        match &self.ignored {
            Ignored::Only(names) => !named(names),
            Ignored::AllBut(names) => named(names),
        }
    }
}

/// Names are strings, written as in a query.
fn names_of(items: &[Item<'_>]) -> Option<Vec<Vec<u8>>> {
    let name = |item: &Item<'_>| match item {
        Item::String(text) => Some(decoded(&unescaped(text)).into_owned()),
        _ => None,
    };
    items.iter().map(name).collect()
}

/// RFC 8941, 4.2.5.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    out
}

type Text<'a> = Cow<'a, [u8]>;

/// As forms are decoded: `+` is a space, and what is no escape stands for itself (URL Standard, 5.1).
fn decoded(text: &[u8]) -> Text<'_> {
    if !text.iter().any(|b| matches!(b, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            (byte, ..) => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}
