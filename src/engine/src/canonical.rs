//! The GET that Larder sends for a key: built from the key's parts, so that no visitor can colour what others get (semantics 1-3).

use crate::Visit;
use crate::origin::{Kind, OriginRequest};
use crate::store::StoredResponse;
use http::{HeaderName, HeaderValue, header};
use semantics::{key, personal};

/// How much of the visitor goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carry {
    /// Nothing but what the key names.
    KeyOnly,
    /// What his browser says of itself: on the first fetch of a key without a verdict (semantics 3).
    BrowserFields,
}

const USER_AGENT: &str = concat!("Larder/", env!("CARGO_PKG_VERSION"));

/// The canonical request for a visit's key. `nominated`: names that Vary is known to nominate.
pub(crate) fn request(visit: &Visit<'_>, nominated: &[String], carry: Carry, kind: Kind) -> OriginRequest {
    let policy = &visit.route.policy;
    let mut fields = Fields(Vec::with_capacity(16));
    for field in visit.request.fields {
        let keyed = key::is_group_field(field.name, visit.facts.rsc)
            || policy.keys_header(field.name)
            || policy.forward_headers.iter().any(|f| field.is(f))
            || nominated.iter().any(|n| field.is(n));
        let browser = carry == Carry::BrowserFields && personal::is_visitors_own(field.name) && !field.is("referer");
        let plainly = policy.is_plain() && personal::is_forwarded_plainly(field.name);
        if keyed || browser || plainly {
            fields.add(field.name, field.value);
        }
    }
    if let Some(cookies) = keyed_cookies(visit).filter(|_| !policy.is_plain()) {
        fields.add("cookie", &cookies);
    }
    // Where they select among variants, their absence is a value too.
    for (name, ours) in [(header::USER_AGENT, USER_AGENT), (header::ACCEPT, "*/*")] {
        if !nominated.iter().any(|n| n == name.as_str()) {
            fields.add_if_absent(name, ours);
        }
    }
    fields.0.retain(|(n, _)| n != header::ACCEPT_ENCODING);
    fields.add_if_absent(header::ACCEPT_ENCODING, "identity");
    let target = match &visit.query {
        Some(query) => format!("{}?{query}", visit.request.path),
        None => visit.request.path.to_owned(),
    };
    OriginRequest {
        origin: visit.route.origin,
        kind,
        host: visit.request.host.to_owned(),
        scheme: visit.request.scheme,
        target,
        fields: fields.0,
        server: None,
        early: None,
        unknown_codings: policy.is_plain(),
    }
}

/// The same for a refresh: the nominated fields are the stored response's, not those of the visitor who came by.
pub(crate) fn refresh(visit: &Visit<'_>, stored: &StoredResponse, kind: Kind) -> OriginRequest {
    let names: Vec<String> = stored.variant.iter().map(|(n, _)| n.clone()).collect();
    let mut request = request(visit, &names, Carry::KeyOnly, kind);
    for name in names.iter().filter_map(|n| HeaderName::try_from(n.as_str()).ok()) {
        request.remove(&name);
    }
    for (name, value) in &stored.variant {
        let (Ok(name), Some(value)) = (HeaderName::try_from(name.as_str()), value) else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.set(name, value);
        }
    }
    request
}

/// Makes a request conditional on what is stored (RFC 9111, 4.3.1).
pub(crate) fn make_conditional(request: &mut OriginRequest, stored: &StoredResponse) {
    let validators = stored.origin_validators();
    let pairs = [(header::IF_NONE_MATCH, validators.etag), (header::IF_MODIFIED_SINCE, validators.last_modified)];
    for (name, value) in pairs {
        if let Some(Ok(value)) = value.map(HeaderValue::from_bytes) {
            request.set(name, value);
        }
    }
}

/// Has a framework with a cache of its own render anew, instead of giving what it has (semantics 23): Next.js takes this
/// field, with its secret, for its own on-demand revalidation.
pub(crate) fn make_on_demand(request: &mut OriginRequest, secret: &str) {
    if let Ok(secret) = HeaderValue::from_str(secret) {
        request.set(HeaderName::from_static("x-prerender-revalidate"), secret);
    }
}

pub(crate) fn make_unconditional(request: &mut OriginRequest) {
    request.remove(&header::IF_NONE_MATCH);
    request.remove(&header::IF_MODIFIED_SINCE);
}

fn keyed_cookies(visit: &Visit<'_>) -> Option<Vec<u8>> {
    let wanted = &visit.route.policy.key_cookies;
    if wanted.is_empty() || !visit.facts.cookie {
        return None;
    }
    let mut line = Vec::new();
    for name in wanted {
        if let Some((name, value)) = visit.request.cookies().find(|(n, _)| *n == name.as_bytes()) {
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(name);
            line.push(b'=');
            line.extend_from_slice(value);
        }
    }
    (!line.is_empty()).then_some(line)
}

struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    fn add(&mut self, name: &str, value: &[u8]) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) {
            self.0.push((name, value));
        }
    }

    fn add_if_absent(&mut self, name: HeaderName, value: &'static str) {
        if !self.0.iter().any(|(n, _)| *n == name) {
            self.0.push((name, HeaderValue::from_static(value)));
        }
    }
}
