//! Deployments: whose pages are stored, and which of them is served. `POST /v1/deployments/{id}/activate` switches at once, or
//! with `warm` when the pages that matter are rendered.

use super::Admin;
use super::body;
use super::problem::{Problem, json};
use super::query::Query;
use super::revalidate::not_kept;
use crate::prerender::{Prerender, Report, Visited};
use crate::service::{Request, Response};
use engine::Engine;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use semantics::{Scheme, key};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The longest id, in characters: it is part of every key.
const ID_AT_MOST: usize = 128;
/// So many of the most visited pages are rendered anew, if nobody says otherwise.
const PAGES: usize = 1_000;
const PAGES_AT_MOST: usize = 100_000;
/// If more of them fail than this, in percent, the old deployment stays.
const FAILED_AT_MOST: u8 = 10;

#[derive(Serialize)]
struct Listed {
    deployments: Vec<Deployment>,
}

#[derive(Serialize)]
struct Deployment {
    id: String,
    active: bool,
    entries: usize,
}

pub(super) async fn list(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let engine = &admin.site().engine;
    let active = engine.deployment();
    let counts = engine.deployments().await.into_iter();
    let deployments = counts.map(|(id, entries)| Deployment { active: id == *active, id, entries }).collect();
    Ok(json(&Listed { deployments }))
}

/// The body of an activation.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Activation {
    /// Renders first what is on lists for `activate`, and the pages that were asked for most.
    warm: bool,
    /// So many of those.
    pages: usize,
    /// Stays with the old deployment if more of them fail, in percent.
    max_failed: u8,
    /// Switches whatever fails.
    force: bool,
}

impl Default for Activation {
    fn default() -> Self {
        Activation { warm: false, pages: PAGES, max_failed: FAILED_AT_MOST, force: false }
    }
}

#[derive(Serialize)]
struct Activated {
    active: String,
    /// Told only where it is not: a restart would undo it.
    #[serde(skip_serializing_if = "std::clone::Clone::clone")]
    durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    warmed: Option<Warmed>,
}

#[derive(Serialize)]
struct Warmed {
    /// Where its course is told: `GET /v1/prerenders`.
    run: u64,
    listed: u64,
    stored: u64,
    left: u64,
    not_stored: u64,
    failed: u64,
}

impl Warmed {
    fn of(report: &Report) -> Self {
        let Report { run, listed, stored, left, not_stored, failed, .. } = *report;
        Warmed { run, listed, stored, left, not_stored, failed }
    }
}

pub(super) async fn activate(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let id = id(&request.path)?;
    let empty = request.body.as_ref().is_ok_and(|body| body.is_empty());
    let asked: Activation = if empty { Activation::default() } else { body::read(request)? };
    if asked.pages > PAGES_AT_MOST || asked.max_failed > 100 {
        let detail = format!("`pages` is at most {PAGES_AT_MOST}, and `max_failed` a percentage");
        return Err(Problem::unprocessable(detail));
    }
    // Whoever asks may leave: what he ordered is carried out.
    let (engine, prerender) = (admin.site().engine.clone(), admin.prerender.clone());
    let task = tokio::spawn(async move { carry_out(&engine, &prerender, &id, &asked).await });
    task.await.unwrap_or_else(|_| Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the activation broke off")))
}

async fn carry_out(
    engine: &Arc<Engine>,
    prerender: &Prerender,
    id: &str,
    asked: &Activation,
) -> Result<Response, Problem> {
    let active = engine.deployment();
    let mut warmed = None;
    if asked.warm && *active != id {
        let visited = engine.most_visited(&active, asked.pages).await;
        let pages = visited.iter().filter_map(|response| visited_page(&response.key)).collect();
        let report = prerender.warm(id, pages).await;
        if !asked.force && too_many(&report, asked.max_failed) {
            return Err(refused(&active, &report, asked.max_failed));
        }
        warmed = Some(Warmed::of(&report));
    }
    let durable = engine.activate(id).map_err(|error| not_kept(&error))?;
    if *active != id {
        tracing::info!(deployment = %id, "another deployment is served from now on");
        prerender.activated();
    }
    Ok(json(&Activated { active: id.to_owned(), durable, warmed }))
}

/// A page that is asked for by its URL alone.
fn visited_page(stored: &[u8]) -> Option<Visited> {
    let of = key::read(stored, false)?;
    let scheme = if of.scheme == Scheme::Https.as_str() { Scheme::Https } else { Scheme::Http };
    let target = of.query.map_or_else(|| of.path.clone(), |query| format!("{}?{query}", of.path));
    Some(Visited { scheme, host: of.host, target })
}

fn too_many(report: &Report, percent: u8) -> bool {
    report.failed * 100 > (report.failed + report.stored + report.left + report.not_stored) * u64::from(percent)
}

fn refused(active: &str, report: &Report, percent: u8) -> Problem {
    let detail = format!(
        "{} of {} pages could not be rendered, which is more than {percent} %: `{active}` stays. Look at `failures`; \
         `\"force\": true` switches all the same, `max_failed` says how many may fail",
        report.failed, report.listed
    );
    Problem::new(StatusCode::CONFLICT, detail).with("warmed", &Warmed::of(report)).with("failures", &report.failures)
}

/// The id in `/v1/deployments/{id}/activate`.
fn id(path: &str) -> Result<String, Problem> {
    let encoded = path.strip_prefix("/v1/deployments/").and_then(|rest| rest.strip_suffix("/activate"));
    let id = encoded.and_then(|id| percent_decode_str(id).decode_utf8().ok()).unwrap_or_default();
    let fits = !id.is_empty() && id.chars().count() <= ID_AT_MOST && !id.chars().any(char::is_control);
    if fits {
        return Ok(id.into_owned());
    }
    Err(Problem::unprocessable(format!(
        "the id of a deployment is 1 to {ID_AT_MOST} characters without control characters, percent-encoded"
    )))
}
