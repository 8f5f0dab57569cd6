//! Deployments: whose pages are stored, and which of them is served. `POST /v1/deployments/{id}/activate` switches at once.

use super::Admin;
use super::body;
use super::problem::{Problem, json};
use super::query::Query;
use crate::service::{Request, Response};
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// The longest id, in characters: it is part of every key.
const ID_AT_MOST: usize = 128;

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
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Activation {
    warm: bool,
}

#[derive(Serialize)]
struct Activated {
    active: String,
}

pub(super) fn activate(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let id = id(&request.path)?;
    let empty = request.body.as_ref().is_ok_and(|body| body.is_empty());
    let asked: Activation = if empty { Activation::default() } else { body::read(request)? };
    if asked.warm {
        let detail = "`warm` is not available in this version: activate without it, and pages of `prerender` with \
                      `on: [activate]` are generated then";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
    }
    let engine = &admin.site().engine;
    if *engine.deployment() != id {
        tracing::info!(deployment = %id, "another deployment is served from now on");
        engine.activate(&id);
        admin.prerender.activated();
    }
    Ok(json(&Activated { active: id }))
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
