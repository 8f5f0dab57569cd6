//! What is stored in these tests: keys, and versions of what stands at them that can be told apart.

use super::rng::Rng;
use super::{HELD, Life, hash_of};
use crate::invalidate::{Checked, Tags};
use crate::store::Coded;
use crate::store::disk::format::BLOCK;
use crate::store::{Audience, Body, HeadBuilder, KeyHash, Regeneration, Slot, StoredResponse, VarySpec, Written};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use semantics::policy::Revalidate;
use semantics::{Policy, Timestamp, Windows, key};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

pub(super) struct Key {
    pub(super) bytes: Vec<u8>,
    pub(super) variant: bool,
    nominated: Vec<(String, Option<Vec<u8>>)>,
    /// What stands there is a vary specification.
    varies: bool,
    history: u16,
}

impl Key {
    pub(super) fn hash(&self) -> KeyHash {
        hash_of(&self.bytes)
    }
}

fn primary(deployment: &str, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [deployment, "https", "example.com", path] {
        out.push(u8::try_from(part.len()).unwrap());
        out.extend_from_slice(part.as_bytes());
    }
    out.push(0);
    out
}

pub(super) fn page(deployment: &str, path: &str, history: u16) -> Key {
    let bytes = primary(deployment, path);
    Key { bytes, variant: false, nominated: Vec::new(), varies: false, history }
}

/// Pages of two deployments, some of which keep versions, and a URL that varies, with two variants.
pub(super) fn keys() -> Vec<Key> {
    let mut all: Vec<Key> = (0..8).map(|n| page("one", &format!("/{n}"), if n < 4 { 3 } else { 1 })).collect();
    all.extend((0..2).map(|n| page("two", &format!("/{n}"), 1)));
    let varies = Key { varies: true, ..page("one", "/varies", 1) };
    for value in [Some(b"de".to_vec()), None] {
        let nominated = vec![("accept-language".to_owned(), value)];
        let mut bytes = Vec::new();
        key::write_variant(&mut bytes, &varies.bytes, &nominated);
        all.push(Key { bytes, variant: true, nominated, varies: false, history: 1 });
    }
    all.push(varies);
    all
}

fn length(chance: &mut Rng) -> usize {
    match chance.below(20) {
        0 => 0,
        1..=14 => 1 + chance.index(3000),
        15 => BLOCK,
        16 => BLOCK + chance.index(HELD - BLOCK),
        17 => HELD,
        18 => HELD + 1,
        _ => 2 * BLOCK + chance.index(150_000),
    }
}

pub(super) fn bytes(length: usize, chance: &mut Rng) -> Bytes {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&chance.draw().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// One version of what stands at a key, as it was stored.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) slot: Slot,
    /// Its body's bytes, wherever they lie.
    pub(super) body: Bytes,
}

/// A new version, with a number that no other has.
pub(super) fn version(key: &Key, number: u64, chance: &mut Rng) -> Stored {
    let length = length(chance);
    version_of(key, number, bytes(length, chance), chance)
}

pub(super) fn version_of(key: &Key, number: u64, body: Bytes, chance: &mut Rng) -> Stored {
    if key.varies {
        let spec = VarySpec::new(key.bytes.as_slice().into(), vec![format!("x-{number}")], number);
        spec.variants.lock().extend((0..chance.below(64)).map(|_| u128::from(chance.draw())));
        return Stored { slot: Slot::Varies(Arc::new(spec)), body: Bytes::new() };
    }
    Stored { slot: response(key, number, Body::Held(body.clone()), chance), body }
}

/// The same body with another head, as a validation brings it; `None`: there is none in memory.
pub(super) fn validated(life: &Life, key: &Key, number: u64, last: &Stored, chance: &mut Rng) -> Option<Stored> {
    let there = life.memory.peek_response(key.hash())?;
    let same = last.body.len() as u64 == there.body.len() && there.body.is(&last.body);
    same.then(|| Stored { slot: response(key, number, there.body.clone(), chance), body: last.body.clone() })
}

fn response(key: &Key, number: u64, body: Body, chance: &mut Rng) -> Slot {
    let policy = Policy::isr(Revalidate::Every(Duration::from_secs(10)));
    let mut fields = HeaderMap::new();
    fields.insert("x-version", HeaderValue::from(number));
    fields.insert("cache-tag", HeaderValue::from(number));
    let head = HeadBuilder {
        status: StatusCode::OK,
        fields: &fields,
        policy: &policy,
        audience: Audience::Store,
        length: Some(body.len()),
        etag: None,
        date: HeaderValue::from_static("Sun, 09 Sep 2001 01:46:40 GMT"),
    };
    let at = |chance: &mut Rng| Timestamp::from_micros(chance.below(1 << 49));
    let generated = Timestamp::from_secs(900_000_000).after(Duration::from_secs(number));
    let windows = Windows {
        generated,
        age_at_generation: Duration::from_micros(chance.below(1000)),
        fresh_until: at(chance),
        stale_until: at(chance),
        error_until: at(chance),
    };
    let tags: Vec<String> = (0..chance.below(4)).map(|n| format!("tag-{n}-{number}")).collect();
    Slot::Response(Arc::new(StoredResponse {
        key: key.bytes.as_slice().into(),
        head: head.build(),
        body,
        windows,
        fetched_at: generated,
        checked: Checked::new(number),
        written: Written::since(at(chance)),
        route: format!("route-{number}").into(),
        tags: Tags::new(&tags),
        rendered_in_ms: u32::try_from(number).unwrap(),
        variant: key.nominated.clone().into_boxed_slice(),
        regeneration: Regeneration::default(),
        pinned: false,
        history: key.history,
        coded: Coded::default(),
    }))
}

/// The number of a version; `None`: it has none.
pub(super) fn number(slot: &Slot) -> Option<u64> {
    match slot {
        Slot::Response(response) => std::str::from_utf8(response.head.field("x-version")?).ok()?.parse().ok(),
        Slot::Varies(spec) => spec.names.first()?.strip_prefix("x-")?.parse().ok(),
    }
}

/// Whether what was found is wholly this version; says in what it is another.
pub(super) fn compare(life: &Life, found: &Slot, stored: &Stored, runtime: &Runtime) -> Result<(), String> {
    let same = match (found, &stored.slot) {
        (Slot::Response(found), Slot::Response(stored)) => same_heads(found, stored),
        (Slot::Varies(found), Slot::Varies(stored)) => {
            let variants = found.variants.lock().clone();
            let lists = variants == *stored.variants.lock();
            lists && found.key == stored.key && found.names == stored.names && found.began == stored.began
        }
        _ => false,
    };
    if !same {
        return Err("another head".to_owned());
    }
    let Slot::Response(response) = found else { return Ok(()) };
    let body = match &response.body {
        Body::Held(held) => held.to_vec(),
        Body::Filed(filed) => life.read(response, *filed, runtime)?,
    };
    if body == stored.body { Ok(()) } else { Err("another body".to_owned()) }
}

fn same_heads(one: &StoredResponse, other: &StoredResponse) -> bool {
    one.key == other.key
        && one.head.parts() == other.head.parts()
        && one.head.status() == other.head.status()
        && one.windows == other.windows
        && one.fetched_at == other.fetched_at
        && one.checked.began() == other.checked.began()
        && one.written.at() == other.written.at()
        && one.route == other.route
        && one.tags.joined() == other.tags.joined()
        && one.rendered_in_ms == other.rendered_in_ms
        && one.variant == other.variant
        && one.body.len() == other.body.len()
        && one.body.digest() == other.body.digest()
}
