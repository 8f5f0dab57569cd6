//! What of a passed request the origin sees, and what of its answer the client.

use super::cache_status;
use crate::origin::forwarding;
use crate::origin::{Server, Upstream};
use crate::proxy::site::Handover;
use engine::store::HIDDEN;
use http::{HeaderName, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType};
use semantics::personal;

/// Makes a visitor's request the one that this server is to see (semantics 52).
pub(in crate::proxy) fn address(
    request: &mut RequestHeader,
    handover: &Handover,
    upstream: &Upstream,
    server: Option<&Server>,
) -> pingora::Result<()> {
    let peer = handover.peer.ip();
    if request.headers.get_all(header::VIA).iter().any(|v| handover.site.identity.is_in(v.as_bytes())) {
        return Error::e_explain(ErrorType::HTTPStatus(508), "the request came through this Larder before");
    }
    cleanse(request, handover.site.trust.of(peer));
    let host = |s: &Server| forwarding::host_header(&upstream.settings.host, &handover.host, &s.settings);
    if let Some(host) = server.and_then(host) {
        request.insert_header(header::HOST, host)?;
    }
    for (name, value) in forwarding::forwarded(&handover.host, handover.scheme) {
        if let Some(value) = value {
            request.insert_header(name, value)?;
        }
    }
    request.append_header(HeaderName::from_static("x-forwarded-for"), peer.to_string())?;
    request.append_header(header::VIA, handover.site.identity.via().clone())?;
    Ok(())
}

/// What we add to an answer of the origin's, and what of it is not for visitors.
pub(in crate::proxy) fn dress(response: &mut ResponseHeader, handover: &Handover) -> pingora::Result<()> {
    let mut value = Vec::with_capacity(48);
    cache_status(handover).write(&mut value);
    response.append_header(HeaderName::from_static("cache-status"), value.as_slice())?;
    // All but what says how fresh the application's own cache was: here it is the application that answers.
    for name in HIDDEN.iter().filter(|n| **n != "x-nextjs-cache") {
        response.remove_header(*name);
    }
    for (name, value) in &handover.route.policy.response_headers {
        response.insert_header(name.clone(), value.as_str())?;
    }
    Ok(())
}

/// Removes what belongs to the origin's connection.
pub(super) fn strip(response: &mut ResponseHeader) {
    for name in forwarding::of_the_connection(&response.headers) {
        response.remove_header(&name);
    }
}

/// Of an answer that ends with its head (RFC 9110, 8.6; RFC 9112, 6.1).
pub(super) fn unframe(response: &mut ResponseHeader) {
    response.remove_header(&header::CONTENT_LENGTH);
    response.remove_header(&header::TRANSFER_ENCODING);
}

/// Removes what only frameworks may say, and what only trusted proxies may (semantics 52).
fn cleanse(request: &mut RequestHeader, trusted: bool) {
    let names: Vec<HeaderName> = request.headers.keys().cloned().collect();
    for name in names {
        // Many servers take an underscore for a hyphen.
        let meant = name.as_str().replace('_', "-");
        let forwarding = meant == "forwarded" || meant.starts_with("x-forwarded-") || meant == "x-real-ip";
        if personal::is_framework_internal(&meant) || (forwarding && !trusted) {
            request.remove_header(&name);
        }
    }
}
