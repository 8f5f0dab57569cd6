//! `GET /v1/export` and `POST /v1/import`: all that is stored, piece by piece, as frames of an archive
//! (`engine::store::archive`).

use super::Admin;
use super::entries::{cursor, read_cursor, whole};
use super::problem::{Problem, json};
use super::query::Query;
use crate::service::{Request, Response, TooLarge};
use engine::Engine;
use engine::store::KeyHash;
use http::StatusCode;
use serde::Serialize;
use std::time::Duration;

const LIMIT: usize = 1000;
const LIMIT_AT_MOST: usize = 10_000;
/// Just after a start not all files are known yet: so often it is looked again.
const LOOKS: usize = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Imported {
    stored: u64,
    skipped: u64,
    refused: u64,
    problems: Vec<String>,
}

pub(super) async fn export(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    let engine = admin.site().engine.clone();
    let store = engine.store_id();
    let mut query = Query::parse(request.query.as_deref())?;
    let limit = query.take("limit")?.map_or(Ok(LIMIT), |text| whole(&text, LIMIT_AT_MOST))?;
    let after = query.take("cursor")?.map(|text| behind(&text, store)).transpose()?;
    query.end(&["cursor", "limit"])?;
    becomes_indexed(&engine).await?;
    let piece = engine.export(after, limit).await;
    let response = Response::new(StatusCode::OK, "application/octet-stream", piece.frames)
        .with("cache-control", "no-store")
        .with("x-content-type-options", "nosniff")
        .with("larder-store", format!("{store:016x}"))
        .with("larder-entries", engine.stored_entries().to_string())
        .with("larder-unread", piece.unread.to_string());
    Ok(match piece.next {
        Some(next) => response.with("larder-next-cursor", cursor(store, next)),
        None => response,
    })
}

/// An export that leaves out what is not known yet would pass for whole.
async fn becomes_indexed(engine: &Engine) -> Result<(), Problem> {
    for _ in 0..LOOKS {
        if engine.is_indexed() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let detail = "what lies on the disk is still being looked through: try again in a minute";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_field("retry-after", "60"))
}

/// Where a walk goes on. Hashes are seeded anew in each store, so it says which one it is of.
fn behind(cursor: &str, store: u64) -> Result<KeyHash, Problem> {
    read_cursor(cursor, store).ok_or_else(|| {
        Problem::unprocessable(
            "`cursor` is none of this store; one in memory alone is another one after a restart: start again without \
             `cursor`",
        )
    })
}

pub(super) async fn import(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let engine = admin.site().engine.clone();
    let body = request.body.clone().map_err(|TooLarge| {
        let most = engine.largest_frame();
        let detail = format!("the body is larger than {most} bytes: send fewer entries at a time");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    })?;
    // Whoever sends it may leave: what was begun is ended.
    let task = tokio::spawn(async move { engine.import(&body).await });
    let told = task.await.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the import broke off"))?;
    let told = told.map_err(|trouble| {
        Problem::unprocessable(format!(
            "the body must be frames of an archive, as /v1/export gives them out: {trouble}"
        ))
    })?;
    let engine::moving::Imported { stored, skipped, refused, problems } = told;
    Ok(json(&Imported { stored, skipped, refused, problems }))
}
