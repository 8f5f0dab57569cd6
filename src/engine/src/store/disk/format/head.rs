//! The head of a file: what is known of a stored response beside its body, in this order.

use super::Preamble;
use crate::codec::{Reader, Write};
use crate::invalidate::{Checked, Tags};
use crate::store::Coded;
use crate::store::{Body, Filed, Head, Regeneration, Slot, StoredResponse, VarySpec, Written};
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use semantics::{Timestamp, Windows};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub(super) fn write_response(out: &mut Vec<u8>, response: &StoredResponse) {
    out.bytes(&response.key);
    out.u16(response.head.status().as_u16());
    let (wire, fields_from, own_from, hidden) = response.head.parts();
    out.u32(fields_from);
    out.u32(own_from);
    out.bytes(wire);
    out.bytes(hidden);
    let windows = &response.windows;
    for at in [windows.generated, windows.fresh_until, windows.stale_until, windows.error_until, response.fetched_at] {
        out.u64(at.as_micros());
    }
    out.u64(u64::try_from(windows.age_at_generation.as_micros()).unwrap_or(u64::MAX));
    out.u64(response.checked.began());
    out.u64(response.checked.seen());
    out.u64(response.written.at().as_micros());
    out.u32(response.rendered_in_ms);
    out.bytes(response.route.as_bytes());
    out.bytes(response.tags.joined().as_bytes());
    out.u32(u32::try_from(response.variant.len()).unwrap_or(u32::MAX));
    for (name, value) in &response.variant {
        out.bytes(name.as_bytes());
        out.push(u8::from(value.is_some()));
        out.bytes(value.as_deref().unwrap_or_default());
    }
    out.u128(response.body.digest());
}

pub(super) fn read_response(head: &[u8], preamble: &Preamble, swept: u64) -> Option<Slot> {
    let mut reader = Reader::new(head);
    let key = reader.bytes()?.into();
    let status = StatusCode::from_u16(reader.u16()?).ok()?;
    let (fields_from, own_from) = (reader.u32()?, reader.u32()?);
    let wire = Bytes::copy_from_slice(reader.bytes()?);
    let head = Head::from_parts(status, wire, fields_from, own_from, reader.bytes()?.into())?;
    let mut time = || reader.u64().map(Timestamp::from_micros);
    let (generated, fresh_until, stale_until, error_until) = (time()?, time()?, time()?, time()?);
    let fetched_at = time()?;
    let age_at_generation = Duration::from_micros(reader.u64()?);
    let (began, seen) = (reader.u64()?, reader.u64()?);
    let written = Written::since(Timestamp::from_micros(reader.u64()?));
    let rendered_in_ms = reader.u32()?;
    let route: Arc<str> = Arc::from(reader.text()?);
    let tags = Tags::from_joined(reader.text()?.into());
    let mut variant = Vec::with_capacity(reader.clone().count()?.min(64));
    for _ in 0..reader.count()? {
        let name = reader.text()?.to_owned();
        let there = reader.u8()? == 1;
        let value = reader.bytes()?;
        variant.push((name, there.then(|| value.to_vec())));
    }
    let digest = reader.u128()?;
    reader.end()?;
    Some(Slot::Response(Arc::new(StoredResponse {
        key,
        head,
        body: Body::Filed(Filed { id: preamble.id, length: preamble.body, digest }),
        windows: Windows { generated, age_at_generation, fresh_until, stale_until, error_until },
        fetched_at,
        checked: Checked::restored(began, seen, swept),
        written,
        route,
        tags,
        rendered_in_ms,
        variant: variant.into_boxed_slice(),
        regeneration: Regeneration::default(),
        pinned: preamble.pinned,
        history: 1,
        coded: Coded::default(),
    })))
}

pub(super) fn write_varies(out: &mut Vec<u8>, spec: &VarySpec) {
    out.bytes(&spec.key);
    out.u64(spec.began);
    out.u64(spec.written.at().as_micros());
    out.u32(u32::try_from(spec.names.len()).unwrap_or(u32::MAX));
    spec.names.iter().for_each(|name| out.bytes(name.as_bytes()));
    let variants = spec.variants.lock();
    out.u32(u32::try_from(variants.len()).unwrap_or(u32::MAX));
    variants.iter().for_each(|hash| out.u128(*hash));
}

pub(super) fn read_varies(head: &[u8]) -> Option<Slot> {
    let mut reader = Reader::new(head);
    let key = reader.bytes()?.into();
    let began = reader.u64()?;
    let written = Written::since(Timestamp::from_micros(reader.u64()?));
    let names = (0..reader.count()?).map(|_| reader.text().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
    let variants = (0..reader.count()?).map(|_| reader.u128()).collect::<Option<_>>()?;
    let spec = VarySpec { key, names, variants: Mutex::new(variants), began, written, known: AtomicBool::new(false) };
    reader.end()?;
    Some(Slot::Varies(Arc::new(spec)))
}
