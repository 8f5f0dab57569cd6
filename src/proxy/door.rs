//! What all connections share, and what is said to who comes with no request.

use super::Passed;
use super::deliver::Client;
use super::head::Refusal;
use super::site::{Current, Site};
use super::synthetic::Own;
use super::tunnel::Tunnels;
use crate::access::Line;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use semantics::Outcome;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What every connection shares.
pub(super) struct Door {
    pub(super) site: Current,
    pub(super) proxy: Arc<HttpProxy<Passed>>,
    pub(super) tunnels: Tunnels,
    pub(super) shutdown: ShutdownWatch,
}

/// Who has come, and by which entrance.
#[derive(Clone, Copy)]
pub(super) struct Visitor {
    pub(super) peer: SocketAddr,
    /// Without TLS he is sent to this port, with it.
    pub(super) redirect: Option<u16>,
}

/// Says why a request is refused: its method, target and protocol are as far as they can be told.
pub(super) async fn tell(
    site: &Site,
    client: &mut Client<'_>,
    peer: IpAddr,
    (method, path, proto): (&[u8], &[u8], &'static str),
    refusal: Refusal,
) {
    let started = site.engine.clock.now();
    let own = Own::new(
        refusal.status,
        format!("The request cannot be answered: {}.", refusal.what),
        "Mend the request; it was not passed on.",
        "refused",
    );
    // He may be gone; there is nobody else to tell.
    if client.own_as(&own, false, method == b"HEAD").await.is_ok() {
        let now = site.engine.clock.now();
        let (status, took, route) = (refusal.status.as_u16(), now.since(started), &site.routes.unmatched);
        route.metrics.request(Outcome::Error, status, took);
        site.access.log(|| Line {
            time: now,
            remote: peer,
            method,
            host: b"",
            path,
            query: None,
            proto,
            status,
            bytes: client.body_sent(),
            took,
            cache: Outcome::Error,
            route: &route.name,
            user_agent: b"",
            referer: b"",
        });
    }
}
