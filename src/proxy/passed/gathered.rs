//! Passed answers that may be stored as they go by: see [`engine::Gather`].
//!
//! What is stored of one is stored for whoever asks with the fields that the origin was sent: with these alone, and only where
//! there was nothing among them that no request of Larder's own would have had.

use crate::origin::forwarding;
use crate::proxy::lookup::Asked;
use crate::proxy::site::Handover;
use bytes::Bytes;
use engine::{Gather, Passing};
use http::{HeaderMap, HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use semantics::{Field, Forward, decision, personal};

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
    (plain && handover.why == way).then(|| request.headers.clone())
}

/// Begins to gather an answer that has just come, if it may be stored. `request`: as it came.
pub(super) fn begin(
    request: &RequestHeader,
    sent: &HeaderMap,
    response: &ResponseHeader,
    handover: &Handover,
) -> Option<Gather> {
    let (site, host) = (&handover.site, &handover.host);
    if site.hosts.sites.is_empty() && !site.known_hosts.admit(host, site.engine.clock.now()) {
        return None;
    }
    let fields: Vec<Field<'_>> = sent
        .iter()
        // A GET of the same URL has no content.
        .filter(|(name, _)| **name != header::CONTENT_LENGTH && **name != header::TRANSFER_ENCODING)
        .map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() })
        .collect();
    let (path, query) = (request.uri.path(), request.uri.query());
    let asked = Asked { scheme: handover.scheme, host: Some(host), path, query, fields: &fields };
    let passing = passing(request.method == Method::POST, sent.get(header::RANGE), response, handover);
    let gather = site.with_visit(&asked, |visit| {
        let admitted = decision::admit(visit.request, visit.facts, &visit.route.policy).is_ok();
        admitted.then(|| site.engine.gather(visit, passing))?
    });
    gather.ok()?
}

fn passing(posted: bool, range: Option<&HeaderValue>, response: &ResponseHeader, handover: &Handover) -> Passing {
    let chunked = response.headers.contains_key(header::TRANSFER_ENCODING);
    let length = response.headers.get(header::CONTENT_LENGTH).filter(|_| !chunked);
    let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
    let mut fields = response.headers.clone();
    forwarding::strip_hop_by_hop(&mut fields);
    Passing {
        posted,
        range: range.map(|range| range.as_bytes().to_vec()).unwrap_or_default(),
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
