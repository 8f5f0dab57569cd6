//! What every request to an origin carries besides the visitor's or the key's own fields, and what no answer brings
//! back: hop-by-hop hygiene in one place for both roads (RFC 9110, 7.6; semantics 52).

use super::{HostHeader, ServerSettings};
use http::{HeaderMap, HeaderName, HeaderValue};
use semantics::Scheme;

/// This process towards others, in Via: a request that carries our own id has come round in a loop.
#[derive(Clone, Debug)]
pub struct Identity {
    via: HeaderValue,
    pseudonym: String,
}

impl Identity {
    pub fn new(seed: u64) -> Self {
        let pseudonym = format!("larder-{seed:016x}");
        let via = HeaderValue::try_from(format!("1.1 {pseudonym}"))
            .unwrap_or_else(|_| HeaderValue::from_static("1.1 larder"));
        Identity { via, pseudonym }
    }

    pub fn via(&self) -> &HeaderValue {
        &self.via
    }

    /// Whether this Via line names us.
    pub fn is_in(&self, via: &[u8]) -> bool {
        memchr::memmem::find(via, self.pseudonym.as_bytes()).is_some()
    }
}

/// The Host field for a server.
pub fn host_header(rule: &HostHeader, client_host: &str, server: &ServerSettings) -> Option<HeaderValue> {
    let host = match rule {
        HostHeader::Preserve => client_host.to_owned(),
        HostHeader::Origin => server.authority(),
        HostHeader::Literal(host) => host.clone(),
    };
    HeaderValue::try_from(host).ok()
}

/// X-Forwarded-Host, -Proto and -Port for a site.
pub fn forwarded(host: &str, scheme: Scheme) -> [(HeaderName, Option<HeaderValue>); 3] {
    let port = match host.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => port.to_owned(),
        _ => scheme.default_port().to_string(),
    };
    [
        (HeaderName::from_static("x-forwarded-host"), HeaderValue::try_from(host).ok()),
        (HeaderName::from_static("x-forwarded-proto"), Some(HeaderValue::from_static(scheme.as_str()))),
        (HeaderName::from_static("x-forwarded-port"), HeaderValue::try_from(port).ok()),
    ]
}

/// Removes what belongs to one connection, and what Connection nominates (RFC 9110, 7.6.1).
pub fn strip_hop_by_hop(fields: &mut HeaderMap) {
    for name in nominated(fields).into_iter().chain(HOP_BY_HOP.map(HeaderName::from_static)) {
        fields.remove(name);
    }
}

/// What of an answer belongs to the connection to its origin, but for what tells where it ends: that is pingora's to see.
pub fn of_the_connection(fields: &HeaderMap) -> Vec<HeaderName> {
    let known = HOP_BY_HOP.map(HeaderName::from_static).into_iter();
    nominated(fields).into_iter().chain(known).filter(|name| *name != http::header::TRANSFER_ENCODING).collect()
}

fn nominated(fields: &HeaderMap) -> Vec<HeaderName> {
    fields
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|option| option.trim().parse().ok())
        .filter(|name: &HeaderName| !PROTECTED.contains(&name.as_str()))
        .collect()
}

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authentication-info",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// No origin may have these removed by nominating them: what is stored would change its meaning.
const PROTECTED: [&str; 6] = ["cache-control", "content-type", "content-encoding", "vary", "set-cookie", "age"];

/// Whether an answer is in one transfer coding that nobody has ever registered. It ends with its connection, whatever length
/// it has beside it (RFC 9112, 6.3), and what cannot be undone is taken for nothing (our choice; `profile: rfc9111`).
pub fn is_in_unknown_coding(fields: &HeaderMap) -> bool {
    const REGISTERED: [&str; 6] = ["chunked", "compress", "deflate", "gzip", "x-compress", "x-gzip"];
    let mut codings = fields.get_all(http::header::TRANSFER_ENCODING).iter();
    let (Some(coding), None) = (codings.next().and_then(|coding| coding.to_str().ok()), codings.next()) else {
        return false;
    };
    let token = !coding.is_empty() && coding.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let known = REGISTERED.iter().any(|known| coding.eq_ignore_ascii_case(known));
    token && !known
}

/// Whether an answer's end can be told: no Transfer-Encoding, or exactly `chunked` (RFC 9112, 6.3). Of anything else
/// pingora would take the end of the connection for the end of the body.
pub fn is_framed_plainly(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(http::header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(one), None) => one.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
