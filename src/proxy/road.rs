//! Our road: one request from its parsed head to its answer, or to the decision that it is passed.

use super::deliver::{Chosen, Client, Delivery, Sent};
use super::door::Visitor;
use super::fallback::{Instead, Shell};
use super::head::{Framing, Head};
use super::route::without_port;
use super::site::{Handover, Site};
use super::synthetic::Own;
use crate::access::{Line, protocol};
use engine::store::{BodyReader, InCoding};
use engine::{Answer, Probe, Route, Served, Step, Visit};
use http::{StatusCode, Version};
use semantics::{CacheStatus, Facts, Forward, Outcome, Request, Scheme, Timestamp, decision};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

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

/// A request as it came in.
struct Incoming<'r> {
    head: &'r Head<'r>,
    peer: IpAddr,
    started: Timestamp,
}

/// Takes one request as far as it goes on our road.
pub(super) async fn take(
    site: &Arc<Site>,
    head: &Head<'_>,
    Visitor { peer, redirect }: Visitor,
    client: &mut Client<'_>,
    scratch: &mut Scratch,
) -> Ended {
    let started = site.engine.clock.now();
    let incoming = Incoming { head, peer: peer.ip(), started };
    let scheme = site.trust.scheme(peer.ip(), &head.fields, client.scheme());
    let Some(host) = site.hosts.canonical(head.host, scheme) else {
        return refuse(site, &incoming, client, misdirected()).await;
    };
    if let Some(port) = redirect.filter(|_| scheme == Scheme::Http) {
        // By the name that he asked for: without one there is nowhere to send him.
        let named = head.host.is_some() && head.path.starts_with('/');
        let own = if named { to_https(&host, port, head) } else { https_alone() };
        return refuse(site, &incoming, client, own).await;
    }
    let request =
        Request { method: head.kind(), scheme, host: &host, path: head.path, query: head.query, fields: &head.fields };
    let mut facts = Facts::of(&head.fields);
    // In HTTP/2 no field has to tell of a body.
    facts.body |= head.framing != Framing::None;
    let route = site.routes.find(head.method, &host, head.path);
    let keep_alive = client.keep_alive;
    let pass = |why, probe| {
        // A handshake is a GET of HTTP/1.1 without a body (RFC 6455, 4.1).
        let handshake =
            facts.upgrade && head.method == "GET" && head.version == Version::HTTP_11 && head.framing == Framing::None;
        let (host, upgrade) = (host.to_string(), handshake);
        Ended::Passed(Box::new(Handover {
            site: site.clone(),
            why,
            probe,
            route: route.clone(),
            host,
            scheme,
            peer,
            started,
            came: site.engine.moment(),
            upgrade,
            keep_alive,
        }))
    };
    if let Err(why) = decision::admit(&request, &facts, &route.policy) {
        if head.method == "PURGE" {
            let own = super::purge::answer(site, peer.ip(), &request);
            return refuse(site, &incoming, client, own).await;
        }
        return pass(why, None);
    }
    let query = site.engine.query(&request, &facts, route);
    let hash = site.engine.key(&request, &facts, &route.policy, query.as_deref(), &mut scratch.key);
    let visit = Visit { request: &request, facts: &facts, route, query: query.as_deref(), key: &scratch.key, hash };
    let step = site.engine.begin(&visit, started);
    if let Step::Serve(served) = &step
        && served.response.body.held().is_some()
        && let Some(coded) = chosen_now(site, &visit, served)
    {
        // One hit in so many notes that the host is in use: a site that only hits must not lose its place to made-up names.
        if started.as_micros().is_multiple_of(HITS_NOTED) && site.hosts.sites.is_empty() {
            site.known_hosts.admit(&host, started);
        }
        let codings = &route.policy.compress;
        let delivery = Delivery { request: &request, facts: &facts, served, now: started, codings, coded };
        let sent = client.stored(&delivery, &mut scratch.tail, None).await;
        route.metrics.served(served.response.windows.age(started));
        return finish(site, &incoming, route, served.status.outcome(), client, sent);
    }
    // Off the hit path: its future is boxed, so that a connection that only hits stays small.
    match Box::pin(wait(site, &incoming, &visit, step, client, &mut scratch.tail)).await {
        Waited::Ended(ended) => ended,
        Waited::Pass(why, probe) => pass(why, probe),
    }
}

/// The coding that he gets, if any; `None`: it is to be made first.
fn chosen_now<'s>(site: &Site, visit: &Visit<'_>, served: &'s Served) -> Option<Option<&'s InCoding>> {
    match Chosen::of(&site.engine, visit.request, visit.facts, served, &visit.route.policy.compress) {
        Chosen::AsItIs => Some(None),
        Chosen::Coded(coded) => Some(Some(coded)),
        Chosen::AtOnce(_) => None,
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
    incoming: &Incoming<'_>,
    visit: &Visit<'_>,
    step: Step,
    client: &mut Client<'_>,
    tail: &mut Vec<u8>,
) -> Waited {
    let request = visit.request;
    if request.fields_named("via").any(|via| site.identity.is_in(via)) {
        let sent = client.own(request, &looped()).await;
        return Waited::Ended(finish(site, incoming, visit.route, Outcome::Error, client, sent));
    }
    // What is not in memory may be on the disk.
    let step = match step {
        Step::Wait if site.engine.recall(visit).await => site.engine.begin(visit, incoming.started),
        step => step,
    };
    let answer = match step {
        Step::Pass(why) => return Waited::Pass(why, None),
        Step::Unsatisfiable => Answer::Unsatisfiable,
        Step::Serve(served) => Answer::Served(served),
        Step::Wait => {
            let listed = !site.hosts.sites.is_empty();
            if !listed && !site.known_hosts.admit(request.host, incoming.started) {
                return Waited::Pass(Forward::Bypass, None);
            }
            let instead = match stored_for_all(site, visit).await {
                None => site.engine.bridged(visit).await.map(Answer::Served),
                stored => stored,
            };
            match instead {
                Some(answer) => answer,
                None => match site.instead(visit).await {
                    Instead::Wait => answer(site, visit, client).await,
                    Instead::NotFound(own) => {
                        let sent = client.own(request, &own).await;
                        return Waited::Ended(finish(site, incoming, visit.route, Outcome::Error, client, sent));
                    }
                    Instead::Shell(Shell { head, body }) => {
                        let sent = client.unkept(request, &head, &body, &CacheStatus::Shell).await;
                        let outcome = CacheStatus::Shell.outcome();
                        return Waited::Ended(finish(site, incoming, visit.route, outcome, client, sent));
                    }
                },
            }
        }
    };
    let (answer, file) = with_file(site, visit, answer).await;
    let (outcome, sent) = match answer {
        Answer::Pass(why, probe) => return Waited::Pass(why, probe),
        Answer::Served(served) => {
            (served.status.outcome(), deliver_stored(site, visit, client, &served, file, tail).await)
        }
        Answer::Stream { opened, watcher, status } => {
            (status.outcome(), client.streamed(request, &opened, watcher, &status, &visit.route.policy.compress).await)
        }
        Answer::Failed { failed, status } => (Outcome::Error, client.failed(request, &failed, &status).await),
        Answer::Unsatisfiable => (Outcome::Error, client.own(request, &unsatisfiable()).await),
    };
    Waited::Ended(finish(site, incoming, visit.route, outcome, client, sent))
}

/// Waits for an answer; what the origin says before it is told as it comes.
async fn answer(site: &Site, visit: &Visit<'_>, client: &mut Client<'_>) -> Answer {
    let (early, mut told) = mpsc::unbounded_channel();
    let mut answer = std::pin::pin!(site.engine.answer_early(visit, Some(early)));
    loop {
        let interim = tokio::select! {
            biased;
            Some(interim) = told.recv() => interim,
            answer = &mut answer => return answer,
        };
        // He may have gone: others wait for the same.
        let _ = client.interim(&interim).await;
    }
}

/// Without `hosts`, what was generated before anybody asked is stored under the origin's own name, and answers every host
/// that has no page of its own (semantics 43).
async fn stored_for_all(site: &Site, visit: &Visit<'_>) -> Option<Answer> {
    let authority = site.hosts.authority(visit.route.origin);
    let shared = site.hosts.sites.is_empty() && site.shared.has(&visit.route.name);
    if !shared || visit.request.host == authority || site.engine.is_stored(visit) {
        return None;
    }
    let request = Request { host: authority, ..*visit.request };
    let mut key = Vec::new();
    let hash = site.engine.key(&request, visit.facts, &visit.route.policy, visit.query, &mut key);
    let shared = Visit { request: &request, key: &key, hash, ..*visit };
    site.engine.recall(&shared).await;
    match site.engine.begin(&shared, site.engine.clock.now()) {
        // A page alone: a redirect to the public name, say, is only for who did not ask for that.
        Step::Serve(served) if served.response.head.status() == StatusCode::OK => Some(Answer::Served(served)),
        _ => None,
    }
}

async fn deliver_stored(
    site: &Site,
    visit: &Visit<'_>,
    client: &mut Client<'_>,
    served: &Served,
    file: Option<BodyReader>,
    tail: &mut Vec<u8>,
) -> io::Result<Sent> {
    let now = site.engine.clock.now();
    // What was waited for came from the origin just now: only what was there already says how old pages get.
    if matches!(served.status.outcome(), Outcome::Hit | Outcome::Stale) {
        visit.route.metrics.served(served.response.windows.age(now));
    }
    let (request, facts, codings) = (visit.request, visit.facts, &visit.route.policy.compress);
    let at_once = match Chosen::of(&site.engine, request, facts, served, codings) {
        Chosen::AtOnce(coding) => site.engine.coded_at_once(&served.response, coding).await,
        _ => None,
    };
    let coded = at_once.as_ref().or_else(|| chosen_now(site, visit, served).flatten());
    client.stored(&Delivery { request, facts, served, now, codings, coded }, tail, file).await
}

/// Opens the body of an answer that is not held in memory. It may have gone since it was looked up: then there is another
/// answer, and at the worst the origin's own.
async fn with_file(site: &Arc<Site>, visit: &Visit<'_>, mut answer: Answer) -> (Answer, Option<BodyReader>) {
    for _ in 0..2 {
        let Answer::Served(served) = &answer else { return (answer, None) };
        if served.response.body.held().is_some() {
            return (answer, None);
        }
        if let Some(file) = site.engine.open(&served.response).await {
            return (answer, Some(file));
        }
        site.engine.recall(visit).await;
        answer = site.engine.answer(visit).await;
    }
    match answer {
        Answer::Served(served) if served.response.body.held().is_none() => (Answer::Pass(Forward::Miss, None), None),
        answer => (answer, None),
    }
}

/// Counts the request and notes it down, however it ended.
fn finish(
    site: &Site,
    incoming: &Incoming<'_>,
    route: &Route,
    outcome: Outcome,
    client: &Client<'_>,
    sent: io::Result<Sent>,
) -> Ended {
    let now = site.engine.clock.now();
    let took = now.since(incoming.started);
    let (status, ended) = match sent {
        Ok(Sent { status }) => (status, Ended::Answered),
        Err(error) => {
            tracing::debug!(%error, "an answer broke off");
            // 499, as nginx counts it: the client went away, or the origin broke off in the middle.
            (499, Ended::Broken)
        }
    };
    route.metrics.request(outcome, status, took);
    let head = incoming.head;
    site.access.log(|| Line {
        time: now,
        remote: site.trust.client(incoming.peer, head.values("x-forwarded-for")),
        method: head.method.as_bytes(),
        host: head.host.unwrap_or_default().as_bytes(),
        path: head.path.as_bytes(),
        query: head.query.map(str::as_bytes),
        proto: protocol(head.version),
        status,
        bytes: client.body_sent(),
        took,
        cache: outcome,
        route: &route.name,
        user_agent: head.values("user-agent").next().unwrap_or_default(),
        referer: head.values("referer").next().unwrap_or_default(),
    });
    ended
}

/// An answer of our own, whatever is stored.
async fn refuse(site: &Site, incoming: &Incoming<'_>, client: &mut Client<'_>, own: Own) -> Ended {
    let head = incoming.head;
    let accept = head.values("accept").next();
    if head.framing != Framing::None {
        // Its body is not read.
        client.keep_alive = false;
    }
    let sent = client.own_as(&own, super::synthetic::wants_json(accept), head.method == "HEAD").await;
    let ordered = own.status.is_success() || own.status.is_redirection();
    let outcome = if ordered { Outcome::Bypass } else { Outcome::Error };
    finish(site, incoming, &site.routes.unmatched, outcome, client, sent)
}

fn misdirected() -> Own {
    Own::new(
        StatusCode::MISDIRECTED_REQUEST,
        "This server does not serve the host that was asked for.",
        "Check the address; whoever runs this server lists its names under `hosts`.",
        "unknown-host",
    )
}

/// The same URL with TLS, for good; what was sent is sent again there (RFC 9110, 15.4.9).
fn to_https(host: &str, port: u16, head: &Head<'_>) -> Own {
    let name = without_port(host);
    let port = if port == Scheme::Https.default_port() { String::new() } else { format!(":{port}") };
    let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
    let explanation = "This site is served over HTTPS alone.";
    let mut own = Own::new(StatusCode::PERMANENT_REDIRECT, explanation, "Ask for its https:// address.", "redirect");
    own.location = Some(format!("https://{name}{port}{}{query}", head.path));
    own
}

fn https_alone() -> Own {
    let explanation = "This site is served over HTTPS alone, and the request names no host to go to.";
    Own::new(StatusCode::BAD_REQUEST, explanation, "Ask for its https:// address.", "redirect")
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
