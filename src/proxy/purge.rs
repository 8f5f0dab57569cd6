//! The method PURGE, as other caches have it: never forwarded, and obeyed for those alone who may (semantics 42).

use super::site::Site;
use super::synthetic::Own;
use engine::Invalidated;
use engine::invalidate::{Invalidation, Mode, Target};
use http::StatusCode;
use semantics::{Request, page};
use std::net::IpAddr;
use std::sync::Arc;

/// Asks for a soft purge, as Fastly has it.
const SOFT: [&str; 2] = ["larder-soft-purge", "fastly-soft-purge"];

/// Invalidates the page with all its variants and queries on this host, and says so. The peer is judged by its own address: what
/// a field says of the client's can be made up.
pub(super) fn answer(site: &Arc<Site>, peer: IpAddr, request: &Request<'_>) -> Own {
    if !site.may_purge.iter().any(|net| net.contains(peer)) {
        return Own::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "PURGE is not enabled for your address.",
            "Whoever runs this server lists addresses that may under `admin.purge_method.allow`.",
            "purge-disabled",
        );
    }
    let soft = SOFT.iter().any(|name| request.field(name).is_some_and(|v| v.trim_ascii() == b"1"));
    let one = Invalidation {
        target: Target::Path(page::normal(request.path)),
        host: Some(request.host.to_owned()),
        mode: if soft { Mode::Soft } else { Mode::Hard },
    };
    match site.invalidate(&[one]) {
        Ok(Invalidated { epoch, .. }) => {
            let what = format!("Purged, epoch {epoch}.");
            Own::new(StatusCode::OK, what, "The next visit has it rendered anew.", "purged")
        }
        Err(error) => {
            Own::new(StatusCode::SERVICE_UNAVAILABLE, format!("Not purged: {error}."), "Try again.", "failed")
        }
    }
}
