//! Our road: one request from its parsed head to its answer, or to the decision that it is passed.

use super::deliver::{Client, Sent};
use super::head::Head;
use super::passed::PassedGate;
use super::synthetic::Own;
use super::{Hosts, Limits, Routes, Trust};
use crate::origin::forwarding::Identity;
use engine::{Answer, Engine, Probe, Route, Served, Step, Visit, keyed_query};
use http::StatusCode;
use parking_lot::Mutex;
use semantics::{Facts, Forward, Outcome, Request, Scheme, Timestamp, decision};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Everything a connection needs to know.
pub struct Site {
    pub engine: Arc<Engine>,
    pub routes: Routes,
    pub hosts: Hosts,
    pub trust: Trust,
    pub limits: Limits,
    pub identity: Identity,
    pub gate: PassedGate,
    pub draining: AtomicBool,
    pub known_hosts: KnownHosts,
}

/// Without a `hosts` list, at most so many hosts hold entries (semantics 43). One that was not asked for in ten
/// minutes gives up its place.
#[derive(Default)]
pub struct KnownHosts {
    seen: Mutex<HashMap<String, Timestamp>>,
    told: AtomicBool,
}

const HOSTS_AT_MOST: usize = 64;
const HOST_IDLE: Duration = Duration::from_secs(600);

impl KnownHosts {
    fn admit(&self, host: &str, now: Timestamp) -> bool {
        let mut seen = self.seen.lock();
        if let Some(last) = seen.get_mut(host) {
            *last = now;
            return true;
        }
        if seen.len() >= HOSTS_AT_MOST {
            seen.retain(|_, last| now.since(*last) < HOST_IDLE);
        }
        let admitted = seen.len() < HOSTS_AT_MOST;
        if admitted {
            seen.insert(host.to_owned(), now);
        } else if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%host, "more than {HOSTS_AT_MOST} hosts are asked for: further ones are passed and not stored; list yours under `hosts`");
        }
        admitted
    }
}

/// A request that goes the passed road.
pub(super) struct Handover {
    pub(super) why: Forward,
    pub(super) probe: Option<Probe>,
    pub(super) route: Arc<Route>,
    pub(super) host: String,
    pub(super) scheme: Scheme,
    pub(super) peer: SocketAddr,
    pub(super) started: Timestamp,
    /// Another protocol is asked for.
    pub(super) upgrade: bool,
    /// The connection is to be kept for a next request.
    pub(super) keep_alive: bool,
}

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
        let sent = client.stored(&request, &facts, &served, started, &mut scratch.tail).await;
        return finish(site, route, served.status.outcome(), sent, started);
    }
    // Off the hit path: its future is boxed, so that a connection that only hits stays small.
    match Box::pin(wait(site, &visit, step, client, &mut scratch.tail, started)).await {
        Waited::Ended(ended) => ended,
        Waited::Pass(why, probe) => pass(why, probe),
    }
}

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
