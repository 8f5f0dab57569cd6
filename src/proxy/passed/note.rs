//! What the access log says of a passed request.

use crate::access::{Line, protocol};
use crate::proxy::site::Handover;
use http::HeaderValue;
use pingora::http::RequestHeader;
use semantics::{Outcome, Timestamp};

/// The request is as it came in: what an origin may not see is taken out of a copy. `bytes`: of the body that he was sent.
pub(in crate::proxy) fn line<'r>(
    handover: &'r Handover,
    head: &'r RequestHeader,
    (status, bytes, cache): (u16, u64, Outcome),
    now: Timestamp,
) -> Line<'r> {
    let field = |name: &str| head.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let forwarded_for = head.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    Line {
        time: now,
        remote: handover.site.trust.client(handover.peer.ip(), forwarded_for),
        method: head.method.as_str().as_bytes(),
        host: field("host"),
        path: head.raw_path(),
        query: None,
        proto: protocol(head.version),
        status,
        bytes,
        took: now.since(handover.started),
        cache,
        route: &handover.route.name,
        user_agent: field("user-agent"),
        referer: field("referer"),
    }
}
