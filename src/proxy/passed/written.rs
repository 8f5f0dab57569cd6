//! What a success of an unsafe method means for what is stored (RFC 9111, 4.4; semantics 42).

use crate::proxy::lookup::Asked;
use crate::proxy::site::{Handover, Site};
use engine::Writer;
use http::{HeaderValue, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use semantics::reference::on_same_host;
use semantics::{Field, Policy, tags};

/// A success of an unsafe method leaves nothing stored at its URL that may be used unseen (RFC 9111, 4.4).
/// Says whether it was one. `by`: whose own answer may be stored all the same.
pub(super) async fn after_unsafe(
    session: &Session,
    response: &ResponseHeader,
    handover: &Handover,
    by: Writer,
) -> bool {
    let request = session.req_header();
    if request.method.is_safe() || !(response.status.is_success() || response.status.is_redirection()) {
        return false;
    }
    let lines = response.headers.get_all("cache-group-invalidation");
    let site = &handover.site;
    // A host that holds nothing has no groups: made-up ones must not fill the records.
    let holds = !site.hosts.sites.is_empty() || site.known_hosts.has(&handover.host);
    let groups = tags::groups(lines.iter().map(HeaderValue::as_bytes)).filter(|_| holds).unwrap_or_default();
    let own: Vec<Field<'_>> =
        request.headers.iter().map(|(n, v)| Field { name: n.as_str(), value: v.as_bytes() }).collect();
    // The page as anybody has it, and as this client does.
    for (fields, groups) in [(&[][..], &groups[..]), (&own[..], &[][..])] {
        let asked = Asked {
            scheme: handover.scheme,
            host: Some(&handover.host),
            path: request.uri.path(),
            query: request.uri.query(),
            fields,
        };
        note_write(site, &asked, groups, by, |policy| !policy.is_isr()).await;
    }
    // Where it says that something came of it, that is another page than before, too.
    let base = request.uri.path_and_query().map_or("/", |target| target.as_str());
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let there = response.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(target) = there.and_then(|there| on_same_host(there, &handover.host, base)) else { continue };
        let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
        let asked = Asked { scheme: handover.scheme, host: Some(&handover.host), path, query, fields: &[] };
        note_write(site, &asked, &[], by, Policy::is_plain).await;
    }
    true
}

/// What is stored for such a request is to be validated, where its route goes by RFC 9111 there.
async fn note_write(
    site: &Site,
    asked: &Asked<'_>,
    groups: &[String],
    by: Writer,
    applies: impl FnOnce(&Policy) -> bool,
) {
    site.recall(asked).await;
    // The host was known when the request came in.
    let _ = site.with_visit(asked, |visit| {
        if applies(&visit.route.policy) && !visit.route.policy.bypass {
            site.engine.unsafe_method_succeeded(visit, groups, by);
        }
    });
}
