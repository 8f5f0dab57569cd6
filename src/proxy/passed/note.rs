//! What the access log says of a passed request.

use crate::access::Line;
use crate::proxy::site::{Handover, Site};
use http::{HeaderValue, Version};
use pingora::proxy::Session;
use semantics::{Outcome, Timestamp};

/// The request is as it came in: what an origin may not see is taken out of a copy.
pub(super) fn line<'s>(
    site: &Site,
    session: &'s Session,
    handover: &'s Handover,
    (status, cache): (u16, Outcome),
    now: Timestamp,
) -> Line<'s> {
    let head = session.req_header();
    let field = |name: &str| head.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let forwarded_for = head.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    Line {
        time: now,
        remote: site.trust.client(handover.peer.ip(), forwarded_for),
        method: head.method.as_str().as_bytes(),
        host: field("host"),
        path: head.raw_path(),
        query: None,
        proto: if head.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
        status,
        bytes: session.body_bytes_sent() as u64,
        took: now.since(handover.started),
        cache,
        route: &handover.route.name,
        user_agent: field("user-agent"),
        referer: field("referer"),
    }
}
