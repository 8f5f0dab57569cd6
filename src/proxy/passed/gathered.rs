//! Passed answers that may be stored as they go by: see [`engine::Gather`].
//!
//! What is stored of one is stored for whoever asks with the fields that the origin was sent: with these alone, and only where
//! there was nothing among them that no request of Larder's own would have had.

use crate::origin::forwarding;
use crate::proxy::lookup::Asked;
use crate::proxy::site::Handover;
use bytes::Bytes;
use engine::{Gather, Passing};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use semantics::cache_control::CacheControl;
use semantics::{Field, Forward, decision, personal};
use std::net::IpAddr;

/// What an origin is sent, if its answer may be stored.
pub(super) fn sent(request: &RequestHeader, handover: &Handover) -> Option<HeaderMap> {
    if !handover.route.policy.is_plain() || handover.probe.is_some() {
        return None;
    }
    let posted = request.method == Method::POST;
    let way = match request.method {
        Method::POST => Forward::Method,
        // What a route passes by, and what has content, was passed for that reason.
        Method::GET if request.headers.contains_key(header::RANGE) => Forward::Request,
        _ => return None,
    };
    let plain = request.headers.keys().all(|name| personal::is_passed_plainly(name.as_str(), posted));
    let plain = plain && says_nothing(&request.headers, handover) && handover.why == way;
    plain.then(|| request.headers.clone())
}

/// Whether there is nothing in it but what it has to say: what the way adds, and an order to store nothing (RFC 9111, 5.2.1.5).
fn says_nothing(headers: &HeaderMap, handover: &Handover) -> bool {
    let members = |name| headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let trusted = handover.site.trust.of(handover.peer.ip());
    let address = |member: &[u8]| std::str::from_utf8(member).is_ok_and(|one| one.trim().parse::<IpAddr>().is_ok());
    let range = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b',' | b' ');
    let ranges = headers.get(header::RANGE).map(|range| range.as_bytes().strip_prefix(b"bytes=").unwrap_or(b"?"));
    let lines = headers.get_all(header::CACHE_CONTROL).iter().map(HeaderValue::as_bytes);
    // Our own is among them.
    (trusted || members(header::VIA).count() <= 1)
        && members(HeaderName::from_static("x-forwarded-for")).all(address)
        && ranges.is_none_or(|ranges| ranges.iter().all(range))
        && !CacheControl::parse(lines).no_store
}

/// Begins to gather an answer that has just come, if it may be stored. `request`: as it came.
pub(super) fn begin(
    request: &RequestHeader,
    sent: &HeaderMap,
    response: &ResponseHeader,
    handover: &Handover,
) -> Option<Gather> {
    let (site, host) = (&handover.site, &handover.host);
    let fields: Vec<Field<'_>> = sent
        .iter()
        // A GET of the same URL has no content.
        .filter(|(name, _)| **name != header::CONTENT_LENGTH)
        .map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() })
        .collect();
    let (path, query) = (request.uri.path(), request.uri.query());
    let asked = Asked { scheme: handover.scheme, host: Some(host), path, query, fields: &fields };
    let passing = passing(request.method == Method::POST, sent, response, handover);
    let gather = site.with_visit(&asked, |visit| {
        let admitted = decision::admit(visit.request, visit.facts, &visit.route.policy).is_ok();
        admitted.then(|| site.engine.gather(visit, passing))?
    });
    let gather = gather.ok()??;
    let known = !site.hosts.sites.is_empty() || site.known_hosts.admit(host, site.engine.clock.now());
    known.then_some(gather)
}

fn passing(posted: bool, sent: &HeaderMap, response: &ResponseHeader, handover: &Handover) -> Passing {
    let chunked = response.headers.contains_key(header::TRANSFER_ENCODING);
    let length = response.headers.get(header::CONTENT_LENGTH).filter(|_| !chunked);
    let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
    let field = |name| sent.get(name).map(|value| value.as_bytes().to_vec());
    let mut fields = response.headers.clone();
    forwarding::strip_hop_by_hop(&mut fields);
    Passing {
        posted,
        range: field(header::RANGE).unwrap_or_default(),
        if_range: field(header::IF_RANGE),
        status: response.status,
        fields,
        length,
        close_delimited: response.version != Version::HTTP_2 && length.is_none() && !chunked,
        came: handover.came.clone(),
    }
}

/// The next piece of the body, as the origin sent it, and its end.
pub(super) fn piece(gather: &mut Option<Gather>, piece: Option<&Bytes>, end: bool) {
    let Some(gathering) = gather else { return };
    if let Some(piece) = piece {
        gathering.piece(piece);
    }
    if let Some(whole) = end.then(|| gather.take()).flatten() {
        whole.whole();
    }
}
