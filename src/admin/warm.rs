//! `POST /v1/warm` orders pages before anybody asks for them; `GET /v1/prerenders` tells how that goes, for orders and for
//! what the configuration says.

use super::Admin;
use super::body;
use super::problem::{Problem, json};
use super::query::{Query, shortened};
use crate::prerender::{Order, Refused, Report, RunId};
use crate::service::{Request, Response};
use http::StatusCode;
use semantics::page;
use serde::{Deserialize, Serialize};

/// Paths of one call.
const PATHS_AT_MOST: usize = 10_000;
/// The largest number that every JSON reader has exactly (RFC 8259, 6).
const LARGEST: RunId = (1 << 53) - 1;
/// Routes of one call.
const ROUTES_AT_MOST: usize = 1000;

/// The body of `POST /v1/warm`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    routes: Vec<String>,
    paths: Vec<String>,
    host: Option<String>,
}

#[derive(Serialize)]
struct Ordered {
    run: RunId,
}

#[derive(Serialize)]
struct Told {
    runs: Vec<Report>,
}

pub(super) fn order(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let asked: Asked = body::read(request)?;
    if asked.paths.len() > PATHS_AT_MOST || asked.routes.len() > ROUTES_AT_MOST {
        let detail = format!("a call takes {PATHS_AT_MOST} paths and {ROUTES_AT_MOST} routes: send them in parts");
        return Err(Problem::unprocessable(detail));
    }
    if asked.host.is_some() && asked.paths.is_empty() {
        let detail = "`host` is for `paths`: the pages of routes are those of their own hosts";
        return Err(Problem::unprocessable(detail));
    }
    let site = admin.site();
    let host = body::host(&site, asked.host.as_deref())?;
    let mut paths = Vec::new();
    for (i, path) in asked.paths.iter().enumerate() {
        let (alone, query) = path.split_once('?').map_or((path.as_str(), ""), |(path, query)| (path, query));
        body::path(alone, &format!("paths[{i}]"))?;
        let mark = if query.is_empty() { "" } else { "?" };
        paths.push(page::as_sent(&format!("{alone}{mark}{query}")));
    }
    let order = Order { routes: asked.routes, paths, host };
    match admin.prerender.order(order) {
        Ok(run) => {
            let mut response = json(&Ordered { run });
            response.status = StatusCode::ACCEPTED;
            Ok(response)
        }
        Err(refused) => Err(problem(&refused)),
    }
}

fn problem(refused: &Refused) -> Problem {
    match refused {
        Refused::NoSuchRoute(name) => {
            let name = shortened(name, 100);
            Problem::unprocessable(format!("no route `{name}` has a `prerender`: name one that has, or give `paths`"))
        }
        Refused::Nothing => {
            let detail = "no route has a `prerender`, so there is no list of pages: give `paths`";
            Problem::unprocessable(detail)
        }
        Refused::Busy(orders) => {
            let detail = format!("{orders} orders run already: wait for one of them to end");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).with_field("retry-after", "5")
        }
    }
}

pub(super) fn report(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    let mut query = Query::parse(request.query.as_deref())?;
    let run = query.take("run")?;
    query.end(&["run"])?;
    let Some(run) = run else { return Ok(json(&Told { runs: admin.prerender.reports() })) };
    let wrong = || Problem::unprocessable("`run` is the number that `POST /v1/warm` gave");
    let id = run.parse::<RunId>().ok().filter(|id| *id <= LARGEST).ok_or_else(wrong)?;
    match admin.prerender.report(id) {
        Some(report) => Ok(json(&Told { runs: vec![report] })),
        None => Err(Problem::new(StatusCode::NOT_FOUND, format!("run {id} is not known any more, or never was"))),
    }
}
