//! Passed answers that may be stored as they go by: see [`engine::Gather`].

use crate::origin::forwarding;
use crate::proxy::lookup::Asked;
use crate::proxy::site::Handover;
use bytes::Bytes;
use engine::{Gather, Passing};
use http::{Method, Version, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use semantics::{Field, Forward, decision};

/// Begins to gather an answer that has just come, if it may be stored.
pub(super) fn begin(session: &Session, response: &ResponseHeader, handover: &Handover) -> Option<Gather> {
    let request = session.req_header();
    let posted = request.method == Method::POST && handover.why == Forward::Method;
    // What a route passes by, and what has content, was passed for that reason.
    let ranged = request.method == Method::GET && handover.why == Forward::Request;
    let part = ranged && request.headers.contains_key(header::RANGE);
    if !handover.route.policy.is_plain() || !(posted || part) || handover.probe.is_some() {
        return None;
    }
    let (site, host) = (&handover.site, &handover.host);
    let now = site.engine.clock.now();
    if site.hosts.sites.is_empty() && !site.known_hosts.admit(host, now) {
        return None;
    }
    let fields: Vec<Field<'_>> = request
        .headers
        .iter()
        // A GET of the same URL has no content.
        .filter(|(name, _)| **name != header::CONTENT_LENGTH && **name != header::TRANSFER_ENCODING)
        .map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() })
        .collect();
    let (path, query) = (request.uri.path(), request.uri.query());
    let asked = Asked { scheme: handover.scheme, host: Some(host), path, query, fields: &fields };
    let passing = passing(posted, response, handover, now);
    let gather = site.with_visit(&asked, |visit| {
        let admitted = decision::admit(visit.request, visit.facts, &visit.route.policy).is_ok();
        admitted.then(|| site.engine.gather(visit, passing))?
    });
    gather.ok()?
}

fn passing(posted: bool, response: &ResponseHeader, handover: &Handover, now: semantics::Timestamp) -> Passing {
    let lengthy = response.headers.contains_key(header::TRANSFER_ENCODING);
    let length = response.headers.get(header::CONTENT_LENGTH).filter(|_| !lengthy);
    let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
    let mut fields = response.headers.clone();
    forwarding::strip_hop_by_hop(&mut fields);
    Passing {
        posted,
        status: response.status,
        fields,
        length,
        close_delimited: response.version != Version::HTTP_2 && length.is_none() && !lengthy,
        began: handover.epoch,
        // A POST has just outdated what was there before, and its own answer comes behind that.
        requested: if posted { now } else { handover.started },
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
