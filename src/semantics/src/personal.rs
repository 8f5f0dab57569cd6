//! Whose request is it? What a visitor sends beyond the key decides whether an answer to him may be anybody else's
//! (semantics 1-4).

use crate::key;
use crate::message::{Facts, Field, Request};
use crate::policy::Policy;

/// What of a request would not be on a canonical fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personal {
    /// Nothing that could matter: the canonical answer is his answer.
    No,
    /// A cookie, Authorization or a field that Larder does not know.
    Yes,
}

/// Judges a request on a route. `nominated` are the fields that Vary is known to name: they are keyed, so not personal.
pub fn judge(request: &Request<'_>, facts: &Facts<'_>, policy: &Policy, nominated: &[String]) -> Personal {
    // All of it is on the fill.
    if policy.is_plain() {
        return Personal::No;
    }
    if facts.cookie && personal_cookie(request, policy) {
        return Personal::Yes;
    }
    let unknown = |f: &Field<'_>| !is_known(f.name, policy) && !nominated.iter().any(|n| f.is(n));
    if request.fields.iter().any(unknown) { Personal::Yes } else { Personal::No }
}

fn personal_cookie(request: &Request<'_>, policy: &Policy) -> bool {
    request.cookies().any(|(name, _)| {
        !policy.ignore_cookies.iter().any(|p| p.matches(name))
            && !policy.key_cookies.iter().any(|k| k.as_bytes() == name)
    })
}

fn is_known(name: &str, policy: &Policy) -> bool {
    name.eq_ignore_ascii_case("cookie")
        || policy.keys_header(name)
        || policy.forward_headers.iter().any(|f| f.eq_ignore_ascii_case(name))
        || key::GROUP.iter().any(|g| g.eq_ignore_ascii_case(name))
        || is_visitors_own(name)
        || is_connection_level(name)
        || is_added_by_proxies(name)
        || is_framework_internal(name)
}

/// Harmless fields that the very first fetch of a key carries, because its answer may turn out to be the visitor's
/// alone (semantics 3): what a browser says of itself.
pub fn is_visitors_own(name: &str) -> bool {
    const OWN: [&str; 17] = [
        "user-agent",
        "accept",
        "accept-language",
        "accept-charset",
        "referer",
        "dnt",
        "priority",
        "upgrade-insecure-requests",
        "save-data",
        "device-memory",
        "dpr",
        "viewport-width",
        "width",
        "downlink",
        "ect",
        "rtt",
        "purpose",
    ];
    OWN.iter().any(|o| o.eq_ignore_ascii_case(name)) || has_prefix(name, "sec-")
}

/// Fields that say how the message travels, not who asks.
fn is_connection_level(name: &str) -> bool {
    const LEVEL: [&str; 19] = [
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "accept-encoding",
        "cache-control",
        "pragma",
        "range",
        "content-length",
        "content-type",
        "expect",
        "max-forwards",
        "proxy-connection",
        "proxy-authorization",
        "date",
        "upgrade",
        "x-purpose",
        // What Next.js' router says of the build that it is of; nobody reads it.
        "x-deployment-id",
    ];
    LEVEL.iter().any(|l| l.eq_ignore_ascii_case(name)) || has_prefix(name, "if-")
}

/// What load balancers and CDNs in front of Larder add to every request.
pub fn is_added_by_proxies(name: &str) -> bool {
    const ADDED: [&str; 17] = [
        "forwarded",
        "via",
        "x-real-ip",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "cdn-loop",
        "x-request-id",
        "x-correlation-id",
        "x-trace-id",
        "traceparent",
        "tracestate",
        "x-cloud-trace-context",
        "x-original-forwarded-for",
        "x-varnish",
        "x-azure-ref",
        "x-request-start",
    ];
    ADDED.iter().any(|a| a.eq_ignore_ascii_case(name))
        || ["x-forwarded-", "cf-", "fastly-", "x-amzn-", "x-amz-cf-", "x-b3-"].iter().any(|p| has_prefix(name, p))
}

/// Fields that no fill takes from a visitor, even where Vary nominates them: how his message travelled, what is said of
/// the way by which it came, and what is not for visitors to say.
pub fn is_never_on_a_fill(name: &str) -> bool {
    is_connection_level(name)
        || is_framework_internal(name)
        || has_prefix(name, "x-forwarded-")
        || name.eq_ignore_ascii_case("forwarded")
        || name.eq_ignore_ascii_case("via")
}

/// Whether a plain cache's own requests have a visitor's field (RFC 9110, 7.6; RFC 9111, 4.3.1): but for what is about his
/// connection, his conditions and the part that he wants, and what is not for visitors to say.
pub fn is_forwarded_plainly(name: &str) -> bool {
    if name.contains('_') {
        // Many servers take an underscore for a hyphen.
        return is_forwarded_plainly(&name.replace('_', "-"));
    }
    let for_caches = name.eq_ignore_ascii_case("cache-control") || name.eq_ignore_ascii_case("pragma");
    for_caches || !is_never_on_a_fill(name)
}

/// Whether a passed request with this field could still be one of a plain cache's own, but for its range and its content: what
/// else colours an answer must not colour what others get.
pub fn is_passed_plainly(name: &str, posted: bool) -> bool {
    const OF_THE_WAY: [&str; 12] = [
        "host",
        "accept-encoding",
        "range",
        "if-range",
        "content-length",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        // What ingresses add of themselves.
        "x-forwarded-scheme",
        "x-forwarded-server",
    ];
    let of_the_way = OF_THE_WAY.iter().any(|one| one.eq_ignore_ascii_case(name));
    of_the_way || is_forwarded_plainly(name) || (posted && name.eq_ignore_ascii_case("content-type"))
}

/// Fields by which frameworks talk to themselves. They never come from outside (semantics 52): removed on both roads.
pub fn is_framework_internal(name: &str) -> bool {
    const INTERNAL: [&str; 14] = [
        "x-now-route-matches",
        "x-matched-path",
        "x-prerender-revalidate",
        "x-prerender-revalidate-if-generated",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-nextjs-cache",
        "x-next-revalidated-tags",
        "x-next-revalidate-tag-token",
        "x-next-resume",
        "x-vercel-id",
    ];
    INTERNAL.iter().any(|i| i.eq_ignore_ascii_case(name))
        || ["x-middleware-", "x-invoke-"].iter().any(|p| has_prefix(name, p))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
}
