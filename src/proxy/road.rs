//! Our road: one request from its parsed head to its answer, or to the decision that it is passed.

use super::deliver::{Client, Sent};
use super::head::Head;
use super::site::{Handover, Site};
use super::synthetic::Own;
use engine::{Answer, Probe, Route, Served, Step, Visit, keyed_query};
use http::StatusCode;
use semantics::{Facts, Forward, Outcome, Request, Timestamp, decision};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// How a request ended.
pub(super) enum Ended {
    Answered,
    /// The client is gone, or the answer broke off: the connection ends.
    Broken,
    Passed(Box<Handover>),
}

/// Buffers that live as long as the connection.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) key: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

/// Takes one request as far as it goes on our road.
pub(super) async fn take(
    site: &Arc<Site>,
    head: &Head<'_>,
    peer: SocketAddr,
    client: &mut Client<'_>,
    scratch: &mut Scratch,
) -> Ended {
    let started = site.engine.clock.now();
    let scheme = site.trust.scheme(peer.ip(), &head.fields);
    let Some(host) = site.hosts.canonical(head.host, scheme) else {
        return refuse(site, head, client, misdirected(), started).await;
    };
    let request =
        Request { method: head.kind(), scheme, host: &host, path: head.path, query: head.query, fields: &head.fields };
    let facts = Facts::of(&head.fields);
    let route = site.routes.find(head.method, &host, head.path);
    let keep_alive = client.keep_alive;
    let pass = |why, probe| {
        let (host, upgrade) = (host.to_string(), facts.upgrade);
        Ended::Passed(Box::new(Handover {
            why,
            probe,
            route: route.clone(),
            host,
            scheme,
            peer,
            started,
            upgrade,
            keep_alive,
        }))
    };
    if let Err(why) = decision::admit(&request, &facts, &route.policy) {
        if head.method == "PURGE" {
            return refuse(site, head, client, no_purge(), started).await;
        }
        return pass(why, None);
    }
    let query = keyed_query(&request, &facts, &route.policy);
    let hash = site.engine.key(&request, &facts, &route.policy, query.as_deref(), &mut scratch.key);
    let visit = Visit { request: &request, facts: &facts, route, query: query.as_deref(), key: &scratch.key, hash };
    let step = site.engine.begin(&visit, started);
    if let Step::Serve(served) = step {
        // One hit in so many notes that the host is in use: a site that only hits must not lose its place to made-up names.
        if started.as_micros().is_multiple_of(HITS_NOTED) && site.hosts.sites.is_empty() {
            site.known_hosts.admit(&host, started);
        }
        let sent = client.stored(&request, &facts, &served, started, &mut scratch.tail).await;
        return finish(site, route, served.status.outcome(), sent, started);
    }
    // Off the hit path: its future is boxed, so that a connection that only hits stays small.
    match Box::pin(wait(site, &visit, step, client, &mut scratch.tail, started)).await {
        Waited::Ended(ended) => ended,
        Waited::Pass(why, probe) => pass(why, probe),
    }
}

/// By the microsecond at which they come.
const HITS_NOTED: u64 = 1024;

enum Waited {
    Ended(Ended),
    Pass(Forward, Option<Probe>),
}

async fn wait(
    site: &Arc<Site>,
    visit: &Visit<'_>,
    step: Step,
    client: &mut Client<'_>,
    tail: &mut Vec<u8>,
    started: Timestamp,
) -> Waited {
    let request = visit.request;
    if request.fields_named("via").any(|via| site.identity.is_in(via)) {
        let sent = client.own(request, &looped()).await;
        return Waited::Ended(finish(site, visit.route, Outcome::Error, sent, started));
    }
    let answer = match step {
        Step::Pass(why) => return Waited::Pass(why, None),
        Step::Unsatisfiable => Answer::Unsatisfiable,
        Step::Serve(served) => Answer::Served(served),
        Step::Wait => {
            let listed = !site.hosts.sites.is_empty();
            if !listed && !site.known_hosts.admit(request.host, started) {
                return Waited::Pass(Forward::Bypass, None);
            }
            site.engine.answer(visit).await
        }
    };
    let (outcome, sent) = match answer {
        Answer::Pass(why, probe) => return Waited::Pass(why, probe),
        Answer::Served(served) => {
            let sent = deliver_stored(site, visit, client, &served, tail).await;
            (served.status.outcome(), sent)
        }
        Answer::Stream { opened, watcher, status } => {
            (status.outcome(), client.streamed(request, &opened, watcher, &status).await)
        }
        Answer::Failed { failed, status } => (Outcome::Error, client.failed(request, &failed, &status).await),
        Answer::Unsatisfiable => (Outcome::Error, client.own(request, &unsatisfiable()).await),
    };
    Waited::Ended(finish(site, visit.route, outcome, sent, started))
}

async fn deliver_stored(
    site: &Site,
    visit: &Visit<'_>,
    client: &mut Client<'_>,
    served: &Served,
    tail: &mut Vec<u8>,
) -> io::Result<Sent> {
    client.stored(visit.request, visit.facts, served, site.engine.clock.now(), tail).await
}

fn finish(site: &Site, route: &Route, outcome: Outcome, sent: io::Result<Sent>, started: Timestamp) -> Ended {
    let took = site.engine.clock.now().since(started);
    match sent {
        Ok(Sent { status }) => {
            route.metrics.request(outcome, status, took);
            Ended::Answered
        }
        Err(error) => {
            // 499, as nginx counts it: the client went away, or the origin broke off in the middle.
            route.metrics.request(outcome, 499, took);
            tracing::debug!(%error, "an answer broke off");
            Ended::Broken
        }
    }
}

async fn refuse(site: &Site, head: &Head<'_>, client: &mut Client<'_>, own: Own, started: Timestamp) -> Ended {
    let accept = head.fields.iter().find(|f| f.is("accept")).map(|f| f.value);
    if head.framing != super::head::Framing::None {
        // Its body is not read.
        client.keep_alive = false;
    }
    let sent = client.own_as(&own, super::synthetic::wants_json(accept), head.method == "HEAD").await;
    finish(site, &site.routes.unmatched, Outcome::Error, sent, started)
}

fn misdirected() -> Own {
    Own::new(
        StatusCode::MISDIRECTED_REQUEST,
        "This server does not serve the host that was asked for.",
        "Check the address; whoever runs this server lists its names under `hosts`.",
        "unknown-host",
    )
}

fn no_purge() -> Own {
    Own::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "PURGE is not enabled here.",
        "Whoever runs this server can enable it under `admin.purge_method` once it is available.",
        "purge-disabled",
    )
}

fn looped() -> Own {
    Own::new(
        StatusCode::LOOP_DETECTED,
        "This request has come through this very Larder before.",
        "The origin's address leads back here: point `origin` at the application itself.",
        "loop",
    )
}

fn unsatisfiable() -> Own {
    Own::new(
        StatusCode::GATEWAY_TIMEOUT,
        "Nothing is stored for this request, and it asked for a stored answer only.",
        "Leave out `Cache-Control: only-if-cached`.",
        "only-if-cached",
    )
}
