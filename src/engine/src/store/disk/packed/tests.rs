#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::invalidate::{Checked, Tags};
use crate::store::Coded;
use crate::store::{Audience, Body, Head, HeadBuilder, Regeneration, Written};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use semantics::{Policy, Windows};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn head(length: u64) -> Head {
    let mut fields = HeaderMap::new();
    fields.insert("content-type", HeaderValue::from_static("text/html"));
    fields.insert("cache-tag", HeaderValue::from_static("blog"));
    let policy = Policy::header_driven();
    let date = HeaderValue::from_static("Tue, 14 Nov 2023 22:13:20 GMT");
    let length = Some(length);
    HeadBuilder {
        status: StatusCode::OK,
        fields: &fields,
        policy: &policy,
        audience: Audience::Store,
        length,
        etag: None,
        date,
    }
    .build()
}

fn page(body: Bytes) -> StoredResponse {
    StoredResponse {
        key: b"a key".as_slice().into(),
        head: head(body.len() as u64),
        body: Body::Held(body),
        windows: Windows {
            generated: NOW,
            age_at_generation: Duration::from_secs(7),
            fresh_until: NOW.after(Duration::from_secs(60)),
            stale_until: NOW.after(Duration::from_secs(600)),
            error_until: Timestamp::NEVER,
        },
        fetched_at: NOW,
        checked: Checked::new(3),
        written: Written::default(),
        route: "post".into(),
        tags: Tags::new(&["blog".to_owned()]),
        rendered_in_ms: 80,
        variant: [("accept-language".to_owned(), Some(b"de".to_vec())), ("b".to_owned(), None)].into(),
        regeneration: Regeneration::default(),
        pinned: true,
        history: 1,
        coded: Coded::default(),
    }
}

fn pack(page: StoredResponse) -> Vec<u8> {
    let page = Arc::new(page);
    let mut packing = Packing::begin(&page);
    // As they come from a file.
    page.body.held().unwrap().chunks(4 * BLOCK).for_each(|piece| packing.body(piece));
    packing.end()
}

#[test]
fn what_is_packed_is_unpacked() {
    for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 5] {
        let body: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let there = page(body.into());
        let back = unpack(&pack(page(there.body.held().unwrap().clone())), NOW).unwrap();
        assert_eq!(back.body.held(), there.body.held());
        assert_eq!((&back.key, back.windows, back.fetched_at), (&there.key, there.windows, there.fetched_at));
        assert_eq!((back.head.wire(), back.head.origin_fields()), (there.head.wire(), there.head.origin_fields()));
        assert_eq!((&back.route, &back.tags, &back.variant), (&there.route, &there.tags, &there.variant));
        assert!(back.pinned);
    }
}

#[test]
fn nothing_that_is_cut_off_or_flipped_is_given_out() {
    let whole = pack(page("the body".into()));
    for length in 0..whole.len() {
        assert!(unpack(&whole[..length], NOW).is_err(), "{length} bytes");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(unpack(&flipped, NOW).is_err(), "bit {bit}");
    }
    assert!(unpack(&[whole, b"x".to_vec()].concat(), NOW).is_err());
}

#[test]
fn a_clock_that_was_ahead_makes_no_page_younger() {
    let hour = Duration::from_secs(3600);
    let mut ahead = page("the body".into());
    ahead.windows = Windows {
        generated: NOW.after(hour),
        fresh_until: NOW.after(hour * 2),
        stale_until: NOW.after(hour * 3),
        ..ahead.windows
    };
    ahead.fetched_at = NOW.after(hour);
    let back = unpack(&pack(ahead), NOW).unwrap();
    assert_eq!((back.windows.generated, back.windows.fresh_until), (NOW, NOW));
    assert_eq!((back.windows.stale_until, back.fetched_at), (NOW.after(hour * 2), NOW));
}

#[test]
fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let packed = |wire: &'static str, hidden: &'static str| {
        let fields = u32::try_from(wire.find('\n').map_or(0, |end| end + 1)).unwrap();
        let (wire, hidden) = (Bytes::from_static(wire.as_bytes()), hidden.as_bytes().into());
        let head = Head::from_parts(StatusCode::OK, wire, fields, fields, hidden).unwrap();
        unpack(&pack(StoredResponse { head, ..page("body".into()) }), NOW)
    };
    assert!(packed("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx: \r\n", "y: 1\r\n").is_ok());
    for (wire, hidden) in [
        ("HTTP/1.1 404 Not Found\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n", ""),
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n", ""),
        ("HTTP/1.1 200 OK\r\nx: 1\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nx: 1", ""),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n", ""),
        ("HTTP/1.1 200 OK\r\nx : 1\r\n", ""),
        ("HTTP/1.1 200 OK\r\nx: a\rb\r\n", ""),
        ("HTTP/1.1 200 OK\r\nx\r\n", ""),
        ("HTTP/1.1 200 O\0K\r\nx: 1\r\n", ""),
        ("HTTP/1.1 200 OK\r\nx: 1\r\n", "y: 1"),
        ("HTTP/1.1 200 OK\r\nx: 1\ny: 2\r\n", ""),
        ("", ""),
    ] {
        assert!(packed(wire, hidden).is_err(), "{wire:?} {hidden:?}");
    }
}
