//! `GET /v1/explain`: what a visit to a URL would get now, and why, in full. Asks the origin nothing and changes nothing.

mod asked;
pub(super) mod reasons;
mod seen;
pub(super) mod words;

pub(super) use asked::Asked;

use super::Admin;
use super::entries::{Entry, Regeneration};
use super::problem::{Problem, json};
use super::stats::OriginState;
use crate::proxy::{self, Site, StandIn, UnknownHost};
use crate::service::{Request, Response};
use engine::inspect::{Below, Inspection, InvalidatedBy};
use engine::{Route, Visit, keyed_query};
use reasons::dropped_query;
use seen::{Seen, decide, remembered};
use semantics::policy::Revalidate;
use semantics::{CacheStatus, Method, Scheme, key};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Serialize)]
struct Explained {
    url: String,
    summary: String,
    route: RouteShown,
    key: KeyShown,
    stored: Option<Entry>,
    variants: Variants,
    decision: Decided,
    advice: Vec<String>,
    tags: Vec<String>,
    invalidated: Option<Invalidated>,
    regenerations: Vec<Regeneration>,
    verdict: Option<Verdict>,
    back_off: Option<BackOff>,
    origin: OriginState,
    in_flight: bool,
}

#[derive(Serialize)]
struct RouteShown {
    name: String,
    kind: &'static str,
    revalidate: String,
    origin: String,
}

#[derive(Serialize)]
struct KeyShown {
    deployment: String,
    scheme: String,
    host: String,
    path: String,
    query: Option<String>,
    fields: BTreeMap<String, String>,
    dropped_query: Vec<String>,
}

#[derive(Serialize)]
struct Variants {
    nominated: Vec<String>,
    stored: usize,
}

#[derive(Serialize)]
struct Decided {
    action: &'static str,
    cache_status: String,
    why: Vec<String>,
}

#[derive(Serialize)]
struct Invalidated {
    mode: &'static str,
    by: String,
    epoch: u64,
}

#[derive(Serialize)]
struct Verdict {
    reason: &'static str,
    for_s: u64,
    explanation: String,
}

#[derive(Serialize)]
struct BackOff {
    for_s: u64,
    reason: &'static str,
}

pub(super) async fn explain(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    let asked = Asked::read(request.query.as_deref())?;
    let mut explained = explained(admin, &asked).await?;
    if asked.host.is_none() && admin.site().hosts.sites.is_empty() && explained.stored.is_none() {
        explained.advice.extend(stored_elsewhere(admin, &asked).await);
    }
    Ok(json(&explained))
}

async fn explained(admin: &Admin, asked: &Asked) -> Result<Explained, Problem> {
    let fields = asked.fields();
    let visit = proxy::Asked {
        scheme: asked.scheme,
        host: asked.host.as_deref(),
        path: &asked.path,
        query: asked.query.as_deref(),
        fields: &fields,
    };
    let site = admin.site();
    let below = site.below(&visit).await;
    match site.with_visit(&visit, |visit| of_method(admin, &site, asked, visit, &below)) {
        Ok(explained) => Ok(explained),
        Err(UnknownHost) => {
            // What the path would be on a host that is served, and that this one is not.
            let elsewhere = proxy::Asked { host: None, ..visit };
            let explained = site.with_visit(&elsewhere, |visit| of_method(admin, &site, asked, visit, &below));
            explained.map(|explained| refused(explained, asked)).map_err(|UnknownHost| {
                Problem::unprocessable("`url` has a host that is none of `hosts`, and none of them can be asked for")
            })
        }
    }
}

/// The look-up is of a GET. A HEAD is answered from the same entry (RFC 9110, 9.3.2), but a route may be for GET alone.
fn of_method(admin: &Admin, site: &Site, asked: &Asked, visit: &Visit<'_>, below: &Below) -> Explained {
    let route = site.routes.find(asked.method.as_str(), visit.request.host, visit.request.path);
    if Arc::ptr_eq(route, visit.route) {
        return of_visit(admin, site, visit, below);
    }
    let request = semantics::Request { method: Method::of(asked.method.as_str()), ..*visit.request };
    let query = keyed_query(&request, visit.facts, &route.policy);
    let mut key = Vec::new();
    let hash = site.engine.key(&request, visit.facts, &route.policy, query.as_deref(), &mut key);
    let facts = visit.facts;
    of_visit(admin, site, &Visit { request: &request, facts, route, query: query.as_deref(), key: &key, hash }, below)
}

fn of_visit(admin: &Admin, site: &Site, visit: &Visit<'_>, below: &Below) -> Explained {
    let now = site.engine.clock.now();
    let inspection = site.engine.inspect(visit, now, below);
    let nowhere = || OriginState { name: String::new(), servers: Vec::new() };
    let origin = admin.origins.get(visit.route.origin).map_or_else(nowhere, |upstream| OriginState::of(upstream));
    let dropped = dropped_query(visit.request.query, visit.query);
    let seen = Seen {
        visit,
        inspection: &inspection,
        decision: decide(visit, &inspection),
        origin: &origin,
        dropped: &dropped,
        skipped: skipped(site, visit),
        unmatched: Arc::ptr_eq(visit.route, &site.routes.unmatched),
    };
    let (mut summary, advice) = (seen.summary(), seen.advice());
    match site.stand_in(visit) {
        Some(StandIn::NotListed) => {
            "A visitor gets 404, and the origin hears nothing: the page is on no list of its route (`fallback: not_found`)."
                .clone_into(&mut summary);
        }
        Some(StandIn::Shell(path)) => {
            summary = format!("A visitor gets the shell `{path}` at once, and the page is generated behind it.");
        }
        None => {}
    }
    let decision = Decided { action: seen.action(), cache_status: without_name(&seen.cache_status()), why: seen.why() };
    let route = RouteShown::of(visit.route, &origin);
    let until = |at: semantics::Timestamp| at.since(now).as_secs();
    let Inspection { stored, nominated, variants, invalidated, past, verdict, failing, in_flight, .. } = inspection;
    let stored = stored.map(|listed| Entry::of(listed, now));
    Explained {
        url: url(visit.request.scheme, visit.request.host, visit.request.path, visit.request.query),
        summary,
        route,
        key: KeyShown::of(visit, dropped),
        tags: stored.as_ref().map(|entry| entry.tags.clone()).unwrap_or_default(),
        stored,
        variants: Variants { nominated, stored: variants },
        decision,
        advice,
        invalidated: invalidated.map(|by| Invalidated::of(&by)),
        regenerations: past.iter().take(REGENERATIONS).map(|past| Regeneration::of(past, now)).collect(),
        verdict: verdict.as_ref().map(|known| {
            let (reason, at, explanation) = remembered(known);
            Verdict { reason, for_s: until(at), explanation }
        }),
        back_off: failing.map(|(at, failure)| BackOff { for_s: until(at), reason: failure.told() }),
        origin,
        in_flight,
    }
}

/// The last ones of a page that are told of.
const REGENERATIONS: usize = 5;

impl RouteShown {
    fn of(route: &Route, origin: &OriginState) -> Self {
        let kind = if route.policy.bypass {
            "bypass"
        } else if route.policy.is_isr() {
            "isr"
        } else {
            "header-driven"
        };
        let revalidate = match route.policy.revalidate {
            Revalidate::Origin => "origin".to_owned(),
            Revalidate::Every(window) => format!("{}s", window.as_secs()),
            Revalidate::Never => "never".to_owned(),
        };
        RouteShown { name: route.name.to_string(), kind, revalidate, origin: origin.name.clone() }
    }
}

impl KeyShown {
    fn of(visit: &Visit<'_>, dropped_query: Vec<String>) -> Self {
        let request = visit.request;
        let parts = key::read(visit.key, false);
        KeyShown {
            scheme: request.scheme.as_str().to_owned(),
            host: request.host.to_owned(),
            path: request.path.to_owned(),
            query: visit.query.map(str::to_owned),
            deployment: parts.as_ref().map(|key| key.deployment.clone()).unwrap_or_default(),
            fields: parts.map(|key| key.fields.into_iter().collect()).unwrap_or_default(),
            dropped_query,
        }
    }
}

impl Invalidated {
    fn of(InvalidatedBy { mode, by, epoch }: &InvalidatedBy) -> Self {
        Invalidated { mode: mode.as_str(), by: by.to_string(), epoch: *epoch }
    }
}

/// The same visit, to a host that is not served.
fn refused(explained: Explained, asked: &Asked) -> Explained {
    let host = asked.host.clone().unwrap_or_default();
    let why = format!(
        "The host `{host}` is none of those in `hosts`: visitors get 421 (RFC 9110, 15.5.20), and neither the cache nor \
         the origin is asked. Route and key are what the path would have on the first host that is served."
    );
    Explained {
        url: url(asked.scheme, &host, &asked.path, asked.query.as_deref()),
        summary: format!("A visitor is refused with 421: Larder does not serve the host `{host}`."),
        stored: None,
        variants: Variants { nominated: Vec::new(), stored: 0 },
        decision: Decided {
            action: "refuse",
            cache_status: without_name(&CacheStatus::Own { detail: "unknown-host" }),
            why: vec![why],
        },
        advice: vec![format!("If the site has this name, add it to a list in `hosts`: `[www.example.com, {host}]`.")],
        tags: Vec::new(),
        invalidated: None,
        regenerations: Vec::new(),
        verdict: None,
        back_off: None,
        in_flight: false,
        key: KeyShown { host, ..explained.key },
        ..explained
    }
}

/// A route with a window whose pattern matches before the one that was found: such a path is not for it.
fn skipped<'a>(site: &'a Site, visit: &Visit<'_>) -> Option<&'a str> {
    let request = visit.request;
    let before = site.routes.routes.iter().take_while(|(_, route)| !Arc::ptr_eq(route, visit.route));
    let method = if request.method == Method::Head { "HEAD" } else { "GET" };
    let mut fits = before.filter(|(matcher, _)| matcher.matches(method, request.host, request.path));
    fits.next().map(|(_, route)| &*route.name)
}

/// Without `hosts`, pages are stored under whatever name visitors use: a path alone may mean another one.
pub(super) async fn stored_elsewhere(admin: &Admin, asked: &Asked) -> Option<String> {
    let there = admin.site().engine.stored_at(None, &asked.path, 1).await;
    let stored = there.first()?;
    let url = key::read(&stored.key, !stored.variant.is_empty())?.url();
    Some(format!("The path is stored under another host: ask for `{url}`."))
}

fn url(scheme: Scheme, host: &str, path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{}://{host}{path}?{query}", scheme.as_str()),
        None => format!("{}://{host}{path}", scheme.as_str()),
    }
}

/// Larder's member of Cache-Status without its name.
fn without_name(status: &CacheStatus) -> String {
    let mut text = Vec::new();
    status.write(&mut text);
    let text = String::from_utf8_lossy(&text);
    text.strip_prefix("larder; ").unwrap_or(&text).to_owned()
}
